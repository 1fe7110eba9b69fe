"""Exports are delivered with the model, and one that fails costs nothing but itself."""

import json

import pytest
from datasets import Dataset

from recipe.arguments import PublishArguments
from recipe.errors import PublishError
from recipe.publish.delivery import deliver, publish_model
from recipe.publish.model_card import format_model_card
from recipe.publish.release import load_release, seal_release
from recipe.publish.staging import stage_model
from recipe.run.folder import RunFolder

PROOF = {"num_windows": 20, "speech_seconds": 590.0, "num_words": 900, "num_other_words": 3, "num_times": 90}
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
