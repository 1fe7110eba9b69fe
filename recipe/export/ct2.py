"""faster-whisper's folder: the model in CTranslate2, with the tokenizer and the number of mel bins."""

from pathlib import Path

from recipe.evaluation.ctranslate import write_converted
from recipe.model.whisper import Whisper

FILES = ("config.json", "model.bin", "preprocessor_config.json", "tokenizer.json", "vocabulary.json")


def write_ct2(whisper: Whisper, folder: Path, precision: str) -> None:
    """Fill a new folder; `precision` is "float16" or "int8"."""
    write_converted(whisper.model, whisper.processor, precision, folder)
