"""What an attempt leaves for the next one."""

import signal
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from damages import DAMAGES
from tiny_trainers import evaluation_with

from recipe.errors import DataError, DiskError, RecipeError
from recipe.evaluation.report import Evaluation
from recipe.screening.label_scores import LabelFits
from recipe.training.arguments import parse_arguments
from recipe.training.attempt import Attempt


@pytest.fixture
def attempt(tmp_path) -> Iterator[Attempt]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    flags = ["--data_dir", str(tmp_path), "--output_dir", str(tmp_path / "run"), "--use_cpu", "true"]
    attempt = Attempt(parse_arguments(flags), {})
    yield attempt
    attempt._lock.close()  # else held until the process ends
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_what_was_made_is_found_again_while_it_depends_on_the_same(attempt):
    made = []

    def make() -> list[int]:
        made.append(len(made))
        return list(made)

    assert attempt.cached("numbers", list[int], {"data": "a"}, make) == [0]
    assert attempt.cached("numbers", list[int], {"data": "a"}, make) == [0]
    assert attempt.cached("numbers", list[int], {"data": "b"}, make) == [0, 1]
    assert list(attempt.folder.cached.iterdir()) == [attempt.folder.cached / "numbers.json"]


def test_what_is_found_again_is_what_was_made(attempt):
    made, found = (
        attempt.cached("evaluation", Evaluation, {}, make)
        for make in (lambda: evaluation_with(3), lambda: pytest.fail("it is there already"))
    )
    assert found == made == evaluation_with(3)


def test_fits_of_labels_are_found_again_to_the_bit(attempt):
    fits = LabelFits(*np.array([[0.1, np.nan], [-3.3, np.nan]], np.float32))
    made, found = (
        attempt.cached("label_fits", LabelFits, {}, make)
        for make in (lambda: fits, lambda: pytest.fail("it is there already"))
    )
    assert made is fits
    assert (found.fit.tobytes(), found.timing.tobytes()) == (fits.fit.tobytes(), fits.timing.tobytes())


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_anew(attempt, damage):
    path = attempt.folder.cached / "numbers.json"
    made = [attempt.cached("numbers", list[int], {}, lambda: [1, 2])]
    damage(path)
    made += [attempt.cached("numbers", list[int], {}, lambda: [1, 2]) for _ in range(2)]
    assert made == [[1, 2]] * 3
    assert path.with_name("numbers.json.damaged").exists()
    assert attempt.cached("numbers", list[int], {}, lambda: pytest.fail("it is there already")) == [1, 2]


def test_a_run_refused_for_its_data_asks_for_all_files_again(attempt, monkeypatch):
    monkeypatch.setattr("recipe.training.attempt.exit_now", lambda _: None)
    source = attempt.folder.downloads / "a.wav.source"
    source.parent.mkdir()
    source.touch()
    for error, is_kept in ((DiskError("It is full."), True), (DataError("All is silent."), False)):
        with suppress(RecipeError), attempt:
            raise error
        assert source.exists() == is_kept
