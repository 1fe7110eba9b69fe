from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from recipe.evaluation.decoding import MAX_NEW_TOKENS, MAX_PASSES, NUM_FRAMES, cut_loop, decode_windows

TIME_0 = 1000


def at(seconds: float) -> int:
    return TIME_0 + round(seconds * 50)


WORDS = list(range(1, 60))


class Script:
    """An engine that writes what it is told, and keeps what it was given."""

    def __init__(self, *passes: list[list[int]]) -> None:
        self.passes = list(passes)
        self.given: list[tuple[Tensor, Sequence[Sequence[int]]]] = []

    def write(
        self, features: Tensor, prompts: Sequence[Sequence[int]], states: Tensor | None = None
    ) -> list[list[int]]:
        self.given.append((features, prompts))
        return self.passes.pop(0)


def decode(*passes: list[list[int]]) -> tuple[list[list[int]], Script]:
    num_windows = len(passes[0])
    features = torch.arange(num_windows * 2 * NUM_FRAMES, dtype=torch.float32) + 1
    script = Script(*passes)
    prompts = [[7, row] for row in range(num_windows)]
    decoded = decode_windows(script, features.reshape(num_windows, 2, NUM_FRAMES), prompts, TIME_0)
    assert script.passes == []
    return decoded, script


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param([at(0), 5, 6, at(9.5)], id="ends with one time"),
        pytest.param([at(0), 5, at(2), at(3), 6, at(9.5)], id="phrases, ends with one time"),
        pytest.param([at(0), 5, 6], id="never ends its phrase"),
        pytest.param([5, 6], id="no time at all"),
        pytest.param([], id="nothing written"),
    ],
)
def test_a_finished_pass_is_taken_whole_and_the_window_is_decoded_once(tokens):
    decoded, script = decode([tokens])
    assert decoded == [tokens]
    assert len(script.given) == 1


@pytest.mark.parametrize("unfinished", [[], [8, 9]], ids=["nothing after it", "words that have no end"])
def test_a_window_is_decoded_again_from_the_last_time_before_an_unfinished_phrase(unfinished):
    first = [at(0), 5, at(2), at(2.5), *unfinished]
    decoded, script = decode([[at(0), 4, at(30)], first], [[at(0), 6, at(27)]])
    assert decoded == [[at(0), 4, at(30)], [at(0), 5, at(2), at(2.5), at(2), 6, at(29)]]
    (whole, _), (rest, prompts) = script.given
    assert prompts == [[7, 1]]
    assert torch.equal(rest[0, :, : NUM_FRAMES - 200], whole[1, :, 200:])
    assert rest.shape == (1, 2, NUM_FRAMES)
    assert not rest[0, :, NUM_FRAMES - 200 :].any()


@pytest.mark.parametrize(
    ("tokens", "num_left"),
    [
        pytest.param([at(0), *WORDS, *[3] * 160], 1 + 59 + 48, id="one token over and over"),
        pytest.param([at(0), *WORDS, *[3, 4, 5] * 50], 1 + 59 + 48, id="three tokens over and over"),
        pytest.param([at(0), *WORDS[:10] * 20], 1 + 60, id="a long phrase over and over"),
    ],
)
def test_a_runaway_is_cut_where_it_shows(tokens, num_left):
    assert cut_loop(tokens, TIME_0) == tokens[:num_left]


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param([at(0), *WORDS * 3, at(30)], id="the same sentence three times"),
        pytest.param([at(0), *[3] * 47, at(30)], id="a word 47 times"),
        pytest.param([at(0), *WORDS[:10] * 5, at(30)], id="ten words five times"),
        pytest.param(
            [token for second in range(15) for token in (at(2 * second), 3, 4, 5, at(2 * second + 1))],
            id="an announcement every two seconds",
        ),
        pytest.param([], id="nothing"),
    ],
)
def test_what_does_not_run_away_is_left_alone(tokens):
    assert cut_loop(tokens, TIME_0) == tokens


def test_after_a_runaway_the_window_is_decoded_again_from_the_last_time_before_it():
    runaway = [at(0), 5, at(6), at(6), *[3] * (MAX_NEW_TOKENS - 4)]
    decoded, _ = decode([runaway], [[at(0), 8, at(24)]])
    assert decoded == [[at(0), 5, at(6), at(6), at(6), 8, at(30)]]


@pytest.mark.parametrize("seconds", [0.0, 0.02], ids=["not at all", "by 20 ms"])
def test_a_model_that_hardly_comes_on_is_not_run_for_ever(seconds):
    stuck = [at(0), 5, at(seconds), at(seconds)]
    decoded, _ = decode(*[[stuck]] * MAX_PASSES)
    passes = [[at(n * seconds), 5, *[at((n + 1) * seconds)] * 2] for n in range(MAX_PASSES)]
    assert decoded == [[token for tokens in passes for token in tokens]]


def test_no_time_is_after_the_end_of_the_window():
    decoded, _ = decode([[at(0), 5, at(20), at(20)]], [[at(0), 6, at(14)]])
    assert decoded == [[at(0), 5, at(20), at(20), at(20), 6, at(30)]]
