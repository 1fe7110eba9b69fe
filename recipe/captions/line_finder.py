"""The lines of texts that a parser gives without their places."""

from __future__ import annotations

import re
from bisect import bisect_right


class LineFinder:
    """Finds the lines of texts that come in the order of the file.

    Args:
        text: The file.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._position = 0

    def line_of(self, *spellings: str) -> int:
        """Return the line of the next place where a text is in any spelling, from 1; 0 if it is nowhere."""
        for spelling in spellings:
            at = self._text.find(spelling, self._position)
            if at >= 0:
                self._position = at + len(spelling)
                return bisect_right(self._line_starts, at)
        return 0
