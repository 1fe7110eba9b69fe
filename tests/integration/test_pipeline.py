"""The whole pipeline with a tiny random model: through the handler and without it, on good and bad data."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from training_runs import CPU, REPOSITORY, USER, TrainingRun, clean_environment, run_script, serve_backend
from warm_parent import SOCKET_VARIABLE, hold_parent

from recipe.audio.decoding import encode_flac
from recipe.run.stages import Stage

TOKEN = "a-token-for-tests"
HANDLER = ("handler.py",)
WARM_HANDLER = ("tests/support/stand_in_worker.py", "train")
"""The handler whose training is forked from the warm parent instead of launched."""

CONTRACT_ORDER = [
    *("initializing", "loading_model", "model_loaded", "preparing_dataset", "dataset_ready"),
    *("starting_training", "training_started", "epoch_started", "epoch_completed", "checkpoint_saved"),
    *("epoch_started", "epoch_completed", "checkpoint_saved"),
    *("training_completed", "saving_model", "completed"),
]


def format_time(seconds: int) -> str:
    return f"{seconds // 60:02}:{seconds % 60:02}"


def write_recording(folder: Path, name: str, seconds: int = 40, seed: int = 0) -> None:
    samples = np.random.default_rng(seed).integers(-3_000, 3_000, seconds * 16_000).astype(np.int16)
    (folder / f"{name}.flac").write_bytes(encode_flac(samples))
    cues = [
        f"{format_time(start)}.000 --> {format_time(start + 3)}.500\nwords of {name} at {start}"
        for start in range(0, seconds - 4, 4)
    ]
    (folder / f"{name}.vtt").write_text("WEBVTT\n\n" + "\n\n".join(cues) + "\n")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(4):
        write_recording(folder, f"talk-{number}", seed=number)
    return folder


def list_manifest(folder: Path) -> list[dict[str, str]]:
    names = sorted(path.name for path in folder.iterdir())
    return [
        {"file_type": "transcript" if name.endswith(".vtt") else "audio", "filename": name} for name in names
    ]


def send_job(
    folder: Path, source: Path, model_dir: Path, worker: tuple[str, ...] = WARM_HANDLER, **changes: Any
) -> tuple[dict, list[dict]]:
    """The handler's answer, and the events at the backend."""
    shutil.copytree(source, folder / "backend" / "uploads" / USER)
    with serve_backend(folder / "backend", WHISPERTRAIN_AUTH_TOKEN=TOKEN) as address:
        request = {
            "model_id": str(model_dir),
            "epochs": 2,
            "project_id": "project-1",
            "user_id": USER,
            "backend_base_url": address,
            "auth_token": TOKEN,
            "worker_api_key": "",
            "batch_size": 2,
            "learning_rate": 1e-3,
            "files_manifest": list_manifest(source),
            "job_id": "job-1",
            "options": {"language": "en", "publish_if_worse": True},  # chance made the model
        } | changes
        (folder / "test_input.json").write_text(json.dumps({"input": request}))
        environment = clean_environment(
            PYTHONPATH=str(REPOSITORY),
            WHISPERTRAIN_MODELS_DIR=str(model_dir.parent),
            WHISPERTRAIN_RUNS_DIR=str(folder / "runs"),
            WHISPERTRAIN_ANSWER_FILE=str(folder / "answer.json"),
            **{SOCKET_VARIABLE: os.environ[SOCKET_VARIABLE]},
        )
        hold_parent(environment)
        script, *arguments = worker
        command = [sys.executable, str(REPOSITORY / script), *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, timeout=600)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        events = httpx.get(f"{address}/api/training/progress/job-1", headers=headers).json()
    assert events["missing_fields"] == [], "every event has the fields of the contract"
    return json.loads((folder / "answer.json").read_text()), events["events"]


