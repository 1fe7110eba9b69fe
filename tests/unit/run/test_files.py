"""Files that are whole or absent, in any locale, and locks between processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe.errors import JobConflictError
from recipe.run.files import acquire, read_json, write_json
from recipe.run.launch import REPOSITORY_DIR


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}


def test_text_is_stored_as_it_is_and_half_a_character_as_its_escape(tmp_path: Path) -> None:
    value = {"très": "天気 😀", "half": "\ud800"}
    write_json(tmp_path / "x.json", value)
    assert "très" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "x.json") == value


def test_what_is_written_is_read_again_whatever_the_locale(tmp_path: Path) -> None:
    code = """
import locale, sys, pathlib
from recipe.run.files import read_json, write_json
assert locale.getencoding() != "UTF-8"
write_json(pathlib.Path(sys.argv[1]), {"a": "\\xe9"})
assert read_json(pathlib.Path(sys.argv[1])) == {"a": "\\xe9"}
"""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path / "x.json")]
    subprocess.run(command, env=os.environ | ascii_only, cwd=REPOSITORY_DIR, check=True)


@pytest.mark.parametrize("content", [b'{"half', b'{"a": "\xff"}', b""], ids=["cut short", "no text", "empty"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    assert read_json(tmp_path / "x.json") is None
    assert read_json(tmp_path / "y.json") is None


def test_a_lock_is_held_by_one_until_it_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held, (tmp_path / "lock").open("w") as other:
        acquire(held, "it is held")
        with pytest.raises(JobConflictError, match="it is held"):
            acquire(other, "it is held")
        held.close()
        acquire(other, "it is held")
