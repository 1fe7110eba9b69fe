"""Marks of speakers, told from words before a colon by a look over the whole file.

`Anna: Hello` may be a label, `Verdict: guilty` is said. One cue cannot tell them apart, but a file can:
labels recur before different sentences, alternate, or stand in capitals, in brackets or behind a mark.
What proves nothing is kept, since a deleted word teaches the model to leave words out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.captions.annotations import is_unwritten
from recipe.captions.capitals import CAPITALS_FRACTION, capitals_fraction
from recipe.captions.vocabulary import (
    ARTICLES,
    FUNCTION_WORDS,
    INTRODUCTIONS,
    LOST_SPEECH,
    SOUNDS,
    SPEAKER_TURN,
    SPEAKER_WORDS,
)

_DASH = "-\u2010-\u2015\u2212\uff0d"
_OPENING, _CLOSING = r"\[(\uff08\u3010\uff3b", r"\])\uff09\u3011\uff3d"
_BRACKETED = rf"[{_OPENING}](?P<bracketed>[^{_OPENING}{_CLOSING}\n]{{1,40}})[{_CLOSING}]"
_NUMBER = r"(?:[#\u2116]|n[\u00b0\u00bao]\.?|no\.)?[ ]?[0-9]{1,3}"
_VOICE = regex.compile(
    rf"(?:{'|'.join(sorted(SPEAKER_WORDS))})"
    rf"(?:[ \t_.-]*(?:{_NUMBER}|(?-i:[A-Z])|one|two|three|four)|[ _]unknown)"
    r"|unknown[ _]speaker|unidentified[ _]speaker|s(?:pk|peaker)?_?[0-9]{1,3}",
    regex.IGNORECASE,
)
_BRACKETED_VOICE = regex.compile(
    r"[ \t]*\[[ \t]*(?P<voice>[^\[\]\n]{1,40}?)[ \t]*:?[ \t]*\](?:[ \t]*:)?[ \t]*"
)

# A label is one to four words, perhaps with a note or a time in brackets, before a colon. Without a space
# the colon must stand where `10:30` and addresses cannot: behind a letter that has no case, or be wide.
_LABEL_WORD = r"\p{L}[\p{L}\p{M}\p{N}_.'\u2019&\u00b7\u30fb-]*+"
_TIME_MARK = r"[\[(][0-9]{1,2}(?::[0-9]{2}){1,2}(?:[.,][0-9]{1,3})?[\])]"
_LABEL = regex.compile(
    rf"^[ \t]*(?P<turn>[{_DASH}]|>+)?[ \t]*(?:{_TIME_MARK}[ \t]*)?"
    rf"(?:{_BRACKETED}(?P<colon>[ \t]*[:\uff1a])?"
    rf"|(?P<plain>{_LABEL_WORD}(?:[ \t]+(?:{_LABEL_WORD}|{_NUMBER})){{0,3}})"
    r"(?:[ \t]*[\[(\uff08][^\[\]()\n]{1,30}[\])\uff09])?"
    r"(?:[ \t\u00a0\u202f]?:(?=\s|$|\p{Lu})|[ \t]?\uff1a|(?<=\p{Lo}\p{M}*):(?![0-9/])))",
    regex.MULTILINE,
)
_MAY_LABEL = regex.compile(rf"[:\uff1a{_OPENING}]")
_VOICE_ROW = regex.compile(r"^[ \t]*(?P<voice>[^\n:]{2,40}?)[ \t]*:?[ \t]*\n(?=.*\S)", regex.MULTILINE)
_LOOSE_LABEL = regex.compile(r"[ \t]*(?P<name>[^\n:\uff1a]{1,50}):[ \t\n]+(?=\S)")
_TURN_MARK = regex.compile(
    rf"(?:^|(?<=\s))>{{2,}}[ \t]*|^[ \t]*>[ \t]*|^[ \t]*[{_DASH}](?![{_DASH}\d])[ \t]*", regex.MULTILINE
)
_BEFORE_ARROWS = regex.compile(r"[ \t]+(?=>{2,})")
_LINE_OF_TURNS = regex.compile(rf"^[ \t]*[{_DASH}](?![{_DASH}\d]).*$", regex.MULTILINE)
_NEXT_TURN = regex.compile(
    r"(?<=[.!?\u2026\u061f\u3002\uff01\uff1f\"\u201d\u00bb)\]])[ \t]+"
    rf"(?=[{_DASH}][ \t]?[\p{{Lu}}\p{{Lo}}\u00bf\u00a1\"\u201c\u00ab\[(])"
    rf"|[ \t]+(?=[{_DASH}][ \t]+\p{{Lu}})"
)
_OPENS_SPEECH = regex.compile(r"[\p{L}\p{N}\"\u201c\u201e\u00ab\u00bf\u00a1\u2026.'\u2018\u300c\u2013-]|$")
# Words that end in a visarga, which is often written as a colon: adverbs, not names.
_VISARGA = regex.compile(r"\p{Devanagari}+[\u0924\u0936\u0928]$")
_ROLE = regex.compile(r"[者人员員師师生長长家]$")
_IDEOGRAPH = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_PARTICLES = frozenset(
    ["al", "ben", "bin", "da", "de", "del", "della", "den", "der", "di", "dos", "du", "el", "ibn", "la", "le"]
    + ["van", "von", "y", "zu", "и"]
)
_MIN_LABELLED_CUES = 5
_MIN_LABELLED_FRACTION = 0.8  # of the cues of a meeting's transcript, where each names who speaks
_MAX_REST_CHARS = 80  # compared of what follows a label
_MAX_IDEOGRAPHS = 10  # of a label; what is longer is a clause


class _Mark(Enum):
    """What stands around a label."""

    NONE = "Anna: Hello"
    DASH = "- Anna: Hello"
    ARROWS = ">> Anna: Hello"
    BRACKETS_AND_COLON = "[Anna]: Hello"
    BRACKETS = "[Anna] Hello"
    BRACKETS_IN_TURN = "- [Anna] Hello"


class _Use(NamedTuple):
    """One place where a name may be a label: the index of its cue, its marks, what follows it."""

    cue: int
    mark: _Mark
    rest: str


class SpeakerMarks:
    """The marks of speakers in one file: `>>`, a leading dash, `[SPEAKER_00]`, and labels (`Name:`).

    Args:
        texts: The text of each cue, decoded.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        uses: defaultdict[str, list[_Use]] = defaultdict(list)
        for index, text in enumerate(texts):
            for name, use in _find_uses(index, text):
                uses[name].append(use)
        self._names = _Decision(texts, uses).names() if uses else set[str]()
        """Labels; in parentheses those that are labels where they stand in brackets, without a colon."""
        self._loose_names = _find_loose_names(texts)
        self._within_row = regex.compile(
            r"(?<=[.!?\u2026\u061f\u3002\uff01\uff1f\"\u201d\u00bb)\]])[ \t]+(?=\L<names>[ \t]?:\s)",
            names=[name for name in self._names if not name.startswith("(")],
        )
        """Where a label follows the end of a sentence: `He left. Anna: Good.`"""

    def remove(self, text: str) -> str:
        """Return the text without marks of speakers."""
        text = _split_turns(self._without_loose_label(text))
        text = _VOICE_ROW.sub(_remove_voice_row, text) if "\n" in text else text
        if "[" in text:
            text = _BRACKETED_VOICE.sub(_break_at_voice, text)
        if self._names:
            text = self._within_row.sub("\n", text)
            text = _LABEL.sub(lambda match: " " if self._is_label(match) else match[0], text)
        return str(_TURN_MARK.sub(" ", text))

    def speaker_of(self, text: str) -> str:
        """Return the first name that labels the text, or an empty string."""
        loose = _LOOSE_LABEL.match(text) if self._loose_names else None
        if loose is not None and loose["name"] in self._loose_names:
            return str(loose["name"])
        labels = _LABEL.finditer(_split_turns(text)) if self._names else ()
        return next((_name_of(match) for match in labels if self._is_label(match)), "")

    def _without_loose_label(self, text: str) -> str:
        match = _LOOSE_LABEL.match(text) if self._loose_names else None
        return text[match.end() :] if match and match["name"] in self._loose_names else text

    def _is_label(self, match: regex.Match[str]) -> bool:
        name = _name_of(match)
        return (f"({name})" if _mark_of(match) in _WITHOUT_COLON else name) in self._names


