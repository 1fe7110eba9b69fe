"""The lines of texts that a parser gives without their places."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

MAX_MISSES = 10
"""Texts that were not found before no other is looked for."""


class LineFinder:
    """Finds the lines of texts that come in the order of the file.

    Args:
        text: The file.
        spell: Returns a text as the file has it, in quotes and escaped.
    """

    def __init__(self, text: str, spell: Callable[[str], str]) -> None:
        self._text = text
        self._spell = spell
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._position = 0
        self._num_misses = 0

    def line_of(self, written: str) -> int:
        """Return the line of the next place where a text is, from 1; 0 if it is nowhere."""
        if self._num_misses > MAX_MISSES:
            return 0  # spelt as nobody foresaw, and each search goes to the end of the file
        spelt = self._spell(written)
        at = self._text.find(spelt, self._position)
        if at < 0:
            self._num_misses += 1
            return 0
        self._position = at + len(spelt)
        return bisect_right(self._line_starts, at)
