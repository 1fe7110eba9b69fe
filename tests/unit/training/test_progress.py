from typing import Any

import pytest

from recipe.training.progress import PROGRESS_SECONDS, JobEta, StageBar


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_bar(told: list[dict[str, Any]], clock: Clock, total: int | None = 8) -> StageBar:
    return StageBar("transcribe test", total, "window", told.append, clock=clock)


def test_a_bar_is_told_when_it_opens_and_then_every_few_seconds(
    told: list[dict[str, Any]], clock: Clock
) -> None:
    with open_bar(told, clock) as bar:
        for _ in range(8):
            clock.seconds += PROGRESS_SECONDS / 2
            bar.update()
    assert [fields["num_done"] for fields in told] == [0, 2, 4, 6, 8]
    assert [fields["eta_seconds"] for fields in told] == [None, 9.0, 6.0, 3.0, 0.0]
    assert told[0] == {
        "task": "transcribe test",
        "num_done": 0,
        "num_total": 8,
        "unit": "window",
        "eta_seconds": None,
    }


def test_a_bar_of_unknown_length_is_told_once_its_length_is_known(
    told: list[dict[str, Any]], clock: Clock
) -> None:
    with open_bar(told, clock, total=None) as bar:
        clock.seconds += PROGRESS_SECONDS
        bar.move_to(10, None)
        bar.move_to(30, 100)
    assert [(fields["num_done"], fields["num_total"]) for fields in told] == [(30, 100)]


def test_a_bar_of_nothing_is_not_shown(
    told: list[dict[str, Any]], clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_bar(told, clock, total=None):
        pass
    assert capsys.readouterr().err == ""
    with open_bar(told, clock, total=None) as bar:
        bar.move_to(1, None)
    assert "transcribe test: 1window" in capsys.readouterr().err


def test_a_bar_tells_also_where_it_is_not_shown(told: list[dict[str, Any]], clock: Clock) -> None:
    with StageBar("align", 3, "recording", told.append, is_shown=False, clock=clock) as bar:
        clock.seconds += PROGRESS_SECONDS
        bar.update(2)
    assert told[-1]["num_done"] == 2


def test_the_time_left_of_the_job_is_that_of_the_task_and_of_what_follows() -> None:
    job_eta = JobEta()
    job_eta.learn("validation", 30.0)
    job_eta.learn("test", 50.0)
    assert job_eta.while_training(600.0) == 680.0
    assert job_eta.after_training("evaluate_after", "transcribe validation", 10.0) == 60.0
    assert job_eta.after_training("evaluate_after", "transcribe test", 10.0) == 10.0
    assert job_eta.after_training("evaluate_before", "transcribe test", 10.0) is None
    job_eta.learn("long_form", 7.0)
    assert job_eta.after_training("evaluate_after", "transcribe test", 10.0) == 17.0
    assert job_eta.after_training("long_form_after", "transcribe cuts", 3.0) == 3.0
    assert job_eta.after_training("long_form_before", "transcribe cuts", 3.0) is None


def test_where_nothing_is_held_out_the_job_ends_with_training() -> None:
    assert JobEta().while_training(600.0) == 600.0
