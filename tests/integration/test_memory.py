"""Memory that is short on one of several processes: found out before the first update, and agreed on."""

import json
from pathlib import Path
from typing import Any

import pytest
from training_runs import run_script

Outcomes = list[dict[str, Any]]


@pytest.fixture(scope="module")
def outcomes(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What became of each scenario, on each of the two processes."""
    folder = tmp_path_factory.mktemp("trial")
    run_script("tests/support/memory_trial.py", tiny_dir, folder)
    return [json.loads((folder / f"process-{rank}.json").read_text()) for rank in (0, 1)]


def test_trying_memory_changes_no_bit_of_the_run(outcomes: Outcomes) -> None:
    for of_process in outcomes:
        without, tried = of_process["ample, dropout"], of_process["ample, tried, dropout"]
        assert without["batch_sizes"] == [2, 2, 2, 2]
        assert tried["batch_sizes"] == [2, 2, *without["batch_sizes"]], "two micro-batches were tried"
        assert (tried["curve"], tried["hash"]) == (without["curve"], without["hash"])
        assert tried["warnings"] == []
        assert of_process["ample"]["hash"] != without["hash"], "random numbers matter here"


def test_all_processes_split_as_the_one_with_the_least_memory_must(outcomes: Outcomes) -> None:
    runs = [of_process["little on the second"] for of_process in outcomes]
    assert [run["num_splits"] for run in runs] == [2, 2]
    assert [run["batch_sizes"][:2] for run in runs] == [[2, 2], [2, 1]], "each was tried on its own"
    assert [run["batch_sizes"][-8:] for run in runs] == [[1] * 8] * 2
    sentence = "does not fit into memory: all micro-batches are processed in 2 parts; the result is the same."
    assert [sentence in run["warnings"][0] for run in runs] == [True, True]


def test_parts_give_the_gradient_of_the_whole_and_exchange_it_as_often(outcomes: Outcomes) -> None:
    for of_process in outcomes:
        whole, parts = of_process["ample"], of_process["little on the second"]
        assert len(whole["curve"]) == 2
        for loss_and_norm, same in zip(parts["curve"], whole["curve"], strict=True):
            assert loss_and_norm == pytest.approx(same, rel=1e-6)
        assert parts["weights"] == pytest.approx(whole["weights"], rel=1e-6, abs=1e-6)
        assert parts["num_reductions"] == whole["num_reductions"] > 0
    assert outcomes[0]["little on the second"]["hash"] == outcomes[1]["little on the second"]["hash"]


def test_no_room_for_a_window_on_one_process_ends_all_with_the_same_sentence(outcomes: Outcomes) -> None:
    errors = [of_process["none on the first"]["error"] for of_process in outcomes]
    assert errors[0] == errors[1]
    assert errors[0].startswith("Out of memory with one window at a time.")


def test_memory_that_runs_out_later_names_the_process(outcomes: Outcomes) -> None:
    for rank, of_process in enumerate(outcomes):
        run = of_process["little later"]
        assert len(run["curve"]) == 1, "it ran out in the second update"
        assert run["error"].startswith(f"Out of memory on process {rank}. Halve per_device_train_batch_size")
