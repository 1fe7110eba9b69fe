"""What counts as a credential, and what processes that need none inherit."""

import os
import subprocess
import sys

import pytest

from recipe.run.credentials import credentials_dropped, find_secrets, read_credential


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, "") for text in ("", " ", "\t\n", "null", " NULL ", "None", "nil", "undefined", "NaN")),
        *((text, text) for text in ("true", "false", "1234", "0000", "error", "nullable", "é", '"}, "')),
        (" s3cret\n", "s3cret"),
    ],
    ids=repr,
)
def test_words_for_nothing_are_no_credential(text: str, expected: str) -> None:
    assert read_credential(text) == expected


def test_the_secrets_of_an_environment() -> None:
    environment = {
        "HF_TOKEN": " hf_x ",
        "WHISPERTRAIN_AUTH_TOKEN": "null",
        "RUNPOD_API_KEY": "r",
        "WANDB_API_KEY": "w",
        "MLFLOW_TRACKING_URI": "https://name:p%20ss@tracker.example/",
        "PATH": "/",
    }
    assert find_secrets(environment) == ["hf_x", "r", "w", "p ss"]


@pytest.mark.parametrize("address", ["", "file:///runs", "sqlite:///runs.db", "http://[", "databricks"])
def test_an_address_without_a_password_holds_no_secret(address: str) -> None:
    assert find_secrets({"MLFLOW_TRACKING_URI": address}) == []


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        *(
            (name, True)
            for name in ("PATH", "HOME", "LC_ALL", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "HF_HOME")
        ),
        *((name, True) for name in ("WHISPERTRAIN_GRACE_SECONDS", "RUNPOD_POD_ID", "TOKENIZERS_PARALLELISM")),
        *((name, False) for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "WANDB_API_KEY")),
        *((name, False) for name in ("RUNPOD_API_KEY", "RUNPOD_AI_API_KEY", "RUNPOD_WEBHOOK_GET_JOB")),
        *((name, False) for name in ("WHISPERTRAIN_AUTH_TOKEN", "WHISPERTRAIN_WORKER_API_KEY")),
        *((name, False) for name in ("HTTPS_PROXY", "http_proxy", "DATABASE_URL")),
    ],
)
def test_a_process_started_without_credentials(
    name: str, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, os.environ.get(name, "a value"))
    before = dict(os.environ)
    check = "import os, sys; sys.exit(sys.argv[1] not in os.environ)"
    with credentials_dropped():
        code = subprocess.run([sys.executable, "-S", "-c", check, name], check=False).returncode
    assert (code == 0) == is_kept
    assert dict(os.environ) == before
