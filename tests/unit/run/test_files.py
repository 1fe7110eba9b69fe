"""Files that are whole or absent, in any locale, and locks between processes."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from damages import DAMAGES, Damage
from disks import make_read_only, mount_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.errors import JobConflictError
from recipe.run.files import (
    acquire,
    export_json,
    open_lock,
    read_state,
    replacing_folder,
    write_json,
    write_state,
)
from recipe.run.launch import REPOSITORY_DIR


@dataclass(frozen=True)
class Names:
    names: list[str]

    def __hash__(self) -> int:
        return hash(tuple(self.names))


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
    assert read_state(tmp_path / "x.json", dict) == value


def test_what_is_written_is_read_again_whatever_the_locale(tmp_path: Path) -> None:
    code = """
import locale, sys, pathlib
from recipe.run.files import read_state, write_state
assert locale.getencoding() != "UTF-8"
write_state(pathlib.Path(sys.argv[1]), {"a": "\\xe9"})
assert read_state(pathlib.Path(sys.argv[1]), dict) == {"a": "\\xe9"}
"""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path / "x.json")]
    subprocess.run(command, env=os.environ | ascii_only, cwd=REPOSITORY_DIR, check=True)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_file_counts_as_absent_and_is_set_aside(
    tmp_path: Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.json"
    for number in ("", "-2", "-3"):
        write_state(path, {"names": ["a", "b"]})
        assert read_state(path, Names) == Names(["a", "b"])
        damage(path)
        assert read_state(path, Names) is None
        assert not path.exists()
        assert (tmp_path / f"x.json.damaged{number}").exists()
        assert f"set aside as x.json.damaged{number}" in caplog.text
        assert read_state(path, Names) is None, "absent is no damage"
    assert len(caplog.records) == 3


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_bit_changes_the_content_is_never_another(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        write_state(path, {"names": ["a", "b"]})
        content = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        assert read_state(path, Names) in {None, Names(["a", "b"])}


def test_a_state_file_without_a_checksum_is_judged_by_its_form(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"names": ["a"], "from": "an earlier version"}')
    assert read_state(tmp_path / "x.json", Names) == Names(["a"])


def test_a_folder_in_the_place_of_a_file_is_set_aside_by_the_next_write(tmp_path: Path) -> None:
    for name in ("x.json", "x.json.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inside").write_text("kept")
    write_state(tmp_path / "x.json", {"names": []})
    assert read_state(tmp_path / "x.json", Names) == Names([])
    for name in ("x.json", "x.json.part"):
        assert (tmp_path / f"{name}.damaged" / "inside").read_text() == "kept"


def test_a_folder_that_is_no_runs_stays_where_it_is(tmp_path: Path) -> None:
    export_json(tmp_path / "new" / "answer.json", {})
    with pytest.raises(IsADirectoryError):
        export_json(tmp_path / "new", {})
    assert (tmp_path / "new" / "answer.json").read_text() == "{}"


def test_a_lock_is_held_by_one_until_it_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as held, (tmp_path / "lock").open("w") as other:
        acquire(held, "it is held")
        with pytest.raises(JobConflictError, match="it is held"):
            acquire(other, "it is held")
        held.close()
        acquire(other, "it is held")


def test_a_lock_on_a_read_only_disk_is_taken_if_it_is_there(tmp_path: Path) -> None:
    with mount_disk(tmp_path / "disk", 1) as disk:
        (disk / "lock").touch()
        make_read_only(disk)
        with open_lock(disk / "lock") as lock:
            acquire(lock, "it is held")
        with pytest.raises(OSError, match="Read-only"):
            open_lock(disk / "another")


def test_a_folder_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("x")
    (tmp_path / "model.part").mkdir()
    (tmp_path / "model.part" / "left").write_text("by a kill")
    with replacing_folder(tmp_path / "model") as partial:
        (partial / "new").write_text("x")
        assert (tmp_path / "model" / "old").exists()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]
    with pytest.raises(ValueError, match="half"), replacing_folder(tmp_path / "model"):
        raise ValueError("half")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["model", "model/new"]
