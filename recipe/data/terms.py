"""What the figures and flags of the dataset report mean, from where they are bad, and what mends them."""

from dataclasses import dataclass

from recipe.captions.capitals import CAPITALS_FRACTION
from recipe.captions.scripts import MIN_FOREIGN_FRACTION
from recipe.data.quality import (
    FAST_CHARS_PER_SECOND,
    MAX_COMPRESSION_RATIO,
    MAX_ECHOED_FRACTION,
    MAX_LOST_AUDIO_FRACTION,
    MAX_LOST_CUES_FRACTION,
    MAX_OVERLAP_FRACTION,
    MAX_QUIET_FRACTION,
    MAX_REPEATED_FRACTION,
    MAX_TINY_FRACTION,
    MIN_DIFFERENT_FRACTION,
    NO_VOICE,
    SAID_AGAIN,
    SLOW_CHARS_PER_SECOND,
    TINY_MS,
)
from recipe.data.report import ALIGNED_UNCERTAINLY, MACHINE_MADE, RETIMED
from recipe.data.split import BOTH_SIDES, GUARD, NO_WORDS, TOLD_IN_BOTH
from recipe.data.validation import GUARD_MS
from recipe.data.windows import MAX_LABEL_TOKENS, WINDOW_MS


@dataclass(frozen=True)
class Term:
    """A figure or a flag.

    Attributes:
        meaning: What it says, in which unit, and from where it is bad: a sentence.
        mend: What to do about it; "" where it is no fault.
    """

    meaning: str
    mend: str = ""


_SET_TIMES = "Move the captions to where they are spoken, or remove those that nobody says."
_WRITTEN_AGAIN = "Export the captions again, with each line once."

FIGURES = {
    "window_seconds": Term(f"Seconds of audio in a window; {WINDOW_MS // 1000} is the model's input."),
    "label_tokens": Term(
        f"Tokens that a window's words and times become; the decoder holds {MAX_LABEL_TOKENS}."
    ),
    "chars_per_second": Term(
        f"Characters of text a second under a window's cues; below {SLOW_CHARS_PER_SECOND:g} or above "
        f"{FAST_CHARS_PER_SECOND:g} words or times are likely wrong."
    ),
    "severity": Term("A window's worst figure over its limit; from 1 on the window is flagged."),
    "kept": Term("Share of a recording's audio that is in windows; the rest has its reason above."),
}
"""By name of the figure."""

WINDOW_FLAGS = {
    "very fast": Term(
        f"Over {FAST_CHARS_PER_SECOND:g} characters a second under its cues: too many words for their time.",
        "Mend the times of its cues, or words that are not said there.",
    ),
    "few words for its time": Term(
        f"Under {SLOW_CHARS_PER_SECOND:g} characters a second under its cues: words may be missing.",
        "Add the missing words, or end each cue where its words end.",
    ),
    "compresses well": Term(
        f"zlib makes its text over {MAX_COMPRESSION_RATIO:g} times shorter: it repeats itself.",
        _WRITTEN_AGAIN,
    ),
    "repeats itself": Term(
        f"Over {MAX_REPEATED_FRACTION:.0%} of its three-word sequences stood before in it; ordinary text has "
        "under 15%.",
        _WRITTEN_AGAIN,
    ),
    "few different words": Term(
        f"Under {MIN_DIFFERENT_FRACTION:.0%} of its words differ from those before them.", _WRITTEN_AGAIN
    ),
    "little sound under its words": Term(
        f"Over {MAX_QUIET_FRACTION:.0%} of the time under its cues is quiet; speech has up to 40%.",
        _SET_TIMES,
    ),
}

FAULTS = {
    SAID_AGAIN: Term(
        f"Over {MAX_ECHOED_FRACTION:.0%} of its words repeat what stands right before them, or much stands "
        "three times; it is not used.",
        _WRITTEN_AGAIN,
    ),
    NO_VOICE: Term(
        "The voice detector finds no voice where its words should be; it is not used.", _SET_TIMES
    ),
}

RECORDING_FLAGS = {
    MACHINE_MADE: Term(
        "Its captions are another model's words, whose mistakes are learnt as if they were said.",
        "Have a person correct them, or leave them out: --auto_captions skip.",
    ),
    RETIMED: Term(
        "Its captions were late, early or drifting by so much, and the base model moved them.",
        "Play some of its windows; correct the times of the captions if they do not fit.",
    ),
    ALIGNED_UNCERTAINLY: Term(
        "Share of the cues made from plain text of whose words the base model recognised fewer than half.",
        "Compare the text with what is said; bring captions with times if there are any.",
    ),
    "letters in capitals": Term(
        f"Share of the letters that are capitals; above {CAPITALS_FRACTION:.0%} the model learns to shout.",
        "Bring captions in ordinary spelling, if there are any.",
    ),
    "letters of another script": Term(
        f"Share of the letters that the language is not written in; above {MIN_FOREIGN_FRACTION:.0%} another "
        "language is likely.",
        "See that the captions are in the recording's language; tag them (talk.fr.vtt) or set --language.",
    ),
    "tiny cues": Term(
        f"Share of the cues of one word or under {TINY_MS / 1000:g} s; above {MAX_TINY_FRACTION:.0%} it "
        "has no sentences.",
        "Export the captions by sentences or lines, not by words.",
    ),
    "cues that overlapped": Term(
        f"Share of the cues shown while another was; above {MAX_OVERLAP_FRACTION:.0%} voices or lines mix.",
        "Export the captions with one line at a time.",
    ),
    "cues lost": Term(
        f"Share of the cues that are in no window; above {MAX_LOST_CUES_FRACTION:.0%} the file may be wrong.",
        "Mend the cues that its notes or its faulty windows name.",
    ),
    "audio not used": Term(
        f"Share of the audio that is in no window; above {MAX_LOST_AUDIO_FRACTION:.0%} captions are likely "
        "missing.",
        "Caption the rest, if something is said there.",
    ),
}
"""By the flag's name, which its figure follows after a colon."""

UNUSED = {
    BOTH_SIDES: Term("Held-out window whose words are trained too: it would flatter the error rate."),
    TOLD_IN_BOTH: Term("Window to choose by whose words are in the test: it would choose by the test."),
    NO_WORDS: Term("Held-out window of silence: an error rate counts words."),
    GUARD: Term(f"Window within {GUARD_MS // 1000} s of the held-out end of the same recording."),
}

OUTCOMES = {
    "speech": Term("Trained, or held out, with its words."),
    "silence": Term("Trained as silence: without a voice or without sound, its words are not learnt."),
    "skipped": Term("Not used at all; the reason says why."),
}

TERMS = FIGURES | WINDOW_FLAGS | FAULTS | RECORDING_FLAGS | UNUSED | OUTCOMES


def name_of(flag: str) -> str:
    """The name of a flag, without its figure."""
    return flag.partition(":")[0]
