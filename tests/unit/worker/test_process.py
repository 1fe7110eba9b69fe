"""The log of a training: what is passed on, and what its end tells."""

from pathlib import Path

import pytest

from recipe.run.folder import RunFolder
from recipe.run.redaction import Redactor
from recipe.worker.process import LogEcho


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.logs.mkdir()
    return folder


LAUNCHER_ERROR = "subprocess.CalledProcessError: Command '['python', 'train.py']' "


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(
            "ValueError: odd\n" + LAUNCHER_ERROR + "returned 1.", "ValueError: odd", id="its own error"
        ),
        pytest.param(LAUNCHER_ERROR + "died with <Signals.SIGKILL: 9>.", "memory ran out", id="killed"),
        pytest.param("Signal 9 (SIGKILL) received by PID 12\n", "memory ran out", id="a rank was killed"),
        pytest.param("all is well\n", "", id="nothing"),
    ],
)
def test_the_end_of_the_log_explains_a_death(run: RunFolder, log: str, expected: str) -> None:
    echo = LogEcho(run, Redactor([]))
    run.log.write_text(log)
    echo.finish()
    assert expected in echo.explain_death()
    assert bool(expected) == bool(echo.explain_death())


def test_the_echo_repeats_whole_lines_once_and_without_secrets(
    run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    run.log.write_text("an earlier attempt\n")
    echo = LogEcho(run, Redactor(["s3cret"]))
    with caplog.at_level("INFO"):
        for text in ("first\nsec", "ond s3cr", "et\nlast"):
            with run.log.open("a") as log:
                log.write(text)
            echo.echo()
        echo.finish()
    assert caplog.messages == ["first", "second [redacted]", "last"]
    assert run.log.read_text() == "an earlier attempt\nfirst\nsecond s3cret\nlast", "nothing is rewritten"
    assert list(run.logs.iterdir()) == [run.log]


@pytest.mark.parametrize("is_folder", [False, True], ids=["missing", "a folder"])
def test_a_log_that_cannot_be_read_hides_no_outcome(run: RunFolder, is_folder: bool) -> None:
    echo = LogEcho(run, Redactor([]))
    if is_folder:
        run.log.mkdir()
    echo.finish()
    assert echo.explain_death() == ""


def test_a_progress_bar_is_shown_once_as_it_ended(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    echo = LogEcho(run, Redactor([]))
    with caplog.at_level("INFO"):
        for text in ("\r 0%\x1b[A", "\r50%", "\r100%\nnext", "\n"):
            with run.log.open("a", newline="") as log:
                log.write(text)
            echo.echo()
    assert caplog.messages == ["100%", "next"]


@pytest.mark.parametrize("left", ["result.json", "error.json"])
def test_what_a_launcher_says_of_a_training_that_has_its_say_is_not_repeated(
    run: RunFolder, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    echo = LogEcho(run, Redactor([]))
    (run.path / left).write_text("{}")
    run.log.write_text(f"No model was published.\nTraceback (most recent call last):\n{LAUNCHER_ERROR}3.\n")
    with caplog.at_level("INFO"):
        echo.finish()
    assert caplog.messages == ["No model was published."]
