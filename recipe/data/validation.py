"""Which held-out windows choose among weights (validation), and which measure the chosen ones (test).

Whoever takes the best of several by some windows cannot report its error rate on the same ones: there it is
the best partly by luck. So what is held out is divided, in each language by itself: whole recordings go to
one part or the other, and recordings of one group together. Of a single one the beginning chooses and the
end measures, with a guard between them. Where a dataset brings both parts, they are taken.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from datasets import Dataset

from recipe.run.warning import DataWarning, Importance

TEST_FRACTION = 3 / 4
"""Part of what is held out that measures: a choice among a few weights needs less than an error rate."""

GUARD_MS = 10_000
"""Audio left unused between two parts of one recording."""

Part = Literal["validation", "test", "guard"]


@dataclass(frozen=True)
class HeldOutWindow:
    """What the division knows of a window.

    Attributes:
        recording: Where it comes from.
        start_ms: Start in the recording.
        end_ms: End in the recording.
        amount: What there is to measure, in any unit.
        language: Code of the language spoken.
    """

    recording: str
    start_ms: int
    end_ms: int
    amount: int
    language: str = ""


@dataclass(frozen=True)
class Division:
    """The part of each window, and a sentence for each thing that makes the measurement worth less."""

    parts: list[Part]
    warnings: Sequence[str] = ()


def divide_held_out(
    windows: Sequence[HeldOutWindow],
    groups: Mapping[str, str],
    given: Mapping[str, str],
    copies: Mapping[str, str],
    *,
    test_fraction: float = TEST_FRACTION,
) -> Division:
    """The part of each held-out window.

    Args:
        windows: Those held out, the recordings that measure first in front.
        groups: The group of each recording.
        given: The part that a dataset gives a recording; others are left to us.
        copies: The group of each recording that only the same recording is in.
        test_fraction: Part that measures, in (0, 1).
    """
    parts: list[Part] = ["test"] * len(windows)
    warnings: list[str] = []
    for language in dict.fromkeys(window.language for window in windows):
        indices = [index for index, window in enumerate(windows) if window.language == language]
        some = [windows[index] for index in indices]
        division = _divide_language(some, groups, given, copies, test_fraction)
        for index, part in zip(indices, division.parts, strict=True):
            parts[index] = part
        warnings += division.warnings
    if windows and "validation" not in parts:
        sentence = "Too little speech is held out to choose weights by: the last ones are measured."
        warnings.append(DataWarning(sentence, Importance.CHOSEN))
    return Division(parts, warnings)


def _divide_language(
    windows: Sequence[HeldOutWindow],
    groups: Mapping[str, str],
    given: Mapping[str, str],
    copies: Mapping[str, str],
    test_fraction: float,
) -> Division:
    named: dict[str, Part] = {
        window.recording: "validation" if given.get(window.recording) == "validation" else "test"
        for window in windows
        if given.get(window.recording) in {"validation", "test"}
    }
    if len({*named.values()}) == 2:
        return Division([named.get(window.recording, "test") for window in windows])
    for kinds, warnings in ((groups, []), (copies, [_warn_of_voices(windows)])):
        units = [kinds.get(window.recording, window.recording) for window in windows]
        if len({*units}) > 1:
            measured = _choose_measured(windows, units, test_fraction)
            return Division(["test" if unit in measured else "validation" for unit in units], warnings)
    return _divide_by_time(windows, test_fraction)


def _warn_of_voices(windows: Sequence[HeldOutWindow]) -> DataWarning:
    sentence = (
        f"All held-out recordings in language {windows[0].language} are of one group: some choose the "
        "weights and the others measure them, so both are of the same voices."
    )
    return DataWarning(sentence, Importance.CHOSEN)


def _choose_measured(
    windows: Sequence[HeldOutWindow], units: Sequence[str], test_fraction: float
) -> set[str]:
    """The units for the test: the first ones, or the last ones, that come nearest to its fraction."""
    amounts: defaultdict[str, int] = defaultdict(int)
    for window, unit in zip(windows, units, strict=True):
        amounts[unit] += window.amount
    wanted = test_fraction * sum(amounts.values())

    def choices() -> Iterator[tuple[list[str], int]]:
        for order in (list(amounts), list(reversed(amounts))):
            for number, amount in enumerate(accumulate(amounts[unit] for unit in order[:-1]), start=1):
                yield order[:number], amount

    return {*min(choices(), key=lambda choice: abs(wanted - choice[1]))[0]}


def _divide_by_time(windows: Sequence[HeldOutWindow], test_fraction: float) -> Division:
    """The beginning of a recording chooses, its end measures; all of it measures if it is too short."""
    order = sorted(range(len(windows)), key=lambda index: windows[index].start_ms)  # there may be copies
    starts_ms = [windows[index].start_ms for index in order]
    ends_ms = [windows[index].end_ms for index in order]
    chooses, measures = split_by_time(starts_ms, ends_ms, test_fraction)
    if not measures:
        return Division(["test"] * len(windows))
    parts: list[Part] = ["guard"] * len(windows)
    for place in chooses:
        parts[order[place]] = "validation"
    for place in measures:
        parts[order[place]] = "test"
    warning = (
        f"Of the held-out part only {windows[0].recording} is in its language: its beginning chooses the "
        "weights and its end measures them, so both are of the same voice."
    )
    return Division(parts, [DataWarning(warning, Importance.CHOSEN)])


def split_by_time(
    starts_ms: Sequence[int], ends_ms: Sequence[int], fraction: float
) -> tuple[list[int], list[int]]:
    """Split the windows of a recording in two, its beginning and its end; as indices.

    A window that ends less than `GUARD_MS` before the second part begins is in neither. Too few windows for
    both parts leave the second one empty.

    Args:
        starts_ms: Start of each window, ascending.
        ends_ms: End of each window.
        fraction: Part of the windows in the second part, in (0, 1).
    """
    num_windows = len(starts_ms)
    for num_last in range(max(1, round(fraction * num_windows)), 0, -1):  # fewer where none are left before
        first = num_windows - num_last
        before = [i for i in range(first) if ends_ms[i] + GUARD_MS <= starts_ms[first]]
        if before:
            return before, list(range(first, num_windows))
    return list(range(num_windows)), []


def select_from_each(examples: Dataset, num_windows: int) -> Dataset:
    """About `num_windows` of the examples: the first of each language, as many as its share of them."""
    languages = examples["language"][:]
    totals = Counter(languages)
    num_seen: Counter[str] = Counter()
    selected = []
    for index, language in enumerate(languages):
        if num_seen[language] * len(languages) < num_windows * totals[language]:
            selected.append(index)
        num_seen[language] += 1
    return examples.select(selected)
