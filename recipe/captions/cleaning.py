"""Cue text as a model should learn to write it: small named rules.

A rule takes the text of one cue, lines still apart, and gives back what is left of it. A cue that a rule
changes gets a note; one that says nothing any more is dropped with a note.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

from recipe.captions.annotations import PARTIAL, judge_annotations, remove_sound_marks
from recipe.captions.capitals import CAPITALS_FRACTION, capitals_fraction, is_all_capitals
from recipe.captions.credits import CREDIT, find_credits
from recipe.captions.cues import Action, Cue, Note, Word, note_on
from recipe.captions.repair import read_loosely
from recipe.captions.rows import CutWords, fold, is_parted
from recipe.captions.speakers import SpeakerMarks

NO_SPEECH = "it says nothing"
"""Why an empty cue is dropped; every other dropped cue may take speech with it."""


MAX_MARKS = 30
"""Combining marks in a row (UAX #15, stream-safe text); the longest that a language needs is 18."""


class _Rule(NamedTuple):
    apply: Callable[[str], str]
    reason: str


class _Draft(NamedTuple):
    """A cue on its way: its text so far, and the rules that have changed it."""

    cue: Cue
    text: str
    applied: tuple[_Rule, ...] = ()

    def apply(self, rules: Iterable[_Rule]) -> _Draft:
        text, applied = self.text, list(self.applied)
        for rule in rules:
            changed = rule.apply(text)
            if changed != text:
                text = changed
                applied.append(rule)
        return _Draft(self.cue, text, tuple(applied))


def clean_cues(cues: Sequence[Cue], suppressed_symbols: frozenset[str]) -> tuple[list[Cue], list[Note]]:
    """Return the cues in reading form, whitespace folded, those that say nothing left out.

    What a mark means shows only in the whole file (does a label recur, is all in capitals), so all texts are
    decoded before the first is cleaned.
    """
    cut_words = CutWords([cue.text for cue in cues])
    drafts = [_Draft(cue, cue.text).apply(_list_decoding_rules(cut_words)) for cue in cues]
    texts = [draft.text for draft in drafts]
    marks, credited = SpeakerMarks(texts), find_credits(texts)
    remove_labels = [_Rule(marks.remove, "marks of speakers were removed")]
    in_capitals = capitals_fraction(texts) > CAPITALS_FRACTION
    rules = list(_list_reading_rules(suppressed_symbols, is_in_capitals=in_capitals))
    kept: list[Cue] = []
    notes: list[Note] = []
    for index, draft in enumerate(drafts):
        unlabelled = draft.apply(remove_labels)
        annotations = judge_annotations(unlabelled.text, is_in_capitals=in_capitals)
        loss = CREDIT if index in credited else annotations.loss
        if loss:
            notes.append(note_on(draft.cue, Action.DROPPED, loss))
            continue
        if annotations.has_partial_words:
            notes.append(note_on(draft.cue, Action.FLAGGED, PARTIAL))
        speaker = draft.cue.speaker or marks.speaker_of(draft.text)
        cleaned = _finish(unlabelled.apply(rules), speaker, notes)
        if not _WORD_CHARACTER.search(cleaned.text):
            notes.append(note_on(draft.cue, Action.DROPPED, NO_SPEECH))
        elif "\ufffd" in cleaned.text:
            notes.append(note_on(draft.cue, Action.DROPPED, "it holds a character that could not be decoded"))
        else:
            kept.append(cleaned)
    if is_all_capitals(kept):
        notes.append(Note(0, Action.FLAGGED, "the file is in capitals"))
    return kept, notes


def _list_decoding_rules(cut_words: CutWords) -> list[_Rule]:
    return [
        _Rule(undo_double_escapes, "references escaped twice were decoded"),
        _Rule(cut_words.join, "words cut at the end of a row were joined"),
        _Rule(limit_marks, f"more than {MAX_MARKS} combining marks in a row were cut off"),
        _Rule(normalize_unicode, "characters were composed or invisible ones removed"),
    ]


def _list_reading_rules(symbols: frozenset[str], *, is_in_capitals: bool) -> Iterator[_Rule]:
    remove_sounds = partial(remove_sound_marks, is_in_capitals=is_in_capitals)
    yield _Rule(remove_sounds, "marks of sounds were removed")
    yield _Rule(symbol_remover(symbols), "symbols that the model cannot produce were removed")
    # Last: what the others leave may join into a control token.
    yield _Rule(defuse_control_tokens, "text that looks like a control token was removed")


def _finish(draft: _Draft, speaker: str, notes: list[Note]) -> Cue:
    cue, text = draft.cue, fold(draft.text)
    if draft.applied and _WORD_CHARACTER.search(text):
        reason = "; ".join(rule.reason for rule in draft.applied)
        notes.append(note_on(cue, Action.REPAIRED, reason))
    words = _fold_words(cue.words, draft.applied)
    if " ".join(word.text for word in words) != text:
        words = ()  # a mark spanned several runs, so it is not known which time goes with which word
    return replace(cue, text=text, speaker=speaker, words=words)


def _fold_words(words: Iterable[Word], rules: Iterable[_Rule]) -> tuple[Word, ...]:
    """Return the runs that have text left, folded; a run that begins inside a word joins the one before."""
    joined: list[tuple[int, list[str]]] = []
    for word in words:
        if joined and not is_parted(joined[-1][1][-1], word.text):
            joined[-1][1].append(word.text)
        else:
            joined.append((word.start_ms, [word.text]))
    folded = []
    for start_ms, pieces in joined:
        text = "".join(pieces)
        for rule in rules:
            text = rule.apply(text)
        if text.strip():
            folded.append(Word(start_ms, fold(text)))
    return tuple(folded)


_WORD_CHARACTER = re.compile(r"[^\W_]")
_ESCAPED = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});"
    r"|</?(?:[biuvc]|font|span)(?:[ .][^<>]*)?>"
)
_MAX_ESCAPES = 3
# Joiners (U+200C, U+200D) stay: Persian and the Indic scripts spell with them.
_INVISIBLE = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_CONTROL_TOKEN = re.compile(r"<\|[^<>|]*\|>")


