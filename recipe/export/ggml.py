"""whisper.cpp's ggml file: sizes, mel filters, the vocabulary's bytes, then tensors by OpenAI's names.

What whisper.cpp's `models/convert-h5-to-ggml.py` writes of the same folder, byte for byte but for the last
bit of some mel filters.
"""

import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from transformers.convert_slow_tokenizer import bytes_to_unicode

from recipe.errors import PublishError
from recipe.export.openai_names import describe_sizes, rename_weights
from recipe.model.whisper import Whisper

MAGIC = 0x67676D6C
FLOAT32, FLOAT16 = 0, 1
"""Types of tensors, and of a file: most of its tensors."""

QUANTIZE_TOOL = "whisper-quantize"
"""Built by whisper.cpp beside `whisper-cli`."""

_CONVOLUTION_BIASES = frozenset({"encoder.conv1.bias", "encoder.conv2.bias"})
_KEPT_IN_FLOAT32 = _CONVOLUTION_BIASES | {"encoder.positional_embedding", "decoder.positional_embedding"}


def write_ggml(whisper: Whisper, path: Path) -> None:
    """Write the model in float16."""
    with path.open("wb") as file:
        sizes = describe_sizes(whisper.model)
        file.write(struct.pack("<12i", MAGIC, *sizes.values(), FLOAT16))
        filters = np.asarray(whisper.processor.feature_extractor.mel_filters, np.float32).T
        file.write(struct.pack("<2i", *filters.shape))
        file.write(filters.tobytes())
        tokens = list(_spell_tokens(whisper))
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<i", len(token)) + token)
        for name, tensor in rename_weights(whisper.model):
            _write_tensor(file, name, tensor.float().numpy())


def _spell_tokens(whisper: Whisper) -> Iterator[bytes]:
    """The bytes of each token that spells text, in order; whisper.cpp names the others itself."""
    byte_of = {character: value for value, character in bytes_to_unicode().items()}
    with tempfile.TemporaryDirectory() as folder:
        (path, *_) = whisper.processor.tokenizer.save_vocabulary(folder)
        vocabulary = json.loads(Path(path).read_text(encoding="utf-8"))
    for token in sorted(vocabulary, key=vocabulary.__getitem__):
        yield bytes(byte_of[character] for character in token)


def _write_tensor(file: IO[bytes], name: str, values: NDArray[np.float32]) -> None:
    """Write a tensor without its axes of length one, rounded to float16, in which small ones do not stay."""
    rounded = values.squeeze().astype(np.float16)
    if not np.isfinite(rounded).all():
        raise PublishError(f"The weights {name} hold values over 65,504, which float16 cannot hold.")
    if name in _CONVOLUTION_BIASES:
        rounded = rounded[:, None]
    is_small = rounded.ndim < 2 or name in _KEPT_IN_FLOAT32
    spelled = name.encode()
    file.write(struct.pack("<3i", rounded.ndim, len(spelled), FLOAT32 if is_small else FLOAT16))
    file.write(struct.pack(f"<{rounded.ndim}i", *reversed(rounded.shape)) + spelled)
    file.write((rounded.astype(np.float32) if is_small else rounded).tobytes())


def has_quantize_tool() -> bool:
    """Whether whisper.cpp's tool is on the PATH."""
    return shutil.which(QUANTIZE_TOOL) is not None


def quantize_ggml(source: Path, path: Path, kind: str) -> None:
    """Write a float16 file anew by whisper.cpp's own tool, with weights of `kind`: "q5_0" or "q8_0".

    Raises:
        PublishError: the tool failed.
    """
    tool = shutil.which(QUANTIZE_TOOL)
    assert tool is not None, "asked for where it is not"
    done = subprocess.run([tool, source, path, kind], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.split("\n")[-2:]
        raise PublishError(f"{QUANTIZE_TOOL} ended with {done.returncode}: {' '.join(lines).strip()[:200]}")
