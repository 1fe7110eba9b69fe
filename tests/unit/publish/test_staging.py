"""A staged folder is complete, says what it is, and holds nothing that must not go out."""

import json

import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.arguments import ModelArguments
from recipe.errors import PublishError
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import load_whisper
from recipe.publish.release import REQUIRED_FILES
from recipe.publish.staging import stage_model


def test_the_folder_holds_exactly_the_files_of_a_release(whisper, make_metadata, tmp_path):
    staging = stage_model(whisper, make_metadata(), tmp_path / "staging")
    assert {path.name for path in staging.iterdir()} == REQUIRED_FILES


def test_language_and_task_are_set_and_the_cache_is_on_again(whisper, make_metadata, tmp_path):
    whisper.model.config.use_cache = False
    staging = stage_model(whisper, make_metadata(), tmp_path)
    reloaded = WhisperForConditionalGeneration.from_pretrained(staging)
    assert reloaded.config.use_cache
    assert (reloaded.generation_config.language, reloaded.generation_config.task) == ("fr", "transcribe")
    tokenizer = WhisperProcessor.from_pretrained(staging).tokenizer
    assert tokenizer.decode(tokenizer("a").input_ids) == (
        "<|startoftranscript|><|fr|><|transcribe|><|notimestamps|>a<|endoftext|>"
    )


def test_an_english_only_model_gets_neither_language_nor_task(make_metadata, tmp_path):
    base = build_tiny_whisper(tmp_path / "base", is_multilingual=False)
    whisper = load_whisper(ModelArguments(str(base)))
    staging = stage_model(whisper, make_metadata(languages=("en",)), tmp_path / "staging")
    config = json.loads((staging / "generation_config.json").read_text())
    assert config.get("language") is None
    assert config.get("task") is None


def test_the_processor_that_training_uses_is_left_alone(whisper, make_metadata, tmp_path):
    before = whisper.processor.tokenizer.prefix_tokens
    stage_model(whisper, make_metadata(), tmp_path)
    assert whisper.processor.tokenizer.prefix_tokens == before


def test_the_english_spellings_of_a_base_model_are_kept(whisper, make_metadata, tmp_path):
    whisper.processor.tokenizer.english_spelling_normalizer = {"colour": "color"}
    staging = stage_model(whisper, make_metadata(), tmp_path)
    assert WhisperProcessor.from_pretrained(staging).tokenizer.normalize("Colour!") == "color"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, whisper, make_metadata, tmp_path):
    with torch.no_grad():
        whisper.model.model.encoder.layers[0].fc1.weight[3, 4] = value
    with pytest.raises(
        PublishError, match=r"model\.encoder\.layers\.0\.fc1\.weight hold values that are not finite"
    ):
        stage_model(whisper, make_metadata(), tmp_path / "staging")
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize(("num_steps", "max_steps"), [(0, 0), (0, 10), (9, 10)])
def test_an_unfinished_training_is_refused(num_steps, max_steps, whisper, make_metadata, tmp_path):
    with pytest.raises(PublishError, match=f"{num_steps} of {max_steps} steps"):
        stage_model(whisper, make_metadata(num_steps=num_steps, max_steps=max_steps), tmp_path)


def test_a_language_that_the_model_does_not_know_is_refused(make_metadata, tmp_path):
    base = build_tiny_whisper(tmp_path / "base", languages=("en", "zh"))
    whisper = load_whisper(ModelArguments(str(base)))
    with pytest.raises(PublishError, match="no token for the language 'fr'"):
        stage_model(whisper, make_metadata(), tmp_path / "staging")


def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(whisper, make_metadata, tmp_path):
    (tmp_path / "training_args.bin").write_text("a secret")
    with pytest.raises(PublishError, match=r"training_args\.bin"):
        stage_model(whisper, make_metadata(), tmp_path)
    assert (tmp_path / "training_args.bin").exists()


def test_staging_again_gives_the_same_files(whisper, make_metadata, tmp_path):
    def read():
        folder = stage_model(whisper, make_metadata(), tmp_path)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    assert read() == read()


def test_a_secret_in_the_metadata_stops_the_release(whisper, make_metadata, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh12345678")
    metadata = make_metadata(settings={"hub_token": "hf_abcdefgh12345678"})
    with pytest.raises(PublishError, match="HF_TOKEN") as caught:
        stage_model(whisper, metadata, tmp_path)
    assert "hf_abc" not in str(caught.value)
