"""Exports of real weights write what the released model writes of real speech, each in its own runtime."""

from dataclasses import replace
from pathlib import Path

import pytest

from recipe.arguments import ModelArguments
from recipe.data.sources import list_recordings
from recipe.export.exports import Export, export_model
from recipe.export.proof import choose_windows
from recipe.model.whisper import load_whisper
from scripts.evaluate_wer import read_speech

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def exports(tiny_en_model_dir: Path, corpus_en_dir: Path, tmp_path_factory) -> dict[str, Export]:
    recording = next(r for r in list_recordings(corpus_en_dir) if r.name == "prompts-en-01")
    whisper = load_whisper(ModelArguments(str(tiny_en_model_dir)))
    windows = choose_windows(
        read_speech([replace(recording, language="en")], whisper, tmp_path_factory.mktemp("shards"))
    )
    output_dir = tmp_path_factory.mktemp("exports")
    made = export_model(tiny_en_model_dir, ["ct2", "ggml", "pt"], output_dir, windows, "transcribe")
    return {export.name: export for export in made}


@pytest.mark.parametrize("name", ["openai-whisper.pt", "ct2-float16"])
def test_in_float32_every_word_and_time_is_the_same(name: str, exports: dict[str, Export]) -> None:
    proof = exports[name].proof  # on a CPU CTranslate2 computes in float32
    assert proof.num_words > 200
    assert (proof.num_other_words, proof.num_other_times) == (0, 0)


@pytest.mark.parametrize("name", ["ggml-model-f16.bin", "ct2-int8"])
def test_rounded_weights_keep_nearly_every_word(name: str, exports: dict[str, Export]) -> None:
    proof = exports[name].proof
    assert proof.num_other_words <= 0.1 * proof.num_words
    assert proof.num_times > 30
