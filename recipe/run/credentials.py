"""Credentials: what counts as one, and which variables a process gets that needs none."""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from urllib.parse import unquote, urlsplit

SECRET_VARIABLES = (
    "WHISPERTRAIN_AUTH_TOKEN",
    "WHISPERTRAIN_WORKER_API_KEY",
    "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "RUNPOD_API_KEY",
    "RUNPOD_AI_API_KEY",
    "WANDB_API_KEY",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "TRACKIO_SERVER_URL",  # it holds a token
    "TRACKIO_WRITE_TOKEN",
    "CLEARML_API_SECRET_KEY",
    "COMET_API_KEY",
    "DAGSHUB_USER_TOKEN",
    "NEPTUNE_API_TOKEN",
    "SWANLAB_API_KEY",
)

_BLANK_WORDS = frozenset({"null", "none", "nil", "undefined", "nan", "blank", "empty"})
"""What languages make of a value that is not there, in lower case."""

_PLAIN_NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "TZ", "TERM", "XDG_CACHE_HOME"),
        *("LD_LIBRARY_PATH", "VIRTUAL_ENV", "CC", "CXX"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("RUNPOD_POD_ID", "RUNPOD_ENDPOINT_ID"),
    }
)
_PLAIN_PREFIXES = (
    *("LC_", "PYTHON", "TQDM_", "WHISPERTRAIN_", "HF_", "TRANSFORMERS_", "TOKENIZERS_", "TENSORBOARD"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "GLOO_", "OMP_", "KMP_", "MKL_"),
    *("TORCH", "PYTORCH", "TRITON_", "ACCELERATE_", "FSDP_"),
)


def read_credential(text: str) -> str:
    """The credential that a text holds, "" for a word such as `null` that stands for none."""
    credential = text.strip()
    return "" if credential.lower() in _BLANK_WORDS else credential


def require_credential(environment: Mapping[str, str], name: str, purpose: str) -> str:
    """The credential in a variable.

    Args:
        environment: Of the process.
        name: Of the variable.
        purpose: What needs it, as the beginning of a sentence.

    Raises:
        ValueError: it is missing or malformed; the message is a sentence.
    """
    value = read_credential(environment.get(name, ""))
    if not value:
        raise ValueError(f"{purpose} needs {name} in the environment; it is not set.")
    # An HTTP library quotes a header that it refuses, and with it the secret.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{name} holds spaces or characters that no key has; set it again.")
    return value


def read_aws_keys(environment: Mapping[str, str], purpose: str) -> dict[str, str | None]:
    """The AWS keys, as arguments of a boto3 client; profiles and roles are not consulted.

    Raises:
        ValueError: a key is missing or malformed; the message is a sentence.
    """
    return {
        "aws_access_key_id": require_credential(environment, "AWS_ACCESS_KEY_ID", purpose),
        "aws_secret_access_key": require_credential(environment, "AWS_SECRET_ACCESS_KEY", purpose),
        "aws_session_token": read_credential(environment.get("AWS_SESSION_TOKEN", "")) or None,
    }


def find_secrets(environment: Mapping[str, str]) -> list[str]:
    """The credentials in an environment that must appear nowhere."""
    found = [read_credential(environment.get(name, "")) for name in SECRET_VARIABLES]
    with suppress(ValueError):  # no address
        found.append(unquote(urlsplit(environment.get("MLFLOW_TRACKING_URI", "")).password or ""))
    return [secret for secret in found if secret]


def is_plain(name: str) -> bool:
    """Whether a variable is one that trainings use and that holds no credential; proxies' may hold one."""
    return name not in SECRET_VARIABLES and (name in _PLAIN_NAMES or name.startswith(_PLAIN_PREFIXES))


def drop_credentials(environment: MutableMapping[str, str] = os.environ) -> dict[str, str]:
    """What was removed: all variables that are not plain."""
    return {name: environment.pop(name) for name in list(environment) if not is_plain(name)}


@contextmanager
def credentials_dropped(environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """In the body only plain variables are there, so that processes started in it inherit no others."""
    dropped = drop_credentials(environment)
    try:
        yield
    finally:
        environment.update(dropped)
