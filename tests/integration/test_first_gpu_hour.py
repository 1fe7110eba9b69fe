"""The unattended measurement of a GPU: steps that fail or hang cost themselves only, and are run again."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
from training_runs import REPOSITORY, clean_environment

from scripts.benchmarks.first_gpu_hour import Step, format_report, run_step


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_step_leaves_what_it_printed_whatever_became_of_it(tmp_path: Path) -> None:
    steps = [
        Step("fine", python("print('a | table\\n| --- |\\n| 7 |')"), 30),
        Step("broken", python("print('half'); raise SystemExit('no such card')"), 30),
    ]
    endings = {step.name: run_step(step, tmp_path, step.max_seconds) for step in steps}
    assert [ending.code for ending in endings.values()] == [0, 1]
    report = "\n".join(format_report(tmp_path, endings))
    assert "\n| 7 |" in report
    assert "no such card" in report
    assert "half" in report
    assert sys.executable not in report


def test_a_step_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; "
        "time.sleep(600)']); print(child.pid, flush=True); time.sleep(600)"
    )
    ending = run_step(Step("hangs", python(code), 3), tmp_path, 3)
    assert ending.code is None
    child = int((tmp_path / "hangs.txt").read_text())
    ends_at = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends_at, "its child lives on"
        time.sleep(0.05)


def test_the_same_command_goes_on_with_what_has_not_ended_well(tmp_path: Path) -> None:
    done = ("tests", "exactness", "utilisation-toy")
    for name in (*done, "profile-toy"):
        for kind in ("txt", "log"):
            (tmp_path / f"{name}.{kind}").write_text(f"before: {name}")
    endings = {name: {"command": "python", "code": 0, "seconds": 1.0} for name in done}
    endings["profile-toy"] = {"command": "python", "code": None, "seconds": 1.0}
    (tmp_path / "steps.json").write_text(json.dumps(endings))
    command = [sys.executable, "-m", "scripts.benchmarks.first_gpu_hour", "--toy", "--workdir", str(tmp_path)]
    for minutes, shown in ((0, "profile-toy: not begun"), (5, "profile-toy ... done")):
        output = subprocess.run(
            [*command, "--minutes", str(minutes)],
            cwd=REPOSITORY,
            env=clean_environment(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        assert shown in output
        assert not any(f"{name} ..." in output for name in done)
    report = (tmp_path / "gpu.md").read_text()
    assert "before: exactness" in report
    assert "| aten::" in report
