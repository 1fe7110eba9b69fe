"""`train.py --prepared_dir s3://…`, on a real S3 server (moto) on loopback."""

import boto3
import pytest
from training_runs import TWO_PROCESSES, TrainingRun, clean_environment, run_script, send

from scripts.benchmarks.bucket_server import KEYS, BucketServer

URI = "s3://speech/tones"


@pytest.fixture(scope="module")
def compacted_dir(tmp_path_factory, tiny_dir, tones_dir):
    root = tmp_path_factory.mktemp("prepared")
    options = {"data_dir": tones_dir, "model_name_or_path": tiny_dir, "language": "en"}
    options |= {"output_dir": root / "run", "compacted_dir": root / "compacted"}
    run_script(
        "scripts/prepare.py", *(part for name, value in options.items() for part in (f"--{name}", value))
    )
    return root / "compacted"


@pytest.fixture(scope="module")
def server(compacted_dir):
    with BucketServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="speech")
        for path in compacted_dir.iterdir():
            client.upload_file(str(path), "speech", f"tones/{path.name}")
        yield server


@pytest.fixture(scope="module")
def make(tiny_dir, tmp_path_factory, server):
    root = tmp_path_factory.mktemp("runs")

    def make(name, prepared_dir, launcher=(), environment=None, **options):
        defaults = {
            "prepared_dir": prepared_dir,
            "model_name_or_path": tiny_dir,
            "language": "en",
            "num_train_epochs": 2,
            "publish_if_worse": True,
            "learning_rate": 1e-3,
        }
        settings = clean_environment(**(server.environment | (environment or {})))
        return TrainingRun(root / name, defaults | options, launcher, settings)

    return make


@pytest.fixture(scope="module")
def local(make, compacted_dir):
    return make("local", compacted_dir).finish()


def test_the_model_is_that_of_the_local_folder(make, local, server):
    num_reads = server.num_reads
    run = make("remote", URI).finish()
    assert run.weights == local.weights
    assert run.curve == local.curve
    assert server.num_reads > num_reads
    assert not (run.folder / "sounds").exists()


def test_without_a_cache_too(make, local):
    assert make("no-cache", URI, cache_gib=0).finish().weights == local.weights


def test_killed_in_an_epoch_it_ends_with_the_same_model(make, local):
    run = make("killed", URI, save_strategy="steps", save_steps=1)
    assert run.interrupt(send(9, after=1)) != 0
    assert any((run.folder / "sounds").glob("??/*"))
    run.finish()
    assert run.weights == local.weights


def test_two_processes_see_the_windows_of_one(make, local, compacted_dir):
    options = {"launcher": TWO_PROCESSES, "per_device_train_batch_size": 1}
    here = make("two-local", compacted_dir, **options).finish()
    there = make("two-remote", URI, **options).finish()
    assert there.weights == here.weights
    assert [loss for _, loss, _ in there.curve] == pytest.approx(
        [loss for _, loss, _ in local.curve], rel=1e-6
    )


def test_no_output_holds_a_key(make):
    run = make("secrets", URI, cache_gib=0, num_train_epochs=1).finish()
    secret = KEYS["AWS_SECRET_ACCESS_KEY"]
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert secret not in run.output
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in " ".join(run.arguments)


@pytest.mark.parametrize(
    ("prepared_dir", "environment", "sentence"),
    [
        (
            "s3://speech/nothing",
            {},
            "nothing/dataset.json: there is no such file (HTTP 404 NoSuchKey)",
        ),
        (
            "s3://nowhere/tones",
            {},
            "tones/dataset.json: there is no such file (HTTP 404 NoSuchBucket)",
        ),
        (URI, {"AWS_SECRET_ACCESS_KEY": ""}, "needs AWS_SECRET_ACCESS_KEY in the environment"),
        ("ftp://host/tones", {}, "start with ftp:// cannot be read"),
    ],
    ids=["no dataset", "no bucket", "no key", "unknown"],
)
def test_a_dataset_that_cannot_be_opened_is_refused_before_the_model_is_loaded(
    make, prepared_dir, environment, sentence, request
):
    name = request.node.callspec.id.replace(" ", "-")
    run = make(name, prepared_dir, environment=environment, model_name_or_path="owner/missing")
    assert run.attempt() == 1
    error = run.read("error.json")["error"]
    assert sentence in error
    assert not error.endswith("..")


def test_a_missing_part_is_named_before_training(make, compacted_dir):
    client = boto3.client("s3")
    for path in compacted_dir.iterdir():
        if path.suffix != ".tar":
            client.upload_file(str(path), "speech", f"half/{path.name}")
    run = make("half", "s3://speech/half")
    assert run.attempt() == 1
    assert "s3://speech/half/part-00000.tar: there is no such file" in run.read("error.json")["error"]
