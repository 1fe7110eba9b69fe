"""What is odd about a recording as a whole: worth a look, never a loss."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from recipe.data.captions import Captions, Cue
from recipe.data.quality import capitals_share, split_words
from recipe.data.timing import OVERLAPS

if TYPE_CHECKING:
    from recipe.data.report import RecordingReport

MAX_CAPITALS_SHARE = 0.9
MAX_TINY_SHARE = 0.5
MAX_OVERLAP_SHARE = 0.25
MAX_LOST_CUES_SHARE = 0.2
MAX_LOST_AUDIO_SHARE = 0.5

TINY_MS = 500
"""A cue as short as this, or of one word, is tiny: captions a word at a time have no sentences."""


def find_flags(captions: Captions, report: "RecordingReport") -> list[str]:
    """A few words for each thing that is odd, with its figure.

    Args:
        captions: The recording's.
        report: With its cues and its audio counted.
    """
    if not captions.cues:
        return []
    return [f"{name}: {share:.0%}" for name, share, limit in _measure(captions, report) if share > limit]


def _measure(captions: Captions, report: "RecordingReport") -> Iterator[tuple[str, float, float]]:
    """Name, share in [0, 1] and limit of each thing measured."""
    # A cue is merged on purpose (rolling captions), so it is no loss.
    num_lost = sum(number for reason, number in report.lost_cues.items() if not reason.startswith("merged"))
    yield "letters in capitals", capitals_share(cue.text for cue in captions.cues), MAX_CAPITALS_SHARE
    yield "tiny cues", _tiny_share(captions.cues), MAX_TINY_SHARE
    yield "cues that overlapped", _num_overlaps(captions) / captions.num_cues_in, MAX_OVERLAP_SHARE
    yield "cues lost", num_lost / max(1, report.num_cues), MAX_LOST_CUES_SHARE
    yield "audio not used", 1 - report.kept_ms / max(1, report.audio_ms), MAX_LOST_AUDIO_SHARE


def _tiny_share(cues: Sequence[Cue]) -> float:
    return sum(cue.end_ms - cue.start_ms < TINY_MS or len(split_words(cue.text)) < 2 for cue in cues) / len(
        cues
    )


def _num_overlaps(captions: Captions) -> int:
    """Cues that were shortened, merged or dropped because another one was spoken meanwhile."""
    return sum(note.reason in OVERLAPS for note in captions.notes)
