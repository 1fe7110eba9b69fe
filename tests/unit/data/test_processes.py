"""A process for calls that may end it: what it dies over costs nothing else."""

import os
import time

import pytest

from recipe.data.processes import SpareProcess


def test_a_call_over_which_the_process_dies_or_never_ends_costs_no_other() -> None:
    with SpareProcess(cpu_seconds=0.5) as process:
        assert process.call(divmod, 7, 2) == (3, 1)
        assert process.call(os.abort) is None
        assert process.call(divmod, 7, 2) == (3, 1)
        started = time.monotonic()
        assert process.call(pow, 3, 10**9) is None  # one instruction of Python's own, which no signal ends
        assert time.monotonic() - started < 30
        assert process.call(divmod, 7, 2) == (3, 1)


def test_an_error_is_the_callers_and_credentials_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    with SpareProcess(cpu_seconds=60) as process:
        assert process.call(os.getenv, "HF_TOKEN") is None
        with pytest.raises(ZeroDivisionError):
            process.call(divmod, 1, 0)
        assert process.call(os.getenv, "PATH")
    assert os.environ["HF_TOKEN"] == "s3cret"