def undo_double_escapes(text: str) -> str:
    """Return the text decoded until no reference and no tag is left that was escaped as text."""
    for _ in range(_MAX_ESCAPES):
        if not _ESCAPED.search(text):
            break
        text = read_loosely(text).text
    return text


def limit_marks(text: str) -> str:
    """Return the text with at most `MAX_MARKS` combining marks in a row.

    To put n of them in order takes time that grows with n squared: a minute for half a megabyte.
    """
    if text.isascii():
        return text
    visible = _INVISIBLE.sub("", text)  # what stands between two marks and will be removed does not part them
    limited = _excess_marks().sub(r"\1", visible)
    return text if limited == visible else limited


@cache
def _excess_marks() -> re.Pattern[str]:
    """Match a run of more marks than `MAX_MARKS`, those that may stay as group 1."""
    composable = (
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.combining(character) or unicodedata.decomposition(character)
    )
    marks = "".join(
        character
        for character in composable
        if all(map(unicodedata.combining, unicodedata.normalize("NFD", character)))
    )
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]+")


def normalize_unicode(text: str) -> str:
    """Return the text composed (NFC), without control characters, direction marks and the like."""
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text))


def symbol_remover(symbols: Iterable[str]) -> Callable[[str], str]:
    """Return a function that removes the symbols from a text, leaving a space where words would join.

    The ids that a model suppresses also stand for special tokens and parts of characters; those never
    occur in a text and are passed over.
    """
    usable = {symbol for symbol in symbols if symbol.strip() and not re.search(r"\w|\ufffd", symbol)}
    if not usable:
        return str
    alternatives = "|".join(map(re.escape, sorted(usable, key=lambda symbol: (-len(symbol), symbol))))
    pattern = re.compile(f"(?:{alternatives})+")

    def remove(text: str) -> str:
        spaced = f" {text}"  # a label begins with a space, and symbols such as ` -` count on it
        return pattern.sub(_what_remains, spaced)[1:]

    return remove


def _what_remains(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    joins_words = text[start - 1 : start].isalnum() and text[end : end + 1].isalnum()
    return " " if joins_words or match[0][0].isspace() else ""


def defuse_control_tokens(text: str) -> str:
    """Return the text without `<|endoftext|>` and its like, which a tokenizer would take at their word."""
    return _CONTROL_TOKEN.sub(" ", text).replace("<|", "< |") if "<|" in text else text
