"""The tiny checkpoint behaves like a published Whisper checkpoint in everything but recognition."""

import numpy as np
import pytest
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.model.tiny import build_tiny_whisper


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_whisper(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return WhisperProcessor.from_pretrained(checkpoint).tokenizer


def test_pipeline_loads_the_folder_and_transcribes(checkpoint):
    recogniser = pipeline("automatic-speech-recognition", model=str(checkpoint))
    noise = np.random.default_rng(0).normal(scale=0.1, size=16000).astype(np.float32)
    answer = recogniser(
        noise, return_timestamps=True, generate_kwargs={"language": "fr", "max_new_tokens": 20}
    )
    assert {"text", "chunks"} <= set(answer)


def test_special_tokens_stand_in_whispers_order(tokenizer):
    names = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in LANGUAGES),
        "<|translate|>",
    ]
    names += [
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        "<|0.00|>",
    ]
    ids = tokenizer.convert_tokens_to_ids(names)
    assert ids == list(range(256, 256 + len(names)))
    assert tokenizer.convert_tokens_to_ids("<|30.00|>") == len(tokenizer) - 1
    assert tokenizer.all_special_ids[-1] == tokenizer.convert_tokens_to_ids("<|notimestamps|>")


@pytest.mark.parametrize("text", ["<|0.00|> hello<|1.20|>", "<|3.44|> naïve ♪ 日本<|30.00|>"])
def test_text_and_times_survive_encoding_and_decoding(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids, decode_with_timestamps=True) == text


def test_prefix_holds_start_language_task_and_no_timestamps(tokenizer):
    tokenizer.set_prefix_tokens(language="french", task="transcribe")
    names = tokenizer.convert_ids_to_tokens(tokenizer("x").input_ids)
    assert names == [
        "<|startoftranscript|>",
        "<|fr|>",
        "<|transcribe|>",
        "<|notimestamps|>",
        "x",
        "<|endoftext|>",
    ]


def test_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(checkpoint, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = build_tiny_whisper(tmp_path / "again")
    other = build_tiny_whisper(tmp_path / "other", seed=1)
    assert torch.equal(torch.rand(3), expected)
    weights = [(folder / "model.safetensors").read_bytes() for folder in (checkpoint, again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_sizes_languages_and_english_only_are_parameters(tmp_path):
    folder = build_tiny_whisper(
        tmp_path,
        languages=list(LANGUAGES)[:99],
        is_multilingual=False,
        num_mel_bins=128,
        d_model=32,
        num_layers=2,
    )
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    processor = WhisperProcessor.from_pretrained(folder)
    features = processor(
        np.zeros(16000, dtype=np.float32), sampling_rate=16000, return_tensors="pt"
    ).input_features
    assert features.shape == (1, 128, 3000)
    assert (model.config.d_model, model.config.encoder_layers, model.config.decoder_layers) == (32, 2, 2)
    assert model.config.vocab_size == len(processor.tokenizer) == 256 + 1 + 1 + 99 + 6 + 1501
    assert not model.generation_config.is_multilingual
    assert not hasattr(model.generation_config, "lang_to_id")
    assert model.generate(features, max_new_tokens=3).shape[0] == 1


def test_both_forms_of_the_processor_are_written(checkpoint):
    assert (checkpoint / "preprocessor_config.json").exists()
    assert (checkpoint / "processor_config.json").exists()
