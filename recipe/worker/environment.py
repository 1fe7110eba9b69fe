"""The environment of a training: the variables that it uses, and the credentials of its own job."""

from collections.abc import Mapping

from recipe.arguments import split_trackers
from recipe.run.credentials import is_plain
from recipe.worker.job import Job

_TRACKERS = {
    "azure_ml": "AZUREML_",
    "clearml": "CLEARML_",
    "codecarbon": "CODECARBON_",
    "comet_ml": "COMET_",
    "dagshub": "DAGSHUB_",
    "dvclive": "DVCLIVE_",
    "flyte": "FLYTE_",
    "mlflow": "MLFLOW_",
    "neptune": "NEPTUNE_",
    "swanlab": "SWANLAB_",
    "trackio": "TRACKIO_",
    "wandb": "WANDB_",
}
"""How the variables of each tracker of `report_to` begin."""


def build_environment(job: Job | None, operator: Mapping[str, str]) -> dict[str, str]:
    """The training's variables.

    Args:
        job: Whose credentials and options count; None for the self-test, which needs neither.
        operator: All variables of the worker.
    """
    environment = {name: value for name, value in operator.items() if is_plain(name)}
    environment["PYTHONUNBUFFERED"] = "1"
    if job is None:
        return environment
    prefixes = tuple(_find_prefixes(job.options))
    environment |= {
        name: value for name, value in operator.items() if name == "HF_TOKEN" or name.startswith(prefixes)
    }
    environment["WHISPERTRAIN_AUTH_TOKEN"] = job.auth_token.get_secret_value()
    environment["WHISPERTRAIN_WORKER_API_KEY"] = job.worker_api_key.get_secret_value()
    return environment


def _find_prefixes(options: Mapping[str, object]) -> list[str]:
    """How the variables begin that these options need beside: those of the bucket and of the trackers."""
    trackers = split_trackers(options.get("report_to"))
    named = _TRACKERS if "all" in trackers else [tracker for tracker in trackers if tracker in _TRACKERS]
    is_bucket = str(options.get("publish_to")).startswith("s3://")
    return [*(_TRACKERS[tracker] for tracker in named), *["AWS_"] * is_bucket]
