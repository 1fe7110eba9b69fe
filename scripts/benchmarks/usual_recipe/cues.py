"""What both recipes train and are measured on, beside the recordings as they are."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from recipe.audio.decoding import decode_flac, encode_flac
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.captions.reader import Cue, format_webvtt, read_captions
from recipe.data.sounds import read_flac
from recipe.data.sources import list_recordings
from recipe.data.windows import segments_of

MAX_LONG_CUE_MS = 29_000
"""Longest cue that others are merged into; a second under the model's input."""


def write_long_cues(data_dir: Path, output_dir: Path) -> Path:
    """A copy of the recordings whose consecutive cues are merged into cues of 20 to 29 s."""
    output_dir.mkdir(parents=True, exist_ok=True)
    for recording in list_recordings(data_dir):
        audio, captions = recording.audio.path, recording.transcript.path
        if audio and captions:
            shutil.copyfile(audio, output_dir / audio.name)
            merged = merge_cues(read_captions(captions).cues)
            (output_dir / f"{audio.stem}.vtt").write_text(format_webvtt(merged), encoding="utf-8")
    return output_dir


def merge_cues(cues: Sequence[Cue]) -> list[Cue]:
    """Each cue with as many of the following ones as fit."""
    merged: list[Cue] = []
    for cue in cues:
        if merged and cue.end_ms - merged[-1].start_ms <= MAX_LONG_CUE_MS:
            text = f"{merged[-1].text} {cue.text}"
            merged[-1] = replace(merged[-1], end_ms=cue.end_ms, text=text, payload=text, words=())
        else:
            merged.append(cue)
    return merged


def isolate_cues(windows: Dataset) -> Dataset:
    """Each whole cue of the windows as an example of its own: its audio and nothing around it."""
    return Dataset.from_list([cue for window in windows for cue in cut_cues(window)])


def cut_cues(window: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The examples of one window's whole cues."""
    samples = decode_flac(read_flac(window["audio"]))
    for segment in segments_of(window):
        if segment.end_ms is None:
            continue
        sound = samples[segment.start_ms * SAMPLES_PER_MS : segment.end_ms * SAMPLES_PER_MS]
        alone = {"start_ms": 0, "end_ms": segment.end_ms - segment.start_ms, "text": segment.text}
        yield {
            "recording": window["recording"],
            "language": window["language"],
            "start_ms": window["start_ms"] + segment.start_ms,
            "end_ms": window["start_ms"] + segment.end_ms,
            "audio": {"bytes": encode_flac((sound * 32768).astype(np.int16))},
            "segments": [alone],
        }
