from collections.abc import Callable

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from tiny_trainers import make_example, make_examples
from torch.utils.data import BatchSampler

from recipe.model.inputs import ViewProbabilities, WindowDataset
from recipe.model.sampling import PADDING, EpochSampler, measure_rows
from recipe.model.whisper import Whisper

NUM_WINDOWS, PER_UPDATE = 38, 8


def pseudo_length(epoch: int, index: int) -> int:
    return (97 * index + 31 * epoch) % 50


def order(length_of: Callable[[int, int], int] = lambda *_: 0, epoch: int = 3) -> list[tuple[int, int]]:
    return list(EpochSampler(NUM_WINDOWS, PER_UPDATE, 1, lambda: epoch, length_of))


def updates(keys: list[tuple[int, int]]) -> list[list[int]]:
    indices = [index for _, index in keys]
    return [indices[first : first + PER_UPDATE] for first in range(0, len(indices), PER_UPDATE)]


@pytest.mark.parametrize(("num_examples", "per_update", "length"), [(10, 4, 12), (8, 4, 8), (1, 8, 8)])
def test_an_epoch_has_every_window_once_and_is_filled_up(num_examples, per_update, length):
    sampler = EpochSampler(num_examples, per_update, 1, lambda: 3, pseudo_length)
    keys = list(sampler)
    assert len(keys) == len(sampler) == length
    assert sorted(index for _, index in keys if index != PADDING) == list(range(num_examples))
    assert {epoch for epoch, _ in keys} == {3}


def test_epochs_have_different_orders():
    assert [index for _, index in order(epoch=0)] != [index for _, index in order(epoch=1)]


def test_lengths_order_the_windows_of_an_update_and_choose_none():
    drawn, sorted_by_length = updates(order()), updates(order(pseudo_length))
    assert list(map(sorted, drawn)) == list(map(sorted, sorted_by_length))
    assert drawn != sorted_by_length
    for update in sorted_by_length:
        lengths = [pseudo_length(3, max(index, 0)) for index in update]
        assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize(("num_processes", "batch_size"), [(1, 8), (1, 2), (2, 2), (4, 2), (2, 4)])
def test_processes_share_the_windows_of_an_update_by_length(num_processes, batch_size):
    """As Accelerate deals batches out: all processes work on about one length at a time."""
    keys = order(pseudo_length)
    batches = [
        list(BatchSamplerShard(BatchSampler(keys, batch_size, drop_last=False), num_processes, process))
        for process in range(num_processes)
    ]
    num_accumulated = PER_UPDATE // (num_processes * batch_size)
    for number, update in enumerate(updates(keys)):
        turns = range(number * num_accumulated, (number + 1) * num_accumulated)
        dealt = [key for turn in turns for process in range(num_processes) for key in batches[process][turn]]
        assert [index for _, index in dealt] == update


def test_an_estimated_length_is_near_that_of_the_row(whisper: Whisper):
    random = np.random.default_rng(0)

    def words(number: int) -> str:
        return " ".join(random.choice(["water", "the", "again", "window", "of"], number))

    def example(num_cues: int) -> dict[str, object]:
        texts = [words(random.integers(1, 9)) for _ in range(num_cues)]
        segments = [
            {"start_ms": 2_000 * number, "end_ms": 2_000 * number + 1_900, "text": text}
            for number, text in enumerate(texts)
        ]
        num_tokens = 6 + sum(len(whisper.processor.tokenizer.tokenize(f" {text}")) + 2 for text in texts)
        prompt = [{"start_ms": 0, "end_ms": 2_000, "text": words(random.integers(1, 80))}]
        return make_example(
            language="en", end_ms=2_000 * num_cues, segments=segments, prompt=prompt, num_tokens=num_tokens
        )

    examples = make_examples(example(1 + index % 9) for index in range(24))
    windows = WindowDataset(examples, whisper, ViewProbabilities(0.6, 0.5, 0.2), seed=1)
    keys = [(epoch, index) for epoch in range(3) for index in range(24)]
    lengths = [len(windows[key]["decoder_input_ids"]) for key in keys]
    estimates = [windows.estimate_length(*key) for key in keys]
    assert np.corrcoef(lengths, estimates)[0, 1] > 0.95


def test_what_has_no_words_has_a_length_too():
    assert measure_rows(make_examples([make_example(segments=[], prompt=[], num_tokens=6)])) == [(6, 0, 0)]
