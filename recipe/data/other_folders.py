"""Folders of other speech that a run is given beside its recordings: to measure on, or to replay."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.arguments import split_other_dir
from recipe.data.columns import ColumnNames
from recipe.data.sources import look_into
from recipe.errors import DataError, JobError


@dataclass(frozen=True)
class OtherFolder:
    """A folder of speech of another kind than that which is trained for.

    Attributes:
        name: Of the set: its last part, or as many as tell it from the others.
        path: Where it is.
        language: Spoken in it, as it was given; None leaves it to tags and detection.
    """

    name: str
    path: Path
    language: str | None


def name_folders(texts: Sequence[str] | None, option: str) -> list[OtherFolder]:
    """The folders of an option, each with a name of its own.

    Args:
        texts: FOLDER or FOLDER:language.
        option: Its name, for the error.

    Raises:
        JobError: if a folder is given twice.
    """
    pairs = [split_other_dir(text) for text in texts or ()]
    paths = [Path(folder).absolute() for folder, _ in pairs]
    repeated = next((path for path in paths if paths.count(path) > 1), None)
    if repeated:
        raise JobError(f"{option}: the folder {repeated} is given twice; give each folder once.")
    return [
        OtherFolder(_name_apart(path, paths), path, language)
        for path, (_, language) in zip(paths, pairs, strict=True)
    ]


def _name_apart(path: Path, paths: Sequence[Path]) -> str:
    """The last parts of a path, as few as no other one ends with."""
    for number in range(1, len(path.parts) + 1):
        end = path.parts[-number:]
        if sum(other.parts[-number:] == end for other in paths) == 1:
            break
    return "/".join(end)


def check_captioned_folders(texts: Sequence[str] | None, option: str) -> None:
    """Refuse a folder in which there is nothing with words.

    Raises:
        JobError: as `name_folders` does.
        DataError: naming what lies there.
    """
    for folder in name_folders(texts, option):
        try:
            look_into(folder.path, ColumnNames())
        except DataError as error:
            raise DataError(f"{option}: {error}") from error
