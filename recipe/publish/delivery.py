"""A sealed release goes to its destination: a folder, an S3 bucket or the Hugging Face hub."""

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from datasets import Dataset

from recipe.arguments import PublishArguments, split_formats
from recipe.errors import PublishError
from recipe.export.artifacts import ARTIFACTS
from recipe.export.exports import export_model, remove_artifact
from recipe.export.proof import choose_windows
from recipe.model.whisper import Whisper
from recipe.publish.credentials import read_aws_credentials, read_hub_token
from recipe.publish.destination import Bucket, Destination, Folder, HubRepository, parse_destination
from recipe.publish.folder import check_folder, deliver_to_folder
from recipe.publish.metadata import ReleaseMetadata
from recipe.publish.release import OnProgress, load_release, seal_release
from recipe.publish.staging import describe_model, stage_model
from recipe.publish.verification import verify_release
from recipe.run.folder import RunFolder
from recipe.run.settings import VOLUME_DIR, models_on

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """Where a model went.

    Attributes:
        uri: Folder path, `s3://bucket/prefix`, or `hub:owner/name@commit`.
        warnings: Sentences for the user.
    """

    uri: str
    warnings: tuple[str, ...] = ()


def default_destination(
    run_dir: Path, *, environment: Mapping[str, str] = os.environ, volume_dir: Path = VOLUME_DIR
) -> tuple[Path, str | None]:
    """The folder a model goes to when no destination is given, and a warning if it dies with the worker."""
    if volume_dir.is_mount():
        is_kept = run_dir.resolve().is_relative_to(volume_dir.resolve())
        kept_dir = run_dir if is_kept else models_on(volume_dir) / run_dir.name
        return RunFolder(kept_dir).model, None
    is_on_runpod = any(environment.get(name) for name in ("RUNPOD_POD_ID", "RUNPOD_ENDPOINT_ID"))
    warning = (
        "No destination was given and no network volume is mounted: the model lies on the worker's own disk "
        "and dies with the worker. Give options.publish_to, or attach a network volume."
    )
    return RunFolder(run_dir).model, warning if is_on_runpod else None


def check_delivery(destination: str | None, *, default_dir: Path) -> None:
    """Accepts a destination that a model can be delivered to, as far as this machine can tell beforehand.

    Raises:
        JobError: the destination has no known form.
        PublishError: credentials are missing, or the folder is somebody else's.
    """
    match _resolve(destination, default_dir):
        case Folder(path):
            check_folder(path)
        case Bucket():
            read_aws_credentials(os.environ)
        case HubRepository():
            read_hub_token(os.environ)


def deliver(
    staging_dir: Path, destination: str | None, *, default_dir: Path, on_progress: OnProgress | None = None
) -> Delivery:
    """The place where the sealed release now is, whole and compared; the same release goes out once.

    An earlier release in the same place is replaced: at no moment does the place hold a mixture that
    passes for a release. The staging folder stays, so a delivery that fails can be tried again.

    Args:
        staging_dir: Folder that `verify_release` sealed.
        destination: Folder path, `s3://bucket/prefix` or `hub:owner/name`; None means `default_dir`.
        default_dir: First part of `default_destination`'s answer.
        on_progress: Told the bytes done and the bytes in all.

    Raises:
        JobError: the destination has no known form.
        PublishError: the folder is not sealed, or could not be delivered.
    """
    release = load_release(staging_dir)
    target = _resolve(destination, default_dir)
    report = on_progress or _ignore_progress
    match target:
        case Folder(path):
            delivery = Delivery(deliver_to_folder(release, path, report))
        case Bucket():
            from recipe.publish.bucket import deliver_to_bucket  # noqa: PLC0415 - boto3 only where it is used

            delivery = Delivery(deliver_to_bucket(release, target, report))
        case HubRepository():
            from recipe.publish.hub import deliver_to_hub  # noqa: PLC0415 - the same of the hub's client

            delivery = Delivery(*deliver_to_hub(release, target, report))
    logger.info("The model was delivered to %s", delivery.uri)
    return delivery


def publish_model(
    whisper: Whisper,
    metadata: ReleaseMetadata,
    folder: RunFolder,
    arguments: PublishArguments,
    test: Dataset,
    on_progress: OnProgress | None = None,
) -> Delivery:
    """Stage the model in the run's folder, verify it, export it, and deliver it all.

    Args:
        whisper: The trained model, adapters merged.
        metadata: What is published about it.
        folder: Of the run.
        arguments: Where to, and in which formats.
        test: Windows that exports are proved on; may be empty.
        on_progress: Told the bytes done and the bytes in all.

    Raises:
        PublishError: the model is not fit to be published, or could not be delivered.
    """
    stage_model(whisper, metadata, folder.staging)
    verify_release(folder.staging, whisper.model)
    warnings = _add_exports(folder.staging, metadata, arguments.export, test)
    default_dir, warning = default_destination(folder.path)
    destination = arguments.publish_to
    send = partial(deliver, folder.staging, destination, default_dir=default_dir, on_progress=on_progress)
    try:
        delivery = send()
    except PublishError as error:
        if not any((folder.staging / name).exists() for name in ARTIFACTS):
            raise
        _leave_out_exports(folder.staging, metadata)
        delivery = send()
        warnings.append(f"The model was delivered without its exports. {error}")
    shutil.rmtree(folder.staging)
    if warning and not destination:
        warnings.append(warning)
    return replace(delivery, warnings=(*warnings, *delivery.warnings))


def _add_exports(
    staging_dir: Path, metadata: ReleaseMetadata, formats: str | None, test: Dataset
) -> list[str]:
    """Put exports into a sealed folder, their figures on its card, and seal it anew; sentences for the user.

    Whatever becomes of an export, the sealed model is released.
    """
    if not formats:
        return []
    windows = choose_windows(test)
    try:
        exports = export_model(staging_dir, split_formats(formats), staging_dir, windows, metadata.task)
        made = {export.name: export.as_dict() for export in exports if export.num_bytes}
        describe_model(replace(metadata, exports=made), staging_dir)
        seal_release(staging_dir)
    except OSError as error:
        _leave_out_exports(staging_dir, metadata)
        return [f"The exports were left out: {error.strerror or error}."]
    return [export.problem for export in exports if export.problem]


def _leave_out_exports(staging_dir: Path, metadata: ReleaseMetadata) -> None:
    """Make the folder what it was before the exports, and seal it anew."""
    for name in ARTIFACTS:
        remove_artifact(name, staging_dir)
    describe_model(metadata, staging_dir)
    seal_release(staging_dir)


def _resolve(destination: str | None, default_dir: Path) -> Destination:
    return parse_destination(destination) if destination else Folder(default_dir.absolute())


def _ignore_progress(num_done: int, num_bytes: int) -> None:
    """Nobody watches."""
