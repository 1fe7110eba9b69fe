import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from damages import DAMAGES as FILE_DAMAGES
from damages import Damage, flip_bit
from files import write_files

from recipe.errors import CheckpointError
from recipe.training.checkpoints import (
    COMPLETION_FILE,
    DAMAGED_DIR,
    complete_checkpoint,
    find_checkpoint,
    list_checkpoints,
    rotate_checkpoints,
    verify_checkpoint,
)

FINGERPRINT = {"dataset": "abc", "num_processes": 1, "views": [0.5, 0.1]}
FILES = {
    "model.safetensors": b"weights" * 100,
    "optimizer.pt": b"moments" * 200,
    "rng_state.pth": b"random",
    "empty/scheduler.pt": b"",
    "trainer_state.json": b'{"global_step": 10}',
}


def save(output_dir: Path, step: int) -> Path:
    checkpoint = write_files(output_dir / f"checkpoint-{step}", FILES)
    complete_checkpoint(checkpoint, FINGERPRINT)
    return checkpoint


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = {
    "torn": (tear, "bytes instead of"),
    "grown": (grow, "bytes instead of"),
    "emptied": (empty, "0 bytes instead of"),
    "bit-flipped": (flip_bit, "has changed"),
    "deleted": (Path.unlink, "is missing"),
}


def test_a_run_without_checkpoints_begins_at_the_start(tmp_path):
    assert find_checkpoint(tmp_path, FINGERPRINT) is None
    assert not (tmp_path / DAMAGED_DIR).exists()


def test_the_newest_whole_checkpoint_is_found_by_number_not_by_name_or_time(tmp_path):
    newest = save(tmp_path, 10)
    save(tmp_path, 9)
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-11").write_text("a file")
    assert find_checkpoint(tmp_path, FINGERPRINT) == newest
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-9"]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [name for name in FILES if FILES[name]])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(tmp_path, name: str, damage: str):
    before, newest = save(tmp_path, 9), save(tmp_path, 10)
    act, complaint = DAMAGES[damage]
    act(newest / name)
    problem = verify_checkpoint(newest)
    assert problem is not None
    assert name in problem
    assert complaint in problem
    assert find_checkpoint(tmp_path, FINGERPRINT) == before
    assert [path.name for path in (tmp_path / DAMAGED_DIR).iterdir()] == ["001-checkpoint-10"]


@pytest.mark.parametrize("damage", FILE_DAMAGES.values(), ids=FILE_DAMAGES)
def test_a_damaged_completion_file_is_none(tmp_path, damage: Damage):
    before, newest = save(tmp_path, 9), save(tmp_path, 10)
    damage(newest / COMPLETION_FILE)
    assert "is damaged" in str(verify_checkpoint(newest)) or "cannot be read" in str(
        verify_checkpoint(newest)
    )
    assert find_checkpoint(tmp_path, FINGERPRINT) == before
    assert [path.name for path in (tmp_path / DAMAGED_DIR).iterdir()] == ["001-checkpoint-10"]


@pytest.mark.parametrize("damage", [tear, Path.unlink, lambda weights: shutil.rmtree(weights.parent)])
def test_a_checkpoint_whose_best_one_is_damaged_is_set_aside_for_one_before_both(tmp_path, damage, caplog):
    states = {7: None, 8: 8, 9: 8, 10: 8}
    for step, best in states.items():
        (tmp_path / f"checkpoint-{step}").mkdir()
        checkpoint = write_files(tmp_path / f"checkpoint-{step}", FILES)
        (checkpoint / "trainer_state.json").write_text(json.dumps({"best_global_step": best}))
        complete_checkpoint(checkpoint, FINGERPRINT)
    assert find_checkpoint(tmp_path, FINGERPRINT) == tmp_path / "checkpoint-10"
    damage(tmp_path / "checkpoint-8" / "model.safetensors")
    assert find_checkpoint(tmp_path, FINGERPRINT) == tmp_path / "checkpoint-7"
    assert "Checkpoint checkpoint-10 is not used: of checkpoint-8, the best so far," in caplog.text


@pytest.mark.parametrize("content", ['{"fingerprint": {}, "files": {}}', '{"fingerprint": {}}', "null"])
def test_a_completion_file_that_lists_nothing_is_none(tmp_path, content: str):
    before, newest = save(tmp_path, 9), save(tmp_path, 10)
    (newest / COMPLETION_FILE).write_text(content)
    assert find_checkpoint(tmp_path, FINGERPRINT) == before


