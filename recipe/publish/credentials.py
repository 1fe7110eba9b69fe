"""The keys that a delivery needs, from the environment alone: never from files, arguments or jobs."""

from collections.abc import Mapping

from recipe.errors import PublishError
from recipe.run.credentials import read_aws_keys, require_credential

_PURPOSE = "The destination of the model"


def read_aws_credentials(environment: Mapping[str, str]) -> dict[str, str | None]:
    """The AWS keys, as arguments of a boto3 client.

    Raises:
        PublishError: a key is missing or malformed.
    """
    try:
        return read_aws_keys(environment, _PURPOSE)
    except ValueError as error:
        raise PublishError(str(error)) from error


def read_hub_token(environment: Mapping[str, str]) -> str:
    """The Hugging Face token.

    Raises:
        PublishError: `HF_TOKEN` is missing or malformed.
    """
    try:
        return require_credential(environment, "HF_TOKEN", _PURPOSE)
    except ValueError as error:
        raise PublishError(str(error)) from error
