"""Training from a real S3 server (moto, on loopback) is training from a local folder, bit for bit."""

import os
import random
import signal
from pathlib import Path

import boto3
import pytest
from datasets import Dataset
from tiny_trainers import (
    assert_same,
    build_trainer,
    make_noise,
    one_thread,  # noqa: F401 - a fixture of this module
    resume,
    tiny_whisper,
    trained,
)
from transformers import TrainerCallback

from recipe.data.remote_sounds import REMOTE_SOUNDS
from recipe.data.shards import FEATURES
from recipe.data.sound_cache import SoundCache
from recipe.data.sounds import SoundFile
from recipe.errors import DataError, sentence_of
from recipe.model.inputs import ViewProbabilities, WindowDataset
from scripts.benchmarks.bucket_server import BucketServer, reset

NUM_WINDOWS = 14  # four updates of four an epoch
PART = "part-00000.tar"


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows whose sounds lie in a tar of this machine."""
    folder = tmp_path_factory.mktemp("prepared")
    rows = []
    with SoundFile(folder / PART) as part:
        for index in range(NUM_WINDOWS):
            start_ms, end_ms = 3_000 * index, 3_000 * (index + 1)
            text = f"window {index} " + "word " * (index % 7) ** 2
            rows.append(
                dict.fromkeys(FEATURES)
                | {
                    "recording": "noise",
                    "language": "en",
                    "start_ms": start_ms,
                    "end_ms": end_ms,
                    "audio": part.add("noise", start_ms, end_ms, make_noise(3_000, seed=index)),
                    "segments": [{"start_ms": 0, "end_ms": 2_000, "text": text}],
                    "prompt": [],
                    "num_tokens": 10 + (index % 7) ** 2,
                }
            )
    for row in rows:
        row["audio"]["file"] = str(folder / PART)
    return rows


@pytest.fixture
def server(rows, monkeypatch):
    with BucketServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="speech")
        client.upload_file(rows[0]["audio"]["file"], "speech", PART)
        yield server
        REMOTE_SOUNDS.close()
        REMOTE_SOUNDS.kept = None


@pytest.fixture
def make(whisper, rows, tmp_path):
    """A trainer by name, on the bucket or on the local folder."""

    def make(name, *, is_remote, **changes):
        there = [
            row | {"audio": row["audio"] | {"file": f"s3://speech/{PART}"}} if is_remote else row
            for row in rows
        ]
        examples = Dataset.from_list(there, features=FEATURES)
        windows = WindowDataset(examples, whisper, ViewProbabilities(0.5, 0.5, 0.2), seed=1)
        return build_trainer(whisper, windows, tmp_path / name, **changes)

    return make


def test_weights_are_those_of_the_local_folder(make, server):
    local = trained(make("local", is_remote=False))
    assert_same(trained(make("remote", is_remote=True)), local)
    # Two more windows an epoch fill up its last update; they show the first one.
    assert server.num_reads == 2 * (NUM_WINDOWS + 2)


def test_a_second_epoch_reads_what_the_cache_took_and_the_rest_anew(make, server, tmp_path):
    local = trained(make("local", is_remote=False))
    entries = 8 * 25 * 4096  # of about 97 kB each
    REMOTE_SOUNDS.kept = SoundCache(tmp_path / "sounds", entries)
    assert_same(trained(make("remote", is_remote=True)), local)
    kept = list((tmp_path / "sounds").glob("??/*"))
    assert 8 <= len(kept) < NUM_WINDOWS
    assert sum(path.stat().st_size for path in kept) <= entries
    assert server.num_reads < 2 * NUM_WINDOWS


def test_worker_processes_read_for_themselves(make, server, tmp_path):
    local = trained(make("local", is_remote=False))
    REMOTE_SOUNDS.kept = SoundCache(tmp_path / "sounds", 1 << 30)
    assert_same(trained(make("remote", is_remote=True, dataloader_num_workers=2)), local)
    # Two workers may have asked for the window that fills up at the same time.
    assert NUM_WINDOWS <= server.num_reads <= NUM_WINDOWS + 2


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("keeps", [False, True], ids=["no cache", "cache"])
def test_killed_in_an_epoch_it_goes_on_to_the_same_weights(make, keeps, tmp_path):
    class KillSelf(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    local = trained(make("local", is_remote=False))
    REMOTE_SOUNDS.kept = SoundCache(tmp_path / "sounds", 1 << 30) if keeps else None
    child = os.fork()
    if not child:
        try:
            make("remote", is_remote=True, callbacks=(KillSelf(),)).train()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert_same(resume(make("remote", is_remote=True)), local)


def test_a_store_that_stumbles_changes_nothing(make, server):
    draw = random.Random(0)
    faults = [
        lambda _environ, _content: ("503 Slow Down", b"", 0),
        lambda _environ, content: ("206 Partial Content", content[:-1], len(content)),
        reset,
    ]
    server.fault = lambda environ, content: (
        draw.choice(faults)(environ, content) if draw.random() < 0.2 else None
    )
    local = trained(make("local", is_remote=False))
    assert_same(trained(make("remote", is_remote=True)), local)


def test_a_part_that_is_gone_ends_training_with_a_sentence(make, server):
    boto3.client("s3").delete_object(Bucket="speech", Key=PART)
    with pytest.raises(DataError, match=rf"s3://speech/{PART}: there is no such file \(HTTP 404 NoSuchKey\)"):
        make("remote", is_remote=True).train()


def test_the_sentence_of_a_worker_process_stays_one(make, server):
    boto3.client("s3").delete_object(Bucket="speech", Key=PART)
    with pytest.raises(DataError) as caught:
        make("remote", is_remote=True, dataloader_num_workers=1).train()
    reason = f"s3://speech/{PART}: there is no such file (HTTP 404 NoSuchKey)"
    assert sentence_of(caught.value) == f"The sound of a window cannot be read: {reason}."


def test_a_part_with_other_content_ends_training_with_a_sentence(make, rows, server):
    content = bytearray(Path(rows[0]["audio"]["file"]).read_bytes())
    content[len(content) // 2] ^= 1
    boto3.client("s3").put_object(Bucket="speech", Key=PART, Body=bytes(content))
    with pytest.raises(DataError, match="not the file that the dataset's index was made of"):
        make("remote", is_remote=True).train()
