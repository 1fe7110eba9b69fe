"""The example files of scripts/clusters are what Slurm and SkyPilot take."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

CLUSTERS = Path(__file__).resolve().parents[3] / "scripts" / "clusters"

TASK = {
    "name",
    "workdir",
    "num_nodes",
    "resources",
    "file_mounts",
    "volumes",
    "envs",
    "secrets",
    "setup",
    "run",
}
RESOURCES = {"accelerators", "cpus", "memory", "disk_size", "image_id", "infra", "use_spot", "job_recovery"}
RECOVERY = {"strategy", "max_restarts_on_errors", "recover_on_exit_codes"}
"""Fields that SkyPilot 0.14 documents, those of use here."""


def test_slurm_is_asked_for_one_task_a_node_a_signal_in_time_and_a_new_start() -> None:
    directives = re.findall(
        r"^#SBATCH --([\w-]+)(?:=(\S+))?$", (CLUSTERS / "slurm.sh").read_text(), re.MULTILINE
    )
    options = dict(directives)
    assert options["ntasks-per-node"] == "1", "a task starts a process on each GPU of its node"
    assert re.fullmatch(r"TERM@\d+", options["signal"])
    assert int(options["signal"].removeprefix("TERM@")) >= 120, "seconds to save a large model"
    assert "requeue" in options
    first_command = re.search(r"^(?!#).+$", (CLUSTERS / "slurm.sh").read_text(), re.MULTILINE)
    assert first_command
    assert "#SBATCH" not in (CLUSTERS / "slurm.sh").read_text()[first_command.end() :], "sbatch stops there"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_slurm_job_has_no_fault_that_a_linter_finds() -> None:
    subprocess.run(["shellcheck", str(CLUSTERS / "slurm.sh")], check=True)


@pytest.mark.parametrize(
    ("code", "restarts", "is_requeued"),
    [(0, 0, False), (1, 0, False), (3, 0, False), (143, 0, True), (137, 49, True), (143, 50, False)],
)
def test_a_slurm_job_that_was_cut_short_is_queued_again(
    code: int, restarts: int, is_requeued: bool, tmp_path: Path
) -> None:
    for name, script in {
        "srun": f'echo "$@" > {tmp_path}/srun.txt; exit {code}',
        "scontrol": 'echo "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_RESTART_COUNT": str(restarts)}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **slurm}
    command = ["bash", str(CLUSTERS / "slurm.sh"), "--data_dir", "two words"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == ("requeue 7" if is_requeued else "")
    assert answer.returncode == (0 if is_requeued else code)
    assert "scripts/launch_node.py train.py --data_dir two words" in (tmp_path / "srun.txt").read_text()


def test_skypilot_is_asked_in_its_own_fields() -> None:
    task = yaml.safe_load((CLUSTERS / "skypilot.yaml").read_text())
    assert task.keys() <= TASK
    assert task["resources"].keys() <= RESOURCES
    assert task["resources"]["job_recovery"].keys() <= RECOVERY
    assert 143 in task["resources"]["job_recovery"]["recover_on_exit_codes"], "a node was told to stop"
    assert task["num_nodes"] > 1
    assert all(place.startswith("/") for place in task["volumes"])


def test_what_skypilot_runs_tells_each_node_its_cluster(tmp_path: Path) -> None:
    run = yaml.safe_load((CLUSTERS / "skypilot.yaml").read_text())["run"]
    (tmp_path / ".venv/bin").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.write_text('#!/bin/sh\necho "$MASTER_ADDR $MASTER_PORT $NUM_NODES $NODE_RANK" "$@"\n')
    python.chmod(0o755)
    given = {"SKYPILOT_NODE_IPS": "10.0.0.5\n10.0.0.6", "SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": "1"}
    options = {"DATA_DIR": "/shared/my data", "OUTPUT_DIR": "/shared/runs/a", "OPTIONS": "--language fr"}
    environment = {"PATH": os.environ["PATH"], **given, **options}
    answer = subprocess.run(
        ["bash", "-euc", run], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    line = (
        "scripts/launch_node.py train.py --data_dir /shared/my data --output_dir /shared/runs/a --language fr"
    )
    assert answer.stdout.strip() == f"10.0.0.5 29500 2 1 {line}"
