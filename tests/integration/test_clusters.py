"""A list of hosts trains by itself to the end, whichever of them dies; both hosts are this machine."""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from training_runs import (
    REPOSITORY,
    MissedMoment,
    TrainingRun,
    find_free_port,
    launch_on_cpu,
    wait_until,
)

Make = Callable[..., TrainingRun]


@pytest.fixture(scope="module")
def make(tiny_dir: Path, tones_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A run on two hosts by name."""
    return partial(make_run, tmp_path_factory.mktemp("clusters"), tones_dir, tiny_dir)


@pytest.fixture(scope="module")
def quiet(make: Make) -> TrainingRun:
    return make("quiet").finish()


def make_run(root: Path, data_dir: Path, model_dir: Path, name: str, **options: object) -> TrainingRun:
    defaults = {
        "data_dir": data_dir,
        "model_name_or_path": model_dir,
        "language": "en",
        "num_train_epochs": 4,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "eval_fraction": 0.0,
        "save_strategy": "steps",
        "save_steps": 1,
    }
    root.joinpath("runs").mkdir(exist_ok=True)
    run = TrainingRun(root / "runs" / name, defaults | options)
    hosts = run.folder.with_suffix(".hosts")
    hosts.write_text("trainer@127.0.0.1  # where the others meet\n\n127.0.0.2\n")
    script = [sys.executable, str(REPOSITORY / "scripts" / "launch_node.py")]
    config_file = launch_on_cpu("multi_node", root)[-1]
    flags = ["--config_file", config_file, "--port", str(find_free_port()), "--hosts", str(hosts)]
    ssh = ["--ssh", str(REPOSITORY / "tests" / "support" / "as_ssh")]
    return replace(run, launcher=(*script, *flags, *ssh))


def find_host(pid: int, rank: int) -> psutil.Process:
    """What ssh started on a host of the list that process `pid` works on."""
    parts = [part for part in psutil.Process(pid).children() if part.environ().get("NODE_RANK") == str(rank)]
    if not parts:
        raise MissedMoment(f"Nothing runs on host {rank}.")
    return parts[0]


def freeze(family: list[psutil.Process]) -> None:
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGSTOP)


def kill(family: list[psutil.Process]) -> None:
    """kill -9, all of them at one moment."""
    freeze(family)
    for member in family:
        with suppress(psutil.NoSuchProcess):  # its parent's end may have ended it
            member.kill()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [1, 0], ids=["another host", "the host where they meet"])
def test_a_host_that_dies_is_waited_for_and_nobody_is_asked(
    victim: int, make: Make, quiet: TrainingRun
) -> None:
    run = make(f"killed-{victim}")
    process = run.start()
    wait_until(lambda: run.num_updates_saved() >= 2, process)
    host = find_host(process.pid, victim)
    kill([host, *host.children(recursive=True)])
    assert process.wait(400) == 0, run.output[-6000:]
    assert "is lost (exit code -9); it is tried again" in run.output
    assert run.weights == quiet.weights
    assert run.curve == quiet.curve


@pytest.mark.slow
def test_a_host_that_falls_silent_is_replaced_though_its_connections_stay_open(
    make: Make, quiet: TrainingRun
) -> None:
    run = make("silent", ddp_timeout=3600)
    process = run.start()
    wait_until(lambda: run.num_updates_saved() >= 2, process)
    host = find_host(process.pid, 1)  # the other one has the run's lock, and keeps it while it is frozen
    silent = host.children(recursive=True)
    freeze(silent)
    host.kill()  # as ssh gives up on a host that answers no more
    try:
        assert process.wait(400) == 0, run.output[-6000:]
    finally:
        kill(silent)
    assert run.weights == quiet.weights


@pytest.mark.slow
def test_a_list_of_hosts_is_stopped_from_where_it_was_started_and_goes_on_later(
    make: Make, quiet: TrainingRun
) -> None:
    run = make("stopped")
    process = run.start()
    wait_until(lambda: run.num_updates_saved() >= 2, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 143
    assert run.read("error.json")["error_type"] == "InterruptedTraining"
    assert run.finish().weights == quiet.weights


@pytest.mark.slow
def test_what_no_attempt_can_mend_ends_all_hosts_at_once(make: Make, tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("Words without sound.")
    run = make("refused")
    run = replace(run, options={**run.options, "data_dir": tmp_path})
    assert run.attempt() == 1
    assert run.read("error.json")["error_type"] == "DataError"
    assert "the next one starts" not in run.output
