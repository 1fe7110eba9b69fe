"""A model folder to exports of it, each written and proved in a process of its own.

A runtime that crashes, or is killed for the memory it takes, costs its export and nothing else.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from recipe.arguments import ModelArguments
from recipe.data.processes import start_pool, submit
from recipe.errors import PublishError, RecipeError
from recipe.export.artifacts import ARTIFACTS, Artifact, list_artifacts
from recipe.export.proof import Hypotheses, Proof, Window, compare, transcribe_windows
from recipe.export.runtimes import RUNTIMES
from recipe.model.whisper import load_whisper
from recipe.run.disk import MARGIN_BYTES, free_bytes

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_LOSS = 0.001
"""WER that an export in float may lose on the released model, a fraction: a tenth of a point."""


@dataclass(frozen=True)
class Export:
    """What became of an artifact.

    Attributes:
        name: Of the file or folder.
        num_bytes: Its size; 0 if there is none.
        proof: Comparison with the released model; None if there was none.
        problem: Why it is not there, is not proved or is worse, as a sentence; "" if all is well.
    """

    name: str
    num_bytes: int = 0
    proof: Proof | None = None
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The export for JSON, without the problem: it may name a folder of this machine."""
        return {"num_bytes": self.num_bytes, "proof": self.proof.as_dict() if self.proof else None}


def export_model(
    source: Path,
    formats: Iterable[str],
    output_dir: Path,
    windows: Sequence[Window],
    task: str,
    on_export: Callable[[Export], object] = lambda _: None,
) -> list[Export]:
    """Write a model folder in other formats, each atomically, and prove each by its runtime.

    Args:
        source: Folder of a Whisper checkpoint.
        formats: Keys of `recipe.export.artifacts.FORMATS`.
        output_dir: Where the exports lie afterwards.
        windows: Held-out speech; none: nothing is proved.
        task: "transcribe" or "translate".
        on_export: Told of each as soon as it is done.
    """
    artifacts = [artifact for name in formats for artifact in list_artifacts(name)]
    output_dir.mkdir(parents=True, exist_ok=True)
    released: Hypotheses | None = None
    exports: list[Export] = []
    for artifact in artifacts:
        try:
            _check_room(source, output_dir)
            call_apart(write_artifact, source, artifact.name, output_dir)
            missing = _find_missing(artifact, windows)
            if missing:
                export = Export(artifact.name, _measure(output_dir / artifact.name), None, missing)
            else:
                released = released or call_apart(transcribe_windows, "transformers", source, task, windows)
                export = _prove(artifact, output_dir / artifact.name, task, windows, released)
        except (RecipeError, OSError) as error:
            remove_artifact(artifact.name, output_dir)
            export = Export(artifact.name, problem=f"{artifact.name} was not made: {error}")
        logger.info("%s", export.problem or f"{artifact.name} is made")
        exports.append(export)
        on_export(export)
    return exports


def _check_room(source: Path, output_dir: Path) -> None:
    """Accept a disk with room for the largest export, which is as large as the weights.

    Raises:
        PublishError: there is less, so that writing would also take the room of whatever else runs.
    """
    needed = sum(file.stat().st_size for file in source.glob("*.safetensors")) + MARGIN_BYTES
    if free_bytes(output_dir) < needed:
        raise PublishError(
            f"the disk of {output_dir} has {free_bytes(output_dir) >> 20} MiB free, and it may take "
            f"{needed >> 20} MiB."
        )


def write_artifact(source: Path, name: str, output_dir: Path) -> None:
    """Write one artifact of the folder's model; see `Artifact.make`."""
    ARTIFACTS[name].make(load_whisper(ModelArguments(str(source))), output_dir)


def remove_artifact(name: str, folder: Path) -> None:
    """Remove an artifact, whole or half written, if it is there."""
    for path in (folder / name, folder / f"{name}.part"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _find_missing(artifact: Artifact, windows: Sequence[Window]) -> str:
    """Why an artifact cannot be proved here, as a sentence; "" if it can."""
    runtime = RUNTIMES[artifact.runtime]
    if not windows:
        return f"{artifact.name} is not proved: there is no held-out speech."
    if not runtime.is_installed:
        return f"{artifact.name} is not proved: pip install {runtime.package}, then use scripts/export.py."
    return ""


def _prove(
    artifact: Artifact, path: Path, task: str, windows: Sequence[Window], released: Hypotheses
) -> Export:
    exported = call_apart(transcribe_windows, artifact.runtime, path, task, windows)
    proof = compare(windows, task, released, exported)
    loss = proof.wer_normalized - proof.wer_normalized_released
    problem = ""
    if loss > MAX_LOSS and not artifact.is_quantized:
        problem = (
            f"{artifact.name} has {proof.wer_normalized:.2%} WER in {artifact.runtime} where the released "
            f"model has {proof.wer_normalized_released:.2%}; expected at most {MAX_LOSS:.1%} more."
        )
    return Export(artifact.name, _measure(path), proof, problem)


def _measure(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def call_apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function returns in a fresh process.

    Raises:
        PublishError: it raised something that is no sentence of ours, or its process died.
    """
    try:
        with start_pool(1) as pool:
            return submit(pool, function, *args, **kwargs).result()
    except (RecipeError, OSError):
        raise
    except BrokenProcessPool as error:
        raise PublishError("its process crashed, or was ended for the memory it took") from error
    except Exception as error:  # whatever the libraries of others raise
        raise PublishError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
