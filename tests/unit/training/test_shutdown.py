import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from recipe.errors import InterruptedTraining
from recipe.run.folder import RunFolder
from recipe.training.shutdown import StopSignal, interrupted

REPOSITORY = Path(__file__).parents[3]
STUCK = """
import time
from pathlib import Path
from recipe.run.folder import RunFolder
from recipe.training.shutdown import StopSignal
stop = StopSignal(RunFolder(Path("nowhere")), grace_seconds=0.3)
stop.defer()
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def stop(tmp_path):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield StopSignal(RunFolder(tmp_path), grace_seconds=3600)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_immediate_where_nothing_can_be_saved(stop, number):
    with pytest.raises(InterruptedTraining):
        os.kill(os.getpid(), number)
    assert stop.is_requested


def test_who_expects_anything_of_a_library_does_not_take_a_stop_for_it(stop):
    with pytest.raises(InterruptedTraining), suppress(Exception):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_deferred_stop_waits_until_it_is_allowed(stop):
    stop.defer()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.is_requested
    with pytest.raises(InterruptedTraining):
        stop.allow()


def test_nothing_happens_without_a_stop(stop):
    stop.defer()
    stop.allow()
    assert not stop.is_requested


def test_a_second_signal_does_not_disturb_the_saving(stop):
    stop.defer()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(InterruptedTraining):
        stop.allow()
    os.kill(os.getpid(), signal.SIGTERM)  # would raise where the error is being told
    assert stop.is_requested


def test_a_process_that_cannot_stop_is_ended_after_its_grace(stop):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout
    process.stdout.readline()
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert time.monotonic() - started >= 0.3
    process.stdout.close()


def test_the_error_says_what_was_saved_and_how_to_go_on():
    assert "update 7 was saved" in str(interrupted(7))
    assert "the same command again" in str(interrupted(7))


@pytest.mark.parametrize(
    ("files", "saved"),
    [
        pytest.param([], "no update was saved yet", id="before the first checkpoint"),
        pytest.param(["checkpoint-2/model.safetensors"], "no update was saved yet", id="in its first save"),
        pytest.param(["checkpoint-2/complete.json"], "update 2 was saved", id="after it"),
        pytest.param(
            ["checkpoint-2/complete.json", "checkpoint-10/complete.json", "checkpoint-11/optimizer.pt"],
            "update 10 was saved",
            id="inside a later save",
        ),
    ],
)
def test_a_stop_speaks_of_a_checkpoint_only_if_there_is_one(stop, tmp_path, files, saved):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InterruptedTraining) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert saved in str(caught.value)
    assert "checkpoint" not in str(caught.value)
