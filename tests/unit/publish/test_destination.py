"""Destinations are judged as text, and nothing that may be a credential is quoted."""

import subprocess
import sys
from pathlib import Path

import pytest

from recipe.errors import JobError
from recipe.publish.destination import Bucket, Folder, HubRepository, check_destination, parse_destination


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
    check_destination(text)


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
    ],
)
def test_other_forms_are_refused(text):
    with pytest.raises(JobError, match="expected"):
        check_destination(text)


def test_credentials_written_into_the_destination_are_not_quoted():
    with pytest.raises(JobError) as caught:
        parse_destination("s3://AKIAKEY:hunter2secret@bucket/prefix")
    assert "hunter2" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


def test_a_job_may_write_below_the_operators_folders_only(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to("/")
    check_destination(str(allowed / "model"), (allowed,))
    for bad in (allowed, allowed / ".." / "other", allowed / "link" / "etc", Path("/etc"), Path("relative")):
        with pytest.raises(JobError, match="not below a folder"):
            check_destination(str(bad), (allowed,))
    with pytest.raises(JobError, match="not below a folder"):
        check_destination(str(allowed / "model"), ())
    check_destination("s3://bucket/prefix", ())


def test_nothing_heavy_is_imported():
    check = "print({'torch', 'boto3', 'huggingface_hub'} & set(sys.modules))"
    code = f"import sys, recipe.publish.destination; {check}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
