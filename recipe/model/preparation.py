"""What a checkpoint and a run's options say about preparing recordings for it."""

from pathlib import Path

from recipe.arguments import DataArguments, ModelArguments
from recipe.audio.decoding import AudioLimits
from recipe.data.recording import PreparationSettings
from recipe.model.checkpoint import Checkpoint


def preparation_settings(
    model: ModelArguments, data: DataArguments, checkpoint: Checkpoint, folder: Path
) -> PreparationSettings:
    """What examples depend on beside the files; the tokenizer is left in `folder`."""
    return PreparationSettings(
        tokenizer_file=checkpoint.save_tokenizer(folder),
        task=model.task,
        empty_transcript=data.empty_transcript,
        no_speech_fraction=data.no_speech_fraction,
        suppressed_symbols=checkpoint.suppressed_symbols(),
        limits=limit_audio(data),
    )


def limit_audio(data: DataArguments) -> AudioLimits:
    """What an audio file may hold."""
    return AudioLimits(max_seconds=data.max_audio_hours * 3600)
