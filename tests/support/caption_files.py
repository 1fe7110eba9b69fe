"""Caption files written for a test, as the tools of others write them, and what training reads of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recipe.captions.cue_text import format_timestamp
from recipe.captions.reader import Captions, read_captions

Timed = tuple[int, int, str]
"""Start and end in milliseconds, and the payload."""


def write_srt(cues: Iterable[Timed], first: int = 1) -> str:
    return "\n".join(
        f"{number}\n{stamp_srt(start_ms)} --> {stamp_srt(end_ms)}\n{text}\n"
        for number, (start_ms, end_ms, text) in enumerate(cues, start=first)
    )


def write_vtt(cues: Iterable[tuple[int, int, str] | tuple[int, int, str, str]], header: str = "") -> str:
    """A WebVTT file; a fourth field is the cue's settings."""
    blocks = [f"WEBVTT\n{header}"]
    for start_ms, end_ms, text, *settings in cues:
        timing_line = " ".join([f"{format_timestamp(start_ms)} --> {format_timestamp(end_ms)}", *settings])
        blocks.append(f"{timing_line}\n{text}\n")
    return "\n".join(blocks)


def stamp_srt(time_ms: int) -> str:
    return format_timestamp(time_ms).replace(".", ",")


def read_written(folder: Path, content: str | bytes, suffix: str = ".srt", **settings: Any) -> Captions:
    """What training reads of a file with this content; `settings` are those of `read_captions`."""
    path = folder / f"talk{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_captions(path, **settings)
