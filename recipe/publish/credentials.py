"""The keys that a delivery needs, from the environment alone: never from files, arguments or jobs."""

from collections.abc import Mapping

from recipe.errors import PublishError
from recipe.run.credentials import read_credential


def read_aws_credentials(environment: Mapping[str, str]) -> dict[str, str | None]:
    """The AWS keys, as arguments of a boto3 client; profiles and roles are not consulted.

    Raises:
        PublishError: a key is missing or malformed.
    """
    return {
        "aws_access_key_id": _read(environment, "AWS_ACCESS_KEY_ID"),
        "aws_secret_access_key": _read(environment, "AWS_SECRET_ACCESS_KEY"),
        "aws_session_token": read_credential(environment.get("AWS_SESSION_TOKEN", "")) or None,
    }


def read_hub_token(environment: Mapping[str, str]) -> str:
    """The Hugging Face token.

    Raises:
        PublishError: `HF_TOKEN` is missing or malformed.
    """
    return _read(environment, "HF_TOKEN")


def _read(environment: Mapping[str, str], name: str) -> str:
    value = read_credential(environment.get(name, ""))
    if not value:
        raise PublishError(f"The destination of the model needs {name} in the environment; it is not set.")
    # An HTTP library quotes a header that it refuses, and with it the secret.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise PublishError(f"{name} holds spaces or characters that no key has; set it again.")
    return value
