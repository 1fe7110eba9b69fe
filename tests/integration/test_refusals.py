"""A run that is refused says why, in the same sentence at both doors and wherever a user looks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from training_runs import REPOSITORY, USER, TrainingRun, clean_environment, read_backend, serve_backend

from recipe.errors import JobError
from recipe.run.files import acquire
from recipe.run.folder import RunFolder
from recipe.run.settings import OperatorSettings
from recipe.training.arguments import check_arguments, parse_arguments
from recipe.training.preflight import check_run
from recipe.worker.job import read_job

REFUSED_BEFORE_LAUNCH = {
    "a rule between options": {"lora_alpha": 16.0},
    "out of bounds": {"eval_fraction": 0.9},
    "of another type": {"lora_rank": "eight"},
    "another choice": {"task": "summarise"},
    "two at once": {"eval_fraction": 0.9, "max_file_gib": -1.0},
}


def make_job(address: str, **options: object) -> dict:
    return {
        "project_id": "project-1",
        "user_id": USER,
        "backend_base_url": address,
        "files_manifest": [{"file_type": "audio", "filename": "tones.flac"}],
        "job_id": "refused",
        "options": options,
    }


def refuse_by_handler(options: dict, runs_dir: Path = Path("/nowhere")) -> str:
    settings = OperatorSettings(runs_dir, is_private_backend_allowed=True)
    with pytest.raises(JobError) as refusal:
        read_job(make_job("http://127.0.0.1:9", **options), "event", settings)
    return str(refusal.value)


def refuse_by_train(options: dict, data_dir: Path, output_dir: Path) -> str:
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    arguments = parse_arguments(["--data_dir", str(data_dir), "--output_dir", str(output_dir), *flags])
    with pytest.raises(JobError) as refusal:
        check_arguments(arguments)
    return str(refusal.value)


@pytest.mark.parametrize("options", REFUSED_BEFORE_LAUNCH.values(), ids=REFUSED_BEFORE_LAUNCH)
def test_both_doors_refuse_with_the_same_sentence(tmp_path, options):
    sentence = refuse_by_train(options, tmp_path, tmp_path / "run")
    assert sentence.startswith("The settings cannot be used: ")
    assert refuse_by_handler(options) == sentence


@pytest.mark.parametrize("place", ["staging", "checkpoint-3/x", ".", "..", "/", "prepared/../logs"])
def test_both_doors_keep_models_out_of_the_runs_own_folders(tmp_path, place):
    run = RunFolder(tmp_path / "runs" / "refused")
    destination = str(run.path / place)
    arguments = parse_arguments(
        ["--self_test", "true", "--output_dir", str(run.path), "--publish_to", destination]
    )
    with pytest.raises(JobError, match="the run itself works in") as by_train:
        check_run(arguments, run)
    assert refuse_by_handler({"publish_to": destination}, run.path.parent) == str(by_train.value)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"lora_alpha": 16.0}, id="before anything is launched"),
        pytest.param({"report_to": "wandb"}, id="by train.py on this machine"),
    ],
)
def test_a_refusal_is_in_the_answer_the_run_folder_and_the_terminal_event(tmp_path, tones_dir, options):
    run = TrainingRun(tmp_path / "run", {"data_dir": tones_dir, **options})
    assert run.attempt() == 1
    sentence = run.read("error.json")["error"]
    assert sentence in run.output
    assert "Traceback" not in run.output

    (tmp_path / "uploads" / USER).mkdir(parents=True)
    answer_file = tmp_path / "answer.json"
    environment = clean_environment(
        WHISPERTRAIN_RUNS_DIR=str(tmp_path / "runs"), WHISPERTRAIN_ANSWER_FILE=str(answer_file)
    )
    with serve_backend(tmp_path) as address:
        job = json.dumps({"input": make_job(address, **options)})
        handler = subprocess.run(
            [sys.executable, "handler.py", "--test_input", job],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        events = read_backend(address, "refused")
    assert json.loads(answer_file.read_text())["error"] == sentence
    assert RunFolder(tmp_path / "runs" / "refused").read_error() == (sentence, "JobError")
    assert (events[-1]["status"], events[-1]["error"]) == ("failed", sentence)
    assert "Traceback" not in handler.stdout + handler.stderr


def test_a_run_that_is_refused_for_its_data_leaves_the_report(tmp_path, tones_dir, tiny_dir):
    data_dir = Path(shutil.copytree(tones_dir, tmp_path / "data"))
    for number in range(3):
        (data_dir / f"page-{number}.wav").write_text("<!DOCTYPE html>")
        shutil.copy(data_dir / "tones.vtt", data_dir / f"page-{number}.vtt")
    options = {"data_dir": data_dir, "model_name_or_path": tiny_dir, "language": "en"}
    run = TrainingRun(tmp_path / "run", options)
    assert run.attempt() == 1
    assert "3 of 10 windows would stand in for bad data" in run.read("error.json")["error"]
    report = run.read("prepared/dataset_report.json")
    assert report["recordings_by_outcome"] == {"speech": 1, "silence": 3}
    assert "page-2" in (run.folder / "prepared" / "dataset_report.html").read_text()


def test_a_folder_in_use_is_refused_and_its_run_keeps_its_own_error(tmp_path, tones_dir):
    run = TrainingRun(
        tmp_path / "run",
        {"data_dir": tones_dir},
        environment=clean_environment(WHISPERTRAIN_GRACE_SECONDS="0"),
    )
    run.folder.mkdir()
    with RunFolder(run.folder).train_lock.open("a") as lock:
        acquire(lock, "held by the test")
        assert run.attempt() == 1
    error = run.read("error.json")
    assert error["error"].startswith("Another process trains in ")
    assert error["error"] in run.output
    assert error["error_type"] == "JobConflictError"
    assert not RunFolder(run.folder).events.exists()  # they belong to the run that holds the folder
