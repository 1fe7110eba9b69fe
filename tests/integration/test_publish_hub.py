"""A release goes through the real hub client to a stand-in of the hub on loopback."""

import os

import huggingface_hub.constants
import pytest
import stamina
from hub_stand_in import TOKEN, HubStandIn

from recipe.errors import PublishError
from recipe.publish.delivery import deliver
from recipe.publish.release import REQUIRED_FILES, seal_release

REPOSITORY = "owner/whisper-fr"

# The hub's client itself still sends large files in a way that its HTTP library calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch):
    # The stand-in knows the older of the client's two ways to send large files.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with HubStandIn() as server, stamina.set_testing(True, attempts=4, cap=True):
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def make_sealed(tmp_path):
    def make(content):
        folder = tmp_path / content
        folder.mkdir()
        for name in REQUIRED_FILES:
            (folder / name).write_text(f"{content} of {name}")
        (folder / "model.safetensors").write_bytes(os.urandom(100_000))
        (folder / "ct2-int8").mkdir()
        (folder / "ct2-int8" / "model.bin").write_text(f"{content} of an export")
        seal_release(folder)
        return folder

    return make


def read_all(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_private_repository_holds_exactly_the_release(hub, make_sealed, tmp_path):
    folder = make_sealed("first")
    delivery = deliver(folder, f"hub:{REPOSITORY}", default_dir=tmp_path)
    assert delivery.uri == f"hub:{REPOSITORY}@{1:040x}"
    assert delivery.warnings == ()
    assert hub.is_private == {REPOSITORY: True}
    assert hub.commits[REPOSITORY][-1] == read_all(folder) | {".gitattributes": b""}


def test_the_same_release_is_committed_once(hub, make_sealed, tmp_path):
    folder = make_sealed("first")
    deliveries = [deliver(folder, f"hub:{REPOSITORY}", default_dir=tmp_path) for _ in range(2)]
    assert deliveries[0] == deliveries[1]
    assert len(hub.commits[REPOSITORY]) == 2


def test_another_release_is_another_commit(hub, make_sealed, tmp_path):
    deliver(make_sealed("first"), f"hub:{REPOSITORY}", default_dir=tmp_path)
    second = make_sealed("second")
    deliver(second, f"hub:{REPOSITORY}", default_dir=tmp_path)
    assert hub.commits[REPOSITORY][-1] == read_all(second) | {".gitattributes": b""}


def test_a_repository_that_was_public_stays_public_and_is_warned_of(hub, make_sealed, tmp_path):
    hub.commits[REPOSITORY], hub.is_private[REPOSITORY] = [{}], False
    delivery = deliver(make_sealed("first"), f"hub:{REPOSITORY}", default_dir=tmp_path)
    assert "was public before" in delivery.warnings[0]


def test_an_outage_is_waited_out(hub, make_sealed, tmp_path):
    hub.failures = [503, 500, 429]
    deliver(make_sealed("first"), f"hub:{REPOSITORY}", default_dir=tmp_path)
    assert len(hub.commits[REPOSITORY]) == 2


@pytest.mark.parametrize(
    ("status", "message"), [(403, "may not write"), (409, "same time"), (422, "status 422")]
)
def test_a_refusal_is_told_and_not_repeated(status, message, hub, make_sealed, tmp_path):
    hub.failures = [status, 500]
    with pytest.raises(PublishError, match=message):
        deliver(make_sealed("first"), f"hub:{REPOSITORY}", default_dir=tmp_path)
    assert hub.failures == [500]


def test_a_refused_token_is_not_quoted(hub, make_sealed, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_a_wrong_token")
    with pytest.raises(PublishError, match="HF_TOKEN was refused") as caught:
        deliver(make_sealed("first"), f"hub:{REPOSITORY}", default_dir=tmp_path)
    assert "hf_a_wrong" not in str(caught.value)


def test_one_changed_bit_on_the_hub_is_noticed(hub, make_sealed, tmp_path):
    hub.is_damaging = True
    with pytest.raises(PublishError, match=r"holds model\.safetensors otherwise"):
        deliver(make_sealed("first"), f"hub:{REPOSITORY}", default_dir=tmp_path)


def test_a_hub_that_cannot_be_reached_gives_a_clear_error(hub, make_sealed, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PublishError, match="could not be delivered"):
        deliver(make_sealed("first"), f"hub:{REPOSITORY}", default_dir=tmp_path)
