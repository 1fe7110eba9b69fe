"""Captions in two languages at once, as rows of a cue or as cues shown together: the wanted one is kept.

Scripts tell the languages apart where they differ. Where they do not, a file whose rows say everything twice
is refused: nothing says which of them is spoken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.captions.cues import Action, Cue, Note, note_on
from recipe.captions.scripts import (
    BESIDE_HAN,
    count_scripts,
    describe_language,
    foreign_letters,
    unicode_scripts,
)
from recipe.errors import CaptionError, LanguageNeededError

MIN_TWICE = 2
"""Cues that say something in two languages, before a file is taken to do so."""

MIN_TWICE_FRACTION = 0.5
"""Of the cues in the wanted language; a name or a quotation on a row of its own is no second language."""

SAME_TIME_MS = 100
"""Rows that are cues of their own begin and end together."""

MIN_PAIRS = 3
"""Pairs of sentences, before a file is taken to say everything twice."""

MANY_PAIRS = 12
"""Pairs of sentences that are no chance, whatever their words."""

NUM_TELLING_GROUPS = 1_000
"""Captions that tell whether a file says everything twice."""

NUM_TELLING_CHARS = 24
"""Characters that tell a row's script."""

MIN_ALIKE_FRACTION = 0.8
"""Of the pairs are of two whole sentences, in a file that says everything twice."""

MAX_COMMON_FRACTION = 0.2
"""Of the second rows' words stand in the first rows too, in two languages; in one, small words recur."""

_LETTER = regex.compile(r"\p{L}")
_WORD = regex.compile(r"[\p{L}\p{M}]+")
_HAN = regex.compile(r"\p{Script=Han}")
_KANA_OR_HANGUL = regex.compile(r"[\p{Script=Hira}\p{Script=Kana}\p{Script=Hang}]")
_LAST_MARK = regex.compile(r"[\p{Po}\p{Pd}](?=[^\p{L}\p{N}]*$)")
_ENDS = frozenset(".!?\u2026\u3002\uff01\uff1f\u061f\u0964\u06d4")
_SENTENCE = (True, ".")  # as `_describe_form` has it
_TURN = regex.compile(r"\s*[-\u2010-\u2015>]")


@dataclass(frozen=True, slots=True)
class _Rows:
    """A cue with its rows that are in the wanted language, and whether it has some in another."""

    cue: Cue
    own: list[str]
    has_other: bool


def keep_language(cues: Sequence[Cue], name: str, language: str | None) -> tuple[list[Cue], list[Note]]:
    """Return the cues without what they say again in another language.

    Args:
        cues: In order of time.
        name: Of the file.
        language: Code of the wanted language; None if nobody said it.

    Raises:
        CaptionError: if everything is said in two languages and nothing tells which is the wanted one.
    """
    kept, notes = list(cues), list[Note]()
    text = "".join(cue.text for cue in cues)
    for is_other in _list_tests(language, text) if language else ():
        rows = [_split_rows(cue, is_other) for cue in cues]
        in_both = _find_in_both(rows)
        if sum(in_both) >= max(MIN_TWICE, MIN_TWICE_FRACTION * sum(bool(row.own) for row in rows)):
            kept = _take_off(rows, in_both, notes)
            break
    if _says_all_twice(kept):
        wanted = f"captions in {describe_language(language)}" if language else "captions in one language"
        refusal = CaptionError if language else LanguageNeededError
        raise refusal(
            f"{name}: each caption stands there in two languages, and their letters do not tell which "
            f"is wanted; {wanted} were expected. Remove the rows of the other language"
            f"{'' if language else ', or set the language if the two have different letters'}."
        )
    return kept, notes


def _list_tests(language: str, text: str) -> Iterator[Callable[[str], bool]]:
    """Yield tests of whether a row is in another language, the surest first, that rows of the text may pass.

    Han is of several languages: a Chinese row has neither kana nor Hangul, others have it alone.
    """
    if foreign_letters(text, language):
        is_shared = not BESIDE_HAN.intersection(unicode_scripts(language))
        yield (
            lambda row: (
                2 * len(foreign_letters(row, language)) > len(_LETTER.findall(row))
                or (is_shared and len(_KANA_OR_HANGUL.findall(row)) > 1)
            )
        )
    if BESIDE_HAN.intersection(unicode_scripts(language)) and _HAN.search(text):
        yield lambda row: len(_HAN.findall(row)) > 1 and not _KANA_OR_HANGUL.search(row)


