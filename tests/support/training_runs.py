"""The real `train.py` in processes of its own, on a tiny model and synthetic recordings, and its backend.

A run is forked from the warm parent unless a launcher is given; `PYTHON` is the true command line.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np
import psutil
import pytest
import yaml
from warm_parent import REPOSITORY, ForkedRun

from recipe.backend.events import Outbox
from recipe.training.arguments import fingerprint, parse_arguments
from recipe.training.checkpoints import COMPLETION_FILE, list_checkpoints
from recipe.training.self_test import write_tones

CUE_MS = 7_000
USER = "user-1"
SECONDS_PER_ATTEMPT = 300.0  # a run takes 10; a busy machine more

PYTHON = (sys.executable,)
"""The launcher of `python train.py`."""
CPU = (
    *(sys.executable, "-m", "accelerate.commands.launch"),
    *("--config_file", str(REPOSITORY / "accelerate_configs" / "cpu.yaml")),
)
"""The launcher of one process without a GPU."""
TWO_PROCESSES = (*CPU[:-1], str(REPOSITORY / "accelerate_configs" / "cpu_two_processes.yaml"))


SHORT = {"num_train_epochs": 1, "per_device_train_batch_size": 2, "learning_rate": 2e-5}
"""What a run would choose by its data and its model, which would take longer."""


class Process(Protocol):
    """What tests use of `subprocess.Popen`; a run below the warm parent has it too."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...


Moment = Callable[["TrainingRun", Process], None]


class MissedMoment(Exception):  # noqa: N818 - not an error of the run
    """A run ended before the moment at which it should have been disturbed."""


def write_recording(path: Path, num_cues: int, seed: int = 0) -> None:
    """`path`.flac and `path`.vtt: tones, and captions of uneven length that name them."""
    pitches = np.random.default_rng(seed).integers(200, 2000, size=num_cues).tolist()
    texts = [f"A tone of {pitch} hertz{' again' * (pitch % 4)}." for pitch in pitches]
    write_tones(path, pitches, texts, CUE_MS)


def clean_environment(**more: str) -> dict[str, str]:
    """What a process of the tests needs of ours, on one thread and without GPUs or secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    settings = {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "WHISPERTRAIN_ALLOW_PRIVATE_BACKEND": "1",
        "WHISPERTRAIN_FLUSH_SECONDS": "10",
    }
    return kept | settings | more


def run_script(script: str, *arguments: object) -> str:
    """What a script of the repository prints, below the warm parent."""
    with tempfile.TemporaryFile() as output:
        run = ForkedRun([script, *map(str, arguments)], clean_environment(), output)
        try:
            code = run.wait(SECONDS_PER_ATTEMPT)
        finally:
            kill_session(run)
        output.seek(0)
        text = output.read().decode(errors="replace")
    assert code == 0, text[-4000:]
    return text


@contextmanager
def serve_backend(root: Path, **secrets: str) -> Iterator[str]:
    """Address of the real reference backend over `root`."""
    command = [sys.executable, str(REPOSITORY / "scripts" / "reference_backend"), "--root", str(root)]
    server = subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True, env=clean_environment(**secrets)
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().removeprefix("listening on ").strip()
    finally:
        server.terminate()
        server.communicate(timeout=10)


def read_backend(address: str, job_id: str, **headers: str) -> list[dict[str, Any]]:
    """The job's events as the backend has them."""
    with httpx.Client(base_url=address, trust_env=False, headers=headers) as client:
        answer = client.get(f"/api/training/progress/{job_id}").raise_for_status().json()
    assert answer["missing_fields"] == []
    return list(answer["events"])


