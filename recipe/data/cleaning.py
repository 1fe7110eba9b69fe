"""Cue text as a model should learn to write it: small named rules, each with a switch.

A rule takes the text of one cue, lines still apart, and gives back what is left of it. A cue that a rule
changes gets a note; one that says nothing any more is dropped with a note.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from recipe.data.cues import Action, Cue, Note, Word, note_on
from recipe.data.lenient import read_loosely

NO_SPEECH = "it says nothing"
"""Why an empty cue is dropped; no other dropped cue is known to be without speech."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """Which rules run.

    Attributes:
        rolling: Undo rolling captions.
        double_escapes: Decode what was escaped twice: `&amp;#39;`, `&lt;i&gt;`.
        unicode: Compose to NFC; remove control and other invisible characters.
        sound_marks: Remove `[Music]`, `(applause)` and notes of music.
        speaker_marks: Remove `>>`, leading dashes and `Name:`; the name becomes the cue's speaker.
        flag_capitals: Note a file that is all in capitals, and keep it.
        recase_capitals: Write such a file in lower case with capitals at sentence starts, if the language
            is one that loses little by it (not German, say). Names lose theirs.
        suppressed_symbols: Remove the symbols that the model's `suppress_tokens` can never produce.
    """

    rolling: bool = True
    double_escapes: bool = True
    unicode: bool = True
    sound_marks: bool = True
    speaker_marks: bool = True
    flag_capitals: bool = True
    recase_capitals: bool = False
    suppressed_symbols: bool = True


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the rules know beyond one cue's text."""

    speakers: frozenset[str]  # labels that stand before speech: `Name:`
    suppressed: re.Pattern[str] | None


_Rule = Callable[[str, _Facts], str]


def clean_cues(
    cues: Sequence[Cue], cleaning: Cleaning, suppressed_symbols: frozenset[str], language: str | None
) -> tuple[list[Cue], list[Note]]:
    """Return the cues in reading form, whitespace folded, those that say nothing left out."""
    facts = _Facts(_find_speakers(cues), _compile_symbols(suppressed_symbols))
    rules = [(rule, reason) for switch, rule, reason in _RULES if switch is None or getattr(cleaning, switch)]
    kept: list[Cue] = []
    notes: list[Note] = []
    for cue in cues:
        cleaned = _clean_cue(cue, rules, facts, notes)
        if "\ufffd" in cleaned.text:
            notes.append(note_on(cue, Action.DROPPED, "it holds a character that could not be decoded"))
        elif not any(character.isalnum() for character in cleaned.text):
            notes.append(note_on(cue, Action.DROPPED, NO_SPEECH))
        else:
            kept.append(cleaned)
    return _settle_capitals(kept, cleaning, language, notes), notes


def _clean_cue(cue: Cue, rules: Iterable[tuple[_Rule, str]], facts: _Facts, notes: list[Note]) -> Cue:
    text = cue.text
    reasons = []
    for rule, reason in rules:
        changed = rule(text, facts)
        if changed != text:
            text = changed
            reasons.append(reason)
    folded = fold(text)
    if folded and reasons:
        notes.append(note_on(cue, Action.REPAIRED, "; ".join(reasons)))
    words = _fold_words(cue.words)
    if reasons:
        words = tuple(Word(word.start_ms, fold(_apply(rules, word.text, facts))) for word in words)
        words = tuple(word for word in words if word.text)
    if " ".join(word.text for word in words) != folded:
        words = ()  # a mark spanned several runs, so their times can no longer be trusted
    speaker = cue.speaker or _speaker_of(cue.text, facts)
    return replace(cue, text=folded, words=words, speaker=speaker)


def fold(text: str) -> str:
    """Return the text with each run of whitespace as one space, none at the ends."""
    return " ".join(text.split())


def _apply(rules: Iterable[tuple[_Rule, str]], text: str, facts: _Facts) -> str:
    for rule, _ in rules:
        text = rule(text, facts)
    return text


def _fold_words(words: Sequence[Word]) -> tuple[Word, ...]:
    """Return the runs that have text, folded; a run that goes on inside a word joins the one before."""
    joined: list[Word] = []
    for word in words:
        if not word.text.strip():
            if joined:
                joined[-1] = Word(joined[-1].start_ms, joined[-1].text + word.text)
        elif joined and not joined[-1].text[-1].isspace() and not word.text[0].isspace():
            joined[-1] = Word(joined[-1].start_ms, joined[-1].text + word.text)
        else:
            joined.append(word)
    return tuple(Word(word.start_ms, fold(word.text)) for word in joined)


