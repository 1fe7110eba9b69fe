"""What the live page makes of a job's events, asked of its own script."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "scripts" / "reference_backend" / "page"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def ask(expression: str, **values: Any) -> Any:
    """The value of an expression of the functions of job_state.js, as JSON."""
    names = ", ".join(values)
    script = f"""
        const page = await import({json.dumps((PAGE / "job_state.js").as_uri())});
        const {{ {names} }} = {json.dumps(values)};
        console.log(JSON.stringify({expression}));
    """
    command = ["node", "--input-type=module", "--eval", script]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)


def at(seconds: int, status: str, **fields: Any) -> dict[str, Any]:
    return {"status": status, "timestamp": f"2026-01-31T12:00:{seconds:02d}+00:00", **fields}


STAGE = {"unit": "window", "num_total": 8}
EVENTS = [
    at(0, "initializing"),
    at(1, "dataset_ready", train_samples=8, validation_samples=2, test_samples=2, eval_samples=4),
    at(2, "stage_progress", stage="evaluate_before", task="transcribe test", num_done=2, **STAGE),
    at(3, "base_evaluated", validation={"wer_normalized": 0.4}, test={"wer_normalized": 0.5}),
    at(
        4,
        "training_progress",
        step=2,
        total_steps=4,
        progress_percent=50.0,
        eta_seconds=9,
        job_eta_seconds=40,
    ),
    at(
        5,
        "epoch_completed",
        epoch=2,
        total_epochs=2,
        progress_percent=100.0,
        eta_seconds=0,
        job_eta_seconds=31,
    )
    | {"metrics": {"eval_wer_normalized": 0.3, "train_loss": 1.0}, "step": 4},
    at(9, "training_completed"),
    at(
        10,
        "stage_progress",
        stage="evaluate_after",
        task="select weights",
        num_done=4,
        eta_seconds=3,
        **STAGE,
    ),
    at(
        20,
        "stage_progress",
        stage="evaluate_after",
        task="transcribe test",
        num_done=6,
        eta_seconds=5,
        **STAGE,
    ),
]


def test_an_evaluation_is_a_step_with_its_progress() -> None:
    states, words, title = ask(
        "[page.readSteps(page.readJob(events)).map(({state}) => state), "
        "page.describeTask(page.readJob(events)), page.readTitle(page.readJob(events), 'job-1')]",
        events=EVENTS,
    )
    assert states == ["done", "skipped", "done", "done", "done", "current", "", ""]
    assert words == "transcribing the test part: 6 of 8 windows"
    assert title == "75 % Test trained model · job-1"


def test_the_time_left_is_the_jobs_and_goes_on_while_nothing_newer_is_known() -> None:
    expression = "events.map((_, index) => page.readEta(page.readJob(events.slice(0, index + 1))))"
    assert ask(expression, events=EVENTS)[4:] == [40, 31, 27, 26, 16]
    newer = at(21, "stage_progress", job_eta_seconds=4, stage="evaluate_after", task="transcribe test")
    assert ask("page.readEta(page.readJob(events))", events=[*EVENTS, newer]) == 4
    assert ask("page.readEta(page.readJob(events))", events=[*EVENTS, at(22, "completed")]) is None


def test_the_base_models_figure_is_there_before_training_and_begins_the_curve() -> None:
    rates, wer = ask(
        "[page.readRates(page.readJob(events.slice(0, 4))), page.readJob(events).wer]", events=EVENTS
    )
    assert [(rate["before"], rate["after"]) for rate in rates] == [(0.5, None)]
    assert wer == [[0, 0.4], [4, 0.3]]


def test_a_job_that_tells_nothing_any_more_is_stale_unless_it_has_ended() -> None:
    expression = (
        "[page.toneOf('stage_progress', 299), page.toneOf('stage_progress', 301), page.toneOf('failed', 301)]"
    )
    assert ask(expression) == ["", "stale", "bad"]
    steps, title = ask(
        "[page.readSteps(page.readJob(events), 400), page.readTitle(page.readJob(events), 'job-1', 400)]",
        events=EVENTS,
    )
    assert [step["state"] for step in steps].count("stopped") == 1
    assert title == "no word · job-1"


def test_a_failed_job_says_where_and_a_resumed_one_goes_back_to_preparing() -> None:
    failed = [*EVENTS, at(30, "failed", error="The disk is full.")]
    job, steps = ask("[page.readJob(events), page.readSteps(page.readJob(events))]", events=failed)
    assert job["error"] == "The disk is full."
    assert steps[5] == {"name": "Test trained model", "state": "stopped", "note": "failed"}
    resumed = [*failed, at(40, "stage_progress", stage="prepare", task="prepare", num_done=0, num_total=3)]
    job, steps = ask("[page.readJob(events), page.readSteps(page.readJob(events))]", events=resumed)
    assert job["error"] is None
    assert [step["state"] for step in steps] == ["done", "skipped", "current", *[""] * 5]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("The cat sat.", "the cat, sat", [("equal", "the cat, sat")]),
        (
            "a red cat",
            "a rat cat",
            [("equal", "a "), ("delete", "red "), ("insert", "rat "), ("equal", "cat")],
        ),
        ("a cat", "", [("delete", "a cat")]),
        ("", "thank you", [("insert", "thank you")]),
        ("我们去北京", "我们去上海", [("equal", "我们去"), ("delete", "北京"), ("insert", "上海")]),
    ],
)
def test_differences_are_marked_by_word_in_any_script(
    reference: str, hypothesis: str, expected: list[tuple[str, str]]
) -> None:
    steps = ask("page.markDifferences(reference, hypothesis)", reference=reference, hypothesis=hypothesis)
    assert [(step["kind"], step["text"]) for step in steps] == expected


def test_a_smoothed_curve_keeps_a_constant_and_quiets_noise() -> None:
    flat, noisy, few = (
        [[x, y(x)] for x in range(n)]
        for n, y in [(20, lambda _: 2.0), (200, lambda x: x % 2), (5, lambda x: x)]
    )
    smoothed = ask(
        "[page.smooth(flat), page.smooth(noisy), page.smooth(few)]", flat=flat, noisy=noisy, few=few
    )
    assert [y for _, y in smoothed[0]] == pytest.approx([2.0] * 20)
    assert all(0.4 < y < 0.6 for _, y in smoothed[1][50:])
    assert smoothed[2] == few


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"status": "stage_progress"},
        {"status": "base_evaluated", "test": 7},
        {"status": "completed", "final_result": []},
    ],
)
def test_an_odd_event_breaks_nothing(event: dict[str, Any]) -> None:
    event = {"timestamp": "x", **event}
    steps = ask("page.readSteps(page.readJob([event, event]))", event=event)
    assert len(steps) == 8