@pytest.fixture(scope="module")
def finished_job(tmp_path_factory, data_dir, tiny_dir) -> tuple[Path, dict, list[dict]]:
    folder = tmp_path_factory.mktemp("job")
    return folder, *send_job(folder, data_dir, tiny_dir, HANDLER)


def test_a_job_is_answered_as_the_contract_says(finished_job):
    _, answer, _ = finished_job
    assert answer["success"] is True
    result = answer["result"]
    assert result["status"] == "completed"
    assert {"model_path", "base_model", "epochs", "project_id", "user_id", "training_metrics"} <= set(
        result["artifacts"]
    )
    assert len(result["artifacts"]["training_metrics"]) == 2
    assert {"wer_before", "wer_after", "cer_before", "cer_after"} <= set(result["evaluation"])
    assert result["dataset"]["num_recordings"] == 4


def test_every_status_reaches_the_backend_once_and_in_order(finished_job):
    _, _, events = finished_job
    repeating = (Stage.TRAINING_PROGRESS, Stage.DOWNLOAD_PROGRESS, Stage.STAGE_PROGRESS)
    additions = (*repeating, Stage.BASE_EVALUATED, Stage.EVALUATION_COMPLETED)
    assert [event["status"] for event in events if event["status"] not in additions] == CONTRACT_ORDER
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["event_id"] for event in events}) == len(events)


def test_the_base_models_figure_is_told_before_training_and_every_evaluation_tells_where_it_is(finished_job):
    _, answer, events = finished_job
    statuses = [event["status"] for event in events]
    assert statuses.index("base_evaluated") < statuses.index("training_started")
    base = events[statuses.index("base_evaluated")]
    assert base["test"]["wer"] == answer["result"]["evaluation"]["wer_before"]
    tasks = {(event["stage"], event["task"]) for event in events if event["status"] == "stage_progress"}
    evaluations = {(stage, "transcribe test") for stage in ("evaluate_before", "evaluate_after")}
    assert evaluations | {("prepare", "prepare")} <= tasks
    last = [event for event in events if event["status"] == "training_progress"][-1]
    assert last["job_eta_seconds"] > last["eta_seconds"]


def test_the_same_data_without_the_handler_gives_the_same_windows_and_loss(
    finished_job, tmp_path, data_dir, tiny_dir
):
    _, answer, _ = finished_job
    options = {"data_dir": data_dir, "model_name_or_path": tiny_dir, "language": "en"}
    options |= {"num_train_epochs": 2, "learning_rate": 1e-3, "publish_if_worse": True}
    result = TrainingRun(tmp_path / "run", options, CPU).finish().read("result.json")
    assert result["artifacts"]["final_loss"] == answer["result"]["artifacts"]["final_loss"]
    assert result["dataset"] == answer["result"]["dataset"]
    for evaluation in (result["evaluation"], answer["result"]["evaluation"]):
        del evaluation["long_form"]  # tests leave it off, and it has times
    assert result["evaluation"] == answer["result"]["evaluation"]


def evaluate(run: Path, data_dir: Path, answer: Path) -> dict[str, Any]:
    """What the script says of the published model on the windows that the run held out."""
    arguments = {"model": run / "model", "data_dir": data_dir, "report": run / "report.json", "json": answer}
    run_script(
        "scripts/evaluate_wer.py",
        *(part for name, value in arguments.items() for part in (f"--{name}", value)),
    )
    return dict(json.loads(answer.read_text()))


def test_the_published_folder_gets_the_reports_figures_from_the_script(finished_job, tmp_path, data_dir):
    folder, _, _ = finished_job
    run = folder / "runs" / "job-1"
    figures = evaluate(run, data_dir, tmp_path / "w.json")
    report = json.loads((run / "report.json").read_text())
    for name in ("wer", "cer", "wer_normalized", "cer_normalized"):
        assert figures[name] == report[f"{name}_after"]


