"""What the operator of a worker decides, read from the environment; a job cannot change it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Self

from recipe.errors import RecipeError

VOLUME_DIR = Path("/runpod-volume")
"""Where RunPod mounts a network volume."""


def runs_on(volume_dir: Path) -> Path:
    """Parent of the run folders that lie on a volume."""
    return volume_dir / "whispertrain" / "runs"


def models_on(volume_dir: Path) -> Path:
    """Parent of the folders, one per job, that a volume keeps for runs whose own folders are elsewhere."""
    return volume_dir / "whispertrain" / "models"


VARIABLES = (
    *("WHISPERTRAIN_RUNS_DIR", "WHISPERTRAIN_MODELS_DIR", "WHISPERTRAIN_OTHER_DIR"),
    "WHISPERTRAIN_ANSWER_FILE",
    *("WHISPERTRAIN_PUBLISH_DIR", "WHISPERTRAIN_PUBLISH_HUB_OWNERS", "WHISPERTRAIN_PUBLISH_BUCKETS"),
    *("WHISPERTRAIN_ALLOW_PRIVATE_BACKEND", "WHISPERTRAIN_GRACE_SECONDS", "WHISPERTRAIN_FLUSH_SECONDS"),
    *("WHISPERTRAIN_AUTH_TOKEN", "WHISPERTRAIN_WORKER_API_KEY", "WHISPERTRAIN_ATTEMPT_ID"),
)
"""All that the worker and its training read; the last three are told by the handler to `train.py`."""


@dataclass(frozen=True)
class OperatorSettings:
    """Folders, limits and patience of one worker.

    Attributes:
        runs_dir: Parent of the run folders, one per job.
        models_dir: Local base models that a job may name; none are allowed without it.
        other_dir: Parent of folders of other speech that a job may name; none are allowed without it.
        publish_dir: Folder below which a job may have its model delivered, beside its own and the volume.
        publish_hub_owners: Owners on the Hugging Face hub to whose repositories a job may publish.
        publish_buckets: S3 buckets, or places in one as bucket/prefix, to which a job may publish.
        volume_dir: The network volume, if one is mounted.
        answer_file: Where the answer to the newest job is kept, for whoever started the worker by hand.
        is_private_backend_allowed: Whether a backend may be plain http or at a private address.
        grace_seconds: Time that a stopped training has to write its checkpoint before it is killed.
        flush_seconds: Time spent on delivering the last progress events before the answer.
    """

    runs_dir: Path
    models_dir: Path | None = None
    other_dir: Path | None = None
    publish_dir: Path | None = None
    publish_hub_owners: tuple[str, ...] = ()
    publish_buckets: tuple[str, ...] = ()
    volume_dir: Path | None = None
    answer_file: Path | None = None
    is_private_backend_allowed: bool = False
    grace_seconds: float = 60.0
    flush_seconds: float = 30.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, volume_dir: Path = VOLUME_DIR) -> Self:
        """The settings that the `WHISPERTRAIN_…` variables ask for; blank means default.

        Raises:
            RecipeError: a variable cannot be understood, or its name is nearly that of another.
        """
        _check_names(environment)
        # The folder exists in some images without being a volume; only a mount outlives the worker.
        volume = volume_dir if volume_dir.is_mount() else None
        default_runs_dir = runs_on(volume) if volume else Path("runs").resolve()
        return cls(
            runs_dir=_read_path(environment, "WHISPERTRAIN_RUNS_DIR") or default_runs_dir,
            models_dir=_read_path(environment, "WHISPERTRAIN_MODELS_DIR"),
            other_dir=_read_path(environment, "WHISPERTRAIN_OTHER_DIR"),
            publish_dir=_read_path(environment, "WHISPERTRAIN_PUBLISH_DIR"),
            publish_hub_owners=_read_list(
                environment,
                "WHISPERTRAIN_PUBLISH_HUB_OWNERS",
                r"[\w-][\w.-]*",
                "owners, such as: acme, my-team",
            ),
            publish_buckets=_read_list(
                environment,
                "WHISPERTRAIN_PUBLISH_BUCKETS",
                r"[a-z0-9][a-z0-9.-]+(/[\w!.=()-]+)*",
                "buckets or bucket/prefix, such as: models, shared/whisper",
            ),
            volume_dir=volume,
            answer_file=_read_path(environment, "WHISPERTRAIN_ANSWER_FILE"),
            is_private_backend_allowed=_read_switch(environment, "WHISPERTRAIN_ALLOW_PRIVATE_BACKEND"),
            grace_seconds=_read_seconds(environment, "WHISPERTRAIN_GRACE_SECONDS", cls.grace_seconds),
            flush_seconds=_read_seconds(environment, "WHISPERTRAIN_FLUSH_SECONDS", cls.flush_seconds),
        )

    @property
    def delivery_dirs(self) -> tuple[Path, ...]:
        """The folders below which any job may have its model delivered, but for the jobs' own in them."""
        return tuple(folder for folder in (self.publish_dir, self.volume_dir) if folder)

    @property
    def job_dirs(self) -> tuple[Path, ...]:
        """Folders with one folder per job, where each may have its model delivered to its own only.

        Those of a volume are other workers' too, wherever the runs of this one are.
        """
        on_volume = (runs_on(self.volume_dir), models_on(self.volume_dir)) if self.volume_dir else ()
        return (self.runs_dir, *on_volume)


def _read_path(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "").strip()
    try:
        return Path(text).expanduser().resolve() if text else None
    except (OSError, RuntimeError) as error:  # no such user, links in a ring
        raise RecipeError(f"{name} is {text!r}, which leads nowhere: {error}.") from error


def _check_names(environment: Mapping[str, str]) -> None:
    """Refuse a slip in a name, which would silently mean the default."""
    for name in environment:
        near = get_close_matches(name, VARIABLES, n=1, cutoff=0.9) if name.startswith("WHISPERTRAIN_") else []
        if near and name not in VARIABLES:
            raise RecipeError(f"{name} is no variable of this worker; did you mean {near[0]}?")


def _read_switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").strip()
    if text not in {"", "0", "1"}:
        raise RecipeError(f"{name} is {text!r}; expected 1 to allow it, or 0.")
    return text == "1"


def _read_list(environment: Mapping[str, str], name: str, form: str, expected: str) -> tuple[str, ...]:
    entries = [entry.strip().rstrip("/") for entry in environment.get(name, "").split(",")]
    for entry in filter(None, entries):
        if not re.fullmatch(form, entry, re.ASCII):
            raise RecipeError(f"{name} holds {entry!r}; expected a comma-separated list of {expected}.")
    return tuple(filter(None, entries))


def _read_seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 3600:
        raise RecipeError(f"{name} is {text!r}; expected a number of seconds from 0 to 3600.")
    return seconds
