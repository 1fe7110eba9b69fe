"""The engines on real weights and real speech: the tokens of `generate`, whichever engine decodes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from recipe.arguments import ModelArguments
from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.data.sounds import read_flac
from recipe.data.sources import list_recordings
from recipe.evaluation.decoding import MAX_NEW_TOKENS, TransformersEngine, cut_loop, decode_windows
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.labels import LabelEncoder
from recipe.model.whisper import Whisper, load_whisper
from scripts.evaluate_wer import read_speech

pytestmark = pytest.mark.network


def load(model_dir: Path) -> Whisper:
    torch.set_num_threads(1)
    whisper = load_whisper(ModelArguments(str(model_dir)))
    whisper.model.eval()
    return whisper


def read_examples(
    whisper: Whisper, corpus_dir: Path, language: str, work_dir: Path, only: str = ""
) -> Dataset:
    recordings = [item for item in list_recordings(corpus_dir, language) if only in item.name]
    return read_speech(recordings, whisper, work_dir)


def assert_same_as_generate(whisper: Whisper, examples: Dataset, language: str) -> None:
    extractor, config = whisper.processor.feature_extractor, whisper.generation_config
    sounds = [decode_flac(read_flac(example["audio"])) for example in examples]
    features = torch.from_numpy(np.stack([log_mel(extractor, sound) for sound in sounds]))
    prompt = LabelEncoder(whisper.processor.tokenizer, whisper.task).start_tokens(language)
    told = {"language": language, "task": whisper.task} if whisper.task else {}
    with torch.inference_mode():
        decoded = decode_windows(
            TransformersEngine(whisper.model), features, [prompt] * len(features), whisper.first_timestamp
        )
        ids = whisper.model.generate(
            features, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, return_timestamps=True, **told
        )
    assert len(set(map(len, decoded))) > 1, "rows should leave the batch at different times"
    written = [[token for token in row if token != config.eos_token_id] for row in ids.tolist()]
    first_timestamp = whisper.first_timestamp
    alike = [
        pair for pair in zip(decoded, written, strict=True) if cut_loop(pair[1], first_timestamp) == pair[1]
    ]
    assert len(alike) >= len(decoded) / 2, "`generate` ends few loops"
    for ours, theirs in alike:
        assert [t for t in ours if t < first_timestamp] == [t for t in theirs if t < first_timestamp]
        times = [token for token in theirs if token >= first_timestamp]
        # `generate` begins at 0.00 with each further pass, ours goes on.
        assert ours == theirs or times != sorted(times)


def test_an_english_only_model_writes_the_tokens_of_generate(tiny_en_model_dir, corpus_en_dir, tmp_path):
    whisper = load(tiny_en_model_dir)
    examples = read_examples(whisper, corpus_en_dir, "en", tmp_path, only="-en-01")
    assert_same_as_generate(whisper, examples.select(range(4)), "en")


@pytest.mark.slow
def test_a_multilingual_model_writes_the_tokens_of_generate(base_model_dir, corpus_fr_dir, tmp_path):
    whisper = load(base_model_dir)
    examples = read_examples(whisper, corpus_fr_dir, "fr", tmp_path, only="-fr-01")
    assert_same_as_generate(whisper, examples, "fr")


@pytest.mark.slow
def test_both_engines_have_the_same_error_rate_on_half_an_hour_of_french(
    base_model_dir, corpus_fr_dir, tmp_path
):
    whisper = load(base_model_dir)
    examples = read_examples(whisper, corpus_fr_dir, "fr", tmp_path)
    rates = [
        evaluate_model(whisper, examples, Decoding(engine=engine)).scores.words_normalized.rate
        for engine in ("transformers", "ctranslate2")
    ]
    assert len(examples) > 60
    assert rates[1] == pytest.approx(rates[0], abs=0.001)
