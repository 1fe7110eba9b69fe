"""Cheap judgements of audio and text that need no model, made on every window.

Limits: reading speed after NVIDIA's recipes (3 to 21 characters a second), compression after openai/whisper
(2.4), different words after NVIDIA's (0.4). A window over a limit is flagged and kept; one that can only be
wrong has a fault, and is held back.
"""

import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.data.timeline import SAMPLES_PER_MS
from recipe.data.windows import Segment

SILENCE_DBFS = -65.0
"""Level under which nothing can be heard; telephone line noise lies near -60 dBFS, faint speech at -55."""

QUIET_DBFS = -50.0
"""Level under which a tenth of a second is not sound speech, though it may be faint speech."""

MAX_AUDIBLE_MS = 500
"""Audible sound that silence may hold in total: a click, not a word."""

FAST_CHARS_PER_SECOND = 21.0
SLOW_CHARS_PER_SECOND = 3.0
MAX_COMPRESSION_RATIO = 2.4
MAX_REPEATED_SHARE = 0.25
"""Share of three-word sequences that stood before in the window; ordinary text has under 0.15."""

MAX_ECHOED_SHARE = 0.3
"""Share of the words that only say again what was said just before. Text with each line twice has 0.5, a loop
more, and no text that people speak comes near it, not even menus and lists."""

MAX_ECHO_WORDS = 40
"""Longest stretch whose immediate repetition is looked for."""

MIN_DIFFERENT_SHARE = 0.4
MIN_WORDS = 10
"""Words from which on their variety says anything."""

MAX_QUIET_SHARE = 0.7
"""Share of the time under cues that may be quiet; speech itself has up to four tenths of pauses."""

