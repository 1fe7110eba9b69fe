"""A request of the platform, validated.

A job is untrusted text. `read_job` judges all of it and names every problem in one error, so that a
caller mends a request once and nothing is started, or paid for, on a wrong one.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from recipe.arguments import (
    FOLDER_OPTIONS,
    JOB_FIELDS,
    OPTION_GROUPS,
    describe_problems,
    describe_unknown,
    find_contradictions,
    find_problems,
    option_names,
    split_other_dir,
)
from recipe.backend.address import check_base_url
from recipe.backend.path_segment import check_segment
from recipe.errors import JobConflictError, JobError
from recipe.publish.destination import HUB_NAME, find_destination_problems
from recipe.run.credentials import read_credential
from recipe.run.files import acquire, open_lock, read_state, write_json, write_state
from recipe.run.folder import RunFolder
from recipe.run.glossary import find_glossary_problems, write_glossary
from recipe.run.launch import REPOSITORY_DIR
from recipe.run.settings import OperatorSettings

MAX_MANIFEST_FILES = 100_000
MAX_DEPTH = 16
"""Levels of lists and objects in a request; a job has three."""

MAX_BITS = 512
"""Of a whole number in a request; Python prints up to 4,300 digits."""

_JOB_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_MODEL_ID = re.compile(rf"(?:{HUB_NAME}/)?{HUB_NAME}")
SECRET_FIELDS = frozenset({"auth_token", "worker_api_key"})
_SECRET_IN_TEXT = re.compile(
    rf"""(?:{"|".join(sorted(SECRET_FIELDS))})["']?\s*[:=]\s*"""
    r"""(?:"((?:[^"\\]|\\.)*)|'((?:[^'\\]|\\.)*)|([^\s"',}][^\s,}]*))""",
    re.DOTALL,
)
"""A secret field in what is perhaps no JSON, and its value in either quotes, or in none."""
_ADDRESS_FIELDS = SECRET_FIELDS | {"project_id", "user_id", "backend_base_url", "job_id"}
_BLANK_IF_NULL = SECRET_FIELDS | {"job_id", "options"}
_SOURCE = dict.fromkeys(("manifest_file", "backend_base_url", "user_id", "job_id"), "from the job")
"""Options that every job gives by its own fields."""
_LOCAL_EVENT_ID = re.compile(r"local_test|test-.*")


class ManifestFile(BaseModel):
    """One file that the backend holds for this job."""

    model_config = ConfigDict(strict=True, frozen=True)

    file_type: Literal["audio", "transcript"]
    filename: str

    @field_validator("filename")
    @classmethod
    def _check_filename(cls, filename: str) -> str:
        return _check_name(filename)


