"""A release arrives whole, once, and never over somebody else's files."""

import pytest

from recipe.errors import JobError, PublishError
from recipe.publish.delivery import check_delivery, default_destination, deliver
from recipe.publish.release import load_release, seal_release


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_holds_exactly_the_release(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    progress = []
    delivery = deliver(
        tmp_path / "staging",
        str(tmp_path / "models" / "fr"),
        default_dir=tmp_path / "unused",
        on_progress=lambda done, total: progress.append((done, total)),
    )
    target = tmp_path / "models" / "fr"
    assert delivery.uri == str(target)
    assert read_all(target) == read_all(tmp_path / "staging")
    assert list_names(target.parent) == ["fr"]
    assert progress == sorted(progress)
    assert progress[-1] == (load_release(target).num_bytes,) * 2


def test_without_a_destination_the_default_is_used(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    assert deliver(tmp_path / "staging", None, default_dir=tmp_path / "model").uri == str(tmp_path / "model")


def test_the_same_release_is_delivered_once(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    target = tmp_path / "model"
    deliver(tmp_path / "staging", None, default_dir=target)
    before = target.stat().st_ino
    deliver(tmp_path / "staging", None, default_dir=target)
    assert target.stat().st_ino == before


def test_another_release_replaces_the_earlier_one(make_sealed, tmp_path):
    target = tmp_path / "model"
    make_sealed(tmp_path / "old")
    (tmp_path / "old" / "normalizer.json").write_text("{}")
    seal_release(tmp_path / "old")
    deliver(tmp_path / "old", None, default_dir=target)
    make_sealed(tmp_path / "new", "other")
    deliver(tmp_path / "new", None, default_dir=target)
    assert read_all(target) == read_all(tmp_path / "new")
    assert list_names(tmp_path) == ["model", "new", "old"]


def test_a_damaged_delivery_is_mended(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    target = tmp_path / "model"
    deliver(tmp_path / "staging", None, default_dir=target)
    (target / "model.safetensors").write_text("damaged")
    deliver(tmp_path / "staging", None, default_dir=target)
    assert read_all(target) == read_all(tmp_path / "staging")


def test_what_a_kill_left_behind_is_cleared(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    for left in (".model.incoming", ".model.previous"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "config.json").write_text("half")
    deliver(tmp_path / "staging", None, default_dir=tmp_path / "model")
    assert list_names(tmp_path) == ["model", "staging"]


def test_a_folder_with_other_things_in_it_is_never_touched(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    target = tmp_path / "photos"
    target.mkdir()
    (target / "cat.jpg").write_text("meow")
    for act in (
        lambda: check_delivery(str(target), default_dir=tmp_path),
        lambda: deliver(tmp_path / "staging", str(target), default_dir=tmp_path),
    ):
        with pytest.raises(PublishError, match="not empty and holds no earlier release"):
            act()
    assert read_all(target) == {"cat.jpg": b"meow"}


def test_what_was_not_verified_is_not_delivered(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    (tmp_path / "staging" / "config.json").write_text("changed")
    with pytest.raises(PublishError, match="changed after it was verified"):
        deliver(tmp_path / "staging", None, default_dir=tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("destination", "missing"),
    [("s3://bucket/prefix", "AWS_ACCESS_KEY_ID"), ("hub:owner/name", "HF_TOKEN")],
)
def test_missing_credentials_are_known_before_training(destination, missing, tmp_path, monkeypatch):
    monkeypatch.delenv(missing, raising=False)
    with pytest.raises(PublishError, match=missing):
        check_delivery(destination, default_dir=tmp_path)


def test_a_malformed_token_is_refused_without_being_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret\nX-Evil: 1")
    with pytest.raises(PublishError, match="HF_TOKEN holds") as caught:
        check_delivery("hub:owner/name", default_dir=tmp_path)
    assert "secret" not in str(caught.value)


def test_an_unknown_form_is_a_job_error(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    with pytest.raises(JobError):
        deliver(tmp_path / "staging", "gs://bucket/x", default_dir=tmp_path)


@pytest.mark.parametrize(
    ("environment", "is_warned"),
    [
        ({}, False),
        ({"RUNPOD_POD_ID": "p"}, True),
        ({"RUNPOD_ENDPOINT_ID": "e"}, True),
        ({"RUNPOD_POD_ID": ""}, False),
    ],
)
def test_without_a_volume_a_worker_is_warned(environment, is_warned, tmp_path):
    path, warning = default_destination(tmp_path / "job-1", environment=environment, volume_dir=tmp_path)
    assert path == tmp_path / "job-1" / "model"
    assert ("dies with the worker" in (warning or "")) is is_warned


def test_a_mounted_volume_is_the_default(tmp_path):
    a_mount = type(tmp_path)("/proc")
    inside, outside = a_mount / "runs" / "job-1", tmp_path / "job-1"
    environment = {"RUNPOD_POD_ID": "p"}
    assert default_destination(inside, environment=environment, volume_dir=a_mount) == (
        inside / "model",
        None,
    )
    path, warning = default_destination(outside, environment=environment, volume_dir=a_mount)
    assert (path, warning) == (a_mount / "whispertrain" / "models" / "job-1" / "model", None)
