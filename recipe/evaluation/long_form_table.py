"""What people are shown of recordings that were transcribed whole or in cuts: on page, card and console."""

from collections.abc import Iterator, Mapping
from typing import Any

VIEW_TITLES = {"whole": "Whole recordings", "cuts": "Cuts of 30 seconds"}
"""What the views of `recipe.evaluation.long_form_scores` are called."""

LONG_FORM_ROWS = {
    "wer_normalized": ("WER, normalized", ".2%"),
    "wer": ("WER", ".2%"),
    "cer_normalized": ("CER, normalized", ".2%"),
    "start_error_median_ms": ("Cue starts off by, median, ms", ".0f"),
    "start_error_p90_ms": ("Cue starts off by, 90th percentile, ms", ".0f"),
    "starts_within_200_ms": ("Cue starts within 0.2 s", ".0%"),
    "words_on_silence": ("Words on a minute of silence", "d"),
    "words_on_noise": ("Words on a minute of noise", "d"),
    "words_on_music": ("Words on a minute of music", "d"),
    "num_loops": ("Loops", "d"),
}
"""Label and form of the figures that people are shown, in their order."""


def tabulate(long_form: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Label, and figure before and after, of those of `LONG_FORM_ROWS` that a comparison's summary has."""
    before, after = long_form["before"], long_form["after"]
    for name, (label, form) in LONG_FORM_ROWS.items():
        if name in before:
            yield label, format(before[name], form), format(after[name], form)


def describe_view(long_form: Mapping[str, Any]) -> str:
    """What was transcribed, and how, in a sentence; from a comparison's summary."""
    number = long_form["num_recordings"]
    minutes = f"{long_form['audio_seconds'] / 60:.1f} min of {number} test recording{'s' * (number != 1)}"
    if long_form["view"] == "whole":
        return f"{minutes}, whole, through faster-whisper as people use the model: greedy, its own windows."
    return f"{minutes}, cut every 30 seconds wherever that falls, not where the captions begin and end."


def describe_word_times(long_form: Mapping[str, Any]) -> str:
    """How far off word times are at the starts of cues, in a sentence; "" where that was not measured."""
    times = long_form.get("word_times")
    if not times:
        return ""
    kinds = {"before": "the base model", "with_base_heads": "this model by its heads", "after": "this model"}
    if times["with_base_heads"] == times["after"]:
        del kinds["with_base_heads"]
    figures = "; ".join(
        f"{name} {times[kind]['start_error_median_ms']:.0f} ms (median), "
        f"{times[kind]['start_error_p90_ms']:.0f} ms (90th percentile), "
        f"{times[kind]['starts_within_200_ms']:.0%} within 0.2 s, "
        f"{times[kind]['misses_within_200_ms']:.0%} with the pause before the cue"
        for kind, name in kinds.items()
    )
    number = times["after"]["num_cues"]
    return (
        f"Word times at the starts of {number} cues inside up to {times['max_windows']} windows: {figures}."
    )
