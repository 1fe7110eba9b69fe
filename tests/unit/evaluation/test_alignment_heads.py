"""Cue starts by word times, and heads that time them better."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_trainers import copy_of, make_example, make_examples, tiny_whisper

from recipe.evaluation import alignment_heads
from recipe.evaluation.alignment_heads import (
    CueStart,
    CueTokens,
    WordTimes,
    current_heads,
    find_heads,
    time_cues,
)
from recipe.model.whisper import Whisper

NUM_FRAMES = 200
STARTS_MS = (0, 1_000, 2_500)
TOKENS = ([7, 8], [9, 10, 11], [12])


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    return tiny_whisper(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def cues() -> CueTokens:
    ends_ms = (*STARTS_MS[1:], 4_000)
    spans_ms = list(zip(STARTS_MS, ends_ms, strict=True))
    return CueTokens(torch.zeros(1, 80, 3000), [1, 2, 3], [list(t) for t in TOKENS], spans_ms, 4_000)


def attend_to(starts_ms: tuple[int, ...]) -> torch.Tensor:
    """A head's attention that goes from each token to the next at even steps inside the cues."""
    ends_ms = (*starts_ms[1:], 4_000)
    times = [
        np.linspace(start, end, len(tokens), endpoint=False)
        for start, end, tokens in zip(starts_ms, ends_ms, TOKENS, strict=True)
    ]
    places = np.concatenate([*times, [4_000]]) / 20
    attention = torch.full((len(places), NUM_FRAMES), 1e-4)
    for row, (first, last) in enumerate(zip(places, [*places[1:], NUM_FRAMES], strict=True)):
        attention[row, int(first) : int(last)] = 1.0
    return attention / attention.sum(-1, keepdim=True)


def test_the_start_of_a_cue_is_where_attention_comes_to_its_first_word(cues: CueTokens) -> None:
    exact, late = attend_to(STARTS_MS), attend_to((0, 1_400, 2_700))
    assert max(start.error_ms for start in alignment_heads._time_starts(cues, exact[None])) <= 60
    errors = [start.error_ms for start in alignment_heads._time_starts(cues, late[None])]
    assert errors == pytest.approx([400, 200], abs=60)


@pytest.mark.parametrize(
    ("found_ms", "error_ms", "miss_ms"), [(700, 300, 100), (900, 100, 0), (1_200, 200, 200)]
)
def test_a_start_inside_the_pause_before_a_cue_is_no_miss(found_ms: int, error_ms: int, miss_ms: int) -> None:
    start = CueStart(found_ms, pause_ms=800, start_ms=1_000)
    assert (start.error_ms, start.miss_ms) == (error_ms, miss_ms)


def test_heads_whose_attention_is_on_the_cue_rank_first(cues: CueTokens) -> None:
    good, bad = attend_to(STARTS_MS), torch.full((7, NUM_FRAMES), 1 / NUM_FRAMES)
    shares = alignment_heads._share_on_cues(cues, [torch.stack([bad, good]), torch.stack([bad, bad])])
    assert shares.shape == (2, 2)
    assert shares.argmax() == 1
    assert shares[0, 1] > 0.9


@pytest.fixture
def windows() -> Dataset:
    segments = [
        {"start_ms": 0, "end_ms": 900, "text": "one word"},
        {"start_ms": 1_000, "end_ms": 1_800, "text": "and another"},
    ]
    return make_examples(
        make_example(segments=segments, start_ms=2_000 * number, end_ms=2_000 * number + 2_000)
        for number in range(3)
    )


def test_a_model_is_measured_and_left_as_it_was(whisper: Whisper, windows: Dataset) -> None:
    kind = whisper.model.config._attn_implementation
    starts = time_cues(whisper, windows, current_heads(whisper))
    assert [start[1:] for start in starts] == [(900, 1_000)] * 3, "a window starts where its first cue does"
    assert all(0 <= start.found_ms <= 2_000 for start in starts)
    assert whisper.model.config._attn_implementation == kind


def test_too_few_starts_leave_the_heads(whisper: Whisper, windows: Dataset) -> None:
    assert find_heads(whisper, windows) == current_heads(whisper)


@pytest.mark.parametrize(("error_ms", "is_changed"), [(500, True), (940, False)])
def test_other_heads_are_taken_only_if_they_are_clearly_better(
    whisper: Whisper, windows: Dataset, monkeypatch: pytest.MonkeyPatch, error_ms: int, is_changed: bool
) -> None:
    monkeypatch.setattr(alignment_heads, "SET_SIZES", (1,))
    sizes = []

    def time_starts(_cues: CueTokens, attention: torch.Tensor) -> list[CueStart]:
        sizes.append(len(attention))
        return [CueStart(error_ms if len(attention) == 1 else 1_000, 0, 0)] * 20

    monkeypatch.setattr(alignment_heads, "_time_starts", time_starts)
    heads = find_heads(whisper, windows)
    assert (heads != current_heads(whisper)) == is_changed
    assert set(sizes) == {1, len(current_heads(whisper))}


def test_a_checkpoint_without_heads_has_the_upper_half(whisper: Whisper) -> None:
    bare = copy_of(whisper)
    bare.generation_config.alignment_heads = None
    layers = whisper.model.config.decoder_layers
    assert {layer for layer, _ in current_heads(bare)} == set(range(layers // 2, layers))


def test_the_figures_of_each_side() -> None:
    early, exact = CueStart(500, 500, 1_000), CueStart(1_000, 500, 1_000)
    told = WordTimes([early, early], [early, exact], [exact, exact], [[1, 0]]).as_dict()
    assert [told[side]["start_error_median_ms"] for side in ("before", "with_base_heads", "after")] == [
        500,
        250,
        0,
    ]
    assert told["before"]["miss_p90_ms"] == 0
    assert told["alignment_heads"] == [[1, 0]]


def test_without_cues_there_are_no_figures() -> None:
    assert WordTimes([], [], [], [[0, 0]]).as_dict() == {}
