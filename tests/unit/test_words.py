"""The project's words: one meaning each, and those that the field does not use stay out."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

UNWANTED = {
    r"listen(er|ers|s|ed)?": "transcribe (only a person listens)",
    r"hears?|heard": "transcribe, recognise, detect",
    r"surprise[sd]?": "NLL",
    r"doubt(s|ed|ful)?": "suspect, flagged, severity",
    r"blend(er|ing|s|ed)?": "interpolation",
    r"(held|holds?)[ _]back": "faulty window, suspect window",
    r"remarks?": "warning, problem, note",
    r"obstacles?": "problem",
    r"ReleaseFacts|ViewShares|NodeShare": "ReleaseMetadata, ViewProbabilities, Partition",
}
"""What must not come back, and what is said instead."""

RIGHT = {
    "recipe/data/report.py": r"listen",  # a person is asked to
    "recipe/data/dataset_report.html.jinja": r"listen",
    "recipe/captions/vocabulary.py": r"listen",  # speakers say it
}
"""Places where such a word is right."""


def list_product_texts() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    skipped = ("tests/", "CHANGELOG.md", ".png", ".json", "constraints.txt")
    return [name for name in names if not name.startswith(skipped) and not name.endswith(skipped)]


@pytest.mark.parametrize(("word", "instead"), UNWANTED.items(), ids=UNWANTED.values())
def test_a_word_does_not_come_back(word, instead):
    pattern = re.compile(rf"(?<![a-z])(?:{word})(?![a-z])", re.IGNORECASE)
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in list_product_texts()
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line) and not re.search(RIGHT.get(name, "(?!)"), line, re.IGNORECASE)
    ]
    assert not found, f"say {instead}:\n" + "\n".join(found)


def test_the_list_of_files_is_not_empty():
    assert {"train.py", "README.md", "recipe/arguments.py", "docs/README.md"} <= set(list_product_texts())
