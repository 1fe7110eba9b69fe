"""What whisper-base makes of French and English in one folder."""

import shutil

import pytest
import torch

from recipe.arguments import ModelArguments
from recipe.data.sources import list_recordings
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding
from recipe.model.whisper import load_whisper
from recipe.screening.languages import settle_languages
from scripts.evaluate_wer import compute_errors, read_speech

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def settled(base_model_dir, corpus_fr_dir, corpus_en_dir, tmp_path_factory):
    """One recording in each language, without a tag; what was settled, the warnings, and the model."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("recordings")
    for corpus, name in ((corpus_fr_dir, "prompts-fr-01"), (corpus_en_dir, "prompts-en-01")):
        for path in corpus.glob(f"{name}.*"):
            shutil.copy(path, folder)
    whisper = load_whisper(ModelArguments(str(base_model_dir)))
    return *settle_languages(list_recordings(folder), ModelArguments(), whisper), whisper


def test_each_recording_has_the_language_that_is_detected_in_it(settled):
    recordings, (warning,), _ = settled
    assert [recording.language for recording in recordings] == ["en", "fr"]
    assert "English (en) in 1, French (fr) in 1" in warning


@pytest.mark.slow
def test_windows_in_two_languages_have_the_same_transcripts_in_one_batch_as_alone(settled, tmp_path):
    recordings, _, whisper = settled
    examples = read_speech(recordings, whisper, tmp_path)
    first = [examples["recording"][:].index(recording.name) for recording in recordings]
    evaluations = [evaluate_model(whisper, examples.select(first), Decoding(size)) for size in (2, 1)]
    together, alone = ([t.hypothesis for t in evaluation.transcripts] for evaluation in evaluations)
    assert together == alone
    scores = evaluations[0].scores_by_language
    assert all(of_language.words_normalized.rate < 0.5 for of_language in scores.values())
    # The metric of `evaluate` gives each language the figures of the report.
    metric = compute_errors(evaluations[0].transcripts, whisper.task)
    assert metric == {code: of_language.as_dict() for code, of_language in scores.items()}
