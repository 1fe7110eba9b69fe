"""The states of a frozen encoder, kept on disk from one epoch to the next.

A window that is shown with the same audio again has the same states, so the encoder computes them once. They
are rounded to bfloat16 even where they are used at once, and each window is encoded by itself: whether states
were kept, and which windows came with them, changes no bit of the training. So what is kept may be lost at
any moment and is not worth waiting for the disk; an entry that a kill or a failing disk damaged is known by
its checksum, and computed anew.
"""

import hashlib
import logging
import shutil
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import WhisperConfig, WhisperForConditionalGeneration

from recipe.model.inference import encode
from recipe.run.disk import free_bytes
from recipe.run.files import this_writer

logger = logging.getLogger(__name__)

DTYPE = torch.bfloat16

_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class EncoderStates:
    """States by the audio that they are of.

    Attributes:
        folder: Of the entries; made when there is one.
        shape: Of a window's states: positions, width.
        encoder: What tells this encoder from others.
        num_epochs: Passes over the windows, a part of one included; what no later one shows is not kept.
        min_free_bytes: Room on the disk that is left for others.
    """

    folder: Path
    shape: tuple[int, int]
    encoder: str
    num_epochs: int
    min_free_bytes: int = 0

    @property
    def num_bytes(self) -> int:
        """Of an entry."""
        return self.shape[0] * self.shape[1] * DTYPE.itemsize + _CHECKSUM_BYTES

    def key(self, audio: bytes, start_ms: int, end_ms: int) -> str:
        """Name of the states that this encoder makes of a part of a sound, given as its file's bytes."""
        content = hashlib.sha256(audio)
        content.update(f"{self.encoder} {start_ms} {end_ms}".encode())
        return content.hexdigest()

    def load(self, key: str) -> Tensor | None:
        """States in bfloat16, of `shape`; None if they are not kept, or not as they were written."""
        try:
            # Not mapped: a disk that fails under a mapped file ends the process with a signal.
            content = np.fromfile(self._path(key), np.uint8)
        except OSError:
            return None
        numbers, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:].tobytes()
        if len(content) != self.num_bytes or _checksum(numbers) != checksum:
            return None
        return torch.from_numpy(numbers.view(np.int16)).view(DTYPE).view(self.shape)

    def save(self, key: str, states: Tensor) -> None:
        """Keep states, in bfloat16, on any device.

        Raises:
            OSError: there is no room for them.
        """
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        num_free = free_bytes(path.parent)
        if num_free < self.num_bytes + self.min_free_bytes:
            needed = f", of which checkpoints may need {self.min_free_bytes >> 20}"
            raise OSError(f"{num_free >> 20} MiB are free{needed if self.min_free_bytes else ''}")
        numbers = states.cpu().contiguous().view(torch.int16).numpy()
        partial = path.with_name(f"{path.name}.{this_writer()}.part")  # processes may write the same
        try:
            partial.write_bytes(numbers.tobytes() + _checksum(numbers))
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise

    def forget(self) -> None:
        """Remove all that is kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key


def _checksum(numbers: NDArray[np.generic]) -> bytes:
    return zlib.crc32(numbers.data).to_bytes(_CHECKSUM_BYTES, "big")


class FrozenEncoder:
    """Fills in the states that a micro-batch came without, and keeps those that come again.

    Args:
        model: Whose encoder is not trained; whole, on its device.
        states: Where they are kept.
        precision: What matrices are multiplied in while the model trains (autocast); None for its own.

    Attributes:
        states: As given.
        num_windows: Windows seen.
        num_encoded: Those of them whose states were not kept.
        warnings: Sentences for the user.
    """

    def __init__(
        self, model: WhisperForConditionalGeneration, states: EncoderStates, precision: torch.dtype | None
    ) -> None:
        self.states = states
        self.num_windows = 0
        self.num_encoded = 0
        self.warnings: list[str] = []
        self._model = model
        self._precision = precision

    def fill_in(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The batch as `collate` makes it, with `encoder_states` bfloat16 (B, S, W) in place of features.

        Args:
            batch: On the model's device.
        """
        inputs = dict(batch)
        keys, rows = inputs.pop("states_keys"), inputs.pop("encoder_states")
        missing = iter(inputs.pop("input_features", ()))
        self._model.get_encoder().eval()  # recomputing activations is for what is trained
        autocast = torch.autocast(
            self._model.device.type, self._precision or DTYPE, enabled=self._precision is not None
        )
        with torch.no_grad(), autocast:
            rows = [
                self._encode(next(missing), key) if row is None else row
                for row, key in zip(rows, keys, strict=True)
            ]
        self.num_windows += len(rows)
        return {**inputs, "encoder_states": torch.stack(rows)}

    def _encode(self, features: Tensor, key: str) -> Tensor:
        states = encode(self._model, features.unsqueeze(0))[0].to(DTYPE)
        self.num_encoded += 1
        if key and not self.warnings:
            try:
                self.states.save(key, states)
            except OSError as error:
                self.warnings.append(
                    f"{self.states.folder} takes no more of the encoder's states: {error}. Each epoch "
                    "computes those that are missing; the result is the same, only later."
                )
                logger.warning("%s", self.warnings[-1])
        return states


def identify_encoder(model: WhisperForConditionalGeneration, precision: torch.dtype | None) -> str:
    """A hash of the encoder's weights and of the precision that `FrozenEncoder` computes in."""
    content = hashlib.sha256(str(precision).encode())
    for name, tensor in model.get_encoder().state_dict().items():
        content.update(f" {name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        content.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return content.hexdigest()


def is_deterministic(config: WhisperConfig) -> bool:
    """Whether the encoder makes the same of the same audio while it trains: it drops nothing at random."""
    return not any(
        (config.dropout, config.attention_dropout, config.activation_dropout, config.encoder_layerdrop)
    )
