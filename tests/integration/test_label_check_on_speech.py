"""Whisper-base finds captions that are those of another recording."""

import shutil

import pytest
import torch

from recipe.arguments import ModelArguments
from recipe.data.sources import list_recordings
from recipe.model.whisper import load_whisper
from recipe.screening.label_scores import list_scores, score_labels
from scripts.evaluate_wer import read_speech

pytestmark = pytest.mark.network

TRUE, SWAPPED = ["prompts-fr-01"], ["prompts-fr-02", "prompts-fr-03"]


def test_swapped_captions_fit_their_audio_much_less_than_true_ones(base_model_dir, corpus_fr_dir, tmp_path):
    torch.set_num_threads(1)
    (tmp_path / "recordings").mkdir()
    for name in TRUE + SWAPPED:
        for path in corpus_fr_dir.glob(f"{name}.*"):
            target = name
            if path.suffix == ".vtt" and name in SWAPPED:
                target = SWAPPED[1 - SWAPPED.index(name)]
            shutil.copy(path, tmp_path / "recordings" / f"{target}{path.suffix}")
    whisper = load_whisper(ModelArguments(str(base_model_dir)))
    examples = read_speech(list_recordings(tmp_path / "recordings", "fr"), whisper, tmp_path)
    names = list(examples["recording"])
    first_two = [index for index, name in enumerate(names) if names[:index].count(name) < 2]

    chosen = examples.select(first_two)
    scores = list_scores(chosen, score_labels(whisper, chosen, batch_size=2))

    of_true = [score.fit for score in scores if score.recording in TRUE]
    of_swapped = [score.fit for score in scores if score.recording in SWAPPED]
    assert (len(of_true), len(of_swapped)) == (2, 4)
    assert min(of_true) > 0.5
    assert max(of_swapped) < 0.2
