"""What a run's options say about judging captions by the base model, for train.py and scripts/prepare.py."""

from functools import partial
from pathlib import Path

import torch

from recipe.arguments import DataArguments, ModelArguments
from recipe.model.preparation import limit_audio
from recipe.model.whisper import Whisper, identify_weights
from recipe.screening.caption_times import TimingSettings
from recipe.screening.word_times import Ctranslate2WordTimer, WordTimer


def timing_settings(
    model: ModelArguments,
    data: DataArguments,
    whisper: Whisper,
    folder: Path,
    *,
    device: torch.device,
    batch_size: int,
) -> TimingSettings:
    """What the times of plain text and of loose captions depend on beside the files.

    Args:
        model: Which base model.
        data: What of the captions is judged.
        whisper: The base model; moved to the device once a recording needs it.
        folder: Receives what is made.
        device: What the base model runs on.
        batch_size: Stretches of voice at once.
    """

    def start_timer() -> WordTimer:
        whisper.move_to(device)
        return Ctranslate2WordTimer(whisper, batch_size)

    return TimingSettings(
        folder=folder,
        task=whisper.task,
        is_retiming=data.judges_times(on_gpu=device.type == "cuda"),
        limits=limit_audio(data),
        start_timer=start_timer,
        identify_model=partial(identify_weights, model),
    )
