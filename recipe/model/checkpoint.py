"""What a Whisper checkpoint's files say of its words, languages and tasks, read without torch."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, WhisperTokenizer

from recipe.arguments import ModelArguments
from recipe.errors import TrainingError
from recipe.model.checkpoint_files import find_checkpoint_folder
from recipe.run.files import replacing, this_writer


class Checkpoint(ABC):
    """A checkpoint's tokenizer and settings, with its weights (`Whisper`) or without (`Outline`)."""

    @property
    @abstractmethod
    def tokenizer(self) -> Any:
        """A `WhisperTokenizer`, whose type transformers leaves open."""

    @property
    @abstractmethod
    def generation_config(self) -> Any:
        """A `GenerationConfig` with Whisper's own fields, which are not in the type."""

    @property
    @abstractmethod
    def num_layers(self) -> tuple[int, int]:
        """Layers of the encoder and of the decoder."""

    @property
    def is_multilingual(self) -> bool:
        """Whether the checkpoint knows languages and tasks; `.en` checkpoints do not."""
        return bool(getattr(self.generation_config, "is_multilingual", True))

    def has_language(self, code: str) -> bool:
        """Whether the vocabulary has a token for the language."""
        return self.tokenizer.backend_tokenizer.token_to_id(f"<|{code}|>") is not None

    def suppressed_symbols(self) -> frozenset[str]:
        """Symbols that generation never writes (`suppress_tokens`), such as brackets and music notes.

        A label that holds one would teach what can never be written. Tokens with a space before the symbol
        are left out: Whisper suppresses hyphens and apostrophes at the start of a word only.
        """
        token_ids = [i for i in self.generation_config.suppress_tokens or [] if i >= 0]
        special = set(self.tokenizer.all_special_ids)
        texts = {self.tokenizer.decode([i]) for i in token_ids if i not in special}
        return frozenset(text for text in texts if len(text) == 1 and not text.isalnum() and text != "\ufffd")

    def save_tokenizer(self, folder: Path) -> Path:
        """The tokenizer as one file in `folder`: the preparation counts tokens with it, without the model."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "tokenizer.json"
        with replacing(path, this_writer()) as partial:  # each machine of a training writes it
            self.tokenizer.backend_tokenizer.save(str(partial))
        return path


class Outline(Checkpoint):
    """A checkpoint without its weights."""

    def __init__(self, tokenizer: Any, generation_config: Any, num_layers: tuple[int, int]) -> None:
        self._tokenizer, self._generation_config, self._num_layers = tokenizer, generation_config, num_layers

    @property
    def tokenizer(self) -> Any:  # noqa: D102 - the parent's
        return self._tokenizer

    @property
    def generation_config(self) -> Any:  # noqa: D102 - the parent's
        return self._generation_config

    @property
    def num_layers(self) -> tuple[int, int]:  # noqa: D102 - the parent's
        return self._num_layers


def load_outline(arguments: ModelArguments) -> Outline:
    """What the files of a checkpoint say, without its weights.

    Raises:
        TrainingError: if they cannot be had or are no Whisper checkpoint's.
    """
    with explaining_failure(arguments.model_name_or_path):
        folder = find_checkpoint_folder(arguments.model_name_or_path, arguments.model_revision or "main")
        tokenizer = WhisperTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        settings = GenerationConfig.from_pretrained(folder, local_files_only=True)
        config = json.loads((folder / "config.json").read_bytes())
        check_vocabulary(tokenizer, config["vocab_size"], config["decoder_start_token_id"], settings)
        return Outline(tokenizer, settings, (config["encoder_layers"], config["decoder_layers"]))


@contextmanager
def explaining_failure(name: str) -> Iterator[None]:
    """Whatever a library raises over a stranger's files is a `TrainingError` that names the checkpoint."""
    try:
        yield
    except Exception as error:
        problem = " ".join((str(error) or type(error).__name__).split())[:400].rstrip(".")
        raise TrainingError(
            f"The model {name!r} cannot be loaded: {problem}. Expected a Whisper checkpoint with safetensors "
            "weights, such as openai/whisper-tiny, or a folder with one."
        ) from error


def check_vocabulary(tokenizer: Any, size: int, start: int, settings: Any) -> None:
    """Refuse a tokenizer that is another checkpoint's: its numbers would mean other tokens.

    Args:
        tokenizer: The checkpoint's.
        size: Of the vocabulary that its weights have.
        start: The token with which they start a label.
        settings: How it generates.
    """
    expected = {"<|startoftranscript|>": start, "<|notimestamps|>": settings.no_timestamps_token_id}
    if len(tokenizer) > size or any(
        tokenizer.convert_tokens_to_ids(token) != number for token, number in expected.items()
    ):
        raise TrainingError(f"its tokenizer, of {len(tokenizer):,} tokens, is not that of its weights")
