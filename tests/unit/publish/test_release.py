"""The seal stands for the exact content of a folder."""

import pytest

from recipe.errors import PublishError
from recipe.publish.release import check_free_space, load_release


def test_a_sealed_folder_is_loaded_with_sizes_and_hashes(make_sealed, tmp_path):
    sealed = make_sealed(tmp_path)
    assert load_release(tmp_path) == sealed
    assert sealed.files["config.json"].size == len("content of config.json")


def test_the_seal_depends_on_content_alone(make_sealed, tmp_path):
    first, same = make_sealed(tmp_path / "a"), make_sealed(tmp_path / "b")
    assert first.seal == same.seal != make_sealed(tmp_path / "c", "other").seal


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda folder: (folder / "release.json").unlink(), "not verified", id="no seal"),
        pytest.param(lambda folder: (folder / "config.json").write_text("x"), "changed after", id="changed"),
        pytest.param(lambda folder: (folder / "config.json").unlink(), "lacks", id="missing"),
        pytest.param(lambda folder: (folder / "training_args.bin").touch(), "training_args", id="foreign"),
        pytest.param(lambda folder: (folder / "checkpoint-5").mkdir(), "checkpoint-5", id="folder"),
    ],
)
def test_what_is_not_sealed_is_not_loaded(change, message, make_sealed, tmp_path):
    make_sealed(tmp_path)
    change(tmp_path)
    with pytest.raises(PublishError, match=message):
        load_release(tmp_path)


def test_a_link_to_another_file_is_no_part_of_a_release(make_sealed, tmp_path):
    make_sealed(tmp_path / "model")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "model" / "config.json").unlink()
    (tmp_path / "model" / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(PublishError, match=r"config\.json"):
        load_release(tmp_path / "model")


def test_a_disk_without_room_is_refused_before_the_work(tmp_path):
    check_free_space(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(PublishError, match="MiB free"):
        check_free_space(tmp_path, 2**60)
