"""Whether a folder holds anything to train on, as far as names, beginnings of files and captions tell."""

import time
from collections.abc import Sequence
from pathlib import Path

from recipe.captions.reader import explain_emptiness, read_captions
from recipe.data.manifest import TEXT_EXTENSIONS, LocalFile, Recording
from recipe.data.pairing import MAX_NAMED, Pairing, count_more
from recipe.errors import CaptionError, DataError, LanguageNeededError

MAX_SECONDS = 1.5
"""Longest look; what it cannot tell in that time is told when the recordings are prepared."""

HEAD_BYTES = 512


def check_usable(pairing: Pairing, folder: Path) -> None:
    """Refuse a folder of whose audio files none can be audio with captions or a text.

    The first recording that may do ends the look.

    Raises:
        DataError: naming what lies there.
    """
    deadline = time.monotonic() + MAX_SECONDS
    problems = []
    for recording in pairing.recordings:
        problem = find_problem(recording)
        if not problem or time.monotonic() > deadline:
            return
        problems.append(f"{recording.name}: {problem.rstrip('.')}")
    raise DataError(_describe(folder, problems, pairing.warnings))


def find_problem(recording: Recording) -> str:
    """Why a recording cannot be trained on, in a sentence, as far as a short look tells; else ""."""
    if recording.clips:
        return ""
    return (
        recording.problem
        or _find_audio_problem(recording.audio)
        or _find_caption_problem(recording.transcript)
    )


def _describe(folder: Path, problems: Sequence[str], warnings: Sequence[str]) -> str:
    found = f"{'; '.join(problems[:MAX_NAMED])}{count_more(problems)}"
    return " ".join(
        [
            f"No audio file in the data folder {folder} has captions that can be trained on: {found}.",
            "Expected names such as talk.m4a with talk.vtt, talk.en.srt or talk.txt.",
            *warnings,
        ]
    )


def _find_audio_problem(file: LocalFile) -> str:
    if file.path is None:
        return file.error
    try:
        with file.path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        return f"{file.path.name} cannot be read ({error.strerror})"
    if not head:
        return f"{file.path.name} is empty"
    return f"{file.path.name} is a text, expected audio" if _is_text(head) else ""


def _is_text(head: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters, which no format of audio begins with."""
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return False
    is_whole = len(text.encode()) > len(head) - 4  # all but a character that is cut
    return is_whole and all(character >= " " or character in "\t\r\n\f" for character in text)


def _find_caption_problem(file: LocalFile) -> str:
    if file.path is None:
        return file.error
    if file.path.suffix.lower() in TEXT_EXTENSIONS:
        return ""
    try:
        captions = read_captions(file.path)
    except LanguageNeededError:  # it is settled later, by the user or the base model
        return ""
    except CaptionError as error:
        return str(error)
    return "" if captions.cues else f"{file.path.name}: {explain_emptiness(captions)}"