class Job(BaseModel):
    """One request of the platform, within its bounds."""

    model_config = ConfigDict(strict=True, frozen=True, protected_namespaces=())

    model_id: str = "openai/whisper-tiny"
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    project_id: str
    user_id: str
    backend_base_url: str
    auth_token: SecretStr = SecretStr("")
    worker_api_key: SecretStr = SecretStr("")
    batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    files_manifest: Annotated[list[ManifestFile], Field(min_length=1, max_length=MAX_MANIFEST_FILES)]
    job_id: str = ""
    options: dict[str, Any] = {}

    @field_validator("model_id")
    @classmethod
    def _check_model_id(cls, model_id: str, info: ValidationInfo) -> str:
        if model_id.startswith("/"):
            _check_model_folder(Path(model_id), _settings_of(info).models_dir)
        elif not _MODEL_ID.fullmatch(model_id):
            raise ValueError(
                "expected a hub id such as openai/whisper-small, or a folder the operator allows"
            )
        else:
            _check_hub_id(model_id, _settings_of(info).runs_dir)
        return model_id

    @field_validator("project_id", "user_id")
    @classmethod
    def _check_owner(cls, segment: str) -> str:
        return _check_name(segment)

    @field_validator("backend_base_url")
    @classmethod
    def _check_address(cls, address: str, info: ValidationInfo) -> str:
        is_private_allowed = _settings_of(info).is_private_backend_allowed
        try:
            return check_base_url(address, is_private_allowed=is_private_allowed)
        except JobError as error:
            raise _ExplainedError(str(error).removeprefix("backend_base_url: ")) from error

    @field_validator("auth_token", "worker_api_key")
    @classmethod
    def _check_secret(cls, secret: SecretStr) -> SecretStr:
        text = read_credential(secret.get_secret_value())
        if not re.fullmatch(r"[ -~]{0,16384}", text):
            raise ValueError("expected up to 16384 printable ASCII characters on one line")
        return SecretStr(text)

    @field_validator("job_id")
    @classmethod
    def _check_job_id(cls, job_id: str) -> str:
        if job_id and not _JOB_ID.fullmatch(job_id):
            raise ValueError("expected 1 to 128 of A-Z a-z 0-9 . _ - and no dot in front")
        return job_id

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        given, options = options, {name: value for name, value in options.items() if name != "glossary"}
        unknown = _name_unknown(options, option_names())
        problems = [describe_unknown(name, option_names()) for name in unknown]
        for group in OPTION_GROUPS:
            names = {field.name for field in fields(group)}
            problems += find_problems(group, {name: options[name] for name in options if name in names})
        if given.get("glossary") is not None:  # the terms themselves: a job names no files of the worker
            problems += find_glossary_problems(given["glossary"])
            options["glossary"] = "from the job"
        if not problems:
            problems = find_contradictions(options | _SOURCE | _own_fields(info))
        if not problems:
            problems = [
                problem
                for name in FOLDER_OPTIONS
                for problem in _find_folder_problems(name, options.get(name), _settings_of(info).other_dir)
            ]
        if problems:
            raise _ExplainedError("; ".join(problems))
        return given

    def settings(self) -> dict[str, Any]:
        """What shapes the result, as JSON values: all fields but the secrets and the job's name."""
        return self.model_dump(mode="json", exclude={*SECRET_FIELDS, "job_id"})

    def fingerprint(self) -> str:
        """The SHA-256 of the settings, in hexadecimal; a retry with a fresh token keeps it."""
        canonical = json.dumps(self.settings(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def secrets(self) -> list[str]:
        """The texts that must appear nowhere."""
        candidates = (self.auth_token, self.worker_api_key)
        return [secret.get_secret_value() for secret in candidates if secret.get_secret_value()]

    @property
    def glossary(self) -> list[str]:
        """The terms that the job brings."""
        return self.options.get("glossary") or []

    def to_train_arguments(self, run: RunFolder) -> dict[str, Any]:
        """The arguments of `train.py`, by name; credentials travel in the environment."""
        named = {argument: getattr(self, name) for name, argument in JOB_FIELDS.items()}
        return {
            **self.options,
            **{argument: value for argument, value in named.items() if value is not None},
            **({"glossary": str(run.glossary)} if self.glossary else {}),
            "backend_base_url": self.backend_base_url,
            "user_id": self.user_id,
            "project_id": self.project_id,
            "job_id": self.job_id,
            "manifest_file": str(run.manifest),
            "output_dir": str(run.path),
        }


class _ExplainedError(ValueError):
    """A problem whose sentence says already what was found, or must not."""


@dataclass(frozen=True)
class AcceptedJob:
    """A valid job with its name, and what the platform should know about the request.

    Attributes:
        job: The job; `job_id` is filled in.
        warnings: Sentences about fields that were ignored.
    """

    job: Job
    warnings: tuple[str, ...] = ()


def read_job(request: object, event_id: str, settings: OperatorSettings) -> AcceptedJob:
    """The job that a RunPod event's `input` asks for.

    Args:
        request: The `input`; a mapping, or its JSON text.
        event_id: RunPod's own name of the event, the same on every retry.
        settings: What the operator allows.

    Raises:
        JobError: naming every problem found.
    """
    if isinstance(request, str):
        request = parse_json(request)
    if not isinstance(request, Mapping):
        raise JobError(f"The job's input is {type(request).__name__}; expected an object with its settings.")
    _check_shape(request)
    given = {
        name: value for name, value in request.items() if value is not None or name not in _BLANK_IF_NULL
    }
    problems = _find_manifest_problems(given.get("files_manifest"))
    options, run = given.get("options"), None
    try:
        job = Job.model_validate(given, context=settings)
    except ValidationError as error:
        problems = [*map(_describe_problem, error.errors(include_url=False)), *problems]
    else:
        job = job.model_copy(update={"job_id": derive_job_id(event_id, job)})
        run = RunFolder(settings.runs_dir / job.job_id)
    if isinstance(options, Mapping):
        problems += find_destination_problems(options.get("publish_to"), run, settings)
    if problems:
        raise JobError(describe_problems(problems))
    return AcceptedJob(job, _describe_ignored(request))


def find_addressee(request: object, event_id: str, settings: OperatorSettings) -> Job | None:
    """Whom to tell that a job was refused: a job with the request's owner, backend, credentials and name.

    None if these are not valid themselves; the rest of the request is not looked at.
    """
    if not isinstance(request, Mapping):
        return None
    given = {name: request[name] for name in _ADDRESS_FIELDS if request.get(name) is not None}
    any_file = ManifestFile(file_type="audio", filename="any")
    try:
        job = Job.model_validate({**given, "files_manifest": [any_file]}, context=settings)
    except ValidationError:
        return None
    return job.model_copy(update={"job_id": derive_job_id(event_id, job)})


def find_secrets(request: object) -> list[str]:
    """The texts in the secret fields of a request or its JSON text, whether or not the job is valid."""
    if isinstance(request, str):
        found = [next(filter(None, groups), "") for groups in _SECRET_IN_TEXT.findall(request)]
        for text in list(found):
            with suppress(ValueError):
                found.append(json.loads(f'"{text}"', strict=False))
        with suppress(ValueError, TypeError, RecursionError):
            found += find_secrets(dict(json.loads(request)))
    else:
        values = request if isinstance(request, Mapping) else {}
        found = [value for name in SECRET_FIELDS if isinstance(value := values.get(name), str)]
    return [part for text in found for part in (text, text.strip())]


def derive_job_id(event_id: str, job: Job) -> str:
    """The job's own name, else one that is the same on every retry of the same event."""
    if job.job_id:
        return job.job_id
    if not event_id or _LOCAL_EVENT_ID.fullmatch(event_id):
        return f"local-{job.fingerprint()[:16]}"  # local servers name every job alike, or none alike
    if _JOB_ID.fullmatch(event_id):
        return event_id
    return f"event-{hashlib.sha256(event_id.encode(errors='replace')).hexdigest()[:16]}"


@dataclass(frozen=True)
class _Claim:
    """What `job.json` holds: the job that a run's folder belongs to."""

    fingerprint: str
    settings: dict[str, Any]


@contextmanager
def open_run(runs_dir: Path, job: Job) -> Iterator[RunFolder]:
    """The folder of a job, held by this process alone.

    Raises:
        JobConflictError: the folder belongs to a job with other settings, or to none, or is in use.
    """
    run = RunFolder(runs_dir / job.job_id)
    if is_foreign(run):
        raise JobConflictError(
            f"Job id {job.job_id} is the name of a folder of this worker that is no job's. Send another "
            "job_id."
        )
    run.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_lock(run.job_lock) as lock:
        acquire(
            lock,
            f"Job {job.job_id} is running already on a worker that shares this storage; wait for its answer, "
            "or cancel it first.",
        )
        _claim(run, job)
        yield run


def is_foreign(run: RunFolder) -> bool:
    """Whether the folder is the operator's, or of a run started by hand: no job left what it holds."""
    names = [path.name for path in run.path.iterdir()] if run.path.is_dir() else []
    # What a job leaves that is refused, or killed, before the folder is its own.
    early = tuple(path.name for path in (run.error, run.events, run.job_lock, run.manifest, run.glossary))
    is_claimed = any(name.startswith((run.job.name, run.arguments.name)) for name in names)
    return not is_claimed and any(not name.startswith(early) for name in names)


def _claim(run: RunFolder, job: Job) -> None:
    """Make the folder this job's own, or see that it is already."""
    stored = read_state(run.job, _Claim)
    if stored is not None and stored.fingerprint != job.fingerprint():
        raise JobConflictError(
            f"Job id {job.job_id} belongs to a run with other settings ({_name_changes(stored, job)}). "
            "Send the same settings to resume it, or another job_id for a new run."
        )
    manifest = [file.model_dump() for file in job.files_manifest]
    if read_state(run.manifest, list[Any]) != manifest:
        write_json(run.manifest, manifest)
    if job.glossary:
        write_glossary(run.glossary, job.glossary)
    if stored is None:
        write_state(run.job, asdict(_Claim(job.fingerprint(), job.settings())))


def _name_changes(stored: _Claim, job: Job) -> str:
    before, now = stored.settings, job.settings()
    changed = [name for name in now if before.get(name) != now[name]]
    return f"differing: {', '.join(changed)}" if changed else "of an earlier version"


def parse_json(text: str) -> Any:
    """The value of a JSON text, read by the letter of RFC 8259.

    Raises:
        JobError: for what is not JSON, and for NaN, Infinity and repeated names, which Python's parser takes.
    """
    try:
        return json.loads(text, object_pairs_hook=_build_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise JobError(f"The job's input is not valid JSON: {error}.") from None


def _check_shape(request: object) -> None:
    """Refuse what Python can neither print nor walk: values nested without end, numbers of 5,000 digits."""
    level: list[object] = [request]
    for _ in range(MAX_DEPTH):
        if any(isinstance(value, int) and value.bit_length() > MAX_BITS for value in level):
            raise JobError("The job's input holds a whole number of hundreds of digits; no setting does.")
        lists = [value for value in level if isinstance(value, (list, tuple))]
        objects = [value.values() for value in level if isinstance(value, Mapping)]
        level = [item for values in (*lists, *objects) for item in values]
    if level:
        raise JobError(f"The job's input is nested deeper than {MAX_DEPTH} levels; no setting is.")


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    repeated = _find_repeated(name for name, _ in pairs)
    if repeated:
        raise ValueError(f"repeated name {_name_some(repeated)}")
    return dict(pairs)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _check_model_folder(folder: Path, models_dir: Path | None) -> None:
    if models_dir is None:
        raise ValueError("folders are not allowed on this worker (WHISPERTRAIN_MODELS_DIR is not set)")
    try:
        # Resolved first: a link below the folder must not lead out of it.
        is_below = folder.resolve().is_relative_to(models_dir.resolve())
        has_config = is_below and (folder / "config.json").is_file()
    except (OSError, RuntimeError) as error:  # links in a ring, names that are too long
        raise ValueError(f"expected a folder, found what leads nowhere ({type(error).__name__})") from error
    if not is_below:
        raise ValueError("expected a folder below the operator's WHISPERTRAIN_MODELS_DIR")
    if not has_config:
        raise ValueError("expected a folder with a Whisper checkpoint, found no config.json in it")


def _find_folder_problems(option: str, folders: Iterable[str] | None, allowed: Path | None) -> list[str]:
    """A sentence for each folder of other speech that is not the operator's: a job must not read others'."""
    if folders and allowed is None:
        return [f"{option}: folders are not allowed on this worker (WHISPERTRAIN_OTHER_DIR is not set)"]
    return [
        f"{option}: expected folders below {allowed} of this worker, found {_shorten(text)}"
        for text in folders or ()
        if not (allowed and _is_folder_below(Path(split_other_dir(text)[0]), allowed))
    ]


def _is_folder_below(folder: Path, allowed: Path) -> bool:
    try:
        # Resolved first: a link below the folder must not lead out of it.
        return folder.is_absolute() and folder.resolve().is_relative_to(allowed) and folder.is_dir()
    except (OSError, RuntimeError, ValueError):  # links in a ring, names that no disk can have
        return False


def _check_hub_id(model_id: str, runs_dir: Path) -> None:
    """Refuse an id that transformers would take for a folder, now or once a run has made it."""
    place = REPOSITORY_DIR / model_id  # where the training works
    if place.exists() or place.resolve().is_relative_to(runs_dir.resolve()):
        raise ValueError(
            "expected a hub id such as openai/whisper-small; a file or folder of the worker has this name"
        )


def _check_name(name: str) -> str:
    try:
        check_segment(name, "found")
    except JobError as error:
        raise _ExplainedError(str(error)) from error
    return name


def _own_fields(info: ValidationInfo) -> dict[str, Any]:
    """The options that the job gives by fields of its own, by their names among the options."""
    return {option: info.data[name] for name, option in JOB_FIELDS.items() if info.data.get(name) is not None}


def _settings_of(info: ValidationInfo) -> OperatorSettings:
    assert isinstance(info.context, OperatorSettings), "a Job is built by read_job"
    return info.context


def _find_manifest_problems(files: object) -> list[str]:
    """What is wrong with the list as a whole; its entries are judged one by one by `ManifestFile`."""
    if not isinstance(files, list) or not files:
        return []
    entries = [file for file in files if isinstance(file, dict)]
    repeated = _find_repeated(str(entry.get("filename")) for entry in entries if "filename" in entry)
    problems = []
    if repeated:
        problems.append(f"files_manifest: each name may be listed once; repeated: {_name_some(repeated)}")
    if not any(entry.get("file_type") == "audio" for entry in entries):
        problems.append("files_manifest: expected at least one file of type audio, found none")
    return problems


def _describe_problem(problem: Mapping[str, Any]) -> str:
    location = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    field = location.lstrip(".")
    error = problem.get("ctx", {}).get("error", problem["msg"])
    if field == "options" and isinstance(error, _ExplainedError):
        return str(error)  # each option is named in it already
    reason = f"{field}: {str(error)[:1000].rstrip('.')}"
    found = problem["input"]
    if isinstance(error, _ExplainedError) or field in SECRET_FIELDS or isinstance(found, (dict, list)):
        return reason
    return f"{reason}, found {_shorten(found)}"


def _describe_ignored(request: Mapping[str, Any]) -> tuple[str, ...]:
    ignored = _name_unknown(request, Job.model_fields)
    in_manifest = {
        name for file in request["files_manifest"] for name in _name_unknown(file, ManifestFile.model_fields)
    }
    ignored += [f"files_manifest[].{name}" for name in sorted(in_manifest)]
    if not ignored:
        return ()
    return (f"Fields that this worker does not know were ignored: {_name_some(ignored)}.",)


def _name_unknown(values: Iterable[object], known: Iterable[str]) -> list[str]:
    return sorted(_shorten(name).strip("'") for name in set(values) - set(known))


def _find_repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _name_some(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(_shorten(name).strip("'") for name in names[:10]) + more


def _shorten(value: object) -> str:
    # repr keeps control characters and lone surrogates out of logs and messages.
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
