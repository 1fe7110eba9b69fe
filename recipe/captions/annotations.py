"""What captions write that nobody says: marks of sounds and marks of speakers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# Brackets are never spoken. Parentheses may be, unless they hold a sound or shouting, or stand alone on a
# line. `\uff08` and `\uff09` are the wide parentheses of Chinese and Japanese.
_BRACKETS = re.compile(r"\[[^\[\]]{0,120}\]|【[^【】]{0,120}】")
_LINE_IN_PARENTHESES = re.compile(r"^[ \t]*[(\uff08][^()\uff08\uff09\n]*[)\uff09][ \t.]*$", re.MULTILINE)
_IN_MARKS = re.compile(r"[(\uff08]([^()\uff08\uff09]{1,120})[)\uff09]|\*([^*\n]{1,60})\*")
_MUSIC = re.compile("[\u2669-\u266f\U0001d11e\U0001f3b5\U0001f3b6\U0001f3bc]+")
_SOUND = re.compile(
    r"\b(?:music|applau|clap|laugh|chuckl|giggl|cheer|cough|sigh|sniff|sobb?|gasp|groan|inaudible|unintelligible"
    r"|indistinct|crosstalk|silence|noise|beep|knock|whistl|scream|shout|whisper"
    r"|musik|música|musique|aplauso|beifall|gelächter|lacht|rires?\b|risas|笑|拍手|掌声|音楽|音乐)",
    re.IGNORECASE,
)

# A label is one to four words with capitals, perhaps with a note in parentheses, before a colon.
_LABEL_WORD = r"[^\W\d_][\w.'\u2019&-]*"
_LABEL = re.compile(
    rf"^[ \t]*(?:[-\u2013\u2014][ \t]*)?(?:>+[ \t]*)?"
    rf"(?P<label>{_LABEL_WORD}(?:[ \t]+(?:{_LABEL_WORD}|#?[0-9]{{1,3}})){{0,3}})"
    r"(?:[ \t]*\([^()\n]{1,30}\))?[ \t]?:(?=\s|$)",
    re.MULTILINE,
)
_TURN_MARK = re.compile(
    r"(?:^|(?<=\s))>{2,}[ \t]*|^[ \t]*>[ \t]*|^[ \t]*[-\u2013\u2014](?![-\d])[ \t]*", re.MULTILINE
)
_INTRODUCTIONS = frozenset(
    ["answer", "attention", "because", "but", "caution", "example", "finally", "first", "hint", "however"]
    + ["important", "look", "namely", "next", "no", "note", "now", "okay", "please", "question", "remember"]
    + ["second", "so", "step", "summary", "then", "therefore", "third", "tip", "today", "warning", "yes"]
    + ["achtung", "also", "antwort", "beispiel", "frage", "hinweis", "donc", "exemple", "remarque", "réponse"]
    + ["atención", "ejemplo", "nota", "pregunta", "respuesta"]
)


def remove_sound_marks(text: str) -> str:
    """Return the text without `[Music]`, `(applause)`, `*coughs*` and notes of music; lyrics stay."""
    text = _BRACKETS.sub(" ", text)
    text = _LINE_IN_PARENTHESES.sub("", text)
    text = _IN_MARKS.sub(_keep_if_spoken, text)
    return _MUSIC.sub(" ", text)


def _keep_if_spoken(match: re.Match[str]) -> str:
    content = match[1] or match[2]
    is_shouted = content.isupper() and " " in content.strip()  # (DOOR SLAMS), but not (UN)
    return " " if is_shouted or _SOUND.search(content) else match[0]


class SpeakerMarks:
    """The marks of speakers in one file: `>>`, a leading dash, and the labels (`Name:`) that recur in it.

    Args:
        texts: The text of each cue.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        labels: Counter[str] = Counter()
        lower_words: set[str] = set()
        for text in texts:
            if ":" in text:
                labels.update(match["label"] for match in _LABEL.finditer(text))
            lower_words.update(word for word in re.findall(r"\w+", text) if word[0].islower())
        self._names = {label for label, count in labels.items() if _is_name(label, count, lower_words)}

    def remove(self, text: str) -> str:
        """Return the text without marks of speakers."""
        if self._names and ":" in text:
            text = _LABEL.sub(lambda match: "" if match["label"] in self._names else match[0], text)
        return _TURN_MARK.sub("", text)

    def speaker_of(self, text: str) -> str:
        """Return the first name that labels the text, or an empty string."""
        labels = (match["label"] for match in _LABEL.finditer(text)) if self._names and ":" in text else ()
        return next((label for label in labels if label in self._names), "")


def _is_name(label: str, count: int, lower_words: set[str]) -> bool:
    """Tell a name from a word that introduces a sentence (`Remember: …`).

    Every word of a name has a capital. A single such word may begin a sentence as well, unless it is all
    capitals or recurs; then it tends to occur in lower case elsewhere in the file.
    """
    words = label.split()
    if words[0].lower() in _INTRODUCTIONS or any(word[0].islower() for word in words):
        return False
    return len(words) > 1 or label.isupper() or count > 1 or label.lower() not in lower_words
