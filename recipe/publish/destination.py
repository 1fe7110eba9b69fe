"""Where a finished model may go: the forms of `--publish_to`, read and judged as text.

Nothing heavy is imported and no disk or network is touched: the RunPod handler judges a job with it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recipe.errors import JobError

MAX_LENGTH = 1024
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html (safe characters)
_PREFIX_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9!_.=()-]+")
HUB_NAME = r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
"""An owner's or a repository's name on the Hugging Face hub."""
HUB_REPOSITORY = re.compile(rf"{HUB_NAME}/{HUB_NAME}(?<!\.git)")


@dataclass(frozen=True)
class Folder:
    """A folder on a disk of this machine.

    Attributes:
        path: Absolute path of the folder that will hold the model's files themselves.
    """

    path: Path


@dataclass(frozen=True)
class Bucket:
    """A place in an S3 bucket.

    Attributes:
        name: Name of the bucket.
        prefix: Start of every key, without a slash at either end.
    """

    name: str
    prefix: str

    @property
    def uri(self) -> str:
        """The place as a user writes it."""
        return f"s3://{self.name}/{self.prefix}"


@dataclass(frozen=True)
class HubRepository:
    """A model repository on the Hugging Face hub.

    Attributes:
        name: `owner/name`.
    """

    name: str

    @property
    def uri(self) -> str:
        """The repository as a user writes it."""
        return f"hub:{self.name}"


Destination = Folder | Bucket | HubRepository


def parse_destination(text: str) -> Destination:
    """The destination that a folder path, `s3://bucket/prefix` or `hub:owner/name` means.

    Raises:
        JobError: the text has none of these forms. The message quotes nothing that may be a credential.
    """
    if not text.strip() or len(text) > MAX_LENGTH or not text.isprintable():
        raise JobError(
            f"The destination is blank, longer than {MAX_LENGTH} characters, or holds control characters; "
            "expected a folder, s3://bucket/prefix or hub:owner/name."
        )
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Folder(_expand(text))
    if text.startswith("s3://"):
        return _parse_bucket(text.removeprefix("s3://"))
    if text.startswith("hub:"):
        return _parse_repository(text.removeprefix("hub:"))
    raise JobError(
        f"The destination starts with {scheme[0]!r}, which is not known; expected a folder, "
        "s3://bucket/prefix or hub:owner/name."
    )


def _expand(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:  # `~name` of nobody
        raise JobError(f"The folder {text[:80]!r} begins with ~ and a user that is not known here.") from None


def check_destination(text: str, allowed_dirs: Iterable[Path] | None = None) -> None:
    """Accepts a destination that a model can be delivered to, as far as its text tells.

    Args:
        text: What `--publish_to` or a job's `options.publish_to` says.
        allowed_dirs: The folders below which a folder may lie; None allows any, as an operator's own
            command line may. A job is untrusted and must not write elsewhere.

    Raises:
        JobError: the form is not known, or the folder is not allowed.
    """
    destination = parse_destination(text)
    if not isinstance(destination, Folder) or allowed_dirs is None:
        return
    try:
        resolved = destination.path.resolve()
    except (OSError, RuntimeError) as error:  # links in a ring
        raise JobError(f"The folder {text[:80]!r} leads nowhere ({type(error).__name__}).") from error
    if not any(
        resolved != allowed.resolve() and resolved.is_relative_to(allowed.resolve())
        for allowed in allowed_dirs
    ):
        raise JobError(
            f"The folder {text!r} is not below a folder that this worker's operator allows for models; use "
            "s3://bucket/prefix or hub:owner/name, or have WHISPERTRAIN_PUBLISH_DIR set to a folder above it."
        )


def find_destination_problems(publish_to: object, allowed_dirs: Iterable[Path] | None = None) -> list[str]:
    """Why a model cannot be delivered to what the option `publish_to` says, as far as its text tells."""
    if not isinstance(publish_to, str):
        return []
    try:
        check_destination(publish_to, allowed_dirs)
    except JobError as error:
        return [f"publish_to: {error}"]
    return []


def _parse_bucket(text: str) -> Bucket:
    name, _, prefix = text.partition("/")
    prefix = prefix.rstrip("/")
    if not _BUCKET.fullmatch(name):
        raise JobError(
            "The part after s3:// is not a bucket's name; expected s3://bucket/prefix with 3 to 63 "
            "lower-case letters, digits, dots and hyphens. Credentials belong in the environment."
        )
    if not all(_PREFIX_SEGMENT.fullmatch(segment) for segment in prefix.split("/")):
        raise JobError(
            f"The prefix in bucket {name!r} is missing or holds an empty part, '.', '..' or an unusual "
            "character; expected s3://bucket/prefix with letters, digits and !_.=()- between slashes."
        )
    return Bucket(name, prefix)


def _parse_repository(text: str) -> HubRepository:
    if not HUB_REPOSITORY.fullmatch(text):
        raise JobError(
            "The part after hub: is not the name of a repository; expected hub:owner/name, each of at most "
            "96 letters, digits, '-', '_' and '.'. The token belongs in the environment as HF_TOKEN."
        )
    return HubRepository(text)
