"""From a list of file names to recordings: which captions belong to which audio.

Names pair when they agree without the extension; a language tag before the captions' extension is
allowed, as download tools write it (`talk [abc].m4a` with `talk [abc].fr-CA.vtt`).
"""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from recipe.errors import DataError
from recipe.run.files import parse_state

TEXT_EXTENSIONS = frozenset({".txt"})
"""Plain text: what is said, without times."""

TRANSCRIPT_EXTENSIONS = frozenset({".vtt", ".srt"}) | TEXT_EXTENSIONS
AUDIO_EXTENSIONS = frozenset(
    [".aac", ".aif", ".aiff", ".avi", ".flac", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2"]
    + [".mp3", ".mp4", ".mpga", ".oga", ".ogg", ".opus", ".wav", ".weba", ".webm", ".wma"]
)

_LANGUAGE_TAG = re.compile(r"(?P<name>.+)\.(?P<tag>[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)")

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}

FileType = Literal["audio", "transcript"]
Side = Literal["train", "held_out", ""]


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
    """

    audio: LocalFile
    text: str
    start_ms: int = 0
    end_ms: int | None = None


@dataclass(frozen=True)
class Recording:
    """One audio file with its captions, or sentences of one voice.

    Attributes:
        name: The audio's file name without extension; unique in a dataset.
        audio: The audio file; without a path if it is missing.
        transcript: The caption file, likewise.
        language_tag: The tag in the captions' file name, such as "fr-CA"; "" if there is none.
        language: Whisper's code of the language spoken; "" until it is settled.
        group: Speaker, session or channel, where one is known: recordings of one group stay on one side.
        side: Where a dataset brings a split, the side that this recording is on; "" leaves it to ours.
        is_automatic: Whether the captions are another model's words.
        notes: What was found beside it and not used, a sentence each, for the report.
        clips: Sentences that take the place of `audio` and `transcript`.
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
    clips: tuple[Clip, ...] = ()


def list_folder(folder: Path) -> list[ManifestEntry]:
    """The audio and caption files of a folder, by name; other files are left alone.

    Raises:
        DataError: if there is no such folder, no audio in it, or a file whose name is no text.
    """
    if not folder.is_dir():
        raise DataError(
            f"The data folder {folder} does not exist; give a folder of audio files and captions."
        )
    entries = []
    for path in sorted(folder.iterdir()):
        extension = path.suffix.lower()
        if extension in TRANSCRIPT_EXTENSIONS | AUDIO_EXTENSIONS and not _is_text(path.name):
            raise DataError(f"The name of the file {path.name!a} in {folder} is not UTF-8; rename it.")
        if extension in TRANSCRIPT_EXTENSIONS:
            entries.append(ManifestEntry("transcript", path.name))
        elif extension in AUDIO_EXTENSIONS:
            entries.append(ManifestEntry("audio", path.name))
    if not any(entry.file_type == "audio" for entry in entries):
        raise DataError(
            f"The data folder {folder} holds no audio file; expected names such as talk.m4a with talk.vtt, "
            f"with one of the extensions {' '.join(sorted(AUDIO_EXTENSIONS))}."
        )
    return entries


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


def list_recordings(folder: Path, language: str = "") -> list[Recording]:
    """The recordings of a folder that is all in one language, given as a code; "" leaves it unsettled.

    Raises:
        DataError: as `pair_recordings` does.
    """
    entries = list_folder(folder)
    recordings = pair_recordings(entries, locate_files(folder, entries), language or None)
    return [replace(recording, language=language) for recording in recordings]


def pair_recordings(
    entries: Iterable[ManifestEntry], files: Mapping[str, LocalFile], language: str | None = None
) -> list[Recording]:
    """Recordings in order of their names.

    Args:
        entries: The manifest.
        files: Each file name's place on disk.
        language: Code of the language that captions are wanted in; chooses among several of one audio.

    Raises:
        DataError: if two audio files share a name, or several captions claim one audio and none or more
            than one of them is in the job's language.
    """
    audio, transcripts = _group_by_recording(list(entries))
    return [
        _make_recording(name, audio.get(name, []), transcripts.get(name, []), files, language)
        for name in sorted({*audio, *transcripts})
    ]


def _group_by_recording(
    entries: Sequence[ManifestEntry],
) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, str]]]]:
    """Audio file names, and caption file names with their language tags, by recording."""
    audio: defaultdict[str, list[str]] = defaultdict(list)
    transcripts: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in entries:
        if entry.file_type == "audio":
            audio[PurePosixPath(entry.filename).stem].append(entry.filename)
    for entry in entries:
        if entry.file_type == "transcript":
            name, tag = _split_language_tag(PurePosixPath(entry.filename).stem, audio)
            if name in audio or not _is_plain_text(entry.filename):  # a README.txt is no transcript
                transcripts[name].append((entry.filename, tag))
    return audio, transcripts


def _is_plain_text(filename: str) -> bool:
    return PurePosixPath(filename).suffix.lower() in TEXT_EXTENSIONS


def _split_language_tag(stem: str, audio: Mapping[str, object]) -> tuple[str, str]:
    match = _LANGUAGE_TAG.fullmatch(stem)
    if stem in audio or match is None or match["name"] not in audio:
        return stem, ""
    return match["name"], match["tag"]


def _make_recording(
    name: str,
    audio: Sequence[str],
    transcripts: Sequence[tuple[str, str]],
    files: Mapping[str, LocalFile],
    language: str | None,
) -> Recording:
    if len(audio) > 1:
        raise DataError(
            f"Recording {name!r} has several audio files: {', '.join(audio)}. "
            "Keep one, or give them different names."
        )
    no_audio = LocalFile(None, f"there is no audio file named {name}.*")
    no_transcript = LocalFile(
        None, f"there is no caption file named {name}.vtt or {name}.srt, nor a text {name}.txt"
    )
    recording = Recording(name, files[audio[0]] if audio else no_audio, no_transcript)
    if not transcripts:
        return recording
    timed = [item for item in transcripts if not _is_plain_text(item[0])]
    filename, tag = _choose_transcript(name, timed or transcripts, language)
    return replace(recording, transcript=files[filename], language_tag=tag)


def _choose_transcript(
    name: str, transcripts: Sequence[tuple[str, str]], language: str | None
) -> tuple[str, str]:
    if len(transcripts) == 1:
        return transcripts[0]
    matching = [item for item in transcripts if language and item[1].lower().split("-")[0] == language]
    if len(matching) == 1:
        return matching[0]
    found = ", ".join(filename for filename, _ in transcripts)
    raise DataError(
        f"Recording {name!r} has several caption files: {found}. Expected one in the job's language "
        f"({language or 'not given'}); set the option language, or keep one file."
    )
