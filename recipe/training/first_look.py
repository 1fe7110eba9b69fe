"""The data folder seen before the libraries load: that takes longer than to find nothing in it.

Nothing heavy is imported here. What this look lets pass is refused later, in the same words.
"""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipe.arguments import SourceArguments, find_problems
from recipe.data.partition import is_first_of_all
from recipe.data.sources import check_source
from recipe.errors import DataError, JobConflictError
from recipe.run.files import acquire
from recipe.run.folder import RunFolder
from recipe.training.raw_options import DEFAULT_OUTPUT_DIR, peek_options

logger = logging.getLogger(__name__)

COLUMNS = ("audio_column", "text_column", "speaker_column")
"""Options that decide how a table is read."""

YES = frozenset({"", "true", "t", "yes", "y", "1"})
"""What `transformers` reads as true, in any case; a flag alone is true, too."""


def look_first(argv: Sequence[str] | None = None) -> None:
    """End the process, with the sentence in the run's folder, if the data folder holds nothing to train on.

    A run that is finished, in use or told to a backend is left to the attempt. One that only checks its data
    sees no GPU from here on.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    options = peek_options(argv, ["data_dir", "backend_base_url", "check_data", *COLUMNS])
    if str(options.get("check_data")).lower() in YES:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    given: dict[str, Any] = {name: options.get(name) for name in ("data_dir", *COLUMNS)}
    source = SourceArguments(**given)
    is_told = bool(options.get("backend_base_url"))
    if not source.data_dir or is_told or not is_first_of_all(os.environ):
        return
    if find_problems(SourceArguments, vars(source)):  # no names
        return
    try:
        check_source(source)
    except DataError as error:
        _leave(RunFolder(find_output_dir(argv)), error)


def find_output_dir(argv: Sequence[str] | None = None) -> Path:
    """The run's folder, also where the other options cannot be read: a refusal is left there."""
    options = peek_options(list(sys.argv[1:] if argv is None else argv), ["output_dir"])
    return Path(str(options.get("output_dir") or DEFAULT_OUTPUT_DIR))


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
