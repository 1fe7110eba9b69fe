"""The finished model as a folder of files, in the forms that Whisper's runtimes read."""

import copy
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration

from recipe.errors import PublishError
from recipe.evaluation.alignment_heads import current_heads
from recipe.export.artifacts import ARTIFACTS
from recipe.export.exports import remove_artifact
from recipe.model.whisper import Whisper
from recipe.publish.metadata import ReleaseMetadata, format_metadata
from recipe.publish.model_card import format_model_card
from recipe.publish.release import (
    OPTIONAL_FILES,
    REQUIRED_FILES,
    SEAL_FILE,
    WEIGHTS_FILE,
    check_free_space,
    list_files,
)
from recipe.run.credentials import SECRET_VARIABLES, read_credential
from recipe.run.disk import explain_disk
from recipe.run.files import write_json

logger = logging.getLogger(__name__)

MIN_SECRET_LENGTH = 8  # a shorter value would be found by chance
ONE_FILE = "1TB"  # over any Whisper, so that the weights are never sharded and the list of files stays closed


def stage_model(
    whisper: Whisper,
    metadata: ReleaseMetadata,
    staging_dir: Path,
) -> Path:
    """The folder with the model's files, complete but not yet verified.

    What `verify_release` then seals, `transformers.pipeline` loads as it is, and runtimes that read
    `preprocessor_config.json` or `vocab.json` find them. The model is made ready in place: its cache is on
    again and it knows its language and task. The processor is untouched. A half-staged folder is staged anew.

    Args:
        whisper: Trained model, adapters merged; it has the dtype of the release afterwards.
        metadata: What is published about it.
        staging_dir: Folder of ours; made when it does not exist.

    Raises:
        PublishError: the model is not fit for release, or the folder holds something else.
    """
    model = whisper.model
    _check_finished(metadata)
    model.to(getattr(torch, metadata.dtype))
    _check_finite(model)
    check_free_space(staging_dir, sum(tensor.nbytes for tensor in model.state_dict().values()))
    _clear(staging_dir)
    _prepare_model(whisper, metadata)
    try:
        model.save_pretrained(staging_dir, max_shard_size=ONE_FILE)
        _save_processor(whisper, metadata, staging_dir)
    except (OSError, ValueError) as error:
        problem = PublishError(f"The model could not be written to {staging_dir}: {error}.")
        raise explain_disk(staging_dir, error) or problem from error
    describe_model(metadata, staging_dir)
    list_files(staging_dir)
    _check_secrets(staging_dir, os.environ)
    logger.info("Staged the model in %s", staging_dir)
    return staging_dir


def describe_model(metadata: ReleaseMetadata, staging_dir: Path) -> None:
    """Write what is published about the model: the card, and the same for programs."""
    (staging_dir / "training_metadata.json").write_text(format_metadata(metadata), encoding="utf-8")
    card = format_model_card(metadata, _name_model(metadata))
    (staging_dir / "README.md").write_text(card, encoding="utf-8")


def _check_finished(metadata: ReleaseMetadata) -> None:
    if metadata.num_steps < 1 or metadata.num_steps < metadata.max_steps:
        raise PublishError(
            f"Training took {metadata.num_steps} of {metadata.max_steps} steps; only a finished model is "
            "published. Run the same command again to go on from the last checkpoint."
        )


def _check_finite(model: WhisperForConditionalGeneration) -> None:
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise PublishError(
                f"The weights {name} hold values that are not finite, so the model cannot work; it was not "
                "published. Lower the learning rate, or look for a damaged recording."
            )


def _clear(staging_dir: Path) -> None:
    """Removes the files of an earlier staging, the seal first."""
    staging_dir.mkdir(parents=True, exist_ok=True)
    for name in ARTIFACTS:
        remove_artifact(name, staging_dir)
    for name in (SEAL_FILE, *sorted(REQUIRED_FILES | OPTIONAL_FILES)):
        (staging_dir / name).unlink(missing_ok=True)
    left = sorted(entry.name for entry in staging_dir.iterdir())
    if left:
        raise PublishError(
            f"{staging_dir} holds {', '.join(left)}, which no staging wrote; give an empty folder."
        )


def _prepare_model(whisper: Whisper, metadata: ReleaseMetadata) -> None:
    whisper.model.config.use_cache = True  # Trainer turns it off
    generation_config = whisper.generation_config
    languages = getattr(generation_config, "lang_to_id", None) or {}
    if whisper.is_multilingual and metadata.language and f"<|{metadata.language}|>" not in languages:
        raise PublishError(
            f"The model has no token for the language {metadata.language!r}; it was not published."
        )
    generation_config.language = metadata.language if whisper.is_multilingual else None
    generation_config.task = metadata.task if whisper.is_multilingual else None
    generation_config.alignment_heads = current_heads(whisper)
    # Old checkpoints carry ids here that contradict the language and the task.
    generation_config.forced_decoder_ids = None


def _save_processor(whisper: Whisper, metadata: ReleaseMetadata, staging_dir: Path) -> None:
    """Writes the processor in the new form and the old one: other runtimes read the old one only."""
    released = copy.deepcopy(whisper.processor)  # set_prefix_tokens would change what training still uses
    if whisper.is_multilingual:
        released.tokenizer.set_prefix_tokens(
            language=metadata.language, task=metadata.task, predict_timestamps=False
        )
    released.save_pretrained(staging_dir)
    released.feature_extractor.save_pretrained(staging_dir)
    # whisper.cpp's converter opens these two.
    released.tokenizer.save_vocabulary(str(staging_dir))
    write_json(staging_dir / "added_tokens.json", released.tokenizer.get_added_vocab())


def _name_model(metadata: ReleaseMetadata) -> str:
    base = metadata.base_name.rpartition("/")[2]
    return f"{base}-{metadata.language}" if metadata.language else f"{base}-fine-tuned"


def _check_secrets(staging_dir: Path, environment: Mapping[str, str]) -> None:
    """Refuses text files in which a secret of this process stands; weights cannot hold one."""
    secrets = {name: read_credential(environment.get(name, "")) for name in SECRET_VARIABLES}
    for path in sorted(staging_dir.iterdir()):
        if path.name == WEIGHTS_FILE:
            continue
        text = path.read_text(encoding="utf-8")
        leaked = [
            name for name, secret in secrets.items() if len(secret) >= MIN_SECRET_LENGTH and secret in text
        ]
        if leaked:
            raise PublishError(
                f"{path.name} would have held the value of {leaked[0]}; the model was not published."
            )
