"""Rolling captions undone: each word once, at the time it is said.

Automatic captions scroll like a terminal. A cue shows the lines of the cue before it and adds one below;
between two of them a filler of some 10 ms shows the old lines alone. Converters to SubRip keep the lines,
and some join them into one. A speaker may say a line twice, so a repeat counts as rolling only where cues
around it roll too, or where it is too short to be speech.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby

from recipe.captions.cues import Action, Cue, Note, Word, note_on

FILLER_MS = 50
"""No cue this short is speech; fillers last 10 ms."""

ROLLING_FILLER_MS = 500
"""Among rolling cues, fillers last up to 400 ms."""

ROLL_WINDOW = 3
"""Lines that scrolling captions show at once, at most."""

_MIN_SHARE = 0.5  # of a file's cues must roll for a lone repeat to count as rolling
_MIN_RUN = 4  # cues in a row that roll speak for themselves, whatever the rest of the file does


class _Kind(Enum):
    FRESH = "shows nothing of the cue before"
    CARRY = "repeats lines of the cue before and adds to them"
    FILLER = "repeats lines of the cue before, and is short"
    REPEAT = "repeats lines of the cue before, for as long as it takes to say them"


@dataclass(frozen=True, slots=True)
class _Line:
    text: str  # folded; empty for the blank lines that automatic captions hold
    words: tuple[Word, ...]  # its runs, if the cue has inline times


@dataclass(frozen=True, slots=True)
class _Step:
    """A cue seen against the one before it: how it relates, and the lines that are new in it."""

    cue: Cue
    kind: _Kind
    new_lines: list[_Line]


def undo_rolling(cues: Sequence[Cue]) -> tuple[list[Cue], list[Note]]:
    """Return the cues with each line once, and a note for each cue that was shortened or merged.

    Args:
        cues: In order of time.
    """
    steps = _compare_by_lines(cues)
    rolls = _find_rolling(steps, min_evidence=2)
    if not any(rolls):
        joined_steps = _compare_as_joined(cues)
        joined_rolls = _find_rolling(joined_steps, min_evidence=3)
        if any(joined_rolls):
            steps, rolls = joined_steps, joined_rolls
    return _keep_new_lines(steps, rolls)


def _compare_by_lines(cues: Iterable[Cue]) -> list[_Step]:
    """Compare each cue's lines with those of the cue before it."""
    steps: list[_Step] = []
    screen: list[str] = []
    for cue in cues:
        all_lines = _split_lines(cue)
        lines = [line for line in all_lines if line.text]
        texts = [line.text for line in lines]
        is_short = cue.end_ms - cue.start_ms <= ROLLING_FILLER_MS
        is_cleared = bool(all_lines) and not all_lines[0].text and not is_short
        num_repeated = 0 if is_cleared else _count_repeated(screen, texts, is_short=is_short)
        steps.append(_Step(cue, _kind_of(num_repeated, len(lines), is_short=is_short), lines[num_repeated:]))
        screen = texts
    return steps


def _count_repeated(screen: list[str], texts: list[str], *, is_short: bool) -> int:
    """Count the first lines of a cue that are the last lines on the screen.

    A cue that lasts adds a line, so one new line is tried before none: of `no / no` after `no / no` the
    last is new. A short one adds nothing if it can.
    """
    lengths = list(range(len(texts), 0, -1))
    if len(lengths) > 1 and not is_short:
        lengths[0], lengths[1] = lengths[1], lengths[0]
    return next((n for n in lengths if n <= len(screen) and screen[-n:] == texts[:n]), 0)


def _kind_of(num_repeated: int, num_lines: int, *, is_short: bool) -> _Kind:
    if num_repeated == 0:
        return _Kind.FRESH
    if num_repeated < num_lines:
        return _Kind.CARRY
    return _Kind.FILLER if is_short else _Kind.REPEAT


