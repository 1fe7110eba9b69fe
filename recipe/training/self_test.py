"""A run that needs nothing: a tiny random model, synthetic sound, two updates. Proves that a worker works."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recipe.audio.decoding import encode_flac
from recipe.audio.resampling import SAMPLE_RATE
from recipe.captions.cues import Cue
from recipe.captions.webvtt import format_webvtt
from recipe.model.tiny import build_tiny_whisper
from recipe.run.folder import RunFolder
from recipe.training.arguments import Arguments

NUM_RECORDINGS = 3
NUM_CUES = 8
CUE_MS = 4_000


def prepare_self_test(arguments: Arguments) -> Arguments:
    """The same arguments, on data and a model that are made here, for two updates."""
    folder = RunFolder(Path(arguments.training.output_dir)).self_test
    data_dir = folder / "recordings"
    data_dir.mkdir(parents=True, exist_ok=True)
    for number in range(NUM_RECORDINGS):
        pitches = np.random.default_rng(number).integers(200, 2000, size=NUM_CUES).tolist()
        texts = [f"a tone of {pitch} hertz" for pitch in pitches]
        write_tones(data_dir / f"tones-{number}", pitches, texts, CUE_MS)
    arguments.training.max_steps = 2
    return arguments._replace(
        source=replace(arguments.source, data_dir=str(data_dir)),
        publish=replace(arguments.publish, publish_if_worse=True),  # the worker is tried, not the model
        model=replace(
            arguments.model,
            model_name_or_path=str(build_tiny_whisper(folder / "model")),
            model_revision=None,
            language="en",
        ),
    )


def write_tones(path: Path, pitches: Sequence[int], texts: Sequence[str], cue_ms: int) -> None:
    """A recording, `path`.flac and `path`.vtt: a tone after the other, each `cue_ms` long with its caption.

    Args:
        path: Of both files, without their endings.
        pitches: Of the tones, in hertz.
        texts: What the captions say, one for each tone.
        cue_ms: Length of each.
    """
    times = np.arange(cue_ms * SAMPLE_RATE // 1000) / SAMPLE_RATE
    sound = np.concatenate([np.sin(2 * np.pi * pitch * times) for pitch in pitches])
    path.with_suffix(".flac").write_bytes(encode_flac((sound * 8000).astype(np.int16)))
    cues = [Cue("", index * cue_ms, (index + 1) * cue_ms, text, text) for index, text in enumerate(texts)]
    path.with_suffix(".vtt").write_text(format_webvtt(cues))
