"""Cheap judgements of audio and text that need no model: of each window, and of a recording as a whole.

Limits: reading speed after NVIDIA's recipes (3 to 21 characters a second), compression after openai/whisper
(2.4), different words after NVIDIA's (0.4). A window over a limit is flagged and kept; one that can only be
wrong has a fault, and is not used.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex  # type: ignore[import-untyped]  # the package ships no types

from recipe.audio.levels import quiet_fraction
from recipe.captions.capitals import CAPITALS_FRACTION, capitals_fraction
from recipe.captions.cues import Cue
from recipe.captions.reader import Captions
from recipe.captions.scripts import MIN_FOREIGN_FRACTION, foreign_fraction
from recipe.captions.timing import OVERLAPS
from recipe.data.report import RecordingReport
from recipe.data.windows import Segment, text_of

SAID_AGAIN = "each thing is said twice or more"
NO_VOICE = "there is no voice under its words"
"""The faults that a window may have."""

FAST_CHARS_PER_SECOND = 21.0
SLOW_CHARS_PER_SECOND = 3.0
MAX_COMPRESSION_RATIO = 2.4
MAX_REPEATED_FRACTION = 0.25
"""Fraction of three-word sequences that stood before in the window; ordinary text has under 0.15."""

MAX_ECHOED_FRACTION = 0.45
"""Fraction of the words that only repeat what was said just before. Text with each line twice has 0.5; a
refrain may have 0.4."""

MAX_LOOPED_FRACTION = 0.3
"""Fraction of the words that repeat what was said twice just before. A loop has more, and no text that people
speak comes near it, not even menus and lists."""

MAX_ECHO_WORDS = 40
"""Longest stretch whose immediate repetition is looked for."""

MIN_DIFFERENT_FRACTION = 0.4
MIN_WORDS = 10
"""Words from which on their variety says anything."""

MAX_QUIET_FRACTION = 0.7
"""Fraction of the time under cues that may be quiet; speech itself has up to four tenths of pauses."""

MAX_TINY_FRACTION = 0.5
MAX_OVERLAP_FRACTION = 0.25
MAX_LOST_CUES_FRACTION = 0.2
MAX_LOST_AUDIO_FRACTION = 0.5

TINY_MS = 500
"""A cue as short as this, or of one word, is tiny: captions a word at a time have no sentences."""

SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts without spaces between words: each character counts as a word."""

_WORD = regex.compile(rf"[{SPACELESS}]|[[\p{{L}}\p{{M}}\p{{N}}'\u2019]--[{SPACELESS}]]+", regex.V1)


@dataclass(frozen=True, slots=True)
class WindowQuality:
    """What can be said of a window without a model.

    Attributes:
        chars_per_second: Reading speed over the time under its cues.
        compression_ratio: See `compression_ratio`.
        flags: What is odd, a few words each.
        severity: The worst measure over its limit: 1 at the limit, more beyond it; 0 for silence.
        fault: Why the window must not be used, or "".
    """

    chars_per_second: float = 0.0
    compression_ratio: float = 0.0
    flags: tuple[str, ...] = ()
    severity: float = 0.0
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
    text = text_of(segments)
    words = split_words(text)
    speed = chars_per_second(text, sum(end_ms - start_ms for start_ms, end_ms in spans))
    severities = measure_severities(text, speed, quiet_fraction(samples, spans))
    return WindowQuality(
        chars_per_second=speed,
        compression_ratio=compression_ratio(text),
        flags=tuple(name for name, severity in severities.items() if severity > 1),
        severity=max(severities.values()),
        fault=SAID_AGAIN if _is_said_again(words) else "",
    )


def measure_severities(text: str, speed: float, quiet: float) -> dict[str, float]:
    """Each figure of a window over its limit, by the flag that it has beyond 1.

    Args:
        text: Of the window.
        speed: Characters a second.
        quiet: Fraction of the time under its cues that is quiet.
    """
    words = split_words(text)
    return {
        "very fast": speed / FAST_CHARS_PER_SECOND,
        "few words for its time": 2 - speed / SLOW_CHARS_PER_SECOND,
        "compresses well": compression_ratio(text) / MAX_COMPRESSION_RATIO,
        "repeats itself": repeated_fraction(words) / MAX_REPEATED_FRACTION,
        "few different words": MIN_DIFFERENT_FRACTION / different_fraction(words),
        "little sound under its words": quiet / MAX_QUIET_FRACTION,
    }


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