class _Decision:
    """Which names of a file are labels.

    Args:
        texts: The text of each cue.
        uses: Where each name stands as a label would.
    """

    def __init__(self, texts: Sequence[str], uses: Mapping[str, Sequence[_Use]]) -> None:
        self.num_texts = len(texts)
        self.uses = uses
        self.is_in_capitals = capitals_fraction(texts) > CAPITALS_FRACTION
        self.num_labels_in_capitals = sum(len(uses[name]) for name in uses if _is_shouted(name))
        self.word_counts = _count_words(texts, uses)
        self.names_in_dialogue: defaultdict[int, set[str]] = defaultdict(set)
        for name, each in uses.items():
            for use in each:
                if use.mark is _Mark.DASH and _is_name(name) and not _is_introduction(name):
                    self.names_in_dialogue[use.cue].add(name)
        self.has_sentence_case = any(
            _starts_sentence(use.rest) for each in uses.values() for use in each if use.rest
        )

    def names(self) -> set[str]:
        marked = {name for name in self.uses if self._is_marked(name)}
        known = marked | {name for name in self.uses if name not in marked and self._recurs(name)}
        known |= self._alternating(known)
        return known | {f"({name})" for name in self.uses if name in known or self._stands_in_brackets(name)}

    def _is_marked(self, name: str) -> bool:
        """Tell whether the marks around a name prove that it is a label."""
        marks = {use.mark for use in self.uses[name]}
        if _VOICE.fullmatch(name):
            return True
        if _is_introduction(name) or not _is_name(name):
            return False
        if _Mark.BRACKETS_AND_COLON in marks or _Mark.ARROWS in marks:
            return True
        return self._is_set_in_capitals(name) or self._is_in_dialogue(name)

    def _is_set_in_capitals(self, name: str) -> bool:
        """Tell whether capitals set the label apart: not in a file of capitals, not for an acronym."""
        if all(use.mark in _WITHOUT_COLON for use in self.uses[name]):
            return False
        if self.is_in_capitals or not _is_shouted(name) or self.word_counts[name] > len(self.uses[name]):
            return False
        return len(name) > 4 or (len(name) > 1 and self.num_labels_in_capitals > 1)

    def _is_in_dialogue(self, name: str) -> bool:
        """Tell whether the label stands behind a dash in a cue where another does, too."""
        return any(
            use.mark is _Mark.DASH and len(self.names_in_dialogue[use.cue]) > 1 for use in self.uses[name]
        )

    def _recurs(self, name: str) -> bool:
        """Tell whether the name stands before several different sentences, more often than within them."""
        if not _is_name(name) or _is_introduction(name):
            return False
        rests = {use.rest for use in self.uses[name] if use.mark not in _WITHOUT_COLON}
        if self.has_sentence_case:
            rests = {rest for rest in rests if _starts_sentence(rest)}
        is_mostly_word = name.lower() != name and self.word_counts[name.lower()] >= len(self.uses[name])
        return len(rests) >= _num_needed(name) and not is_mostly_word

    def _alternating(self, known: set[str]) -> set[str]:
        """Return the names that occur once between labels that are known, where labels are the rule."""
        plain = [name for name in known if not _is_shouted(name) and self._has_plain_use(name)]
        num_turns = sum(len(self.uses[name]) for name in plain)
        others = {
            name
            for name, uses in self.uses.items()
            if name not in known and self._has_plain_use(name) and _is_name(name)
            if not _is_introduction(name) and not ARTICLES.occur_in(name) and _starts_sentence(uses[0].rest)
        }
        num_others = sum(len(self.uses[name]) for name in others)
        return others if num_others <= num_turns and num_turns * 3 >= self.num_texts else set()

    def _has_plain_use(self, name: str) -> bool:
        return any(use.mark in (_Mark.NONE, _Mark.DASH) for use in self.uses[name])

    def _stands_in_brackets(self, name: str) -> bool:
        """Tell whether the name is a label where it stands in brackets, without a colon."""
        uses = [
            use for use in self.uses[name] if use.mark in _WITHOUT_COLON and _OPENS_SPEECH.match(use.rest)
        ]
        if not uses or SOUNDS.occur_in(name) or FUNCTION_WORDS.occur_in(name) or is_unwritten(name):
            return False
        if _VOICE.fullmatch(name):
            return True
        if not _is_name(name) or _is_introduction(name) or len(name.split()) > 3:
            return False
        is_in_turn = any(use.mark is _Mark.BRACKETS_IN_TURN for use in uses)
        return is_in_turn or len({use.rest for use in uses}) > 1


