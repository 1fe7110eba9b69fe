"""Trackers are told of the whole run, and how it ended; the real ones, where they are installed."""

import sqlite3
import struct
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from recipe.run.folder import RunFolder
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.tracker_outcome import Sample, TrackedOutcome, format_table
from recipe.training.trackers import PROJECT, Ending, Trackers

SECRET = "0123456789abcdef0123456789abcdefsecretkey"
TEXTS = ("talk 0:30", "gained most", "we | said\nthis", "we set this", "we said this")
OUTCOME = TrackedOutcome(
    figures={"test_wer_normalized": 0.2, "test_wer_normalized_before": 0.3},
    verdict="better",
    sentence="The trained model is better.",
    summary="**better**",
    samples=[Sample(TEXTS, np.zeros(16_000, np.float32))],
)

Track = Callable[..., Trackers]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def track(tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> Track:
    """A run of two updates as Trainer tells it, from an update on."""
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "talks" / "logs"))
    for name in ("WANDB_RUN_ID", "WANDB_DIR", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, "")  # so that what a run sets is taken back
        monkeypatch.delenv(name)

    def run(report_to: str, first_step: int = 0) -> Trackers:
        args = RecipeTrainingArguments(str(tmp_path / "talks"), report_to=report_to, use_cpu=True)
        state, control = TrainerState(global_step=first_step), TrainerControl()
        trackers = Trackers(RunFolder(tmp_path / "talks"), warnings.append)
        trackers.base = {"eval_wer_normalized": 0.4, "test_wer_normalized": 0.3}
        trackers.on_init_end(args, state, control)
        trackers.on_train_begin(args, state, control, model=None)
        for state.global_step in range(first_step + 1, first_step + 3):
            trackers.on_log(args, state, control, logs={"loss": 1.0 / state.global_step})
        trackers.on_train_end(args, state, control)
        return trackers

    (tmp_path / "talks" / "logs").mkdir(parents=True)
    return run


def read_board(folder: Path) -> EventAccumulator:
    board = EventAccumulator(str(folder), size_guidance={"audio": 0, "tensors": 0, "scalars": 0})
    board.Reload()
    return board


def test_tensorboard_has_the_base_model_first_and_the_figures_samples_and_sounds_last(
    track: Track, tmp_path: Path
) -> None:
    trackers = track("tensorboard")
    trackers.tell_outcome(OUTCOME)
    trackers.close("finished", 10.0)
    board = read_board(tmp_path / "talks" / "logs")
    points = {
        name: [(event.step, round(event.value, 3)) for event in board.Scalars(name)]
        for name in ("eval/wer_normalized", "test/wer_normalized", "train/loss")
    }
    assert points == {
        "eval/wer_normalized": [(0, 0.4)],
        "test/wer_normalized": [(0, 0.3), (2, 0.2)],
        "train/loss": [(1, 1.0), (2, 0.5)],
    }
    [samples] = board.Tensors("samples/text_summary")
    assert "| talk 0:30 | gained most | we \\| said this |" in samples.tensor_proto.string_val[0].decode()
    [sound] = board.Audio("samples/1")
    assert (sound.sample_rate, sound.length_frames, sound.step) == (16_000.0, 16_000, 2)


def test_a_resumed_run_does_not_begin_with_the_base_model_again(track: Track, tmp_path: Path) -> None:
    track("tensorboard").close("interrupted", 10.0)
    track("tensorboard", first_step=2).close("finished", 10.0)
    board = read_board(tmp_path / "talks" / "logs")
    assert [event.step for event in board.Scalars("eval/wer_normalized")] == [0]
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3, 4]


def test_no_tracker_is_told_nothing(track: Track, tmp_path: Path) -> None:
    trackers = track("none")
    trackers.tell_outcome(OUTCOME)
    trackers.close("finished", 10.0)
    assert list((tmp_path / "talks" / "logs").iterdir()) == []


class Fragile(TrainerCallback):
    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        raise ConnectionError("no route to the tracker")


def test_a_tracker_that_fails_is_named_and_the_run_goes_on(
    track: Track, tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "fragile", Fragile)
    track("fragile,tensorboard").close("finished", 10.0)
    [warning] = warnings
    assert warning.startswith(
        "The tracker Fragile failed and is told nothing more; the run goes on. It said: no"
    )
    assert len(read_board(tmp_path / "talks" / "logs").Scalars("train/loss")) == 2


