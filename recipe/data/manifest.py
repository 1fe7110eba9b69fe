"""What a run is given: recordings, and the names of their files, of a folder or of a manifest."""

import os
import stat
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from recipe.captions.formats import CAPTION_EXTENSIONS, is_transcript
from recipe.data.video_info import INFO_SUFFIX
from recipe.errors import DataError
from recipe.run.files import parse_state

TRANSCRIPT_EXTENSIONS = CAPTION_EXTENSIONS
AUDIO_EXTENSIONS = frozenset(
    [".aac", ".aif", ".aiff", ".avi", ".flac", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2"]
    + [".mp3", ".mp4", ".mpga", ".oga", ".ogg", ".opus", ".wav", ".weba", ".webm", ".wma"]
)

TEXT_EXTENSIONS = frozenset({".txt"})
"""What is said, without times: used where there are no captions with times."""

MAX_FILES = 1_000_000
"""Most files that a folder may hold, so that somebody's whole disk is refused in seconds."""

MAX_KINDS_NAMED = 6
MAX_EXTENSION_LETTERS = 12

_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}

_ADVICE = {
    **dict.fromkeys([".zip", ".rar", ".7z", ".tar", ".gz", ".tgz"], "; unpack it"),
    **dict.fromkeys([".part", ".crdownload", ".download", ".ytdl"], "; a download that has not finished"),
    **dict.fromkeys([".parquet", ".arrow"], "; give such a folder as dataset_name instead of data_dir"),
}
"""What to do about kinds of files that are often taken for recordings."""

FileType = Literal["audio", "transcript"]
Side = Literal["train", "validation", "test", ""]

HELD_OUT: frozenset[Side] = frozenset({"validation", "test"})
"""Sides that are never trained on."""


@dataclass(frozen=True)
class ManifestEntry:
    """One file of the manifest, by name."""

    file_type: FileType
    filename: str


@dataclass(frozen=True)
class LocalFile:
    """Where a file of the manifest lies, or why it could not be had.

    Attributes:
        path: The file; None if it is missing.
        error: One sentence for the report if it is missing, else "".
    """

    path: Path | None
    error: str = ""


@dataclass(frozen=True)
class Clip:
    """A sentence with its own sound: a row of a table.

    Attributes:
        audio: The file that holds it.
        text: What is said in it.
        start_ms: Where it starts in the file.
        end_ms: Where it ends in the file; None for the file's end.
        row: Number of its row, from 1.
        voice: Who says it, or on which occasion; "" if nobody knows.
    """

    audio: LocalFile
    text: str
    start_ms: int = 0
    end_ms: int | None = None
    row: int = 0
    voice: str = ""


@dataclass(frozen=True)
class Recording:
    """One audio file with its captions, or sentences of one voice.

    Attributes:
        name: The audio's file name without extension, with its folders; unique in a dataset.
        audio: The audio file; without a path if it is missing.
        transcript: The caption file, likewise.
        language_tag: The tag in the captions' file name, such as "fr-CA"; "" if there is none.
        language: Whisper's code of the language spoken; "" until it is settled.
        group: Speaker, session or channel, where one is known: recordings of one group stay on one side.
        side: Where a dataset brings a split, the side that this recording is on; "" leaves it to ours.
        is_automatic: Whether the captions are another model's words.
        notes: What was found beside it and not used, a sentence each, for the report.
        flags: What is odd about it as a whole, known before it is read.
        problem: Why it is skipped, where its files cannot be told apart; else "".
        clips: Sentences that take the place of `transcript`, and of `audio` where it has no path: rows of a
            table.
    """

    name: str
    audio: LocalFile
    transcript: LocalFile
    language_tag: str = ""
    language: str = ""
    group: str = ""
    side: Side = ""
    is_automatic: bool = False
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    problem: str = ""
    clips: tuple[Clip, ...] = ()

    @property
    def has_own_sounds(self) -> bool:
        """Whether its sentences have a file each, and not one all together."""
        return bool(self.clips) and self.audio.path is None

    @property
    def whole_text(self) -> str:
        """What is said in all of its audio file, where one row of a table has it; else ""."""
        is_whole = self.audio.path is not None and len(self.clips) == 1 and self.clips[0].end_ms is None
        return self.clips[0].text if is_whole else ""

    @property
    def cue_place(self) -> str:
        """What a cue's number counts: rows of a table, or lines of a caption file."""
        return "row" if self.clips else "line"


@dataclass(frozen=True)
class Listing:
    """What a folder holds, at any depth; names are relative to it, with `/` between folders.

    Attributes:
        entries: Audio files and what says something about them: captions, texts, `.info.json`.
        ignored: All other files; a folder that is passed over whole ends with `/`.
    """

    entries: list[ManifestEntry]
    ignored: list[str]


def list_folder(folder: Path, max_files: int = MAX_FILES) -> Listing:
    """What a folder and the folders in it hold, by name; only `.json` that may be a transcript is opened.

    Hidden files and folders are passed over, and those that systems and download tools keep for themselves.

    Raises:
        DataError: if there is no such folder, no audio in it, or a file whose name is no text.
    """
    if not folder.is_dir():
        raise DataError(
            f"The data folder {folder} does not exist; give a folder of audio files and captions."
        )
    entries, ignored = [], []
    names = sorted(_walk(folder, max_files))
    audio_stems = {PurePosixPath(name).stem for name in names if _type_of(name) == "audio"}
    for name in names:
        file_type = _type_of(name) or _type_of_json(folder / name, audio_stems)
        if file_type and not _is_text(name):
            raise DataError(f"The name of the file {name!a} in {folder} is not UTF-8; rename it.")
        if file_type:
            entries.append(ManifestEntry(file_type, name))
        else:
            ignored.append(name)
    if not any(entry.file_type == "audio" for entry in entries):
        names = [entry.filename for entry in entries] + ignored
        raise DataError(
            f"The data folder {folder} holds no audio file. {describe_files(names)}; expected names such as "
            f"talk.m4a with talk.vtt, with one of the extensions {' '.join(sorted(AUDIO_EXTENSIONS))}."
        )
    return Listing(entries, ignored)


