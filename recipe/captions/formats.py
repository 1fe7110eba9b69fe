"""The formats of captions beside WebVTT and SubRip: how each is recognised, and who reads it.

The content decides, for tools and people give files any name. Libraries are loaded by the readers that
need them, when they need them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from recipe.captions.encodings import detect_unicode
from recipe.captions.repair import Reading
from recipe.captions.transcripts import looks_like_transcript
from recipe.errors import CaptionError

_MAX_JSON_BYTES = 8 * 2**20  # of a file that may be a transcript; an hour's takes 1 MB


class CaptionFormat(NamedTuple):
    """A format of captions.

    Attributes:
        name: As in `Captions.source_format`.
        title: As a message calls it.
        extensions: Of its files, the usual first.
        matches: Tells it by the text of a file.
        reader: The function of this package that returns the cues of a whole file, by its name.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    matches: Callable[[str], object]
    reader: str


_HEAD_CHARS = 4096  # among which a line that only one format has is looked for
_COMMA_TIME = r"[0-9]{1,3}:[0-9]{2}:[0-9]{2}[.,:][0-9]{1,3}"


def _begins(pattern: str) -> Callable[[str], object]:
    return re.compile(rf"\s*{pattern}", re.IGNORECASE).match


def _has_line(pattern: str) -> Callable[[str], object]:
    line = re.compile(rf"^[ \t]*{pattern}", re.IGNORECASE | re.MULTILINE)
    return lambda text: line.search(text[:_HEAD_CHARS])


_PROLOGUE = r"(?:<\?[^>]*>|<!--(?:[^-]|-(?!->))*-->|<!doctype(?:[^\[>]|\[[^\]]*\])*>|\s)*"


def _has_root(name: str) -> Callable[[str], object]:
    root = re.compile(rf"{_PROLOGUE}<(?:\w+:)?(?:{name})[\s>/]", re.IGNORECASE)
    return lambda text: root.match(text[:_HEAD_CHARS])


FORMATS = (
    CaptionFormat(
        "substation",
        "SubStation Alpha",
        (".ass", ".ssa"),
        _begins(r"(?:;[^\n]*\n\s*)*\[(?:script info|v4\+? styles|events)\]"),
        "substation.read_substation",
    ),
    CaptionFormat(
        "ttml",
        "TTML",
        (".ttml", ".dfxp"),
        _has_root("tt"),
        "xml_captions.read_ttml",
    ),
    CaptionFormat(
        "timed_text",
        "timed text in XML",
        (".srv1", ".srv2", ".srv3"),
        _has_root("transcript|timedtext"),
        "xml_captions.read_timed_text",
    ),
    CaptionFormat(
        "eaf",
        "ELAN",
        (".eaf",),
        _has_root("ANNOTATION_DOCUMENT"),
        "tiers.read_eaf",
    ),
    CaptionFormat(
        "json", "a transcript in JSON", (".json3",), looks_like_transcript, "transcripts.read_transcript"
    ),
    CaptionFormat(
        "textgrid",
        "TextGrid",
        (".textgrid",),
        _begins(r'(?:File type = )?"ooTextFile'),
        "tiers.read_textgrid",
    ),
    CaptionFormat(
        "microdvd",
        "MicroDVD",
        (".sub",),
        _begins(r"\{[0-9]{1,9}\}\{[0-9]{0,9}\}"),
        "substation.read_microdvd",
    ),
    CaptionFormat(
        "mpl2", "MPL2", (".mpl",), _begins(r"\[[0-9]{1,9}\]\[[0-9]{1,9}\]"), "substation.read_mpl2"
    ),
    CaptionFormat(
        "subviewer",
        "SubViewer",
        (".sbv", ".sub"),
        _has_line(rf"{_COMMA_TIME}[ \t]?,[ \t]?{_COMMA_TIME}[ \t]*$"),
        "timed_lines.read_subviewer",
    ),
    CaptionFormat(
        "lyrics",
        "LRC",
        (".lrc",),
        _has_line(r"\[[0-9]{1,3}:[0-9]{2}(?:[.:,][0-9]{1,3})?\]"),
        "timed_lines.read_lyrics",
    ),
)
"""Each told apart from those below it."""

CAPTION_EXTENSIONS = frozenset(
    [".vtt", ".srt", *(extension for caption_format in FORMATS for extension in caption_format.extensions)]
)
"""Extensions, in small letters, that only captions have. A transcript in `.json` is told by its content."""


def recognize_format(text: str) -> CaptionFormat | None:
    """Return the format that a file is in; None if it is none of these."""
    return next((caption_format for caption_format in FORMATS if caption_format.matches(text)), None)


def read_format(name: str, text: str) -> Reading:
    """Return the cues of a file.

    Raises:
        CaptionError: if it is not whole, or holds no captions; the message begins with what was found.
    """
    caption_format = next(caption_format for caption_format in FORMATS if caption_format.name == name)
    try:
        module_name, _, function_name = caption_format.reader.partition(".")
        module = import_module(f"recipe.captions.{module_name}")
        reading: Reading = getattr(module, function_name)(text)
    except CaptionError:
        raise
    except Exception as error:  # whatever a library makes of a broken file
        raise CaptionError(
            f"this looks like {caption_format.title}, and cannot be read as that ({type(error).__name__}). "
            "Export it again, or as WebVTT or SubRip."
        ) from error
    if reading.num_found == 0:
        raise CaptionError(
            f"this looks like {caption_format.title}, and holds no text with times. "
            "Export it again, or as WebVTT or SubRip."
        )
    return reading


def is_transcript(path: Path) -> bool:
    """Tell whether a `.json` file is a transcript with times."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_JSON_BYTES)
    except OSError:
        return False
    return looks_like_transcript(
        data.decode(detect_unicode(data) or "utf-8", errors="replace").lstrip("\ufeff")
    )
