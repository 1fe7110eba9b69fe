"""The folder of a job: claimed once, held by one, and the truth about how it ended."""

import json
from pathlib import Path

import pytest

from recipe.errors import JobConflictError
from recipe.run.folder import RunFolder, open_run, write_json
from recipe.worker.job import Job, ManifestFile


def make_job(**changes: object) -> Job:
    fields = {
        "project_id": "p",
        "user_id": "u",
        "backend_base_url": "https://b.example",
        "files_manifest": [ManifestFile(file_type="audio", filename="a.wav")],
        "job_id": "job-1",
    }
    return Job.model_construct(**{**fields, **changes})


def test_a_new_job_claims_its_folder(tmp_path: Path) -> None:
    with open_run(tmp_path, make_job()) as run:
        assert json.loads((run.path / "manifest.json").read_text()) == [
            {"file_type": "audio", "filename": "a.wav"}
        ]
        assert json.loads((run.path / "job.json").read_text())["settings"]["user_id"] == "u"
        assert run.path.stat().st_mode & 0o777 == 0o700
        assert run.read_result() is None
        assert run.read_error() is None


def test_the_same_job_may_come_back_and_another_may_not(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path, make_job()):
            pass
    with pytest.raises(JobConflictError, match=r"differing: epochs"), open_run(tmp_path, make_job(epochs=2)):
        pytest.fail("it must not be opened")


def test_a_folder_in_use_is_refused_and_free_afterwards(tmp_path: Path) -> None:
    with (
        open_run(tmp_path, make_job()),
        pytest.raises(JobConflictError, match="running already"),
        open_run(tmp_path, make_job()),
    ):
        pytest.fail("it must not be opened")
    with open_run(tmp_path, make_job()):
        pass


def test_a_damaged_description_is_written_anew(tmp_path: Path) -> None:
    with open_run(tmp_path, make_job()) as run:
        (run.path / "job.json").write_text('{"finger')
    with open_run(tmp_path, make_job()) as run:
        assert json.loads((run.path / "job.json").read_text())["fingerprint"] == make_job().fingerprint()


def test_a_new_attempt_forgets_the_error_of_the_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_json(tmp_path / "error.json", {"error": "odd", "error_type": "DataError"})
    assert run.read_error() == ("odd", "DataError")
    run.write_arguments({"a": 1})
    assert run.read_error() is None
    assert json.loads(run.arguments_file.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"status": "completed"}', {"status": "completed"}, id="whole"),
        pytest.param('{"loss": NaN}', {"loss": None}, id="not a number"),
        pytest.param('{"status": "comp', None, id="half"),
        pytest.param("[]", None, id="no object"),
    ],
)
def test_a_result_is_read_as_far_as_it_can_be(tmp_path: Path, text: str, expected: object) -> None:
    (tmp_path / "result.json").write_text(text)
    assert RunFolder(tmp_path).read_result() == expected


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
