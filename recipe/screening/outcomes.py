"""What became of captions that were to be given times, in sentences for the dataset report and the user."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from recipe.captions.cue_text import format_timestamp
from recipe.data.report import ALIGNED_UNCERTAINLY, MAX_NOTES, RETIMED
from recipe.run.warning import DataWarning, Importance
from recipe.screening.alignment import Alignment

MIN_FOUND = 0.5
"""Fraction of the text's words that must be found, or of the words spoken that the text must have."""

FLAGGED_CONFIDENCE = 0.5
"""A cue with fewer of its words recognised is uncertain; it is trained, and named in the report."""

RETIMED_BY = "its captions were re-timed by "
"""How the note on a re-timed file begins."""


@dataclass(frozen=True)
class Outcome:
    """What became of one recording's captions.

    Attributes:
        captions_hash: SHA-256 of the WebVTT that was made; "" if none was.
        problem: Why the text cannot be used, or "".
        notes: What was done, a sentence each, for the dataset report.
        is_retimed: Whether loose captions got other times.
        num_words: Words of a text.
        num_used: Those that are in cues.
        confidences: Of each cue that was made, in order.
        lost_ms: Where a voice speaks without words.
        is_lasting: False if it was not the files that failed: the next attempt tries again.
    """

    captions_hash: str = ""
    problem: str = ""
    notes: list[str] = field(default_factory=list)
    is_retimed: bool = False
    num_words: int = 0
    num_used: int = 0
    confidences: list[float] = field(default_factory=list)
    lost_ms: list[tuple[int, int]] = field(default_factory=list)
    is_lasting: bool = True


def find_mismatch(alignment: Alignment) -> str:
    """Why a text cannot be that of its recording, or ""."""
    of_text = alignment.num_used / max(1, alignment.num_words)
    of_speech = alignment.num_matched / max(1, alignment.num_transcribed)
    if max(of_text, of_speech) >= MIN_FOUND:
        return ""
    return (
        f"its text does not match its audio: {of_text:.0%} of the {alignment.num_words} words were found in "
        f"it, and it has {of_speech:.0%} of the words that the base model recognises; expected half of "
        "either. See that the text is what is said there, in the language that is set"
    )


def describe_alignment(alignment: Alignment, notes: list[str]) -> Outcome:
    """The outcome of captions that were aligned."""
    return Outcome(
        notes=notes,
        num_words=alignment.num_words,
        num_used=alignment.num_used,
        confidences=[round(cue.confidence, 3) for cue in alignment.cues],
        lost_ms=list(alignment.lost_ms),
    )


def list_flags(outcome: Outcome) -> Iterator[str]:
    """What is odd about a recording's captions, with its figure, for the report."""
    num_uncertain = sum(confidence < FLAGGED_CONFIDENCE for confidence in outcome.confidences)
    if outcome.is_retimed:
        yield f"{RETIMED}: {outcome.notes[0].removeprefix(RETIMED_BY)}"
    elif num_uncertain:
        yield f"{ALIGNED_UNCERTAINLY}: {num_uncertain / len(outcome.confidences):.0%}"


def note_alignment(alignment: Alignment) -> Iterator[str]:
    """How well a text was found, and which cues are uncertain."""
    lost_seconds = sum(end_ms - start_ms for start_ms, end_ms in alignment.lost_ms) / 1000
    uncertain = [cue for cue in alignment.cues if cue.confidence < FLAGGED_CONFIDENCE]
    yield (
        f"aligned by the base model: {alignment.num_used} of {alignment.num_words} words are in cues, "
        f"{alignment.num_matched} were recognised; {lost_seconds:.1f} s of speech are without words; "
        f"pieces of text left out: {len(alignment.left_out)}; cues that are uncertain: {len(uncertain)}"
    )
    for line, text in alignment.left_out[:MAX_NOTES]:
        yield f"line {line}: left out: it was not found in the audio: {text[:60]}"
    for cue in uncertain[:MAX_NOTES]:
        yield (
            f"{format_timestamp(cue.start_ms)}: uncertain: {cue.confidence:.0%} of its words were "
            f"recognised: {cue.text[:60]}"
        )


def list_warnings(outcomes: dict[str, Outcome]) -> Iterator[str]:
    """What the user should know of all recordings; the dataset report has each one's notes."""
    aligned = [outcome for outcome in outcomes.values() if outcome.num_words and not outcome.is_retimed]
    if aligned:
        used = sum(outcome.num_used for outcome in aligned) / sum(outcome.num_words for outcome in aligned)
        yield DataWarning(
            f"Plain text of {len(aligned)} recordings was aligned by the base model: {used:.0%} of its words "
            "are used. Captions with times, where you have them, are better.",
            Importance.CHOSEN,
        )
    retimed = {name: outcome.notes[0] for name, outcome in outcomes.items() if outcome.is_retimed}
    if retimed:
        shown = "; ".join(f"{name}: {note}" for name, note in list(retimed.items())[:10])
        more = f"; and {len(retimed) - 10} more" if len(retimed) > 10 else ""
        yield DataWarning(
            f"Captions of {len(retimed)} recordings were loose and were re-timed ({shown}{more}).",
            Importance.CHOSEN,
            (),
        )
