"""What the benchmark trains and measures on, beside the recordings as they are."""

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
from recipe.data.manifest import list_folder, locate_files, pair_recordings

MAX_LONG_CUE_MS = 29_000
"""Longest cue that others are merged into; a second under the model's input."""


def write_long_cues(data_dir: Path, output_dir: Path) -> Path:
    """A copy of the recordings whose consecutive cues are merged into cues of 20 to 29 s."""
    output_dir.mkdir(parents=True, exist_ok=True)
    entries = list_folder(data_dir)
    for recording in pair_recordings(entries, locate_files(data_dir, entries)):
        audio, captions = recording.audio.path, recording.transcript.path
        if audio and captions:
            shutil.copyfile(audio, output_dir / audio.name)
            merged = merge_cues(read_captions(captions).cues)
            (output_dir / f"{audio.stem}.vtt").write_text(format_webvtt(list(merged)), encoding="utf-8")
    return output_dir


def merge_cues(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Each cue with as many of the following ones as fit."""
    merged: Cue | None = None
    for cue in cues:
        if merged and cue.end_ms - merged.start_ms <= MAX_LONG_CUE_MS:
            text = f"{merged.text} {cue.text}"
            merged = replace(merged, end_ms=cue.end_ms, text=text, payload=text, words=())
            continue
        if merged:
            yield merged
        merged = cue
    if merged:
        yield merged


def isolate_cues(windows: Dataset) -> Dataset:
    """Each cue of the windows as an example of its own: its audio and nothing around it."""
    return Dataset.from_list([cue for window in windows for cue in cut_cues(window)])


def cut_cues(window: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The examples of one window's whole cues."""
    samples = decode_flac(window["audio"]["bytes"])
    for segment in window["segments"]:
        start_ms, end_ms = segment["start_ms"], segment["end_ms"]
        if end_ms is None:
            continue
        sound = samples[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS]
        yield {
            "recording": window["recording"],
            "language": window["language"],
            "start_ms": window["start_ms"] + start_ms,
            "end_ms": window["start_ms"] + end_ms,
            "audio": {"bytes": encode_flac((sound * 32768).astype(np.int16)), "path": None},
            "segments": [{"start_ms": 0, "end_ms": end_ms - start_ms, "text": segment["text"]}],
        }
