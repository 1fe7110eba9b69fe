import shutil
from collections import Counter
from dataclasses import replace

import pytest
import torch
from datasets import Dataset

from recipe.arguments import ModelArguments
from recipe.data.manifest import list_folder, locate_files, pair_recordings
from recipe.data.recording import PreparationSettings
from recipe.data.shards import build_shards, load_examples
from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.whisper import load_model, save_tokenizer
from recipe.screening.label_scores import score_windows

pytestmark = pytest.mark.network

TRUE, SWAPPED = ["prompts-fr-01"], ["prompts-fr-02", "prompts-fr-03"]


def read_examples(folder, tokenizer_file, output_dir) -> Dataset:
    entries = list_folder(folder)
    files = locate_files(folder, entries)
    settings = PreparationSettings(tokenizer_file)
    recordings = [replace(recording, language="fr") for recording in pair_recordings(entries, files)]
    return load_examples(build_shards(recordings, settings, output_dir, num_workers=1))


def test_the_base_model_hears_whose_captions_were_swapped(base_model_dir, corpus_fr_dir, tmp_path):
    torch.set_num_threads(1)
    for name in TRUE + SWAPPED:
        for path in corpus_fr_dir.glob(f"{name}.*"):
            target = name
            if path.suffix == ".vtt" and name in SWAPPED:
                target = SWAPPED[1 - SWAPPED.index(name)]
            (tmp_path / "recordings").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "recordings" / f"{target}{path.suffix}")
    model, processor = load_model(ModelArguments(model_name_or_path=str(base_model_dir)))
    tokenizer_file = save_tokenizer(processor, tmp_path)
    examples = read_examples(tmp_path / "recordings", tokenizer_file, tmp_path / "shards")
    seen: Counter[str] = Counter()
    first_two = []
    for index, name in enumerate(examples["recording"]):
        seen[name] += 1
        if seen[name] <= 2:
            first_two.append(index)

    fits = score_windows(Listener(model, processor, Decoding(batch_size=2)), examples.select(first_two))

    of_true = [fit.fit for fit in fits if fit.recording in TRUE]
    of_swapped = [fit.fit for fit in fits if fit.recording in SWAPPED]
    assert (len(of_true), len(of_swapped)) == (2, 4)
    assert min(of_true) > 0.5
    assert max(of_swapped) < 0.2
