"""Sentences for the user that know how much they matter and what would mend them.

The console of a data check, the result and the dataset report show them in one order, the most important
first (`most_important_first`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class Importance(IntEnum):
    """How much a warning matters; the most important is the least number."""

    LOST = 0
    """Data that was brought is not trained."""

    MISLEADING = 1
    """A figure or a word may not be what it seems; likewise every warning that does not say."""

    CHOSEN = 2
    """Something was chosen that a person may know better."""

    INFORMATION = 3
    """Nothing is to be done, unless it comes unexpected."""


@dataclass(frozen=True)
class Finding:
    """One thing that a person can mend, as a row of the dataset report.

    Attributes:
        what: What was found, a few words; findings of one kind have the same.
        why: Why, in words.
        where: The recording or file; "" for the dataset.
        start_ms: Where in the recording; None for all of it.
        end_ms: Likewise, exclusive.
        mend: What to do; "" where nobody knows.
    """

    what: str
    why: str
    where: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    mend: str = ""


class DataWarning(str):
    """A warning about the data.

    Attributes:
        importance: How much it matters.
        findings: What it tells, a row each; None where the sentence says it all, empty where the report
            has rows of its own for it.
    """

    __slots__ = ("findings", "importance")
    importance: Importance
    findings: tuple[Finding, ...] | None

    def __new__(cls, text: str, importance: Importance, findings: Iterable[Finding] | None = None) -> Self:
        """The sentence with what is known of it."""
        self = super().__new__(cls, text)
        self.importance, self.findings = importance, None if findings is None else tuple(findings)
        return self

    def __getnewargs__(self) -> tuple[str, Importance, tuple[Finding, ...] | None]:  # type: ignore[override]
        """What a copy is made of."""
        return str(self), self.importance, self.findings


def importance_of(warning: str) -> Importance:
    """How much a warning matters."""
    return warning.importance if isinstance(warning, DataWarning) else Importance.MISLEADING


def most_important_first(warnings: Iterable[str]) -> list[str]:
    """The warnings in the order in which they are shown; equal ones in that in which they arose."""
    return sorted(warnings, key=importance_of)
