"""The marks that speech recognisers leave in the captions of video sites, without a model."""

from __future__ import annotations

import re
from pathlib import Path

from recipe.captions.encodings import detect_unicode
from recipe.captions.repair import find_timing_line
from recipe.captions.rolling import FILLER_MS
from recipe.captions.webvtt import ARROW, parse_timings, split_lines

MAX_BYTES = 1 << 16
"""Beginning of a file that is looked at: some two hundred cues."""

MIN_CUES = 4
"""Cues from which on the marks say anything."""

MIN_SHARE = 0.25
"""Share of the cues with a mark: every second cue of rolling captions is a filler, or has inline times."""

_INLINE_TIME = re.compile(r"<(?:\d+:)?\d\d:\d\d[.,]\d{3}>")

_CONFIDENCE = re.compile(
    r'"(?:acAsrConf|avg_logprob|no_speech_prob|word_segments|probability)"\s*:|"transcription"\s*:\s*\['
    r"|<s\b[^>]*\bac="
)
"""What recognisers write into JSON and XML beside the words."""


def is_machine_made(path: Path) -> bool:
    """Tell whether captions are timed word by word, or roll with fillers, as only recognisers write them.

    Captions of a recogniser that were cleaned, or never had the marks, are not told.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError:
        return False
    text = data.decode(detect_unicode(data) or "latin-1", errors="replace")
    if _CONFIDENCE.search(text):
        return True
    lines = split_lines(text)
    if find_timing_line(lines) is None:
        return False
    num_cues = sum(ARROW in line for line in lines)
    num_timed = sum(bool(_INLINE_TIME.search(line)) for line in lines)
    num_fillers = sum(_is_filler(line) for line in lines if ARROW in line)
    return num_cues >= MIN_CUES and max(num_timed, num_fillers) >= MIN_SHARE * num_cues


def _is_filler(timing_line: str) -> bool:
    timings = parse_timings(timing_line.replace(",", "."))
    return timings is not None and 0 < timings[1] - timings[0] <= FILLER_MS
