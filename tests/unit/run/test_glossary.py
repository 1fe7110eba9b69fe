# ruff: noqa: RUF001 - the texts are in many scripts on purpose
"""Glossaries: what a file or a job may hold, and with which words the rest is refused."""

from pathlib import Path

import pytest

from recipe.errors import JobError
from recipe.run.glossary import (
    MAX_BYTES,
    MAX_TERM_CHARS,
    MAX_TERMS,
    find_glossary_problems,
    hash_terms,
    read_glossary,
    write_glossary,
)


def test_terms_are_read_once_each_in_order_without_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    text = "\ufeff# people\r\nFrida  Kahlo\r\n\r\n  Coyoaca\u0301n\t\r\n#places\r\nفارسی\u200cزبان\n"
    path.write_text(f"{text}Frida Kahlo\nC++", encoding="utf-8", newline="")
    assert read_glossary(path) == ["Frida Kahlo", "Coyoacán", "فارسی\u200cزبان", "C++"]


UNREADABLE = {
    "empty": (b"", "has no terms; expected a term a line"),
    "comments alone": (b"# a\n\n#b\n", "has no terms"),
    "latin-1": ("Ana\nCoyoac\xe1n".encode("latin-1"), "is not UTF-8 text \\(line 2\\).*Save it as UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8 text"),
    "zeros": (b"term\n\x00\x00\x00\n", "line 2: expected a term with a letter or a digit"),
    "a control character": (b"te\x07rm\n", "line 1: expected plain text, found a control character"),
    "too long": (b"ok\n" + b"x" * (MAX_TERM_CHARS + 1), "line 2: expected a term of at most 100 characters"),
    "punctuation": (b"ok\n---\n", "line 2: expected a term with a letter or a digit, found '---'"),
    "a special token": (b"a <|endoftext|>", "begins Whisper's special tokens"),
    "too many": (b"\n".join(b"t%d" % n for n in range(MAX_TERMS + 1)), "has 2,001 terms; expected at most"),
    "too large": (b"x\n" * MAX_BYTES, "has more than 1,000,000 bytes"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_glossary_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    data, sentence = UNREADABLE[name]
    path = tmp_path / "terms.txt"
    path.write_bytes(data)
    with pytest.raises(JobError, match=sentence):
        read_glossary(path)


@pytest.mark.parametrize("name", ["missing.txt", ".", "nul\0.txt", "x" * 300])
def test_what_cannot_be_opened_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobError, match=r"glossary: .* cannot be read \(.+\); expected a text file"):
        read_glossary(tmp_path / name)


def test_a_jobs_terms_come_back_from_the_file_that_is_written_of_them(tmp_path: Path) -> None:
    terms = ["Frida Kahlo", " Coyoacán ", "京都\nの人"]
    assert find_glossary_problems(terms) == []
    write_glossary(tmp_path / "glossary.txt", terms)
    assert read_glossary(tmp_path / "glossary.txt") == ["Frida Kahlo", "Coyoacán", "京都 の人"]


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ("/etc/passwd", "expected a list of terms"),
        (["a", 3], "expected a list of terms, each a text"),
        ([], "expected 1 to 2,000 terms, found 0"),
        (["a"] * 2_001, "expected 1 to 2,000 terms, found 2,001"),
        (["fine", "x" * 101], "glossary[1]: expected a term of at most 100 characters, found 101"),
        (["#hidden"], "glossary[0]: a term must not begin with #"),
        (["\ud800a"], "glossary[0]: expected plain text"),
        ([" "], "glossary[0]: expected a term with a letter or a digit"),
    ],
    ids=str,
)
def test_a_jobs_terms_are_bounded(terms: object, problem: str) -> None:
    assert problem in "; ".join(find_glossary_problems(terms))


def test_other_terms_have_another_hash() -> None:
    assert len({hash_terms(terms) for terms in (["a"], ["b"], ["a", "b"], ["b", "a"])}) == 4
