"""Answers: always JSON, small, without secrets."""

import json

from recipe.run.redaction import Redactor
from recipe.worker.answer import MAX_ANSWER_BYTES, describe_failure, describe_success, seal_answer


def test_warnings_about_the_request_follow_those_of_the_run() -> None:
    answer = describe_success({"status": "completed", "warnings": ["a"]}, ["b"])
    assert answer == {"success": True, "result": {"status": "completed", "warnings": ["a", "b"]}}


def test_a_failure_always_says_something() -> None:
    assert describe_failure("", "KeyError", "j")["error"] == "KeyError"


def test_a_small_answer_is_left_as_it_is() -> None:
    answer = describe_success({"a": [1, 2, 3], "warnings": []})
    assert seal_answer(answer, Redactor([])) == answer


def test_a_long_answer_keeps_the_shape_of_its_curve_and_says_so() -> None:
    metrics = [{"step": step, "loss": 1.0 / (step + 1)} for step in range(20_000)]
    result = {"status": "completed", "artifacts": {"training_metrics": metrics}, "warnings": ["kept"]}
    sealed = seal_answer(describe_success(result), Redactor([]))
    kept = sealed["result"]["artifacts"]["training_metrics"]
    assert len(json.dumps(sealed)) <= MAX_ANSWER_BYTES
    assert len(kept) > 500
    assert (kept[0], kept[-1]) == (metrics[0], metrics[-1])
    assert sealed["result"]["warnings"][0] == "kept"
    assert "shortened" in sealed["result"]["warnings"][-1]


def test_a_huge_text_is_left_out() -> None:
    sealed = seal_answer(describe_success({"status": "completed", "dataset": "x" * 200_000}), Redactor([]))
    assert sealed["result"]["status"] == "completed"
    assert sealed["result"]["dataset"] is None


def test_a_huge_error_is_cut() -> None:
    sealed = seal_answer(describe_failure("x" * 200_000, "JobError", "j"), Redactor([]))
    assert len(json.dumps(sealed)) <= MAX_ANSWER_BYTES


def test_a_secret_is_taken_out_wherever_it_stands() -> None:
    answer = describe_success({"deep": [{"x": "a s3cret b"}], "path": "x/s3cret"})
    assert "s3cret" not in json.dumps(seal_answer(answer, Redactor(["s3cret"])))