# Escapes. Text that still holds references or tags once it was decoded had been escaped twice.
_ESCAPED = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});|</?(?:[biuvc]|font|span)(?:[ .][^<>]*)?>"
)
_MAX_ESCAPES = 3


def _undo_double_escapes(text: str, _: _Facts) -> str:
    for _round in range(_MAX_ESCAPES):
        if not _ESCAPED.search(text):
            break
        text = read_loosely(text).text
    return text


# Characters. Joiners (U+200C, U+200D) stay: Persian and the Indic scripts spell with them.
_INVISIBLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def _normalize_unicode(text: str, _: _Facts) -> str:
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text))


# Sounds. Brackets are never spoken; parentheses may be, unless they hold a sound or stand alone.
_BRACKETS = re.compile(r"\[[^\[\]]{0,120}\]|【[^【】]{0,120}】")
_PARENTHESES = re.compile(
    r"(?P<alone>^\s*(?=[(（][^()（）]*[)）][\s.♪]*$))?[(（](?P<content>[^()（）]{0,120})[)）]", re.MULTILINE
)
_ASTERISKS = re.compile(r"\*(?P<content>[^*\n]{1,60})\*")
_MUSIC = re.compile("[\u2669-\u266f\U0001d11e\U0001f3b5\U0001f3b6\U0001f3bc]+")
_SOUND = re.compile(
    r"music|applau|clap|laugh|chuckl|giggl|cheer|cough|sigh|sniff|sob|gasp|groan|inaudible|unintelligible"
    r"|indistinct|crosstalk|silence|noise|beep|ring|knock|whistl|scream|shout|whisper|crowd|audience|static"
    r"|musi[kq]|applaus|lach|rire|risas|m[uú]sica|aplausos|gelächter|beifall|rires",
    re.IGNORECASE,
)


def _remove_sound_marks(text: str, _: _Facts) -> str:
    text = _BRACKETS.sub(" ", text)
    text = _PARENTHESES.sub(_keep_spoken_parentheses, text)
    text = _ASTERISKS.sub(lambda match: " " if _SOUND.search(match["content"]) else match[0], text)
    return _MUSIC.sub(" ", text)


def _keep_spoken_parentheses(match: re.Match[str]) -> str:
    content = match["content"]
    is_shouted = content.isupper() and " " in content.strip()
    return " " if match["alone"] is not None or is_shouted or _SOUND.search(content) else match[0]


# Speakers. `Name:` is a label when it looks like a name and not like a word that introduces a sentence.
_LABEL_WORD = r"[^\W\d_][\w.'\u2019&-]*"
_LABEL = re.compile(
    rf"^[ \t]*(?:[-\u2013\u2014][ \t]*)?(?:>+[ \t]*)?"
    rf"(?P<label>{_LABEL_WORD}(?:[ \t]+(?:{_LABEL_WORD}|#?[0-9]{{1,3}})){{0,3}})(?:[ \t]*\([^()\n]{{1,30}}\))?[ \t]?:(?=\s|$)",
    re.MULTILINE,
)
_TURN_MARK = re.compile(
    r"(?:^|(?<=\s))(?:>{2,}|&gt;&gt;)[ \t]*|^[ \t]*>[ \t]*|^[ \t]*[-\u2013\u2014](?![-\d])[ \t]*",
    re.MULTILINE,
)
_INTRODUCTIONS = frozenset(
    "answer attention because but caution conclusion example finally first fourth hint however important look "
    "namely next no note notice now ok okay one please question reminder remember result second so spoiler "
    "step summary then therefore third tip today two warning well yes achtung also antwort beispiel frage "
    "hinweis attention bref donc exemple note question remarque réponse atención ejemplo nota pregunta "
    "respuesta".split()
)


def _remove_speaker_marks(text: str, facts: _Facts) -> str:
    text = _LABEL.sub(lambda match: "" if match["label"] in facts.speakers else match[0], text)
    return _TURN_MARK.sub("", text)


def _speaker_of(text: str, facts: _Facts) -> str:
    match = _LABEL.search(text)
    return match["label"] if match and match["label"] in facts.speakers else ""


def _find_speakers(cues: Iterable[Cue]) -> frozenset[str]:
    """Return the labels that name a speaker.

    Each word of a name begins with a capital. A single capitalised word may also be the beginning of a
    sentence, and then the same word tends to occur in lower case somewhere else.
    """
    labels: Counter[str] = Counter()
    lower_words: set[str] = set()
    for cue in cues:
        labels.update(match["label"] for match in _LABEL.finditer(cue.text))
        if labels.total():
            pass
        lower_words.update(word for word in re.findall(r"\w+", cue.text) if word[0].islower())
    return frozenset(label for label, count in labels.items() if _is_name(label, count, lower_words))


