"""Stands in for a library that crashes over some files, in processes that import it by name."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipe.audio.decoding import decode_beginning


def decode_or_die(path: Path, max_ms: int) -> NDArray[np.int16]:
    """As `decode_beginning`, but for files with a deadly name."""
    if "deadly" in path.name:
        os.abort()
    return decode_beginning(path, max_ms)
