"""Each form of a destination is understood; none is a run's own place, or one closed to a job."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from recipe.errors import JobError
from recipe.publish.destination import (
    Bucket,
    Folder,
    HubRepository,
    check_destination,
    find_destination_problems,
    parse_destination,
)
from recipe.run.folder import RunFolder
from recipe.run.settings import OperatorSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/models/fr", Folder(Path("/models/fr")), id="absolute folder"),
        pytest.param("models/fr", Folder(Path.cwd() / "models/fr"), id="relative folder"),
        pytest.param("~/fr", Folder(Path.home() / "fr"), id="home folder"),
        pytest.param("s3://my-bucket/models/fr", Bucket("my-bucket", "models/fr"), id="bucket"),
        pytest.param("s3://my.bucket/fr/", Bucket("my.bucket", "fr"), id="bucket, trailing slash"),
        pytest.param("hub:owner/whisper-fr", HubRepository("owner/whisper-fr"), id="hub"),
    ],
)
def test_each_form_is_understood(text, expected):
    assert parse_destination(text) == expected
    check_destination(text, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "/models/\nfr",
        "/" + "x" * 1024,
        "gs://bucket/prefix",
        "S3://bucket/prefix",
        "https://bucket.s3.amazonaws.com/x",
        "s3://bucket",
        "s3://bucket/",
        "s3:///prefix",
        "s3://Bucket/prefix",
        "s3://10.0.0.1/prefix",
        "s3://a..b/prefix",
        "s3://bucket/../other",
        "s3://bucket/a//b",
        "s3://bucket/a?x=1",
        "s3://KEY:secret@bucket/prefix",
        "hub:whisper",
        "hub:owner/name/more",
        "hub:owner/../name",
        "hub:owner/name.git",
        "hub:owner/na--me",
        "hub:-owner/name",
        "hub:owner/name@main",
        "hub:" + "o" * 97 + "/name",
        "~no-such-user-here/model",
    ],
)
def test_other_forms_are_refused(text):
    with pytest.raises(JobError, match="expected"):
        check_destination(text, None)


def test_credentials_written_into_the_destination_are_not_quoted():
    with pytest.raises(JobError) as caught:
        parse_destination("s3://AKIAKEY:hunter2secret@bucket/prefix")
    assert "hunter2" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


@pytest.fixture
def worker(tmp_path) -> OperatorSettings:
    """A worker whose operator opens one folder beside the runs, with a run that has worked already."""
    for folder in ("runs/mine/staging", "runs/mine/checkpoint-7", "runs/mine/model", "runs/other/model"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "open").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs/mine/prepared").symlink_to(tmp_path / "elsewhere")  # onto a larger disk
    for name, target in {"out": "/", "to-run": "runs/mine", "to-other": "runs/other/model"}.items():
        (tmp_path / "open" / name).symlink_to(tmp_path / target)
    return OperatorSettings(tmp_path / "runs", publish_dir=tmp_path / "open")


def judge(worker: OperatorSettings, destination: str, *, is_job: bool) -> str:
    root = worker.runs_dir.parent
    text = destination if ":" in destination or destination.startswith("/") else f"{root}/{destination}"
    run = RunFolder(worker.runs_dir / "mine")
    return "; ".join(find_destination_problems(text, run, worker if is_job else None))


@pytest.mark.parametrize("is_job", [True, False], ids=["job", "person"])
@pytest.mark.parametrize(
    "destination",
    [
        "runs/mine/staging",
        "runs/mine/staging/deep/er",
        "runs/mine/checkpoint-7",
        "runs/mine/checkpoint-8",
        "runs/mine/downloads",
        "runs/mine/logs/x",
        "runs/mine/cached",
        "runs/mine/result.json",
        "runs/mine/model/v1",
        "runs/mine/new",
        "runs/mine",
        "runs",
        "/",
        "runs/other/../mine/staging",
        "open/to-run/staging",
        "open/to-run",
        "elsewhere",
        "elsewhere/shards",
    ],
)
def test_no_model_goes_where_its_run_works(worker, destination, is_job):
    assert "the run itself works in" in judge(worker, destination, is_job=is_job)


def test_both_doors_refuse_a_working_folder_with_the_same_sentence(worker):
    job, person = (judge(worker, "runs/mine/staging", is_job=is_job) for is_job in (True, False))
    assert job == person


@pytest.mark.parametrize(
    ("destination", "problem"),
    [
        pytest.param("runs/mine/model", "", id="its own model"),
        pytest.param("runs/other/../mine/model", "", id="its own, by a detour"),
        pytest.param("open/model", "", id="the operator's folder"),
        pytest.param("open/team/model", "", id="deep in the operator's folder"),
        pytest.param("runs/other/model", "own folder 'model' only", id="another job's model"),
        pytest.param("runs/future-job/result.json", "own folder 'model' only", id="a job to come"),
        pytest.param("runs/new", "own folder 'model' only", id="beside the runs"),
        pytest.param("open/to-other", "own folder 'model' only", id="another job's, by a link"),
        pytest.param("open/../runs/other", "own folder 'model' only", id="another job's, by dots"),
        pytest.param("open", "WHISPERTRAIN_PUBLISH_DIR", id="the operator's folder itself"),
        pytest.param("open/out/etc", "WHISPERTRAIN_PUBLISH_DIR", id="a link out of it"),
        pytest.param("open/../foreign", "WHISPERTRAIN_PUBLISH_DIR", id="dots out of it"),
        pytest.param("/etc", "WHISPERTRAIN_PUBLISH_DIR", id="a foreign folder"),
    ],
)
def test_a_job_delivers_to_its_own_model_folder_or_where_the_operator_allows(worker, destination, problem):
    found = judge(worker, destination, is_job=True)
    assert problem in found
    assert bool(problem) == bool(found)


@pytest.mark.parametrize(
    ("destination", "problem"),
    [
        pytest.param("volume/whispertrain/models/mine/model", "", id="its own model"),
        pytest.param("volume/whispertrain/models/other/model", "own folder 'model' only", id="another job's"),
        pytest.param(
            "volume/whispertrain/runs/other/model", "own folder 'model' only", id="another worker's"
        ),
        pytest.param("volume/whispertrain/models", "own folder 'model' only", id="all jobs'"),
        pytest.param("volume/models/fr", "", id="elsewhere on the volume"),
        pytest.param("volume/base/whisper-fr", "base models", id="a base model"),
        pytest.param("volume/base/tuned/fr", "", id="where the operator opens them"),
    ],
)
def test_what_a_volume_keeps_for_another_job_or_the_operator_is_not_replaced(
    tmp_path, worker, destination, problem
):
    volume = tmp_path / "volume"
    dirs = {"publish_dir": volume / "base" / "tuned", "models_dir": volume / "base", "volume_dir": volume}
    found = judge(replace(worker, **dirs), destination, is_job=True)
    assert problem in found
    assert bool(problem) == bool(found)


def test_a_relative_folder_of_a_job_means_nothing(worker):
    [problem] = find_destination_problems("open/model", RunFolder(worker.runs_dir / "mine"), worker)
    assert "not absolute" in problem


@pytest.mark.parametrize(
    ("destination", "variable"),
    [
        ("hub:acme/whisper-fr", ""),
        ("hub:Acme/whisper-fr", "WHISPERTRAIN_PUBLISH_HUB_OWNERS"),
        ("hub:acme-2/whisper-fr", "WHISPERTRAIN_PUBLISH_HUB_OWNERS"),
        ("s3://models/fr", ""),
        ("s3://models/any/fr", ""),
        ("s3://shared/whisper", ""),
        ("s3://shared/whisper/fr", ""),
        ("s3://shared/whispers", "WHISPERTRAIN_PUBLISH_BUCKETS"),
        ("s3://shared/other", "WHISPERTRAIN_PUBLISH_BUCKETS"),
        ("s3://models-2/fr", "WHISPERTRAIN_PUBLISH_BUCKETS"),
    ],
)
def test_a_job_publishes_to_the_owners_and_buckets_that_the_operator_lists(destination, variable):
    lists = {"publish_hub_owners": ("acme",), "publish_buckets": ("models", "shared/whisper")}
    problems = find_destination_problems(destination, None, OperatorSettings(Path("/runs"), **lists))
    assert [variable in problem for problem in problems] == [True] * bool(variable)
    [closed] = find_destination_problems(destination, None, OperatorSettings(Path("/runs")))
    assert "operator does not let jobs publish" in closed
    assert not find_destination_problems(destination, None), "a person's own command line"


def test_nothing_heavy_is_imported():
    check = "print({'torch', 'boto3', 'huggingface_hub'} & set(sys.modules))"
    code = f"import sys, recipe.publish.destination; {check}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