def repeated_fraction(words: Sequence[str]) -> float:
    """Fraction of the three-word sequences that stood before, in [0, 1); 0 for few words."""
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if len(words) >= MIN_WORDS else 0.0


def _is_said_again(words: Sequence[str]) -> bool:
    """Tell whether each thing is said twice, or much of it three times and more."""
    return (
        echoed_fraction(words) > MAX_ECHOED_FRACTION
        or echoed_fraction(words, num_before=2) > MAX_LOOPED_FRACTION
    )


def echoed_fraction(words: Sequence[str], num_before: int = 1) -> float:
    """Fraction of the words that repeat the stretch right before them, in [0, 1); 0 for few words.

    Args:
        words: Of a text.
        num_before: How often the stretch must stand before them, one after the other.
    """
    num_words = len(words)
    is_echo = bytearray(num_words)
    for period in range(1, min(num_words // 2, MAX_ECHO_WORDS) + 1):
        num_same = 0
        for index in range(period, num_words):
            num_same = num_same + 1 if words[index] == words[index - period] else 0
            if num_same >= num_before * period:
                is_echo[index - period + 1 : index + 1] = b"\1" * period
    return sum(is_echo) / num_words if num_words >= MIN_WORDS else 0.0


def different_fraction(words: Sequence[str]) -> float:
    """Fraction of the words that differ from all others before them, in (0, 1]; 1 for few words.

    Characters of scripts without spaces recur by nature, so there it is 1 too.
    """
    num_single = sum(len(word) == 1 for word in words)
    if len(words) < MIN_WORDS or num_single > len(words) / 2:
        return 1.0
    return len(set(words)) / len(words)


def find_flags(captions: Captions, report: RecordingReport, language: str | None = None) -> list[str]:
    """A few words for each thing that is odd, with its figure.

    Args:
        captions: The recording's.
        report: With its cues and its audio counted.
        language: Code of the captions' language, if known.
    """
    if not captions.cues and not captions.lost_speech_ms:
        return []
    measures = measure_recording(captions, report, language)
    return [f"{name}: {value:.0%}" for name, value, limit in measures if value > limit]


def measure_recording(
    captions: Captions, report: RecordingReport, language: str | None
) -> Iterator[tuple[str, float, float]]:
    """Name, fraction and limit of each thing measured."""
    # A cue is merged on purpose (rolling captions), so it is no loss.
    num_lost = sum(number for reason, number in report.lost_cues.items() if not reason.startswith("merged"))
    yield "letters in capitals", capitals_fraction(cue.text for cue in captions.cues), CAPITALS_FRACTION
    yield "letters of another script", _foreign_fraction(captions.cues, language), MIN_FOREIGN_FRACTION
    yield "tiny cues", _tiny_fraction(captions.cues), MAX_TINY_FRACTION
    yield "cues that overlapped", _num_overlaps(captions) / captions.num_cues_in, MAX_OVERLAP_FRACTION
    yield "cues lost", num_lost / max(1, report.num_cues), MAX_LOST_CUES_FRACTION
    yield "audio not used", 1 - report.kept_ms / max(1, report.audio_ms), MAX_LOST_AUDIO_FRACTION


def _foreign_fraction(cues: Sequence[Cue], language: str | None) -> float:
    return foreign_fraction((cue.text for cue in cues), language) if language else 0.0


def _tiny_fraction(cues: Sequence[Cue]) -> float:
    num_tiny = sum(cue.end_ms - cue.start_ms < TINY_MS or len(split_words(cue.text)) < 2 for cue in cues)
    return num_tiny / max(1, len(cues))


def _num_overlaps(captions: Captions) -> int:
    """Cues that were shortened, merged or dropped because another one was spoken meanwhile."""
    return sum(note.reason in OVERLAPS for note in captions.notes)
