"""Timed text that is for programs: a player's preview images, metadata, addresses. Nobody says it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from recipe.captions.cues import Cue, shorten
from recipe.errors import CaptionError

MAX_FRACTION = 0.5
"""Of a file's payloads may be for programs; a speaker may well show an address or an object."""

MIN_DATA_CHARS = 100
"""Of base64 or the like without a space; no word is as long."""

_KINDS = {
    "preview images": re.compile(
        r"[^\n]*(?:#xywh=[a-z0-9:,.]+|\.(?:jpe?g|png|webp|gif|avif|bmp)(?:[?#]\S*)?)|data:image/\S+",
        re.IGNORECASE,
    ),
    "addresses": re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.|/[^\s/]+/)\S+", re.IGNORECASE),
    "data": re.compile(
        rf"(?=\S*[0-9])(?=\S*[a-z])(?=\S*[A-Z])[A-Za-z0-9+/_=-]{{{MIN_DATA_CHARS},}}(?:\n\S+)*"
    ),
}


def check_payloads(name: str, cues: Sequence[Cue]) -> None:
    """Check that a file's cues hold text for people.

    Raises:
        CaptionError: if most of them do not.
    """
    payloads = [cue.payload.strip() for cue in cues if cue.payload.strip()]
    kinds = Counter(filter(None, map(_kind_of, payloads)))
    if 0 < kinds.total() > MAX_FRACTION * len(payloads):
        example = next(payload for payload in payloads if _kind_of(payload))
        raise CaptionError(
            f"{name}: it holds {kinds.most_common(1)[0][0]}, not captions: {kinds.total()} of "
            f"{len(payloads)} cues are as {shorten(example)!r}. Captions of what is said were "
            "expected; leave this file out."
        )


def _kind_of(payload: str) -> str:
    """Return what kind of payload for programs it is; "" for text."""
    if payload.startswith(("{", "[")) and _is_json(payload):
        return "metadata (JSON)"
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(payload)), "")


def _is_json(payload: str) -> bool:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return re.match(r'[\[{\s]*\{\s*"[^"\n]*"\s*:', payload) is not None
    items = value if isinstance(value, list) else [value]
    return any(item and isinstance(item, dict) for item in items)
