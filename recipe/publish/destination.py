"""Where a finished model may go: the forms of `--publish_to`, and the rules for each.

Nothing heavy is imported and no network is touched: the RunPod handler judges a job with it. Of a folder
the links are followed, so that a place cannot be named in a way that hides what it is.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from recipe.errors import JobError
from recipe.run.folder import RunFolder
from recipe.run.settings import OperatorSettings

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
        return Folder(_expand_home(text).absolute())
    if text.startswith("s3://"):
        return _parse_bucket(text.removeprefix("s3://"))
    if text.startswith("hub:"):
        return _parse_repository(text.removeprefix("hub:"))
    raise JobError(
        f"The destination starts with {scheme[0]!r}, which is not known; expected a folder, "
        "s3://bucket/prefix or hub:owner/name."
    )


def check_destination(text: str, run: RunFolder | None, operator: OperatorSettings | None = None) -> None:
    """Accepts a destination that a model can be delivered to, as far as can be told beforehand.

    Args:
        text: What `--publish_to` or a job's `options.publish_to` says.
        run: The run that delivers; None for a job that is refused anyway, whose run is not known.
        operator: Of the worker that the job came to. A job is untrusted: it may deliver to its own run, and
            to what the operator allows. None allows everything but the run's working folders, as a
            person's own command line may.

    Raises:
        JobError: the form is not known, or the place is not allowed.
    """
    destination = parse_destination(text)
    try:
        if isinstance(destination, Folder) and run is not None:
            _check_apart(destination.path.resolve(), text, run)
        if operator is not None:
            _check_allowed(destination, text, run, operator)
    except (OSError, RuntimeError) as error:  # links in a ring
        raise JobError(f"The folder {text[:80]!r} leads nowhere ({type(error).__name__}).") from error


def find_destination_problems(
    publish_to: object, run: RunFolder | None, operator: OperatorSettings | None = None
) -> list[str]:
    """Why a model cannot be delivered to what the option `publish_to` says; as for `check_destination`."""
    if not isinstance(publish_to, str):
        return []
    try:
        check_destination(publish_to, run, operator)
    except JobError as error:
        return [f"publish_to: {error}"]
    return []


def _check_apart(place: Path, text: str, run: RunFolder) -> None:
    """Refuse a folder in which the run's own files would be taken for the model's, or the reverse.

    Args:
        place: The folder, without links and dots.
        text: The folder as it was given.
        run: The run that delivers.
    """
    run_dir = run.path.resolve()
    is_beside_model = place.is_relative_to(run_dir) and place != run_dir / run.model.name
    working_dirs = [run_dir, *(folder.resolve() for folder in run.working_dirs())]
    is_around = any(folder.is_relative_to(place) for folder in working_dirs)
    is_inside = any(place.is_relative_to(folder) for folder in working_dirs[1:])
    if is_beside_model or is_around or is_inside:
        raise JobError(
            f"The folder {text!r} is, holds or lies in a folder that the run itself works in; give a folder "
            f"outside the run's own, or leave the option out: the model then goes to its folder "
            f"{run.model.name!r}."
        )


def _check_allowed(
    destination: Destination, text: str, run: RunFolder | None, operator: OperatorSettings
) -> None:
    """Refuse a place that the operator has not opened to jobs."""
    match destination:
        case HubRepository(name):
            if name.partition("/")[0] not in operator.publish_hub_owners:
                raise JobError(
                    f"This worker's operator does not let jobs publish to {destination.uri}; "
                    "WHISPERTRAIN_PUBLISH_HUB_OWNERS in the worker's environment lists the owners it may be."
                )
        case Bucket(name, prefix):
            place = f"{name}/{prefix}/"
            if not any(place.startswith(f"{allowed}/") for allowed in operator.publish_buckets):
                raise JobError(
                    f"This worker's operator does not let jobs publish to {destination.uri}; "
                    "WHISPERTRAIN_PUBLISH_BUCKETS in the worker's environment lists the buckets, or "
                    "bucket/prefix, it may be in."
                )
        case Folder(path):
            _check_allowed_folder(path.resolve(), text, run, operator)


def _check_allowed_folder(place: Path, text: str, run: RunFolder | None, operator: OperatorSettings) -> None:
    if not Path(text).is_absolute():  # it would mean another folder to the training than here
        raise JobError(f"The folder {text!r} is not absolute; give it from the root on, as /folder/model.")
    for parent in (folder.resolve() for folder in operator.job_dirs):
        if not place.is_relative_to(parent):
            continue
        if run is not None and place != parent / run.path.name / run.model.name:
            raise JobError(
                f"The folder {text!r} lies in the folder of the workers' runs or their models, where a job "
                f"may have its own folder {run.model.name!r} only, which is the default; leave the option "
                "out."
            )
        return
    if _is_base_model(place, operator):
        raise JobError(
            f"The folder {text!r} lies in that of this worker's base models (WHISPERTRAIN_MODELS_DIR), which "
            "jobs only read; give another folder, or leave the option out."
        )
    allowed_dirs = [folder.resolve() for folder in operator.delivery_dirs]
    if not any(place != allowed and place.is_relative_to(allowed) for allowed in allowed_dirs):
        raise JobError(
            f"The folder {text!r} is not below a folder that this worker's operator allows for models; leave "
            "the option out, or have WHISPERTRAIN_PUBLISH_DIR set to a folder above it."
        )


def _is_base_model(place: Path, operator: OperatorSettings) -> bool:
    """Whether a place is among the base models, and the operator has not opened that very part to jobs."""
    models_dir, opened = operator.models_dir, operator.publish_dir
    if models_dir is None or not place.is_relative_to(models_dir.resolve()):
        return False
    is_opened = (
        opened is not None
        and opened.resolve().is_relative_to(models_dir.resolve())
        and place.is_relative_to(opened.resolve())
    )
    return not is_opened


def _expand_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise JobError(
            f"The folder {text!r} names the home of a user that this machine does not have; expected a "
            "folder from the root on."
        ) from error


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