@dataclass
class TrainingRun:
    """One run folder, and the command that works on it.

    Attributes:
        folder: The `--output_dir`.
        options: Other arguments of `train.py`.
        launcher: What stands in front of `train.py`; without one the trainer is forked from the warm parent.
        environment: All variables.
    """

    folder: Path
    options: Mapping[str, object]
    launcher: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=clean_environment)

    @property
    def arguments(self) -> list[str]:
        """Those of `train.py`."""
        options = {"output_dir": self.folder, "long_form": "off", **SHORT, **self.options}
        return [part for name, value in options.items() for part in (f"--{name}", str(value))]

    def start(self) -> Process:
        """The command, in a session of its own, its output appended to the log."""
        command = ["train.py", *self.arguments]
        with self.log.open("ab") as log:
            if not self.launcher:
                return ForkedRun(command, self.environment, log)
            return subprocess.Popen(
                [*self.launcher, *command],
                cwd=REPOSITORY,
                env=dict(self.environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def attempt(self) -> int:
        """The exit code of one undisturbed attempt."""
        process = self.start()
        try:
            return process.wait(SECONDS_PER_ATTEMPT)
        finally:
            kill_session(process)

    def finish(self) -> "TrainingRun":
        """The run itself, once an attempt has ended well."""
        assert self.attempt() == 0, self.output[-4000:]
        return self

    def interrupt(self, moment: Moment) -> int:
        """The exit code of an attempt that is disturbed at some moment."""
        process = self.start()
        try:
            moment(self, process)
            return process.wait(SECONDS_PER_ATTEMPT)
        finally:
            kill_session(process)

    @property
    def log(self) -> Path:
        """What all attempts wrote to stdout and stderr; beside the folder, which a first attempt makes."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def output(self) -> str:
        """The log's text."""
        return self.log.read_text(errors="replace")

    @property
    def weights(self) -> bytes:
        """The published weights."""
        return (self.folder / "model" / "model.safetensors").read_bytes()

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events of the outbox, in order."""
        return Outbox(self.folder / "events.sqlite", "").events()

    def read(self, name: str) -> Any:
        """A JSON file of the run folder."""
        return json.loads((self.folder / name).read_text())

    @property
    def curve(self) -> list[tuple[int, float, float]]:
        """(update, loss, gradient norm) of each update, from the last checkpoint."""
        state = self.read(f"{list_checkpoints(self.folder)[0].name}/trainer_state.json")
        return [(e["step"], e["loss"], e["grad_norm"]) for e in state["log_history"] if "loss" in e]

    def num_updates_saved(self) -> int:
        """Update of the newest checkpoint that has its completion file; 0 if there is none."""
        whole = [path for path in list_checkpoints(self.folder) if (path / COMPLETION_FILE).exists()]
        return int(whole[0].name.removeprefix("checkpoint-")) if whole else 0

    def is_saving(self) -> bool:
        """Whether the newest checkpoint is there, but not yet whole."""
        newest = list_checkpoints(self.folder)[:1]
        return bool(newest) and not (newest[0] / COMPLETION_FILE).exists()


def fingerprint_of(run: TrainingRun, **changes: object) -> dict[str, Any]:
    """What a resume of the run compares with its checkpoints, if some of its options are others."""
    checkpoint = list_checkpoints(run.folder)[0].name
    saved = run.read(f"{checkpoint}/{COMPLETION_FILE}")["fingerprint"]
    options = {**run.options, **changes, "use_cpu": True}  # as `clean_environment` has it
    arguments = parse_arguments(replace(run, options=options).arguments)
    return fingerprint(arguments, saved["dataset"], saved["task"])


def signal_family(process: Process, number: signal.Signals) -> None:
    """A signal to a launcher and its ranks, which have sessions of their own: as when a machine goes down."""
    launcher = psutil.Process(process.pid)
    for member in [*launcher.children(recursive=True), launcher]:
        member.send_signal(number)


def kill_session(process: Process) -> None:
    """End what is left of a command and everything below it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def wait_until(
    condition: Callable[[], object], process: Process, seconds: float = SECONDS_PER_ATTEMPT
) -> None:
    """Return as soon as the condition holds; the process must live until then."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            raise MissedMoment(f"The run ended with {process.returncode} before.")
        assert time.monotonic() < deadline, "the moment did not come in time"
        time.sleep(0.0005)


def kill_inside_a_save(after: int) -> Moment:
    """kill -9 while a checkpoint later than that of update `after` is being written."""

    def act(run: TrainingRun, process: Process) -> None:
        wait_until(lambda: run.num_updates_saved() >= after, process)
        while True:
            wait_until(run.is_saving, process)
            process.send_signal(signal.SIGSTOP)  # so that it is still inside when it is killed
            if run.is_saving():
                process.kill()
                return
            process.send_signal(signal.SIGCONT)

    return act


def send(number: signal.Signals, after: int, delay_seconds: float = 0.0) -> Moment:
    """A signal some time after the checkpoint of update `after` or a later one is whole."""

    def act(run: TrainingRun, process: Process) -> None:
        wait_until(lambda: run.num_updates_saved() >= after, process)
        time.sleep(delay_seconds)
        process.send_signal(number)

    return act


def launch_on_cpu(config: str, folder: Path, **changes: object) -> tuple[str, ...]:
    """The launcher of a config of `accelerate_configs/`, changed in nothing but the device and `changes`."""
    settings = yaml.safe_load((REPOSITORY / "accelerate_configs" / f"{config}.yaml").read_text())
    settings |= {"use_cpu": True, **changes}
    path = folder / f"{config}-{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(path)


def find_free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def assert_same_curve(run: TrainingRun, reference: TrainingRun, tolerance: float = 1e-5) -> None:
    """Losses and gradient norms of all updates agree, relative to the reference."""
    assert len(run.curve) == len(reference.curve) > 0
    for found, expected in zip(run.curve, reference.curve, strict=True):
        assert found == pytest.approx(expected, rel=tolerance)
