"""The folder of a run: the truth about how it ended."""

import json
from pathlib import Path

import pytest
from damages import DAMAGES, Damage

from recipe.run.folder import RunFolder

TEXT = '{"status": "completed", "job_id": "a", "loss": 1}'


def test_a_new_attempt_forgets_the_error_of_the_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_error("odd", "DataError")
    written = json.loads((tmp_path / "error.json").read_text())
    assert written | {"checksum": ""} == {"error": "odd", "error_type": "DataError", "checksum": ""}
    assert run.read_error() == ("odd", "DataError")
    run.write_arguments({"a": 1})
    assert run.read_error() is None
    assert json.loads((tmp_path / "arguments.json").read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(TEXT, {"status": "completed", "job_id": "a", "loss": 1}, id="whole"),
        pytest.param(
            TEXT.replace("1", "NaN"), {"status": "completed", "job_id": "a", "loss": None}, id="not a number"
        ),
        pytest.param('{"loss": 1}', None, id="another object"),
        pytest.param(TEXT[:20], None, id="half"),
        pytest.param("[]", None, id="no object"),
    ],
)
def test_a_result_is_read_or_the_run_is_not_finished(tmp_path: Path, text: str, expected: object) -> None:
    (tmp_path / "result.json").write_text(text)
    assert RunFolder(tmp_path).read_result() == expected
    assert (tmp_path / "result.json").exists() == (expected is not None)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_error_is_none_and_is_forgotten(tmp_path: Path, damage: Damage) -> None:
    run = RunFolder(tmp_path)
    for _ in range(2):
        run.write_error("odd", "DataError")
        damage(run.error)
        run.write_arguments({})
        assert run.read_error() is None
