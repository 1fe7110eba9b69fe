"""The sounds below a folder, found by what a table calls them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from recipe.data.manifest import LocalFile, ManifestEntry, locate_files

_HERE = PurePosixPath()
_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:")
"""Of an address, or a drive's letter."""


class SoundFiles:
    """The sounds of a folder; a name that leads out of it finds nothing.

    Args:
        folder: The folder.
        names: Its audio files, relative to it, with `/` between folders.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._by_name: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
        for path in map(PurePosixPath, names):
            self._by_name[_key(path.name)].append(path)
            self._by_name[_key(path.stem)].append(path)

    def find(self, value: object, near: PurePosixPath = _HERE) -> LocalFile:
        """The sound that a table calls by its path, by the end of its path, or without its extension.

        Args:
            value: As the table has it; of an object its `path`.
            near: Folder of the table, relative to the folder of all.
        """
        name = value.get("path") if isinstance(value, Mapping) else value
        if not isinstance(name, str) or not name.strip():
            return LocalFile(None, "expected the name of a file, found none")
        path = self._make_relative(PurePosixPath(name.strip().replace("\\", "/")))
        shown = repr(name.strip()[-80:])
        if path.is_absolute() or ".." in path.parts or _SCHEME.match(name):
            return LocalFile(None, f"{shown} leads out of the folder; expected a path below it")
        matches = self._match(path, near)
        if not matches:
            return LocalFile(None, f"there is no audio file {shown} below the folder")
        if len(matches) > 1:
            return LocalFile(None, f"{shown} may be {matches[0]} or {matches[1]}; expected a path that tells")
        filename = matches[0].as_posix()
        return locate_files(self._folder, [ManifestEntry("audio", filename)])[filename]

    def _make_relative(self, path: PurePosixPath) -> PurePosixPath:
        folder = self._folder.absolute().as_posix()
        return path.relative_to(folder) if path.is_relative_to(folder) else path

    def _match(self, path: PurePosixPath, near: PurePosixPath) -> list[PurePosixPath]:
        """The files whose path ends like this: exactly there if there is one, else near, else anywhere."""
        ending = _key(f"/{path}")
        matches = [
            file
            for file in self._by_name.get(_key(path.name), [])
            if _key(f"/{file}").endswith(ending) or _key(f"/{file.with_suffix('')}").endswith(ending)
        ]
        exact = [place for place in (near / path, path) if place in matches]
        return exact[:1] or [file for file in matches if file.is_relative_to(near)] or matches


def _key(name: str) -> str:
    """Equal for names that people take for the same, whatever their case and the form of their accents."""
    return unicodedata.normalize("NFC", name).casefold()