def _compare_as_joined(cues: Iterable[Cue]) -> list[_Step]:
    """Compare each cue's text with the one before it, its lines having been joined into one."""
    steps: list[_Step] = []
    shown = ""
    said: deque[str] = deque(maxlen=ROLL_WINDOW)
    for cue in cues:
        text = " ".join(cue.text.split())
        recent = list(said)
        candidates = [shown, *(" ".join(recent[start:]) for start in range(len(recent)))]
        old = next((old for old in candidates if old and f"{text} ".startswith(f"{old} ")), "")
        new_text = text[len(old) :].strip()
        is_short = cue.end_ms - cue.start_ms <= ROLLING_FILLER_MS
        kind = _kind_of(len(old), len(text), is_short=is_short)
        steps.append(_Step(cue, kind, [_Line(new_text, ())] if new_text else []))
        shown = text
        if new_text:
            said.append(new_text)
    return steps


def _find_rolling(steps: Sequence[_Step], min_evidence: int) -> list[bool]:
    """Tell for each step whether it belongs to captions that roll: the whole file, or a run within it.

    A carry whose new lines are timed word by word is proof enough; without inline times it takes several.
    """
    is_timed = any(step.kind is _Kind.CARRY and any(map(_is_timed, step.new_lines)) for step in steps)
    evidence = _count_evidence(steps)
    if evidence >= (1 if is_timed else min_evidence) and evidence >= _MIN_SHARE * (len(steps) - 1):
        return [True] * len(steps)
    rolls: list[bool] = []
    for _, group in groupby(steps, key=lambda step: step.kind is _Kind.FRESH):
        run = list(group)
        rolls += [_count_evidence(run) >= _MIN_RUN] * len(run)
    return rolls


def _count_evidence(steps: Sequence[_Step]) -> int:
    """Count the cues that only rolling explains; fillers alone do not, and a line said twice never does."""
    num_carries = sum(step.kind is _Kind.CARRY for step in steps)
    return num_carries and num_carries + sum(step.kind is _Kind.FILLER for step in steps)


def _keep_new_lines(steps: Iterable[_Step], rolls: Iterable[bool]) -> tuple[list[Cue], list[Note]]:
    kept: list[Cue] = []
    notes: list[Note] = []
    shown_until_ms = 0
    for step, is_rolling in zip(steps, rolls, strict=True):
        cue, kind = step.cue, step.kind
        is_touching = cue.start_ms <= shown_until_ms + FILLER_MS
        is_tiny = cue.end_ms - cue.start_ms <= FILLER_MS
        is_filler = kind is _Kind.FILLER and (is_rolling or (is_tiny and is_touching))
        is_still_shown = kind is _Kind.REPEAT and is_rolling and is_touching
        if is_filler or is_still_shown:
            notes.append(note_on(cue, Action.MERGED, "it only repeats the cue before it (rolling captions)"))
        elif kind is _Kind.CARRY and is_rolling:
            notes.append(note_on(cue, Action.REPAIRED, "lines of the cue before it were taken off"))
            kept.append(_with_lines(cue, step.new_lines))
        else:
            kept.append(cue)
        shown_until_ms = cue.end_ms
    return kept, notes


def _with_lines(cue: Cue, lines: Sequence[_Line]) -> Cue:
    text = "\n".join(line.text for line in lines)
    words = tuple(word for line in lines for word in line.words) if any(map(_is_timed, lines)) else ()
    return replace(cue, text=text, words=words)


def _split_lines(cue: Cue) -> list[_Line]:
    if cue.text.count("\n") > 2 * ROLL_WINDOW:
        return []  # no screen shows as many
    if not cue.words:
        return [_Line(" ".join(text.split()), ()) for text in cue.text.split("\n")]
    lines: list[list[Word]] = [[]]
    for word in cue.words:
        first, *rest = word.text.split("\n")
        lines[-1].append(Word(word.start_ms, first))
        lines.extend([Word(word.start_ms, "\n" + part)] for part in rest)
    return [_Line(" ".join("".join(word.text for word in line).split()), tuple(line)) for line in lines]


def _is_timed(line: _Line) -> bool:
    """Tell whether the line has inline times of its own, beside the time at which it appears."""
    return len(line.words) > 1