@pytest.mark.parametrize("num_files", range(len(FILES) + 1))
def test_a_save_that_was_cut_short_after_any_file_is_not_used(tmp_path, num_files: int):
    before, torn = save(tmp_path, 9), write_files(tmp_path / "checkpoint-10", FILES)
    for name in list(FILES)[num_files:]:
        (torn / name).unlink()
    assert find_checkpoint(tmp_path, FINGERPRINT) == before


def test_a_rotation_that_was_cut_short_leaves_no_usable_ruin(tmp_path):
    ruin = save(tmp_path, 10)
    (ruin / "optimizer.pt").unlink()
    assert find_checkpoint(tmp_path, FINGERPRINT) is None


@pytest.mark.parametrize(
    ("num_kept", "best_step", "kept"),
    [(3, 2, [11, 10, 2]), (3, 11, [11, 10, 9]), (3, None, [11, 10, 9]), (None, 2, [11, 10, 9, 8, 2])],
)
def test_rotation_goes_by_updates_and_keeps_the_best(tmp_path, num_kept, best_step, kept):
    for step in (10, 2, 11, 9, 8):  # the order in which they were copied, say
        save(tmp_path, step)
    rotate_checkpoints(tmp_path, num_kept, best_step)
    assert [path.name for path in list_checkpoints(tmp_path)] == [f"checkpoint-{step}" for step in kept]


def test_several_damaged_checkpoints_of_one_number_are_all_kept(tmp_path):
    for _ in range(3):
        write_files(tmp_path / "checkpoint-10", FILES)
        assert find_checkpoint(tmp_path, FINGERPRINT) is None
    names = sorted(path.name for path in (tmp_path / DAMAGED_DIR).iterdir())
    assert names == ["001-checkpoint-10", "002-checkpoint-10", "003-checkpoint-10"]


def test_a_second_save_of_the_same_update_is_as_whole_as_the_first(tmp_path):
    checkpoint = save(tmp_path, 10)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 10, "best_metric": 0.5}')
    (checkpoint / f"{COMPLETION_FILE}.part").write_text("of a save that was killed")
    complete_checkpoint(checkpoint, FINGERPRINT)
    assert verify_checkpoint(checkpoint) is None
    assert find_checkpoint(tmp_path, FINGERPRINT) == checkpoint


def test_a_second_save_that_was_cut_short_is_not_used(tmp_path):
    checkpoint = save(tmp_path, 10)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 10, "best_me')
    assert verify_checkpoint(checkpoint) is not None


def test_a_checkpoint_outlives_a_move_of_the_run_folder(tmp_path):
    save(tmp_path / "old", 10)
    shutil.move(tmp_path / "old", tmp_path / "new")
    assert find_checkpoint(tmp_path / "new", FINGERPRINT) == tmp_path / "new" / "checkpoint-10"


CHANGES: dict[str, tuple[Callable[[dict], object], str]] = {
    "another layout": (lambda f: f.update(num_processes=2), "num_processes was 1 and is 2"),
    "another dataset": (lambda f: f.update(dataset="abd"), "dataset was 'abc' and is 'abd'"),
    "a new setting": (lambda f: f.update(seed=1), "seed was None and is 1"),
    "a lost setting": (lambda f: f.pop("views"), "views was [0.5, 0.1] and is None"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_another_run_is_refused_and_left_where_it_is(tmp_path, change: str):
    checkpoint = save(tmp_path, 10)
    act, sentence = CHANGES[change]
    fingerprint = dict(FINGERPRINT)
    act(fingerprint)
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(tmp_path, fingerprint)
    assert sentence in str(caught.value)
    assert "another output_dir" in str(caught.value)
    assert verify_checkpoint(checkpoint) is None


def test_a_fingerprint_is_compared_as_json_tells_it(tmp_path):
    checkpoint = save(tmp_path, 10)
    assert find_checkpoint(tmp_path, FINGERPRINT | {"views": (0.5, 0.1)}) == checkpoint


def test_the_completion_file_lists_every_file_with_its_size_and_hash(tmp_path):
    completion = json.loads((save(tmp_path, 10) / COMPLETION_FILE).read_text())
    assert completion["fingerprint"] == FINGERPRINT
    assert {name: entry["bytes"] for name, entry in completion["files"].items()} == {
        name: len(content) for name, content in FILES.items()
    }
    assert all(len(entry["sha256"]) == 64 for entry in completion["files"].values())
