"""Sets of other speech: their names, their halves, and what of them is trained on already."""

from dataclasses import replace

import pytest
from datasets import Dataset
from made_shards import WORDS, trained_on, write_shard

from recipe.arguments import split_other_dir
from recipe.data.dataset import PreparedDataset
from recipe.data.index import load_examples
from recipe.data.other_folders import check_captioned_folders, name_folders
from recipe.data.other_sets import MIN_WORDS, OtherSet, build_other_set
from recipe.data.shards import Shard
from recipe.data.validation import GUARD_MS
from recipe.errors import DataError, JobError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("talks", ("talks", None)),
        ("talks:fr", ("talks", "fr")),
        ("/my talks/news:French", ("/my talks/news", "French")),
        ("talks:zh-TW", ("talks", "zh-TW")),
        (r"C:\talks", (r"C:\talks", None)),
        (r"C:\talks:fr", (r"C:\talks", "fr")),
        ("C:talks", ("C:talks", None)),
        ("s3://bucket/talks", ("s3://bucket/talks", None)),
        ("talks 10:30", ("talks 10:30", None)),
        ("talks:", ("talks:", None)),
    ],
)
def test_the_language_of_a_set_follows_the_last_colon(text, expected):
    assert split_other_dir(text) == expected


def test_sets_have_the_names_of_their_folders_and_as_much_more_as_tells_them_apart():
    given = ["/a/news/fr:fr", "/b/news/fr", "/songs/", "/a/talks/fr"]
    named = [(folder.name, folder.language) for folder in name_folders(given, "other_dir")]
    assert named == [("a/news/fr", "fr"), ("b/news/fr", None), ("songs", None), ("talks/fr", None)]


def test_a_folder_given_twice_is_refused():
    with pytest.raises(JobError, match="/news is given twice"):
        name_folders(["/news:fr", "/news/"], "other_dir")


def test_a_folder_with_nothing_to_transcribe_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "notes.pdf").touch()
    for folder, sentence in ((tmp_path, "holds no audio file"), (tmp_path / "none", "does not exist")):
        with pytest.raises(DataError, match=rf"other_dir: The data folder .* {sentence}"):
            check_captioned_folders([str(folder)], "other_dir")


def places(examples: Dataset) -> set[tuple[str, int]]:
    return {*zip(examples["recording"], examples["start_ms"], strict=True)}


def build(shards: list[Shard], dataset: PreparedDataset, max_windows: int = 200) -> OtherSet:
    return build_other_set("news", shards, dataset, max_windows)


def test_recordings_choose_or_are_reported_and_none_does_both(tmp_path):
    shards = [write_shard(tmp_path, f"r{number}") for number in range(6)]
    made = build(shards, trained_on(write_shard(tmp_path, "own")))
    assert {*made.validation["recording"]}.isdisjoint(made.test["recording"])
    assert (len(made.validation), len(made.test), made.num_left_out) == (18, 18, 0)


def test_uploads_of_one_recording_and_one_voice_are_in_one_half(tmp_path):
    groups = ["a", "a", "b", "b"]
    shards = [write_shard(tmp_path, f"r{n}", group=group) for n, group in enumerate(groups)]
    made = build(shards, trained_on(write_shard(tmp_path, "own")))
    assert {*made.test["recording"]} in ({"r0", "r1"}, {"r2", "r3"})


def test_a_single_recording_is_divided_by_time_with_a_guard(tmp_path):
    made = build([write_shard(tmp_path, "talk", 12)], trained_on(write_shard(tmp_path, "own")))
    assert max(made.validation["end_ms"]) + GUARD_MS <= min(made.test["start_ms"])
    assert len(made.validation) >= 5


def test_a_set_of_too_few_words_is_reported_and_chooses_nothing(tmp_path):
    num_windows = 2 * MIN_WORDS // WORDS - 1
    made = build([write_shard(tmp_path, "talk", num_windows)], trained_on(write_shard(tmp_path, "own")))
    assert (len(made.validation), len(made.test)) == (0, num_windows)


def test_of_a_large_set_windows_are_taken_evenly(tmp_path):
    shards = [write_shard(tmp_path, f"r{number}", 20) for number in range(4)]
    made = build(shards, trained_on(write_shard(tmp_path, "own")), max_windows=10)
    assert (len(made.validation), len(made.test)) == (10, 10)
    assert len({*made.test["recording"]}) == 2


@pytest.mark.parametrize(
    "same", [{"audio_hash": "own"}, {"seed": "own"}], ids=["the same sound", "the same words"]
)
def test_what_is_trained_on_too_is_left_out_and_a_set_of_nothing_else_refused(tmp_path, same):
    dataset = trained_on(write_shard(tmp_path, "own"))
    copy, other = write_shard(tmp_path, "copy", **same), write_shard(tmp_path, "other", 12)
    made = build([copy, other], dataset)
    assert made.num_left_out == 6
    assert places(made.validation) | places(made.test) <= places(load_examples([other]))
    with pytest.raises(DataError, match="all of the set news is in the training data too"):
        build([copy], dataset)


def test_a_set_without_usable_recordings_is_refused_with_their_reasons(tmp_path):
    shard = write_shard(tmp_path, "talk", 0, outcome="skipped", reason="it has no captions")
    with pytest.raises(DataError, match="no recording of the set news can be transcribed: talk: it has no"):
        build([shard], trained_on(write_shard(tmp_path, "own")))


def test_other_windows_have_another_fingerprint(tmp_path):
    dataset = trained_on(write_shard(tmp_path, "own"))
    shards = [write_shard(tmp_path, f"r{number}") for number in range(4)]
    fingerprint = build(shards, dataset).fingerprint
    assert build(shards, dataset).fingerprint == fingerprint
    assert build(shards, dataset, max_windows=5).fingerprint != fingerprint
    assert (
        build([replace(shards[0], content_hash="changed"), *shards[1:]], dataset).fingerprint != fingerprint
    )
