"""The folder of a run: the truth about how it ended."""

import json
from pathlib import Path

import pytest

from recipe.run.folder import RunFolder


def test_a_new_attempt_forgets_the_error_of_the_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_error("odd", "DataError")
    assert json.loads((tmp_path / "error.json").read_text()) == {"error": "odd", "error_type": "DataError"}
    assert run.read_error() == ("odd", "DataError")
    run.write_arguments({"a": 1})
    assert run.read_error() is None
    assert json.loads((tmp_path / "arguments.json").read_text()) == {"a": 1}


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
