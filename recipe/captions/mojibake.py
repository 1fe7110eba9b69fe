"""Text that was read in a wrong encoding before it was saved: mended where it can only mean one thing.

UTF-8 read byte by byte becomes `cafÃ©`, or `РјРёСЂ` in Russian. All of a text's letters then turn back into
UTF-8, which those of a language do not. A code page read as another (`ksi¹¿ka`) has no such proof, only
signs inside its words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from recipe.captions.cues import Action, Cue, Note, note_on

READ_BYTE_BY_BYTE = "its letters had been read byte by byte; they are UTF-8"
SIGNS_IN_WORDS = "signs stand inside its words, as in text that was read in a wrong encoding"

MIN_FRACTION = 0.5
"""Of the cues beyond ASCII turn back into UTF-8 where all were read byte by byte."""

MIN_CUES = 2
"""Fewer may do so by chance, such as `CAFÉ»`."""

_CODE_PAGES = ("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "mac_roman", "cp437", "cp850")
_MAX_TIMES = 3  # that a text is read so and saved again
# The signs of Latin-1 but its quotation marks, the soft hyphen and the dot of Catalan.
_UNDEFINED = re.compile(r"([\x80-\x9f])")
_SIGN_IN_WORD = re.compile(r"[^\W\d_][\xa1-\xa9\xac\xae-\xb4\xb6\xb8\xb9\xbc-\xbf\xd7\xf7][^\W\d_]")


def mend_mojibake(cues: Sequence[Cue]) -> tuple[list[Cue], list[Note]]:
    """Return the cues with their letters as they were meant, and a note for each that is mended or odd.

    Args:
        cues: All of a file, for what is wrong with one is wrong with most.
    """
    num_beyond_ascii = sum(not cue.text.isascii() for cue in cues)
    if not num_beyond_ascii:
        return list(cues), []
    mended = [_mend_cue(cue) for cue in cues]
    num_mended = sum(cue is not was for cue, was in zip(mended, cues, strict=True))
    if num_mended < max(MIN_CUES, MIN_FRACTION * num_beyond_ascii):
        odd = (cue for cue in cues if _SIGN_IN_WORD.search(cue.text))
        return list(cues), [note_on(cue, Action.FLAGGED, SIGNS_IN_WORDS) for cue in odd]
    notes = [
        note_on(cue, Action.REPAIRED, READ_BYTE_BY_BYTE)
        for cue, was in zip(mended, cues, strict=True)
        if cue is not was
    ]
    return mended, notes


def _mend_cue(cue: Cue) -> Cue:
    text = mend_text(cue.text)
    if text == cue.text:
        return cue
    words = tuple(replace(word, text=mend_text(word.text)) for word in cue.words)
    return replace(cue, text=text, words=words if "".join(word.text for word in words) == text else ())


def mend_text(text: str) -> str:
    """Return the text that was read byte by byte as UTF-8 says it; another text as it is."""
    for _ in range(_MAX_TIMES):
        decoded = _decode_again(text)
        if decoded is None:
            break
        text = decoded
    return text


def _decode_again(text: str) -> str | None:
    if text.isascii():
        return None
    for code_page in _CODE_PAGES:
        try:
            return _encode(text, code_page).decode()
        except UnicodeError:
            continue
    return None


def _encode(text: str, code_page: str) -> bytes:
    """Return the text's bytes; those that the code page leaves undefined were kept as they are."""
    try:
        return text.encode(code_page)
    except UnicodeEncodeError:
        if not _UNDEFINED.search(text):
            raise
        pieces = _UNDEFINED.split(text)
        return b"".join(
            piece.encode("latin-1" if _UNDEFINED.fullmatch(piece) else code_page) for piece in pieces
        )
