import logging
import multiprocessing
import os
import signal
import time

import pytest
from disks import make_read_only, mount_disk

from recipe.data.sound_cache import BLOCK_BYTES, SoundCache

fork = multiprocessing.get_context("fork")


def disk_bytes(folder):
    """What the entries take of the disk, whole and partial ones."""
    sizes = [path.stat().st_size for path in folder.glob("??/*")]
    return sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in sizes)


def fill(cache, first, count, num_bytes=10_000):
    for number in range(first, first + count):
        cache.save(f"window {number}", number.to_bytes(4, "big") * (num_bytes // 4))


def test_what_was_kept_is_given_back_also_to_a_later_process(tmp_path):
    cache = SoundCache(tmp_path / "sounds", 1 << 20)
    assert cache.load("a") is None
    cache.save("a", b"sound")
    assert cache.load("a") == b"sound"
    assert SoundCache(tmp_path / "sounds", 1 << 20).load("a") == b"sound"


def test_what_comes_first_stays_and_the_bound_holds(tmp_path):
    cache = SoundCache(tmp_path, 10 * BLOCK_BYTES)
    fill(cache, 0, 20, num_bytes=BLOCK_BYTES)
    assert disk_bytes(tmp_path) == 10 * BLOCK_BYTES
    assert [cache.load(f"window {number}") is not None for number in range(20)] == [True] * 10 + [False] * 10


def test_four_processes_stay_within_the_bound_together(tmp_path):
    max_bytes = 100 * 3 * BLOCK_BYTES  # of the 400 windows that they bring
    cache = SoundCache(tmp_path, max_bytes)
    processes = [fork.Process(target=fill, args=(cache, 100 * number, 100)) for number in range(4)]
    for process in processes:
        process.start()
    most = 0
    while any(process.is_alive() for process in processes):
        most = max(most, disk_bytes(tmp_path))
    for process in processes:
        process.join()
    assert most <= max_bytes
    assert disk_bytes(tmp_path) == max_bytes


def test_kills_leave_whole_entries_within_the_bound(tmp_path):
    max_bytes = 300 * 3 * BLOCK_BYTES
    for number in range(8):
        process = fork.Process(target=fill, args=(SoundCache(tmp_path, max_bytes), 1000 * number, 1000))
        process.start()
        time.sleep(0.01 * number)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert disk_bytes(tmp_path) <= max_bytes
    cache = SoundCache(tmp_path, max_bytes)
    found = [(number, cache.load(f"window {number}")) for number in range(8000)]
    kept = [(number, content) for number, content in found if content is not None]
    assert kept
    assert all(content == number.to_bytes(4, "big") * 2_500 for number, content in kept)


@pytest.mark.parametrize("case", ["a file in its place", "a damaged sum", "no room"])
def test_a_cache_that_cannot_be_written_is_skipped_with_one_warning(tmp_path, case, caplog):
    folder = tmp_path / "sounds"
    if case == "a file in its place":
        folder.write_text("not a folder")
    elif case == "a damaged sum":
        folder.mkdir()
        (folder / "num_bytes").write_text("x")
    cache = SoundCache(folder, 1 << 20, min_free_bytes=1 << 60 if case == "no room" else 0)
    with caplog.at_level(logging.WARNING):
        fill(cache, 0, 3)
    assert [record.message.startswith(f"{folder} takes no more sounds (") for record in caplog.records] == [
        True
    ]
    assert cache.load("window 0") is None


@pytest.mark.parametrize("change", [None, make_read_only], ids=["full", "read-only"])
def test_a_disk_that_takes_no_more_keeps_what_it_has(tmp_path, change, caplog):
    with mount_disk(tmp_path / "disk", mebibytes=1) as disk:
        cache = SoundCache(disk, 1 << 30)
        fill(cache, 0, 10)
        if change:
            change(disk)
        with caplog.at_level(logging.WARNING):
            fill(cache, 10, 200)
        assert len(caplog.records) == 1
        assert cache.is_closed
        assert cache.load("window 0") == bytes(10_000)
        assert not list(disk.glob("??/*.part"))


def test_forked_processes_warn_once_together(tmp_path):
    (tmp_path / "sounds").write_text("not a folder")
    cache = SoundCache(tmp_path / "sounds", 1 << 20)
    process = fork.Process(target=fill, args=(cache, 0, 1))
    process.start()
    process.join()
    assert cache.is_closed
