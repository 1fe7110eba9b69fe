import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from recipe.data.claims import Claim, Claims, SharedWork

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys, time
from pathlib import Path
from recipe.data.claims import Claims
with Claims(Path(sys.argv[1]), float(sys.argv[2])) as claims:
    print(claims.take("talk"), flush=True)
    time.sleep(600)
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux only")


@contextmanager
def holder(folder: Path, lease_seconds: float = 60.0) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds the claim of "talk"."""
    command = [sys.executable, "-c", HOLD, str(folder), str(lease_seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "1"
        yield process
    finally:
        process.kill()
        process.communicate()


def take_at_once(folder: Path, num_watchers: int, lease_seconds: float = 60.0) -> list[int]:
    """The numbers that as many watchers get for "talk"."""
    watchers = [Claims(folder, lease_seconds) for _ in range(num_watchers)]
    with ThreadPoolExecutor(num_watchers) as pool:
        return list(pool.map(lambda watcher: watcher.take("talk"), watchers))


def claim_from_elsewhere(folder: Path) -> Path:
    """The claim of a process of another machine."""
    path = folder / "talk.claim-1"
    path.write_text("another-machine/pid:[1] 1 1")
    return path


def test_one_of_many_takes_a_claim(tmp_path):
    numbers = take_at_once(tmp_path, 16)
    assert sorted(numbers) == [0] * 15 + [1]


def test_a_claim_that_is_released_can_be_taken(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take("talk") == 1
    assert second.take("talk") == 0
    first.release("talk", 1)
    assert second.take("talk") == 1


@needs_proc
def test_one_of_many_succeeds_a_process_that_was_killed(tmp_path):
    with holder(tmp_path) as process:
        assert take_at_once(tmp_path, 4) == [0] * 4
        process.kill()
        process.wait()
        assert sorted(take_at_once(tmp_path, 16)) == [0] * 15 + [2]


@needs_proc
def test_a_process_that_was_killed_is_dead_before_its_parent_has_asked_for_it(tmp_path):
    with holder(tmp_path) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert Claims(tmp_path).take("talk") == 2


def test_the_claim_of_another_machine_is_taken_once_nobody_touches_it(tmp_path):
    path = claim_from_elsewhere(tmp_path)
    watcher = Claims(tmp_path, lease_seconds=0.2)
    for number in range(4):
        assert watcher.take("talk") == 0
        time.sleep(0.15)
        os.utime(path, (number, number))  # of a clock that is decades behind
    assert watcher.take("talk") == 0
    time.sleep(0.3)
    assert watcher.take("talk") == 2


def test_a_claim_whose_writer_died_before_its_first_byte_is_taken_soon(tmp_path):
    (tmp_path / "talk.claim-1").touch()
    watcher = Claims(tmp_path, lease_seconds=10)
    assert watcher.take("talk") == 0
    time.sleep(0.5)
    assert watcher.take("talk") == 2


@needs_proc
def test_a_process_that_is_frozen_is_succeeded_and_takes_nothing_away(tmp_path):
    with holder(tmp_path, lease_seconds=0.5) as process, Claims(tmp_path, lease_seconds=0.5) as watcher:
        assert watcher.take("talk") == 0
        time.sleep(1.5)
        assert watcher.take("talk") == 0, "its heart beats"
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while not (number := watcher.take("talk")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert number == 2
        process.send_signal(signal.SIGCONT)
    late = Claims(tmp_path)
    (tmp_path / "talk.claim-1").touch()
    successor = Claims(tmp_path)
    (tmp_path / "talk.claim-2").touch()
    late.release("talk", 1)
    assert successor.take("talk") == 0


def test_the_claims_of_a_context_end_with_it(tmp_path):
    with Claims(tmp_path) as claims:
        claims.take("talk")
    assert list(tmp_path.iterdir()) == []


def work_through(folder: Path, keys: list[str], done: dict[str, int]) -> list[str]:
    """What one of several workers does of the work, in order."""
    mine = []
    with Claims(folder) as claims:
        work = SharedWork[str, int](claims, done.get)
        work.add((key, key) for key in keys)
        for turn in work:
            if isinstance(turn, Claim):
                if turn.work not in done:
                    time.sleep(0.01)
                    done[turn.work] = len(done)
                    mine.append(turn.work)
                claims.release(turn.key, turn.number)
    return mine


def test_a_worker_alone_does_all_in_order(tmp_path):
    keys = [f"talk-{number}" for number in range(20)]
    assert work_through(tmp_path, keys, {}) == keys
    assert list(tmp_path.iterdir()) == []


def test_workers_do_each_piece_once_and_the_first_ones_first(tmp_path):
    keys = [f"talk-{number:02}" for number in range(40)]
    done: dict[str, int] = {}
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda _: work_through(tmp_path, keys, done), range(4)))
    assert Counter(key for part in parts for key in part) == dict.fromkeys(keys, 1)
    assert all(part == sorted(part) for part in parts)
    assert all(abs(position - keys.index(key)) < 8 for key, position in done.items())


@needs_proc
def test_whoever_waits_looks_ever_less_often_and_at_what_is_missing_only(tmp_path):
    looks: list[str] = []
    with holder(tmp_path), Claims(tmp_path) as claims:
        work = SharedWork[str, str](claims, lambda key: looks.append(key) or ("x" if key == "done" else None))
        work.add([("done", "done"), ("talk", "talk")])
        with ThreadPoolExecutor(1) as pool:
            turns = pool.submit(list, work)
            time.sleep(4)
            work.stop()
            assert turns.result() == ["x"]
    assert looks.count("done") == 1
    assert 2 <= looks.count("talk") <= 6


def test_a_stop_ends_the_wait(tmp_path):
    claim_from_elsewhere(tmp_path)
    with Claims(tmp_path) as claims, ThreadPoolExecutor(1) as pool:
        work = SharedWork[str, str](claims, lambda _: None)
        work.add([("talk", "talk")])
        turns = pool.submit(list, work)
        time.sleep(0.2)
        work.stop()
        assert turns.result(timeout=5) == []
