"""What is published about a release: on its card, and for programs in `training_metadata.json`."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe.errors import PublishError
from recipe.publish.destination import HUB_REPOSITORY

METADATA_FORMAT = 2


@dataclass(frozen=True)
class ReleaseMetadata:
    """How the model came about. Everything here becomes public with the model: no people, no secrets.

    Attributes:
        base_model: Hub id, or path of a local checkpoint (only its last part is published).
        languages: Whisper's codes of the languages spoken, the most common first; empty where they were left
            to detection, and for an English-only checkpoint.
        task: `transcribe` or `translate`.
        job_id: Name of the run.
        project_id: The platform's project, blank without one.
        epochs: Passes over the training windows.
        num_steps: Optimizer steps taken.
        max_steps: Optimizer steps planned; fewer taken is an unfinished run.
        figures: Results as fractions, pairs such as `wer_before` and `wer_after` are shown on the card; and
            the name of their `normalizer`.
        comparison: What may be said of the difference to the base model, with a `sentence`; empty if
            nothing was measured.
        weight_selection: The weights that were selected, with all candidates.
        long_form: Figures of whole recordings, `before` and `after`; empty where they were not measured.
        glossary: Figures with a glossary in the prompt and without, with a `sentence`; empty where there was
            none. The terms themselves are not published.
        other_speech: Figures of each set of other speech, with a `comparison`; empty where there was none.
        dtype: Of the released weights: "float16" or "float32".
        dtype_sentence: Why it is so.
        dataset: Counts and hours of the data, by name.
        settings: Hyperparameters by name.
        versions: Versions of the libraries by name.
        num_warnings: Warnings about the data; they may quote file names, so only their number is published.
        base_revision: Commit of the base model, where one was pinned.
        exports: The formats delivered with the model: size, and comparison with it, by name.
        license: Licence of the released weights as the hub spells it; None leaves the choice to the owner.
    """

    base_model: str
    languages: Sequence[str]
    task: str
    job_id: str
    num_steps: int
    max_steps: int
    epochs: float
    project_id: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    comparison: Mapping[str, Any] = field(default_factory=dict)
    weight_selection: Mapping[str, Any] = field(default_factory=dict)
    long_form: Mapping[str, Any] = field(default_factory=dict)
    glossary: Mapping[str, Any] = field(default_factory=dict)
    other_speech: Sequence[Mapping[str, Any]] = ()
    dtype: str = "float32"
    dtype_sentence: str = ""
    dataset: Mapping[str, float | int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    num_warnings: int = 0
    base_revision: str | None = None
    exports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    license: str | None = None

    @property
    def language(self) -> str | None:
        """The language that the released model expects; None where it has to find out, as among several."""
        return self.languages[0] if len(self.languages) == 1 else None

    @property
    def base_hub_id(self) -> str | None:
        """The base model's hub id, None for a local folder."""
        is_hub_id = HUB_REPOSITORY.fullmatch(self.base_model) and not Path(self.base_model).is_dir()
        return self.base_model if is_hub_id else None

    @property
    def base_name(self) -> str:
        """The base model's name without the path of a local folder."""
        return self.base_hub_id or Path(self.base_model).name


def format_metadata(metadata: ReleaseMetadata) -> str:
    """Content of `training_metadata.json`; a number that is not finite becomes null.

    Raises:
        PublishError: something cannot be written as JSON.
    """
    document = {
        "format": METADATA_FORMAT,
        "base_model": metadata.base_name,
        "base_revision": metadata.base_revision,
        "languages": metadata.languages,
        "task": metadata.task,
        "job_id": metadata.job_id,
        "project_id": metadata.project_id,
        "epochs": metadata.epochs,
        "num_steps": metadata.num_steps,
        "max_steps": metadata.max_steps,
        "evaluation": metadata.figures,
        "comparison": metadata.comparison,
        "weight_selection": metadata.weight_selection,
        "long_form": metadata.long_form,
        "glossary": metadata.glossary,
        "other_speech": metadata.other_speech,
        "dtype": metadata.dtype,
        "dtype_sentence": metadata.dtype_sentence,
        "dataset": metadata.dataset,
        "settings": metadata.settings,
        "versions": metadata.versions,
        "num_warnings": metadata.num_warnings,
        "exports": metadata.exports,
        "license": metadata.license,
    }
    try:
        return json.dumps(_as_json(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except TypeError as error:
        raise PublishError(f"The metadata of the release cannot be written as JSON: {error}.") from error


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