_WITHOUT_COLON = frozenset({_Mark.BRACKETS, _Mark.BRACKETS_IN_TURN})


def _find_uses(index: int, text: str) -> Iterator[tuple[str, _Use]]:
    if not _MAY_LABEL.search(text):
        return
    text = _split_turns(text)
    for match in _LABEL.finditer(text):
        name = _name_of(match)
        rest = text[match.end() : match.end() + _MAX_REST_CHARS].strip().partition("\n")[0]
        if name and not (match["bracketed"] and LOST_SPEECH.occur_in(name)):
            yield name, _Use(index, _mark_of(match), rest)


def _find_loose_names(texts: Sequence[str]) -> frozenset[str]:
    """Return what stands before a colon in nearly every cue of a file, as in a meeting's transcript.

    There, a name may be of any form: `anna`, `Brunner, Otto`, `iPhone 3`.
    """
    counts = Counter(
        match["name"]
        for match in map(_LOOSE_LABEL.match, texts)
        if match and not _is_introduction(match["name"])
    )
    num_recurring = sum(count for count in counts.values() if count > 1)
    is_rule = num_recurring >= max(_MIN_LABELLED_CUES, _MIN_LABELLED_FRACTION * len(texts))
    return frozenset(counts) if is_rule else frozenset()


def _remove_voice_row(match: regex.Match[str]) -> str:
    return "" if _VOICE.fullmatch(match["voice"]) else str(match[0])


