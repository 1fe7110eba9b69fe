"""Replay: a fraction of what is trained, evenly from its folders, never of speech that is held out."""

import pytest
from datasets import concatenate_datasets
from made_shards import trained_on, write_shard

from recipe.data.other_sets import build_other_set
from recipe.errors import DataError
from recipe.training.replay import Replay, add_replay, count_wanted, select_windows


@pytest.mark.parametrize(("num_windows", "fraction", "wanted"), [(80, 0.2, 20), (60, 0.5, 60), (3, 0.1, 0)])
def test_the_fraction_is_of_all_that_is_trained(num_windows: int, fraction: float, wanted: int) -> None:
    assert count_wanted(num_windows, fraction) == wanted


def test_windows_are_taken_evenly_and_no_more_than_there_are(tmp_path) -> None:
    dataset = trained_on(write_shard(tmp_path, "own"))
    shards = [write_shard(tmp_path, f"r{number}") for number in range(3)]
    some = select_windows("news", "replay_dir", shards, dataset, [], 9)
    assert [some["recording"].count(f"r{number}") for number in range(3)] == [3, 3, 3]
    assert len(select_windows("news", "replay_dir", shards, dataset, [], 100)) == 18


@pytest.mark.parametrize(
    "same", [{"audio_hash": "held"}, {"seed": "held"}], ids=["the same sound", "the same words"]
)
def test_what_is_held_out_is_not_trained_by_the_back_door(tmp_path, same) -> None:
    held, copy = write_shard(tmp_path, "held"), write_shard(tmp_path, "copy", **same)
    other, own = write_shard(tmp_path, "other"), write_shard(tmp_path, "own")
    dataset = trained_on(own, test=(held,))
    assert {*select_windows("news", "replay_dir", [copy, other], dataset, [], 50)["recording"]} == {"other"}
    with pytest.raises(DataError, match="replay_dir: nothing of news can be trained: all of it is held out"):
        select_windows("news", "replay_dir", [copy], dataset, [], 50)
    measured = build_other_set("news", [held], trained_on(own), 200)
    with pytest.raises(DataError, match="all of it is held out"):
        select_windows("news", "replay_dir", [copy], trained_on(own), [measured], 50)


def test_a_folder_without_words_is_refused_with_its_reasons(tmp_path) -> None:
    shard = write_shard(tmp_path, "talk", 0, outcome="skipped", reason="it has no captions.")
    with pytest.raises(DataError, match=r"nothing of news .*: talk: it has no captions\. Mend"):
        select_windows("news", "replay_audio_dir", [shard], trained_on(write_shard(tmp_path, "own")), [], 5)


def test_replayed_windows_follow_those_of_the_run_and_change_its_fingerprint(tmp_path) -> None:
    dataset = trained_on(write_shard(tmp_path, "own"))
    assert add_replay(dataset, None) is dataset
    other = trained_on(write_shard(tmp_path, "other")).train
    longer = add_replay(dataset, Replay(other, "abc", {"news": 6}))
    assert longer.train[:] == concatenate_datasets([dataset.train, other])[:]
    assert longer.fingerprint == "f-abc"
