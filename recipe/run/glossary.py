"""A glossary: the terms that a user's speech is full of, a term a line, most important first.

`train.py` reads it from a file; a job brings the terms in its JSON, and the worker writes the file.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from recipe.errors import JobError
from recipe.run.files import write_text

MAX_TERMS = 2_000
MAX_TERM_CHARS = 100
MAX_BYTES = 1_000_000
"""Largest file that is read."""

COMMENT = "#"
"""Lines that begin with it are left out."""

UNWRITTEN = frozenset({"Cc", "Cs", "Co", "Cn"})
"""Categories of Unicode that no text has: control, half of a pair, private, unassigned."""

SPECIAL = "<|"
"""How Whisper's special tokens begin."""


def read_glossary(path: Path) -> list[str]:
    """The terms of a file in UTF-8, each once, in order; blank lines and comments are left out.

    Raises:
        JobError: if it cannot be read, has no term, or has one that no prompt can hold.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise JobError(
            f"glossary: {path} cannot be read ({reason}); expected a text file, a term a line."
        ) from error
    if len(data) > MAX_BYTES:
        raise JobError(
            f"glossary: {path} has more than {MAX_BYTES:,} bytes; expected at most {MAX_TERMS:,} terms, "
            "one a line."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JobError(
            f"glossary: {path} is not UTF-8 text (line {line}); expected a text file, a term a line. Save it "
            "as UTF-8."
        ) from error
    lines = {number: fold_term(line) for number, line in enumerate(text.splitlines(), start=1)}
    lines = {number: line for number, line in lines.items() if line and not line.startswith(COMMENT)}
    if not lines:
        raise JobError(f"glossary: {path} has no terms; expected a term a line.")
    problems = [f"line {number}: {problem}" for number, line in lines.items() if (problem := _judge(line))]
    if problems:
        raise JobError(f"glossary: {path}, {problems[0]}.")
    terms = list(dict.fromkeys(lines.values()))
    if len(terms) > MAX_TERMS:
        raise JobError(f"glossary: {path} has {len(terms):,} terms; expected at most {MAX_TERMS:,}.")
    return terms


def find_glossary_problems(terms: object) -> list[str]:
    """A sentence for each thing that is wrong with the terms that a job brings."""
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
        return ["glossary: expected a list of terms, each a text"]
    if not 1 <= len(terms) <= MAX_TERMS:
        return [f"glossary: expected 1 to {MAX_TERMS:,} terms, found {len(terms):,}"]
    problems = (_judge(fold_term(term)) for term in terms)
    return [f"glossary[{number}]: {problem}" for number, problem in enumerate(problems) if problem]


def write_glossary(path: Path, terms: Sequence[str]) -> None:
    """Write a job's terms as a file that `read_glossary` reads."""
    write_text(path, "".join(f"{fold_term(term)}\n" for term in terms))


def hash_terms(terms: Sequence[str]) -> str:
    """16 hexadecimal digits that tell glossaries apart."""
    return hashlib.sha256("\n".join(terms).encode()).hexdigest()[:16]


def fold_term(text: str) -> str:
    """A term in NFC, with each run of whitespace as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _judge(term: str) -> str:
    """What is wrong with a folded term, in half a sentence; or ""."""
    if term.startswith(COMMENT):
        return f"a term must not begin with {COMMENT}, which begins a comment"
    if len(term) > MAX_TERM_CHARS:
        return f"expected a term of at most {MAX_TERM_CHARS} characters, found {len(term):,}"
    if not any(character.isalnum() for character in term):
        return f"expected a term with a letter or a digit, found {term!r:.40}"
    if any(unicodedata.category(character) in UNWRITTEN for character in term):
        return f"expected plain text, found a control character in {term!r:.80}"
    if SPECIAL in term:
        return f"{SPECIAL} begins Whisper's special tokens, found {term!r:.80}"
    return ""