def describe_files(names: Sequence[str]) -> str:
    """What lies in a folder, in a sentence without its full stop: kinds of files, with an example each."""
    if not names:
        return "It is empty"
    examples: dict[str, str] = {}
    counts = Counter(
        kind for kind, name in ((_kind_of(name), name) for name in names) if examples.setdefault(kind, name)
    )
    found = [
        f"{number:,} {kind} ({show_name(examples[kind])}{_ADVICE.get(kind, '')})"
        for kind, number in counts.most_common(MAX_KINDS_NAMED)
    ]
    num_more = sum(counts.values()) - sum(number for _, number in counts.most_common(MAX_KINDS_NAMED))
    return f"It holds {', '.join(found)}{f' and {num_more:,} more files' if num_more else ''}"


def _kind_of(name: str) -> str:
    """What to call a file that is counted: by its extension, or what keeps it from being read."""
    path = PurePosixPath(name)
    if name.endswith("/"):
        return "folder passed over"
    if path.name.startswith("."):
        return "hidden"
    return path.suffix.lower() if 1 < len(path.suffix) <= MAX_EXTENSION_LETTERS else "without an extension"


def _type_of(name: str) -> FileType | None:
    stem, extension = os.path.splitext(name.rpartition("/")[2].lower())  # noqa: PTH122 - of a million names
    if not stem or stem.startswith(".") or stem.endswith(".temp"):
        return None
    if extension in AUDIO_EXTENSIONS:
        return "audio"
    is_beside = extension in TRANSCRIPT_EXTENSIONS | TEXT_EXTENSIONS or name.lower().endswith(INFO_SUFFIX)
    return "transcript" if is_beside else None


def _type_of_json(path: Path, audio_stems: Collection[str]) -> FileType | None:
    """What a `.json` file is: captions if it is a transcript that has the name of audio, else anything."""
    stems = {path.stem, PurePosixPath(path.stem).stem}  # with or without a language tag
    is_named = path.suffix.lower() == ".json" and not stems.isdisjoint(audio_stems)
    return "transcript" if is_named and is_transcript(path) else None


def _walk(folder: Path, max_files: int) -> Iterator[str]:
    """The names of all files, and of the folders that are not entered, with `/` at their end.

    A folder is entered once, however many links lead to it. One that has the name of an audio or caption file
    and nothing in it counts as that file.

    Raises:
        DataError: if there are too many.
    """
    seen = {_identity(folder)}
    waiting = deque([""])
    num_files = 0
    while waiting:
        parent = waiting.popleft()
        try:
            found = sorted(os.scandir(folder / parent), key=lambda entry: (entry.is_symlink(), entry.name))
        except OSError as error:
            if not parent:
                raise DataError(f"The data folder {folder} cannot be read: {error.strerror}.") from error
            yield parent
            continue
        if not found and parent and _type_of(parent[:-1]):
            yield parent[:-1]
        for entry in found:
            name = f"{parent}{entry.name}"
            if not _is_folder(entry):
                yield name
            elif entry.name.startswith(".") or entry.name in _SYSTEM_FOLDERS:
                yield f"{name}/"
            elif (identity := _identity(Path(entry.path))) not in seen:
                seen.add(identity)
                waiting.append(f"{name}/")
        num_files += len(found)
        if num_files > max_files:
            raise DataError(
                f"The data folder {folder} holds more than {max_files:,} files; "
                "give a folder of recordings only."
            )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a ring
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def show_name(name: str) -> str:
    """A name as it is, or escaped where it cannot be printed."""
    return name if name.isprintable() else ascii(name)


def _is_text(name: str) -> bool:
    """Whether a file's name is Unicode; bytes that are not stand as lone surrogates in it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def locate_files(folder: Path, entries: Iterable[ManifestEntry]) -> dict[str, LocalFile]:
    """Where each file of a local folder is; what is no file, nor a link to one, is missing."""
    return {entry.filename: _locate(folder / entry.filename) for entry in entries}


def _locate(path: Path) -> LocalFile:
    """The file, judged before it is opened: a named pipe would block its reader, a device may never end."""
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link that leads nowhere, or in a ring
        return LocalFile(None, f"{path.name} leads to no file ({error.strerror})")
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a device")
        return LocalFile(None, f"{path.name} is {kind}, expected a file")
    if not os.access(path, os.R_OK):
        return LocalFile(None, f"{path.name} cannot be read (no permission)")
    return LocalFile(path)


def read_manifest(path: Path) -> list[ManifestEntry]:
    """The files that a manifest file lists.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return parse_state(path, list[ManifestEntry])
    except (OSError, ValueError) as error:
        raise DataError(
            f"The manifest {path} cannot be read: {error}. Expected a JSON list of objects with file_type "
            "(audio or transcript) and filename."
        ) from error
