"""The data folder seen before the libraries load: that takes longer than to find nothing in it.

Nothing heavy is imported here. What this look lets pass is refused later, in the same words.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from recipe.arguments import SourceArguments
from recipe.data.partition import is_first_of_all
from recipe.data.sources import check_source
from recipe.errors import DataError, JobConflictError
from recipe.run.files import acquire
from recipe.run.folder import RunFolder

logger = logging.getLogger(__name__)

COLUMNS = ("audio_column", "text_column", "speaker_column")
"""Options that decide how a table is read."""


def look_first(argv: Sequence[str] | None = None) -> None:
    """End the process, with the sentence in the run's folder, if the data folder holds nothing to train on.

    A run that is finished, in use or told to a backend is left to the attempt. One that only checks its data
    sees no GPU from here on.
    """
    options = _read_options(list(sys.argv[1:] if argv is None else argv))
    if str(options.get("check_data")).lower() in {"true", "1", "yes"}:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    data_dir, output_dir = options.get("data_dir"), options.get("output_dir")
    if not data_dir or not output_dir or options.get("backend_base_url") or not is_first_of_all(os.environ):
        return
    try:
        audio, text, speaker = (options.get(name) for name in COLUMNS)
        check_source(
            SourceArguments(
                data_dir=str(data_dir), audio_column=audio, text_column=text, speaker_column=speaker
            )
        )
    except DataError as error:
        _leave(RunFolder(Path(str(output_dir))), error)


def _leave(folder: RunFolder, error: DataError) -> None:
    """End the process with an error, unless the folder is finished or another process trains in it."""
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder.train_lock.open("a") as lock:
            acquire(lock, "the attempt says so itself")
            if folder.result.exists():
                return
            folder.write_error(str(error), type(error).__name__)
    except (JobConflictError, OSError):
        return
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logger.error("%s", error)
    sys.exit(1)


def _read_options(argv: Sequence[str]) -> dict[str, Any]:
    """The options that matter here, as flags or from the one file; none where they cannot be read."""
    if len(argv) == 1 and argv[0].endswith((".json", ".yaml", ".yml")):
        try:
            text = Path(argv[0]).read_text(encoding="utf-8")
            values = json.loads(text) if argv[0].endswith(".json") else yaml.safe_load(text)
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            return {}
        return values if isinstance(values, dict) else {}
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("data_dir", "output_dir", "backend_base_url", "check_data", *COLUMNS):
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}")
    try:
        return vars(parser.parse_known_args(argv)[0])
    except argparse.ArgumentError:
        return {}
