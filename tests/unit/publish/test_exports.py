"""Exports are delivered with the model, and one that fails costs nothing but itself."""

import json
import resource
import shutil

import pytest
from datasets import Dataset
from disks import fill, mount_disk

from recipe.arguments import PublishArguments
from recipe.errors import PublishError
from recipe.publish import delivery as delivery_module
from recipe.publish.delivery import deliver, publish_model
from recipe.publish.model_card import format_model_card
from recipe.publish.release import load_release, seal_release
from recipe.publish.staging import stage_model
from recipe.run.disk import MARGIN_BYTES
from recipe.run.folder import RunFolder

PROOF = {"num_windows": 20, "num_loops": 0, "speech_seconds": 590.0, "num_words": 900, "num_other_words": 3}
PROOF |= {"num_times": 90}
PROOF |= {"num_other_times": 1, "wer_normalized": 0.1234, "wer_normalized_released": 0.1230}
PROOF |= {"load_seconds": 0.52, "speech_per_second": 8.0}


def test_exports_are_delivered_with_the_model_and_a_failed_one_is_a_warning(whisper, make_metadata, tmp_path):
    arguments = PublishArguments(publish_to=str(tmp_path / "out"), export="pt,ct2")
    delivery = publish_model(
        whisper, make_metadata(), RunFolder(tmp_path / "run"), arguments, Dataset.from_list([])
    )
    release = load_release(tmp_path / "out")
    assert "ct2-int8/model.bin" in release.files
    assert "openai-whisper.pt" not in release.files
    assert "openai-whisper.pt was not made: The vocabulary has" in delivery.warnings[0]
    assert "| `ct2-int8` |" in (tmp_path / "out" / "README.md").read_text()
    published = json.loads((tmp_path / "out" / "training_metadata.json").read_text())
    num_bytes = sum(record.size for name, record in release.files.items() if name.startswith("ct2-int8/"))
    assert published["exports"]["ct2-int8"] == {"num_bytes": num_bytes, "proof": None}


def test_the_card_has_the_figures(make_metadata):
    exports = {"ct2-int8": {"num_bytes": 81_000_000, "proof": PROOF}}
    card = format_model_card(make_metadata(exports=exports), "fr")
    assert "| `ct2-int8` | 81 | 3 of 900 | 1 of 90 | 12.34% | 12.30% | 0.5 s |" in card
    assert "up to 590 s of held-out speech" in card
    assert "Other runtimes" not in format_model_card(make_metadata(), "fr")


def test_folders_of_exports_arrive_and_are_replaced(make_sealed, tmp_path):
    make_sealed(tmp_path / "staging")
    (tmp_path / "staging" / "ct2-int8").mkdir()
    (tmp_path / "staging" / "ct2-int8" / "model.bin").write_text("weights")
    seal_release(tmp_path / "staging")
    deliver(tmp_path / "staging", None, default_dir=tmp_path / "model")
    assert (tmp_path / "model" / "ct2-int8" / "model.bin").read_text() == "weights"
    make_sealed(tmp_path / "later")
    deliver(tmp_path / "later", None, default_dir=tmp_path / "model")
    assert not (tmp_path / "model" / "ct2-int8").exists()


@pytest.mark.parametrize("name", ["ct2-int8/optimizer.pt", "logs/model.bin", "ct2-int8/more/model.bin"])
def test_nothing_else_goes_out_in_a_folder(name, make_sealed, tmp_path):
    make_sealed(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("x")
    with pytest.raises(PublishError, match=name):
        seal_release(tmp_path)


def test_what_a_kill_left_of_exports_is_staged_anew(whisper, make_metadata, tmp_path):
    for folder in ("ct2-int8", "ct2-float16.part"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "half.bin").write_text("x")
    (tmp_path / "ggml-model-f16.bin.part").write_text("half")
    stage_model(whisper, make_metadata(), tmp_path)
    assert not any(path.name.startswith(("ct2", "ggml")) for path in tmp_path.iterdir())


@pytest.fixture
def publish(whisper, make_metadata, tmp_path):
    """Publishes the model with an export from a run folder to another folder."""

    def run(run_dir, target):
        arguments = PublishArguments(publish_to=str(target), export="ct2")
        metadata = make_metadata()
        return publish_model(whisper, metadata, RunFolder(run_dir), arguments, Dataset.from_list([]))

    return run


def assert_only_the_model_is_there(target):
    release = load_release(target)
    assert "model.safetensors" in release.files
    assert not any(name.startswith("ct2") for name in release.files)
    assert json.loads((target / "training_metadata.json").read_text())["exports"] == {}
    assert "ct2" not in (target / "README.md").read_text()


def test_a_disk_with_room_for_the_model_alone_gets_the_model_alone(publish, tmp_path, monkeypatch):
    with mount_disk(tmp_path / "disk", 80) as disk:

        def crowd(_):
            staged = sum(file.stat().st_size for file in RunFolder(tmp_path / "run").staging.iterdir())
            room = shutil.disk_usage(disk).free - MARGIN_BYTES - staged
            (disk / "ballast").write_bytes(bytes(room - 50_000))
            return []

        monkeypatch.setattr(delivery_module, "choose_windows", crowd)
        delivery = publish(tmp_path / "run", disk / "model")
        assert_only_the_model_is_there(disk / "model")
    assert "delivered without its exports. The disk of" in delivery.warnings[-1]


def test_a_disk_that_is_full_once_the_model_is_staged_costs_the_exports(publish, tmp_path, monkeypatch):
    with mount_disk(tmp_path / "disk", 80) as disk:
        monkeypatch.setattr(delivery_module, "choose_windows", lambda _: fill(disk) and [])
        delivery = publish(disk / "run", tmp_path / "model")
    assert_only_the_model_is_there(tmp_path / "model")
    assert len(delivery.warnings) == 2
    for warning in delivery.warnings:
        assert "was not made: the disk of" in warning
        assert "has 0 MiB free, and it may take 64 MiB" in warning


def test_exports_over_the_limit_on_the_size_of_files_are_left_out(publish, tmp_path, monkeypatch):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        return []

    monkeypatch.setattr(delivery_module, "choose_windows", limit)
    unlimited = delivery_module.deliver
    monkeypatch.setattr(
        delivery_module,
        "deliver",
        lambda *given, **named: (
            resource.setrlimit(resource.RLIMIT_FSIZE, limits) or unlimited(*given, **named)
        ),
    )
    try:
        delivery = publish(tmp_path / "run", tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_only_the_model_is_there(tmp_path / "model")
    assert all("File too large" in warning for warning in delivery.warnings)
    assert delivery.warnings
