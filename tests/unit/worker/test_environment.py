"""What a training inherits of the worker's variables."""

from pathlib import Path
from typing import Any

import pytest

from recipe.run.settings import OperatorSettings
from recipe.worker.environment import build_environment
from recipe.worker.job import Job, read_job

SECRETS = {
    name: f"value of {name}"
    for name in (
        *("HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "WANDB_API_KEY"),
        *("MLFLOW_TRACKING_TOKEN", "RUNPOD_API_KEY", "RUNPOD_AI_API_KEY", "HTTPS_PROXY", "DATABASE_URL"),
        *("WHISPERTRAIN_AUTH_TOKEN", "WHISPERTRAIN_WORKER_API_KEY"),
    )
}
USED = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "HF_HOME": "/hf", "RUNPOD_POD_ID": "pod"}
OF_THE_JOB = {"WHISPERTRAIN_AUTH_TOKEN": "t0ken", "WHISPERTRAIN_WORKER_API_KEY": "k3y"}


def make_job(**options: Any) -> Job:
    request = {
        "project_id": "p",
        "user_id": "u",
        "backend_base_url": "https://backend.example",
        "auth_token": "t0ken",
        "worker_api_key": "k3y",
        "files_manifest": [{"file_type": "audio", "filename": "a.wav"}],
        "options": options,
    }
    operator = OperatorSettings(
        Path("/runs"), publish_dir=Path("/models"), publish_hub_owners=("owner",), publish_buckets=("bucket",)
    )
    return read_job(request, "event-1", operator).job


@pytest.mark.parametrize(
    ("options", "beside"),
    [
        pytest.param({}, [], id="nothing beside"),
        pytest.param({"publish_to": "/models/x"}, [], id="a folder"),
        pytest.param({"publish_to": "hub:owner/name"}, [], id="the hub"),
        pytest.param(
            {"publish_to": "s3://bucket/x"},
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"],
            id="a bucket",
        ),
        pytest.param({"report_to": "wandb"}, ["WANDB_API_KEY"], id="one tracker"),
        pytest.param({"report_to": ["mlflow"]}, ["MLFLOW_TRACKING_TOKEN"], id="a list of trackers"),
        pytest.param({"report_to": "all"}, ["WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN"], id="all trackers"),
        pytest.param({"report_to": "runpod"}, [], id="no tracker"),
    ],
)
def test_a_training_gets_only_what_its_job_uses(options: dict[str, Any], beside: list[str]) -> None:
    expected = {name: SECRETS[name] for name in ["HF_TOKEN", *beside]}
    found = build_environment(make_job(**options), USED | SECRETS)
    assert found == USED | expected | OF_THE_JOB | {"PYTHONUNBUFFERED": "1"}


def test_the_self_test_gets_no_credential() -> None:
    assert build_environment(None, USED | SECRETS) == USED | {"PYTHONUNBUFFERED": "1"}
