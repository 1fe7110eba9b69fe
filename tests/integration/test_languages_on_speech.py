"""What whisper-base makes of French and English in one folder."""

import shutil

import pytest
import torch

from recipe.arguments import ModelArguments
from recipe.data.manifest import list_folder, locate_files, pair_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.shards import build_shards, load_examples
from recipe.evaluation.report import evaluate_model
from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.whisper import load_model, save_tokenizer
from recipe.screening.languages import settle_languages

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def settled(base_model_dir, corpus_fr_dir, corpus_en_dir, tmp_path_factory):
    """One recording in each language, without a tag; what was settled, the remarks, and the model."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("recordings")
    for corpus, name in ((corpus_fr_dir, "prompts-fr-01"), (corpus_en_dir, "prompts-en-01")):
        for path in corpus.glob(f"{name}.*"):
            shutil.copy(path, folder)
    entries = list_folder(folder)
    model, processor = load_model(ModelArguments(str(base_model_dir)))
    recordings = pair_recordings(entries, locate_files(folder, entries))
    return *settle_languages(recordings, ModelArguments(), model, processor), model, processor


def test_each_recording_has_the_language_that_is_heard_in_it(settled):
    recordings, (remark,), *_ = settled
    assert [recording.language for recording in recordings] == ["en", "fr"]
    assert "English (en) in 1, French (fr) in 1" in remark


@pytest.mark.slow
def test_windows_in_two_languages_are_heard_in_one_batch_as_well_as_alone(settled, tmp_path):
    recordings, _, model, processor = settled
    settings = PreparationSettings(save_tokenizer(processor, tmp_path))
    examples = load_examples(build_shards(recordings, settings, tmp_path / "shards", num_workers=1))
    first = [examples["recording"][:].index(recording.name) for recording in recordings]
    heard = [
        evaluate_model(Listener(model, processor, Decoding(batch_size=size)), examples.select(first))
        for size in (2, 1)
    ]
    together, alone = ([t.hypothesis for t in evaluation.transcripts] for evaluation in heard)
    assert together == alone
    assert all(scores.words_normalized.rate < 0.5 for scores in heard[0].scores_by_language.values())