def _split_rows(cue: Cue, is_other: Callable[[str], bool]) -> _Rows:
    rows = [row for row in cue.text.split("\n") if row.strip()]
    own = [row for row in rows if not is_other(row)]
    return _Rows(cue, own, len(own) < len(rows))


def _find_in_both(rows: Sequence[_Rows]) -> list[bool]:
    """Tell of each cue whether it has rows in both languages, or is shown with one in the other."""
    in_both = [bool(row.own) and row.has_other for row in rows]
    own_until_ms, others = 0, list[int]()  # cues in the other language that may still be shown
    for index, row in enumerate(rows):
        if row.own:
            for other in others:
                in_both[other] |= rows[other].cue.end_ms - row.cue.start_ms > SAME_TIME_MS
            others = []
            own_until_ms = max(own_until_ms, row.cue.end_ms)
        elif row.has_other:
            in_both[index] = own_until_ms - row.cue.start_ms > SAME_TIME_MS
            others.append(index)
    return in_both


def _take_off(rows: Sequence[_Rows], in_both: Sequence[bool], notes: list[Note]) -> list[Cue]:
    kept: list[Cue] = []
    for row, is_twice in zip(rows, in_both, strict=True):
        if not row.has_other:
            kept.append(row.cue)
        elif row.own:
            notes.append(note_on(row.cue, Action.REPAIRED, "rows in another language were taken off"))
            kept.append(replace(row.cue, text="\n".join(row.own), words=()))
        elif is_twice:
            notes.append(
                note_on(row.cue, Action.MERGED, "it says in another language what is said meanwhile")
            )
        else:
            notes.append(note_on(row.cue, Action.DROPPED, "it is in another language"))
    return kept


def _says_all_twice(cues: Sequence[Cue]) -> bool:
    """Tell whether nearly all captions are pairs in different scripts, or of sentences with other words."""
    pairs, num_groups = list[tuple[str, str]](), 0
    for rows in islice(_group_rows(cues), NUM_TELLING_GROUPS):
        num_groups += 1
        half, is_odd = divmod(len(rows), 2)
        if not is_odd and not any(map(_TURN.match, rows)):
            pairs.append((" ".join(rows[:half]), " ".join(rows[half:])))
    num_different = sum(_main_script(first) != _main_script(second) for first, second in pairs)
    if num_different >= max(MIN_TWICE, MIN_ALIKE_FRACTION * num_groups):
        return True
    least = max(MIN_PAIRS, MIN_ALIKE_FRACTION * num_groups)
    alike = [pair for pair in pairs if _describe_form(pair[0]) == _describe_form(pair[1])]
    num_sentences = sum(_describe_form(first) == _SENTENCE for first, _ in alike)
    if len(alike) < least or 2 * num_sentences < len(alike):
        return False
    return num_sentences >= max(MANY_PAIRS, least) or _common_fraction(alike) <= MAX_COMMON_FRACTION


def _describe_form(text: str) -> tuple[bool, str]:
    """Return whether the text begins as a sentence does, and the kind of mark that ends it."""
    first = _LETTER.search(text)
    last = _LAST_MARK.search(text)
    return not (first and first[0].islower()), "" if last is None else "." if last[0] in _ENDS else ","


def _main_script(text: str) -> str:
    """Return the script of most letters at the text's start; Chinese, Japanese and Korean share theirs."""
    script = next(iter(count_scripts([text[:NUM_TELLING_CHARS]])), "")
    return "CJK" if script in {"HIRAGANA", "KATAKANA", "HANGUL"} else script


def _group_rows(cues: Sequence[Cue]) -> Iterator[list[str]]:
    """Yield the rows that are shown together, those with letters."""
    shown: list[Cue] = []
    for cue in [*cues, None]:
        if shown and (cue is None or not _is_shown_with(cue, shown[-1])):
            rows = [row for each in shown for row in each.text.split("\n") if _LETTER.search(row)]
            if rows:
                yield rows
            shown = []
        if cue is not None:
            shown.append(cue)


def _is_shown_with(cue: Cue, other: Cue) -> bool:
    return abs(cue.start_ms - other.start_ms) <= SAME_TIME_MS >= abs(cue.end_ms - other.end_ms)


def _common_fraction(pairs: Sequence[tuple[str, str]]) -> float:
    """Return the fraction of the second rows' words that the first rows have too."""
    firsts = {word for first, _ in pairs for word in _WORD.findall(first.casefold())}
    seconds = [word for _, second in pairs for word in _WORD.findall(second.casefold())]
    return sum(word in firsts for word in seconds) / len(seconds) if seconds else 1.0
