"""Whatever the report can say of data is explained, and has a mend where one is known."""

import ast
from pathlib import Path

import pytest

from recipe.captions.reader import Captions
from recipe.data.mends import split_mend
from recipe.data.quality import NO_VOICE, SAID_AGAIN, measure_recording, measure_severities
from recipe.data.report import ALIGNED_UNCERTAINLY, HISTOGRAMS, MACHINE_MADE, RETIMED, RecordingReport
from recipe.data.split import BOTH_SIDES, GUARD, NO_WORDS, TOLD_IN_BOTH
from recipe.data.terms import FAULTS, FIGURES, OUTCOMES, RECORDING_FLAGS, TERMS, UNUSED, WINDOW_FLAGS
from recipe.screening.label_check import OTHER_TIMES, OTHER_WORDS, SUSPECT_RECORDING
from recipe.screening.label_check import TERMS as LABEL_TERMS

RECIPE = Path(__file__).resolve().parents[3] / "recipe"
PLACEHOLDER = "X"
"""Stands for what a message says of a file."""

PLACES = ("captions/*", "audio/*", "data/manifest", "data/pairing", "data/caption_choice")
"""Where a file is refused; what is said of a row of a table is a note of its recording."""

NOT_A_USERS_FILE = "A stored window of"
ERRORS = {"CaptionError", "AudioError", "_UndecidedError", "LocalFile"}


def test_each_flag_fault_and_figure_that_can_occur_is_explained():
    captions = Captions((), (), language=None, source_format="", num_cues_in=1)
    flags = {name for name, _, _ in measure_recording(captions, RecordingReport("talk"), "en")}
    assert flags | {MACHINE_MADE, RETIMED, ALIGNED_UNCERTAINLY} == set(RECORDING_FLAGS)
    assert set(measure_severities("some words", 1.0, 0.5)) == set(WINDOW_FLAGS)
    assert {NO_VOICE, SAID_AGAIN} == set(FAULTS)
    assert {BOTH_SIDES, TOLD_IN_BOTH, NO_WORDS, GUARD} == set(UNUSED)
    assert {*HISTOGRAMS, "severity", "kept"} == set(FIGURES)
    assert set(OUTCOMES) == {"speech", "silence", "skipped"}
    assert set(LABEL_TERMS) == {"score", OTHER_WORDS, OTHER_TIMES, SUSPECT_RECORDING}


def test_meanings_are_sentences_and_what_is_odd_has_a_mend():
    for term in (TERMS | LABEL_TERMS).values():
        assert term.meaning.endswith(".")
        assert not term.mend or term.mend.endswith(".")
    for name in (*WINDOW_FLAGS, *FAULTS, *RECORDING_FLAGS):
        assert TERMS[name].mend, name
    assert all(LABEL_TERMS[name].mend for name in LABEL_TERMS if name != "score")


def list_messages() -> list[str]:
    """What the code says of one file that it refuses; a placeholder stands for each value."""
    trees = [ast.parse(path.read_text()) for place in PLACES for path in sorted(RECIPE.glob(f"{place}.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    texts = [read_text(call.args[-1]) for call in calls if getattr(call.func, "id", "") in ERRORS]
    return [text for text in texts if len(text.split()) > 2 and not text.startswith(NOT_A_USERS_FILE)]


def read_text(node: ast.expr) -> str:
    """The text of a string in code; constants of its module, such as a remedy, are written out."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(read_text, node.values))
    if isinstance(node, ast.FormattedValue) and ast.unparse(node.value) == "_REMEDY":
        return "Save the file as UTF-8, or name the language that it is in."
    return PLACEHOLDER


def test_the_messages_are_found():
    assert len(list_messages()) > 50


@pytest.mark.parametrize("message", [pytest.param(text, id=text[:60]) for text in list_messages()])
def test_each_refusal_of_a_file_has_a_mend(message):
    why, mend = split_mend(message)
    assert why
    assert mend.endswith(".")
    assert mend[0].isupper()


@pytest.mark.parametrize(
    ("reason", "why", "mend"),
    [
        (
            "the file is empty (0 bytes); upload it again",
            "the file is empty (0 bytes)",
            "Upload it again.",
        ),
        ("its captions are in German (a.de.vtt), and French is wanted", None, "Add captions in French."),
        (
            "there is no caption file named a/b.vtt or a/b.srt",
            None,
            "Add the captions as a/b.vtt, or the words alone as .txt.",
        ),
        ("something that nobody foresaw", None, ""),
    ],
)
def test_a_reason_is_parted_from_its_mend(reason, why, mend):
    assert split_mend(reason) == (why or reason, mend)
