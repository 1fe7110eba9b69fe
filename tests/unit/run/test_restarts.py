"""A command that fails is started again, as long as another attempt may succeed."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from recipe.run.folder import COMPLETION_FILE, RunFolder
from recipe.run.restarts import FINAL_ERRORS, Restarts

PREPARE = """
import sys
from pathlib import Path
from recipe.run.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
attempts = folder.path / "attempts"
number = len(attempts.read_text()) if attempts.exists() else 0
attempts.write_text("x" * (number + 1))
"""


def run(folder: Path, script: str, max_restarts: int = 2) -> tuple[int, int]:
    """The exit code, and how many attempts there were."""
    restarts = Restarts(RunFolder(folder), max_restarts, pauses=(0.0, 0.0))
    command = [sys.executable, "-c", PREPARE + textwrap.dedent(script), str(folder)]
    code = restarts.keep_running(command, {**os.environ, "PYTHONPATH": str(Path.cwd())})
    return code, len((folder / "attempts").read_text())


RESULT = (
    "folder.write_result({{'status': 'completed', 'job_id': 'j', 'artifacts': {{'model_path': {path!r}}}}})"
)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("sys.exit(0)", (0, 1), id="it ended well"),
        pytest.param("sys.exit(1)", (1, 3), id="it died each time"),
        pytest.param("sys.exit(number < 2)", (0, 3), id="the last attempt ended well"),
        pytest.param("folder.write_error('no', 'DataError'); sys.exit(1)", (1, 1), id="refused"),
        pytest.param("folder.write_error('gone', 'LostProcessError'); sys.exit(1)", (1, 3), id="lost"),
        pytest.param("folder.write_error('odd', 'RuntimeError'); sys.exit(1)", (1, 3), id="unexpected"),
        pytest.param(RESULT.format(path="m") + "; sys.exit(1)", (0, 1), id="finished, then something failed"),
        pytest.param(RESULT.format(path="") + "; sys.exit(1)", (3, 1), id="nothing published"),
        pytest.param(
            f"""
            (folder.checkpoint(min(number, 3))).mkdir(exist_ok=True)
            (folder.checkpoint(min(number, 3)) / "{COMPLETION_FILE}").touch()
            sys.exit(1)
            """,
            (1, 6),
            id="attempts that save do not count",
        ),
    ],
)
def test_an_attempt_follows_where_it_may_succeed(
    script: str, expected: tuple[int, int], tmp_path: Path
) -> None:
    assert run(tmp_path, script) == expected


def test_an_error_of_an_earlier_command_says_nothing_of_this_attempt(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_error("no", "DataError")
    assert run(tmp_path, "sys.exit(number < 1)") == (0, 2)


def test_a_machine_that_comes_back_to_a_finished_run_starts_nothing(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_result(
        {"status": "completed", "job_id": "j", "artifacts": {"model_path": "model"}}
    )
    assert Restarts(RunFolder(tmp_path)).keep_running(["false"], {}) == 0


def test_a_stop_is_passed_on_and_ends_it(tmp_path: Path) -> None:
    restarts = Restarts(RunFolder(tmp_path), pauses=(0.0, 0.0))

    def stop() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        restarts.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    script = (
        f"trap 'touch {tmp_path}/saved; exit 143' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    )
    assert restarts.keep_running(["sh", "-c", script], dict(os.environ)) == 143
    thread.join()
    assert (tmp_path / "saved").exists()


def test_what_is_started_ends_with_whoever_watches_it(tmp_path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from recipe.run.folder import RunFolder
from recipe.run.restarts import Restarts
Restarts(RunFolder(Path({str(tmp_path)!r}))).keep_running(
    ["sh", "-c", "echo $$ > {tmp_path}/pid.part; mv {tmp_path}/pid.part {tmp_path}/pid; exec sleep 600"],
    dict(os.environ),
)
"""
    watcher = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "pid").exists():
        time.sleep(0.01)
    watcher.kill()
    watcher.wait()
    child = Path("/proc") / (tmp_path / "pid").read_text().strip()
    deadline = time.monotonic() + 10
    while child.exists() and "sleep" in (child / "cmdline").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_errors_that_another_attempt_would_meet_again() -> None:
    assert {"DataError", "AudioError", "JobError", "CheckpointError", "TrainingError"} <= FINAL_ERRORS
    assert not {"LostProcessError", "JobConflictError", "AuthenticationError", "RuntimeError"} & FINAL_ERRORS