# Scripts without spaces between words: each character counts as a word.
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_SPACELESS}]|[[\p{{L}}\p{{M}}\p{{N}}'\u2019]--[{_SPACELESS}]]+", regex.V1)


@dataclass(frozen=True, slots=True)
class WindowQuality:
    """What can be said of a window without a model.

    Attributes:
        chars_per_second: Reading speed over the time under its cues.
        compression_ratio: See `compression_ratio`.
        flags: What is odd, a few words each.
        doubt: The worst measure over its limit: 1 at the limit, more beyond it; 0 for silence.
        fault: Why the window must be held back, or "".
    """

    chars_per_second: float = 0.0
    compression_ratio: float = 0.0
    flags: tuple[str, ...] = ()
    doubt: float = 0.0
    fault: str = ""


def measure_window(segments: Sequence[Segment], samples: npt.NDArray[np.int16]) -> WindowQuality:
    """Judge a window.

    Args:
        segments: Its texts.
        samples: Its audio, int16 at 16 kHz, shape (num_samples,).
    """
    spans = [(s.start_ms, s.end_ms) for s in segments if s.end_ms is not None]
    if not spans:
        return WindowQuality()
    text = " ".join(s.text for s in segments if s.end_ms is not None)
    words = split_words(text)
    speed = chars_per_second(text, sum(end_ms - start_ms for start_ms, end_ms in spans))
    compression, repeated = compression_ratio(text), repeated_share(words)
    doubts = {
        "very fast": speed / FAST_CHARS_PER_SECOND,
        "few words for its time": 2 - speed / SLOW_CHARS_PER_SECOND,
        "compresses well": compression / MAX_COMPRESSION_RATIO,
        "repeats itself": repeated / MAX_REPEATED_SHARE,
        "few different words": MIN_DIFFERENT_SHARE / different_share(words),
        "little sound under its words": quiet_share(samples, spans) / MAX_QUIET_SHARE,
    }
    return WindowQuality(
        chars_per_second=speed,
        compression_ratio=compression,
        flags=tuple(name for name, doubt in doubts.items() if doubt > 1),
        doubt=max(doubts.values()),
        fault="each thing is said twice or more" if echoed_share(words) > MAX_ECHOED_SHARE else "",
    )


def chars_per_second(text: str, duration_ms: int) -> float:
    """Reading speed of a text; 0 for no time."""
    return len(text) * 1000 / duration_ms if duration_ms > 0 else 0.0


def compression_ratio(text: str) -> float:
    """How many times shorter zlib makes the text; over 2.4 it repeats itself (openai/whisper). 0 if empty.

    A character is one byte here, its place in its row of Unicode: in UTF-8 the two or three bytes of
    other alphabets share their beginnings, and ordinary Hindi or Thai would seem to repeat itself.
    """
    data = bytes(ord(character) & 0xFF for character in text)
    return len(data) / len(zlib.compress(data)) if data else 0.0


def split_words(text: str) -> list[str]:
    """The words without case and punctuation; characters where a script has no spaces."""
    words: list[str] = _WORD.findall(text.casefold())
    return words


def repeated_share(words: Sequence[str]) -> float:
    """Share of the three-word sequences that stood before, in [0, 1); 0 for few words."""
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if len(words) >= MIN_WORDS else 0.0


def echoed_share(words: Sequence[str]) -> float:
    """Share of the words that repeat the stretch right before them, in [0, 1); 0 for few words."""
    num_words = len(words)
    is_echo = bytearray(num_words)
    for period in range(1, min(num_words // 2, MAX_ECHO_WORDS) + 1):
        num_same = 0
        for index in range(period, num_words):
            num_same = num_same + 1 if words[index] == words[index - period] else 0
            if num_same >= period:
                is_echo[index - period + 1 : index + 1] = b"\1" * period
    return sum(is_echo) / num_words if num_words >= MIN_WORDS else 0.0


def different_share(words: Sequence[str]) -> float:
    """Share of the words that differ from all others before them, in (0, 1]; 1 for few words.

    Characters of scripts without spaces recur by nature, so there it is 1 too.
    """
    num_single = sum(len(word) == 1 for word in words)
    if len(words) < MIN_WORDS or num_single > len(words) / 2:
        return 1.0
    return len(set(words)) / len(words)


def quiet_share(samples: npt.NDArray[np.int16], spans_ms: Sequence[tuple[int, int]]) -> float:
    """Share of the time in `spans_ms` that is under `QUIET_DBFS`, in [0, 1]."""
    levels = _levels(samples)
    under = np.zeros(len(levels), dtype=bool)
    for start_ms, end_ms in spans_ms:
        under[start_ms // 100 : -(-end_ms // 100)] = True
    return float((levels[under] < QUIET_DBFS).mean()) if under.any() else 0.0


def is_silent(samples: npt.NDArray[np.int16]) -> bool:
    """True if hardly anything can be heard.

    Args:
        samples: int16 at 16 kHz, shape (num_samples,).
    """
    return int((_levels(samples) > SILENCE_DBFS).sum()) * 100 <= MAX_AUDIBLE_MS


def _levels(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Level of each tenth of a second in dBFS, float32, shape (num_samples // 1600,)."""
    length = 100 * SAMPLES_PER_MS
    frames = samples[: len(samples) // length * length].reshape(-1, length)
    levels = np.empty(len(frames), dtype=np.float32)
    for start in range(0, len(frames), 600):  # a minute at a time, so that floats take no memory to speak of
        block = frames[start : start + 600].astype(np.float32) / 32768
        levels[start : start + 600] = 10 * np.log10(np.einsum("fs,fs->f", block, block) / length + 1e-12)
    return levels


def capitals_share(texts: Iterable[str]) -> float:
    """Share of the letters with a case that are capitals, in [0, 1]; 0 where no letter has one."""
    num_upper = num_lower = 0
    for text in texts:
        num_upper += sum(map(str.isupper, text))
        num_lower += sum(map(str.islower, text))
    return num_upper / (num_upper + num_lower) if num_upper else 0.0


def count_scripts(texts: Iterable[str]) -> dict[str, int]:
    """Letters by script, most first: {"LATIN": 812, "GREEK": 3}."""
    characters = Counter(character for text in texts for character in text if character.isalpha())
    scripts: Counter[str] = Counter()
    for character, number in characters.items():
        scripts[_script_of(character)] += number
    return dict(scripts.most_common())


@lru_cache(maxsize=65_536)
def _script_of(character: str) -> str:
    """The first word of the character's Unicode name, which is its script's but for "CJK UNIFIED"."""
    return unicodedata.name(character, "UNKNOWN").split()[0]
