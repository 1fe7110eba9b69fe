"""How far the job is: a bar for each stage that the platform sees too, and the time left of the job."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tqdm.auto import tqdm

PROGRESS_SECONDS = 3.0
"""Shortest time between two events of progress."""

_FOLLOWED_BY: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("evaluate_after", "transcribe validation"): ("test", "other test", "glossary", "long_form"),
    ("evaluate_after", "transcribe other validation"): ("test", "other test", "glossary", "long_form"),
    ("evaluate_after", "transcribe test"): ("other test", "glossary", "long_form"),
    ("evaluate_after", "transcribe other test"): ("glossary", "long_form"),
    ("evaluate_after", "transcribe test with glossary"): ("long_form",),
    ("long_form_after", "transcribe whole"): (),
    ("long_form_after", "transcribe cuts"): (),
    ("publish", "deliver"): (),
}
"""Stages and tasks after training, and what is still to be transcribed after them."""


class JobEta:
    """The time that is left of the job; what is measured of the base model is expected of the trained one.

    Publishing is not counted: nothing is known of it before it begins.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def learn(self, part: str, seconds: float) -> None:
        """Expect so many seconds for transcribing the validation or test windows, or for the long form."""
        self._seconds[part] = seconds

    @property
    def validation_seconds(self) -> float:
        """What the evaluation at an epoch's end takes."""
        return self._seconds.get("validation", 0.0)

    def while_training(self, training_seconds: float) -> float:
        """Seconds left of the job, after what is left of training.

        The weights are selected in about the time of one more evaluation on the validation windows.
        """
        return training_seconds + sum(self._seconds.values())

    def after_training(self, stage: str, task: str, task_seconds: float) -> float | None:
        """Seconds left of the job, after what is left of a stage's task; None where that is not known."""
        parts = _FOLLOWED_BY.get((stage, task))
        return None if parts is None else task_seconds + sum(self._seconds.get(part, 0.0) for part in parts)


class StageBar:
    """A bar on the console; what it shows is told when it opens, and then every few seconds.

    Args:
        name: What is being done.
        total: Units in all; None if not known yet.
        unit: What is counted; B is bytes.
        tell: Takes `task`, `num_done`, `num_total`, `unit` and `eta_seconds` (None at first).
        is_shown: Whether it is on the console.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        total: int | None,
        unit: str,
        tell: Callable[[dict[str, Any]], object],
        *,
        is_shown: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._unit, self._is_shown = name, unit, is_shown
        self._bar: Any = None
        self._num_done, self._total = 0, total
        self._tell, self._clock = tell, clock
        self._started = self._told = clock()

    def __enter__(self) -> Self:
        if self._total:
            self._show()
            self._tell_now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, num: int = 1) -> None:
        """Count so many more units as done."""
        self.move_to(self._num_done + num, self._total)

    def move_to(self, num_done: int, total: int | None) -> None:
        """Count this many units as done, of so many in all."""
        self._show()  # not before there is something to do, as where nothing is downloaded
        self._bar.total = total
        self._bar.update(num_done - self._num_done)
        self._num_done, self._total = num_done, total
        if total and self._clock() - self._told >= PROGRESS_SECONDS:
            self._tell_now()

    def _show(self) -> None:
        if self._bar is None:
            shown = {"desc": self._name, "total": self._total, "unit": self._unit}
            self._bar = tqdm(**shown, unit_scale=self._unit == "B", disable=not self._is_shown)

    def _tell_now(self) -> None:
        self._told = self._clock()
        seconds = self._told - self._started
        num_left = (self._total or 0) - self._num_done
        self._tell(
            {
                "task": self._name,
                "num_done": self._num_done,
                "num_total": self._total,
                "unit": self._unit,
                "eta_seconds": seconds / self._num_done * num_left if self._num_done else None,
            }
        )