def _is_name(label: str, count: int, lower_words: set[str]) -> bool:
    words = label.split()
    if (
        not all(word[0].isupper() or not word[0].isalpha() for word in words)
        or words[0].lower() in _INTRODUCTIONS
    ):
        return False
    return len(words) > 1 or label.isupper() or count > 1 or label.lower() not in lower_words


# Symbols and control tokens.
_CONTROL_TOKEN = re.compile(r"<\|[^<>|]*\|>")


def _remove_suppressed(text: str, facts: _Facts) -> str:
    if facts.suppressed is None:
        return text
    spaced = f" {text}"  # a label begins with a space, and symbols such as ` -` count on it
    return facts.suppressed.sub(lambda match: _gap(spaced, match), spaced)[1:]


def _gap(text: str, match: re.Match[str]) -> str:
    """Return what a removed symbol leaves: a space where two words would run together, as in `10:30`."""
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    return " " if match[0][0].isspace() or (before.isalnum() and after.isalnum()) else ""


def _compile_symbols(symbols: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern of the symbols; special tokens and parts of characters never occur in text."""
    usable = [
        symbol
        for symbol in symbols
        if symbol.strip() and "\ufffd" not in symbol and not re.search(r"\w", symbol)
    ]
    usable.sort(key=lambda symbol: (-len(symbol), symbol))
    return re.compile("(?:" + "|".join(map(re.escape, usable)) + ")+") if usable else None


def _defuse_control_tokens(text: str, _: _Facts) -> str:
    """Remove `<|endoftext|>` and its like, which a tokenizer would take at their word."""
    return _CONTROL_TOKEN.sub(" ", text).replace("<|", "< |") if "<|" in text else text


_RULES: tuple[tuple[str | None, _Rule, str], ...] = (
    ("double_escapes", _undo_double_escapes, "references escaped twice were decoded"),
    ("unicode", _normalize_unicode, "characters were composed or invisible ones removed"),
    ("sound_marks", _remove_sound_marks, "marks of sounds were removed"),
    ("speaker_marks", _remove_speaker_marks, "marks of speakers were removed"),
    ("suppressed_symbols", _remove_suppressed, "symbols that the model cannot produce were removed"),
    (
        None,
        _defuse_control_tokens,
        "text that looks like a control token was removed",
    ),  # last: others could join one
)


# Capitals: a matter of the whole file.
CAPITALS_SHARE = 0.9
_MIN_LETTERS = 20
_RECASABLE = frozenset(
    {"en", "es", "fr", "it", "pt", "nl", "pl", "ru", "uk", "cs", "sv", "da", "no", "fi", "ca", "ro"}
)
_ENGLISH_I = re.compile(r"\bi\b(?!\.)")
_SENTENCE_END = re.compile(r"([.!?…][\"'\u201d\u2019)]*\s+)(\w)")


def _settle_capitals(
    cues: list[Cue], cleaning: Cleaning, language: str | None, notes: list[Note]
) -> list[Cue]:
    letters = Counter(
        letter.isupper() for cue in cues for letter in cue.text if letter.isupper() or letter.islower()
    )
    if letters.total() < _MIN_LETTERS or letters[True] <= CAPITALS_SHARE * letters.total():
        return cues
    code = (language or "").lower().replace("_", "-").partition("-")[0]
    if cleaning.recase_capitals and code in _RECASABLE:
        notes.append(Note(0, Action.REPAIRED, "the file is in capitals; only sentence starts keep them"))
        return _recase(cues, code)
    if cleaning.flag_capitals:
        notes.append(Note(0, Action.FLAGGED, "the file is in capitals"))
    return cues


def _recase(cues: Iterable[Cue], language: str) -> list[Cue]:
    recased: list[Cue] = []
    starts_sentence = True
    for cue in cues:
        text = cue.text.lower()
        if language == "en":
            text = _ENGLISH_I.sub("I", text)
        text = _SENTENCE_END.sub(lambda match: match[1] + match[2].upper(), text)
        if starts_sentence:
            text = text[:1].upper() + text[1:]
        starts_sentence = text.rstrip("\"'\u201d\u2019)").endswith((".", "!", "?", "…"))
        recased.append(replace(cue, text=text, words=()))
    return recased
