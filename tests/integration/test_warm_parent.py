"""A run below the warm parent is that of the command line: same bits, same exit codes, nothing left over."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import warm_parent
from processes import wait_until_gone
from training_runs import PYTHON, TrainingRun, clean_environment, kill_session, wait_until
from warm_parent import SOCKET_VARIABLE, ForkedRun, hold_parent

from recipe.run.stages import Stage


def start(folder: Path, script: str, **environment: str) -> ForkedRun:
    """A run of a script of a few lines, with its output in `folder`/log."""
    (folder / "script.py").write_text(script)
    with (folder / "log").open("wb") as log:
        return ForkedRun([str(folder / "script.py"), "one", "two"], clean_environment(**environment), log)


def output_of(folder: Path, script: str, **environment: str) -> str:
    run = start(folder, script, **environment)
    assert run.wait(60) == 0, (folder / "log").read_text()
    return (folder / "log").read_text()


def test_a_run_equals_that_of_the_true_command_line(tmp_path: Path, tones_dir: Path, tiny_dir: Path) -> None:
    options = {"data_dir": tones_dir, "model_name_or_path": tiny_dir, "language": "en"}
    options |= {"num_train_epochs": 2, "learning_rate": 1e-3, "publish_if_worse": True}
    options |= {"timestamp_fraction": 0.5, "prompt_fraction": 0.5, "speed_fraction": 0.5}
    forked = TrainingRun(tmp_path / "forked", options).finish()
    cold = TrainingRun(tmp_path / "cold", options, PYTHON).finish()
    assert forked.weights == cold.weights
    assert forked.curve == cold.curve
    assert forked.read("report.json")["windows"] == cold.read("report.json")["windows"]
    statuses = [[event["status"] for event in run.events] for run in (forked, cold)]
    told_by_time = {Stage.TRAINING_PROGRESS, Stage.DOWNLOAD_PROGRESS, Stage.STAGE_PROGRESS}
    first, second = ([status for status in each if status not in told_by_time] for each in statuses)
    assert first == second
    for name in ("evaluation", "dataset"):
        assert forked.read("result.json")[name] == cold.read("result.json")[name]


def test_a_script_finds_what_a_new_python_gives_it(tmp_path: Path) -> None:
    script = "import os, sys; print(__name__, sys.argv[1:], os.getcwd(), os.environ['WHISPERTRAIN_X'], "
    script += "os.getsid(0) == os.getpid(), sys.path[0], len(os.listdir('/proc/self/fd')))"
    printed = output_of(tmp_path, script, WHISPERTRAIN_X="y").split()
    assert printed[:-1] == [
        "__main__",
        "['one',",
        "'two']",
        str(warm_parent.REPOSITORY),
        "y",
        "True",
        str(tmp_path),
    ]
    assert int(printed[-1]) <= 6, "standard streams, the listing itself, what libraries opened"


def test_each_run_has_a_random_state_of_its_own(tmp_path: Path) -> None:
    script = "import random, numpy, torch; print(random.random(), numpy.random.rand(), torch.rand(()).item())"
    first, second = (output_of(tmp_path, script).split() for _ in range(2))
    assert len(first) == len(second) == 3
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("raise ValueError('odd')", 1),
        ("import os; os._exit(143)", 143),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import sys; sys.exit('a sentence')", 1),
    ],
)
def test_exit_codes_are_those_of_popen(tmp_path: Path, script: str, code: int) -> None:
    assert start(tmp_path, script).wait(60) == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_ends_by_a_signal_to_its_pid(tmp_path: Path, number: signal.Signals) -> None:
    run = start(tmp_path, "import time; time.sleep(600)")
    assert run.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(0.05)
    run.send_signal(number)
    assert run.wait(60) == -number
    run.send_signal(number)  # nobody is there, and nothing happens


def test_a_run_stands_still_and_goes_on(tmp_path: Path) -> None:
    run = start(tmp_path, "import time; time.sleep(600)")
    process = psutil.Process(run.pid)
    run.send_signal(signal.SIGSTOP)
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, run)
    run.send_signal(signal.SIGCONT)
    wait_until(lambda: process.status() != psutil.STATUS_STOPPED, run)
    kill_session(run)


def test_a_run_whose_owner_is_killed_goes_with_all_its_children(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = clean_environment(**{SOCKET_VARIABLE: os.environ[SOCKET_VARIABLE]})
    hold_parent(environment)
    command = [sys.executable, warm_parent.__file__, "run", str(tmp_path / "script.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        child = psutil.Process(int(owner.stdout.readline()))
        run = child.ppid()
        assert run != owner.pid
        owner.kill()
    wait_until_gone([run, child.pid])


def test_an_environment_that_imports_may_have_read_is_refused(tmp_path: Path) -> None:
    run = start(tmp_path, "print('never')", OMP_NUM_THREADS="7")
    assert run.wait(60) == 1
    assert "needs a Python of its own: ['OMP_NUM_THREADS']" in (tmp_path / "log").read_text()