def _name_of(match: regex.Match[str]) -> str:
    return str(match["bracketed"] or match["plain"]).strip(" \t:\uff1a")


def _mark_of(match: regex.Match[str]) -> _Mark:
    turn = match["turn"] or ""
    if match["bracketed"]:
        if match["colon"] or match["bracketed"].rstrip().endswith((":", "\uff1a")):
            return _Mark.BRACKETS_AND_COLON
        return _Mark.BRACKETS_IN_TURN if turn else _Mark.BRACKETS
    if len(turn) > 1:
        return _Mark.ARROWS
    return _Mark.DASH if turn else _Mark.NONE


def _is_name(name: str) -> bool:
    """Tell whether each word has a capital, or the script has none."""
    words = name.split()
    if len(name) > _MAX_IDEOGRAPHS and _IDEOGRAPH.search(name):
        return False
    if not words[0][0].isalpha() or words[0][0].islower():
        return False
    return not any(word[0].islower() and word not in _PARTICLES for word in words[1:])


def _is_introduction(name: str) -> bool:
    """Tell whether the name is said: a word such as `Note`, or the end of a sentence."""
    if name.endswith((".", "!", "?")) and not regex.search(r"(?:^|[ .])\p{L}{1,4}\.$", name):
        return True
    if _VISARGA.fullmatch(name):
        return True
    return INTRODUCTIONS.occur_in(name) and not _ROLE.search(name)


def _is_shouted(name: str) -> bool:
    return name.isupper()


def _num_needed(name: str) -> int:
    """Return how many different sentences a label must stand before: more where its form is often said."""
    if len(name) > 1 and ARTICLES.occur_in(name.split(maxsplit=1)[0]):
        return 4
    has_case = name.lower() != name.upper()
    return 3 if len(name) == 1 or (" " in name and not has_case) else 2


def _starts_sentence(rest: str) -> bool:
    first = next((character for character in rest if character.isalpha()), "")
    return not first.islower()


def _count_words(texts: Iterable[str], names: Iterable[str]) -> Counter[str]:
    """Count how often names of one word occur, as written and in lower case."""
    wanted = {form for name in names for form in (name, name.lower()) if " " not in name}
    return Counter(
        word for text in texts for word in regex.findall(r"[\p{L}\p{M}\p{N}_]+", text) if word in wanted
    )


def _split_turns(text: str) -> str:
    """Return the text with each turn on a line of its own: `- Ready? - Yes.` has two."""
    if ">>" in text:
        text = _BEFORE_ARROWS.sub("\n", text)
    return str(_LINE_OF_TURNS.sub(lambda line: _NEXT_TURN.sub("\n", line[0]), text))


def _break_at_voice(match: regex.Match[str]) -> str:
    voice = match["voice"]
    return "\n " if _VOICE.fullmatch(voice) or SPEAKER_TURN.occur_in(voice) else match[0]
