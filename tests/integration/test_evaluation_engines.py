"""The engines on real weights and real speech: the same words as `generate`, whichever engine hears them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from recipe.evaluation.greedy import TransformersEngine
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.arguments import ModelArguments
from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.data.manifest import list_folder, locate_files, pair_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.shards import build_shards, load_examples
from recipe.evaluation.decoding import MAX_NEW_TOKENS, hear_windows
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.whisper import load_model, save_tokenizer, suppressed_symbols

pytestmark = pytest.mark.network

Loaded = tuple[WhisperForConditionalGeneration, WhisperProcessor]


def load(model_dir: Path) -> Loaded:
    torch.set_num_threads(1)
    model, processor = load_model(ModelArguments(model_name_or_path=str(model_dir)))
    return model.eval(), processor


def read_examples(loaded: Loaded, corpus_dir: Path, language: str, work_dir: Path, only: str = "") -> Dataset:
    model, processor = loaded
    entries = [entry for entry in list_folder(corpus_dir) if only in entry.filename]
    recordings = [
        replace(recording, language=language)
        for recording in pair_recordings(entries, locate_files(corpus_dir, entries))
    ]
    settings = PreparationSettings(
        save_tokenizer(processor, work_dir), suppressed_symbols=suppressed_symbols(model, processor)
    )
    shards = build_shards(recordings, settings, work_dir / "shards", num_workers=1)
    return load_examples([shard for shard in shards if shard.report.outcome == "speech"])


def read_features(processor: WhisperProcessor, examples: Dataset) -> torch.Tensor:
    sounds = [decode_flac(example["audio"]["bytes"]) for example in examples]
    return torch.from_numpy(np.stack([log_mel(processor.feature_extractor, sound) for sound in sounds]))


def assert_same_as_generate(
    loaded: Loaded, examples: Dataset, prompt: list[int], told: dict[str, Any]
) -> None:
    model, processor = loaded
    features, config = read_features(processor, examples), model.generation_config
    with torch.inference_mode():
        heard = hear_windows(
            TransformersEngine(model),
            features,
            [prompt] * len(features),
            config.no_timestamps_token_id + 1,
        )
        ids = model.generate(
            features, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, return_timestamps=True, **told
        )
    assert len(set(map(len, heard))) > 1, "rows should leave the batch at different times"
    assert heard == [[token for token in row if token != config.eos_token_id] for row in ids.tolist()]


def test_an_english_only_model_writes_the_tokens_of_generate(tiny_en_model_dir, corpus_en_dir, tmp_path):
    loaded = load(tiny_en_model_dir)
    examples = read_examples(loaded, corpus_en_dir, "en", tmp_path, only="-en-01")
    assert_same_as_generate(
        loaded, examples.select(range(4)), [loaded[0].generation_config.decoder_start_token_id], {}
    )


@pytest.mark.slow
def test_a_multilingual_model_writes_the_tokens_of_generate(base_model_dir, corpus_fr_dir, tmp_path):
    loaded = load(base_model_dir)
    examples = read_examples(loaded, corpus_fr_dir, "fr", tmp_path, only="-fr-01")
    prompt = loaded[1].tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|fr|>", "<|transcribe|>"])
    assert_same_as_generate(loaded, examples, prompt, {"language": "fr", "task": "transcribe"})


@pytest.mark.slow
def test_both_engines_hear_half_an_hour_of_french_with_the_same_error_rate(
    base_model_dir, corpus_fr_dir, tmp_path
):
    pytest.importorskip("ctranslate2")
    model, processor = load(base_model_dir)
    examples = read_examples((model, processor), corpus_fr_dir, "fr", tmp_path)
    rates = [
        evaluate_model(
            Listener(model, processor, Decoding(engine=engine)), examples
        ).scores.words_normalized.rate
        for engine in ("transformers", "ctranslate2")
    ]
    assert len(examples) > 60
    assert rates[1] == pytest.approx(rates[0], abs=0.001)
