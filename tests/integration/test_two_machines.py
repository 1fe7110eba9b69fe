"""Two machines, played by two launchers on loopback, train as one process does and end together."""

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from training_runs import (
    REPOSITORY,
    TrainingRun,
    assert_same_curve,
    clean_environment,
    find_free_port,
    kill_session,
    launch_on_cpu,
    signal_family,
    wait_until,
    write_recording,
)
from warm_parent import ForkedRun

Make = Callable[..., TrainingRun]
Machines = tuple[TrainingRun, TrainingRun]
SECONDS_TO_NOTICE = 60.0  # it takes about 4; a busy machine more


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tones_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A run by name, batch size and options."""
    return partial(make_run, tmp_path_factory.mktemp("machines"), tones_dir, tiny_dir)


def make_run(
    root: Path, data_dir: Path, model_dir: Path, name: str, batch_size: int, **options: object
) -> TrainingRun:
    defaults = {
        "data_dir": data_dir,
        "model_name_or_path": model_dir,
        "language": "en",
        "num_train_epochs": 3,
        "per_device_train_batch_size": batch_size,
        "learning_rate": 1e-3,
        "max_grad_norm": 0.5,
        "eval_fraction": 0.0,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    return TrainingRun(root / "runs" / name, defaults | options)


def on_two_machines(run: TrainingRun) -> Machines:
    """The run as each of two machines starts it, in a cluster as RunPod describes one."""
    run.folder.parent.mkdir(exist_ok=True)
    config_file = launch_on_cpu("multi_node", run.folder.parent)[-1]
    script = str(REPOSITORY / "scripts" / "launch_node.py")
    launcher = (sys.executable, script, "--config_file", config_file, "--max_restarts", "0")
    cluster = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_port()), "NUM_NODES": "2"}
    environments = [clean_environment(**cluster, NODE_RANK=str(rank)) for rank in range(2)]
    first, second = (replace(run, launcher=launcher, environment=environment) for environment in environments)
    return first, second


def attempt(machines: Machines) -> list[int]:
    """The exit codes of an undisturbed attempt."""
    processes = [machine.start() for machine in machines]
    try:
        return [process.wait(600) for process in processes]
    finally:
        for process in processes:
            kill_session(process)


def end_one(
    machines: Machines, victim: int, after: int, number: signal.Signals = signal.SIGKILL
) -> tuple[int, float]:
    """A signal to all that one machine runs: the other's exit code, and in how many seconds it noticed."""
    processes = [machine.start() for machine in machines]
    survivor = processes[1 - victim]
    try:
        wait_until(lambda: machines[0].num_updates_saved() >= after, survivor)
        signal_family(processes[victim], number)
        killed = time.monotonic()
        return survivor.wait(600), time.monotonic() - killed
    finally:
        for process in processes:
            if process.poll() is None:
                signal_family(process, signal.SIGKILL)
            process.wait()


def test_a_process_whose_peer_dies_says_what_to_do(tmp_path: Path) -> None:
    cluster = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_port()), "WORLD_SIZE": "2"}
    command = ["tests/support/lose_peer.py", str(tmp_path)]
    with (tmp_path / "log").open("ab") as log:
        survivor, victim = (
            ForkedRun(command, clean_environment(**cluster, RANK=rank, LOCAL_RANK=rank), log) for rank in "01"
        )
    try:
        codes = (victim.wait(300), survivor.wait(300))
    finally:
        kill_session(survivor)
        kill_session(victim)
    assert codes == (-signal.SIGKILL, 1), (tmp_path / "log").read_text()
    error = json.loads((tmp_path / "error.json").read_text())
    assert error["error_type"] == "LostProcessError"
    assert "Another process of this training ended or fell silent" in error["error"]
    assert "start the same command again, on every machine" in error["error"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["first", "second"])
def test_a_machine_that_dies_ends_the_other(victim: int, make: Make) -> None:
    run = make(f"killed-{victim}", batch_size=2, num_train_epochs=100)
    exit_code, seconds = end_one(on_two_machines(run), victim, after=1)
    assert exit_code == 1
    assert seconds < SECONDS_TO_NOTICE
    assert "ended or fell silent" in run.read("error.json")["error"]


@pytest.mark.slow
def test_a_machine_that_freezes_ends_the_other_after_the_time_out(make: Make) -> None:
    run = make("frozen", batch_size=2, num_train_epochs=100, ddp_timeout=20)
    exit_code, seconds = end_one(on_two_machines(run), victim=1, after=1, number=signal.SIGSTOP)
    assert exit_code == 1
    assert 20 <= seconds < 20 + SECONDS_TO_NOTICE
    assert "ended or fell silent" in run.read("error.json")["error"]


@pytest.mark.slow
def test_two_machines_train_as_one_process_also_after_one_died(make: Make) -> None:
    reference = make("one", batch_size=4).finish()
    quiet = make("quiet", batch_size=2)
    assert attempt(on_two_machines(quiet)) == [0, 0]
    assert_same_curve(quiet, reference)
    disturbed = make("disturbed", batch_size=2)
    exit_code, _ = end_one(on_two_machines(disturbed), victim=1, after=2)
    assert exit_code == 1
    assert attempt(on_two_machines(disturbed)) == [0, 0]
    assert disturbed.curve == quiet.curve
    assert disturbed.weights == quiet.weights


@pytest.mark.slow
def test_machines_that_share_no_disk_are_refused_with_a_sentence(make: Make) -> None:
    first, second = on_two_machines(make("shared", batch_size=2))
    second = replace(second, folder=first.folder.with_name("elsewhere"))
    assert attempt((first, second)) == [1, 1]
    for machine in (first, second):
        assert "is not the same folder on all 2 machines" in machine.output
    assert not (first.folder / "prepared").exists()


def test_no_machine_prepares_what_another_has_prepared(tmp_path: Path, tiny_dir: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(6):
        write_recording(tmp_path / "data" / f"tones-{number}", num_cues=2, seed=number)
    places = [str(tmp_path / "data"), str(tiny_dir / "tokenizer.json"), str(tmp_path / "shards")]
    logs = [tmp_path / f"{index}.log" for index in range(2)]
    machines = []
    for log in logs:
        with log.open("wb") as output, log.with_suffix(".err").open("wb") as errors:
            command = ["tests/support/prepare_part.py", *places]
            machines.append(ForkedRun(command, clean_environment(), output, errors))
    try:
        codes = [machine.wait(300) for machine in machines]
    finally:
        for machine in machines:
            kill_session(machine)
    outputs = [log.read_text().split() for log in logs]
    assert codes == [0, 0], [log.with_suffix(".err").read_text() for log in logs]
    prepared = Counter(name for names in outputs for name in names)
    assert len(prepared) == 6
    assert set(prepared.values()) == {1}