def test_a_tracker_that_hangs_holds_nobody_up(
    track: Track, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_over = threading.Event()

    class Slow(TrainerCallback):
        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            is_over.wait(30)

    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "slow", Slow)
    track("slow").close("finished", 0.01)
    is_over.set()
    assert "did not end within" in caplog.text


def test_a_table_holds_what_stands_in_its_cells() -> None:
    assert format_table(("a", "b"), [("x|y", "1\n2")]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |"


def scan_wandb(path: Path) -> list[Any]:
    """The records of an offline run: protobufs in LevelDB's log format, blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record  # noqa: PLC0415 - only where it is installed

    data, place, part, records = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        left = 32_768 - place % 32_768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            records.append(Record.FromString(part))
            part = b""
    return records


ENDINGS = pytest.mark.parametrize("ending", ["finished", "failed", "interrupted"])


@pytest.mark.slow
@ENDINGS
def test_wandb_sees_the_end_and_goes_on_with_the_same_run(
    ending: Ending, track: Track, tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setattr("wandb.sdk.wandb_setup._singleton", None)  # it keeps the environment of the first run
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    trackers = track("wandb")
    trackers.tell_outcome(OUTCOME)
    trackers.close(ending, 60.0)
    assert warnings == []
    [path] = (tmp_path / "talks" / "logs" / "wandb").glob("offline-run-*/*.wandb")
    records = scan_wandb(path)
    assert [r.exit.exit_code for r in records if r.HasField("exit")] == [int(ending != "finished")]
    assert any(r.HasField("preempting") for r in records) == (ending == "interrupted")
    [run] = [r.run for r in records if r.HasField("run")]
    assert run.project == PROJECT
    told = {u.key: u.value_json for r in records if r.HasField("summary") for u in r.summary.update}
    assert told["verdict"] == '"better"'
    track("wandb", first_step=2).close("finished", 60.0)
    paths = [*(tmp_path / "talks" / "logs" / "wandb").glob("offline-run-*/*.wandb")]
    assert {path.name for path in paths} == {f"run-{run.run_id}.wandb"}
    assert_no_secret(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # its libraries' own
@ENDINGS
def test_mlflow_sees_the_end_and_goes_on_with_the_same_run(
    ending: Ending, track: Track, tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)  # artefacts go there
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
    trackers = track("mlflow")
    trackers.tell_outcome(OUTCOME)
    trackers.close(ending, 60.0)
    expected = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}[ending]
    assert read_rows(tmp_path / "runs.db", "SELECT status FROM runs") == [(expected,)]
    assert ("better",) in read_rows(tmp_path / "runs.db", "SELECT value FROM tags WHERE key = 'verdict'")
    leave_runs()
    track("mlflow", first_step=2).close("finished", 60.0)
    assert read_rows(tmp_path / "runs.db", "SELECT status FROM runs") == [("FINISHED",)]
    losses = read_rows(tmp_path / "runs.db", "SELECT step FROM metrics WHERE key = 'loss' ORDER BY step")
    assert losses == [(1,), (2,), (3,), (4,)]
    assert [path.name for path in tmp_path.rglob("samples.md")] == ["samples.md"]
    assert warnings == []
    assert_no_secret(tmp_path)
    leave_runs()


def leave_runs() -> None:
    """What the end of a process does: MLflow remembers its active run by thread."""
    import mlflow  # noqa: PLC0415 - only where it is installed

    while mlflow.active_run():
        mlflow.end_run()


@pytest.mark.slow
@ENDINGS
def test_trackio_sees_the_end_and_goes_on_with_the_same_run(
    ending: Ending, tmp_path: Path, warnings: list[str], track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported
    pytest.importorskip("trackio")
    monkeypatch.setattr("trackio.utils.TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio")
    trackers = track("trackio")
    trackers.tell_outcome(OUTCOME)
    trackers.close(ending, 60.0)
    track("trackio", first_step=2).close("finished", 60.0)
    database = tmp_path / "trackio" / f"{PROJECT}.db"
    assert len(read_rows(database, "SELECT DISTINCT run_name FROM metrics")) == 1
    assert len(read_rows(database, "SELECT 1 FROM metrics")) == 7
    alerts = read_rows(database, "SELECT title FROM alerts")
    assert alerts == ([("The run failed",)] if ending == "failed" else [])
    assert warnings == []


def read_rows(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


def assert_no_secret(folder: Path) -> None:
    for path in folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