def test_a_job_in_two_languages_is_measured_in_both(tmp_path, tiny_dir):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2):
        for language in ("fr", "en"):
            write_recording(source, f"{language}-{number}", seed=number)
            (source / f"{language}-{number}.vtt").rename(source / f"{language}-{number}.{language}.vtt")
    options = {"publish_if_worse": True}  # chance made the model
    answer, _ = send_job(tmp_path / "job", source, tiny_dir, epochs=1, options=options)
    assert answer["success"], answer
    run = tmp_path / "job" / "runs" / "job-1"
    result, report = answer["result"], json.loads((run / "report.json").read_text())
    assert {code: part["num_recordings"] for code, part in result["dataset"]["languages"].items()} == {
        "fr": 2,
        "en": 2,
    }
    assert {window["recording"][:2]: window["language"] for window in report["windows"]} == {
        "fr": "fr",
        "en": "en",
    }
    for code in ("fr", "en"):
        rate = report["after"]["languages"][code]["wer_normalized"]
        assert result["evaluation"][f"wer_normalized_{code}_after"] == rate
    assert json.loads((run / "model" / "generation_config.json").read_text()).get("language") is None
    assert "English and French speech" in (run / "model" / "README.md").read_text()
    figures = evaluate(run, source, tmp_path / "wer.json")
    assert figures["languages"] == report["after"]["languages"]


def test_bad_files_cost_only_themselves_and_are_named(tmp_path, tiny_dir):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(10):
        write_recording(source, f"good-{number}", 120, seed=number)
    (source / "html.wav").write_text("<!DOCTYPE html><html><body>502 Bad Gateway</body></html>")
    (source / "html.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nThese words must not be trained.\n")
    write_recording(source, "empty", 29, seed=9)
    (source / "empty.vtt").write_text("WEBVTT\n")
    broken = (source / "good-0.vtt").read_text().replace("00:04.000 -->", "00:0x.000 -->")
    (source / "good-0.vtt").write_text(broken)
    manifest = [*list_manifest(source), {"file_type": "audio", "filename": "missing.wav"}]
    answer, events = send_job(tmp_path / "job", source, tiny_dir, files_manifest=manifest, epochs=1)
    assert answer["success"], answer
    result = answer["result"]
    assert result["dataset"]["recordings_by_outcome"] == {"speech": 10, "silence": 3}
    assert result["dataset"]["num_fallback_recordings"] == 3
    for name in ("html: silence", "missing: silence", "empty: silence"):
        assert any(warning.startswith(name) for warning in result["warnings"]), name
    report = json.loads((tmp_path / "job/runs/job-1/prepared/dataset_report.json").read_text())
    by_name = {recording["name"]: recording for recording in report["recordings"]}
    assert by_name["html"]["num_cues"] == 1
    assert by_name["html"]["num_cues_kept"] == 0
    assert by_name["good-0"]["num_cues_kept"] == by_name["good-1"]["num_cues_kept"] - 1
    assert any("timing" in note or "line" in note for note in by_name["good-0"]["notes"])
    assert events[-1]["status"] == "completed"


def test_a_job_whose_model_is_no_better_is_a_success_without_a_model(tmp_path, data_dir, tiny_dir):
    changes = {"learning_rate": 1e-30, "epochs": 1, "options": {"language": "en"}}
    answer, events = send_job(tmp_path / "job", data_dir, tiny_dir, **changes)
    assert answer["success"] is True, answer
    assert answer["result"]["artifacts"]["model_path"] == ""
    assert events[-1]["status"] == Stage.COMPLETED


def test_a_wrong_token_ends_the_job_before_training(tmp_path, data_dir, tiny_dir):
    answer, events = send_job(tmp_path / "job", data_dir, tiny_dir, auth_token="not-the-token")
    assert answer["success"] is False
    assert answer["error_type"] == "AuthenticationError"
    assert "401" in answer["error"]
    assert not list((tmp_path / "job/runs/job-1").glob("checkpoint-*"))
    assert events == []
