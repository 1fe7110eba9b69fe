"""Which of the caption files beside an audio file is trained: what was said, as people wrote it down."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import langcodes
from rapidfuzz.distance import Indel

from recipe.captions.automatic import is_machine_made
from recipe.captions.reader import read_captions
from recipe.data.caption_names import Kind, Suffix, primary_language
from recipe.data.manifest import TEXT_EXTENSIONS, LocalFile
from recipe.data.video_info import VideoInfo
from recipe.errors import CaptionError

SAME_WORDS = 0.9
"""Similarity from which on two files are the same captions, as a tool exports them in several formats."""

AUTOMATIC_KINDS = frozenset({Kind.AUTOMATIC, Kind.ORIGINAL})
"""Sites add `-orig` to the tags of their recogniser's captions only."""


@dataclass(frozen=True)
class Wanted:
    """Which captions are taken.

    Attributes:
        language: Code of the language that they are to be in; "" if nobody said it.
        uses_automatic: Whether those that a machine made are taken where people made none.
    """

    language: str = ""
    uses_automatic: bool = True


@dataclass(frozen=True)
class Candidate:
    """A caption file beside an audio file.

    Attributes:
        filename: As the manifest has it.
        file: Where it is.
        suffix: What the end of its name says.
        is_automatic: Whether a machine made it.
    """

    filename: str
    file: LocalFile
    suffix: Suffix
    is_automatic: bool = False

    @property
    def is_text(self) -> bool:
        """Whether its name promises words without times."""
        return PurePosixPath(self.filename).suffix.lower() in TEXT_EXTENSIONS


@dataclass(frozen=True)
class Choice:
    """The caption file that is taken.

    Attributes:
        taken: The file; None if there is none that can be.
        problem: Why none is taken, where there are some, else "".
        notes: A sentence for each that is not taken.
    """

    taken: Candidate | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()


class _UndecidedError(Exception):
    """Why no file is better than the others, in the words of a report."""


def choose_captions(candidates: Sequence[Candidate], wanted: Wanted, info: VideoInfo | None) -> Choice:
    """The captions in the language spoken: with times before without, made by people before by a machine.

    Args:
        candidates: All caption files of a recording.
        wanted: Which captions are taken.
        info: What is known of the video, if anything.
    """
    files = [_tell_origin(item, info) for item in _settle_hindi(candidates, wanted.language, info)]
    files.sort(key=lambda item: item.filename)
    whole = [item for item in files if not item.suffix.unusable]
    notes = [
        f"{item.filename} is not used: it holds {item.suffix.unusable}" for item in files if item not in whole
    ]
    if not whole:
        return Choice(notes=tuple(notes))
    try:
        language, usable = _keep_language(whole, wanted.language or (info.spoken if info else ""))
        taken = _take_best(_keep_allowed(usable, wanted), language)
    except _UndecidedError as error:
        return Choice(problem=str(error), notes=tuple(notes))
    others = [item for item in whole if item is not taken]
    notes += [f"{item.filename} is not used: {_compare(item, taken)}" for item in others]
    return Choice(taken, notes=tuple(notes))


def _settle_hindi(
    candidates: Sequence[Candidate], wanted: str, info: VideoInfo | None
) -> Sequence[Candidate]:
    """The candidates, `hi` alone as "hearing impaired" where nothing else speaks for Hindi."""
    others = {primary_language(item.suffix.language) for item in candidates} - {"hi", "", wanted}
    says_hindi = info is not None and info.is_automatic("hi") is not None
    if wanted in {"", "hi"} or others or says_hindi:
        return candidates
    return [
        replace(item, suffix=Suffix(kinds=item.suffix.kinds | {Kind.HEARING_IMPAIRED}))
        if item.suffix.language == "hi"
        else item
        for item in candidates
    ]


def _tell_origin(item: Candidate, info: VideoInfo | None) -> Candidate:
    """The candidate with whether a machine made it: as the site says, else its name, else its content."""
    told = info.is_automatic(_tag_in_name(item)) if info else None
    if told is None:
        has_mark = bool(item.suffix.translated_from or item.suffix.kinds & AUTOMATIC_KINDS)
        told = has_mark or (item.file.path is not None and is_machine_made(item.file.path))
    return replace(item, is_automatic=told)


def _tag_in_name(item: Candidate) -> str:
    return PurePosixPath(item.filename).stem.rpartition(".")[2].casefold()


def _keep_language(files: Sequence[Candidate], wanted: str) -> tuple[str, list[Candidate]]:
    """The language of the captions to take, as far as it is known, and those in it, or without a tag."""
    language = wanted or next(
        (item.suffix.language for item in files if Kind.ORIGINAL in item.suffix.kinds), ""
    )
    untagged = [item for item in files if not item.suffix.language]
    if language:
        same = [i for i in files if primary_language(i.suffix.language) == primary_language(language)]
        if not (same or untagged):
            raise _UndecidedError(
                f"its captions are in {_name_languages(files)} ({_list(files)}), "
                f"and {_name(language)} is wanted"
            )
        return language, same or untagged
    tags = {primary_language(item.suffix.language): item.suffix.language for item in files}
    if len(tags) > 1 and not untagged:
        raise _UndecidedError(
            f"it has captions in {_name_languages(files)} ({_list(files)}), and nobody said which language "
            "is spoken; set the option language, or keep one file"
        )
    return "", untagged or list(files)


def _keep_allowed(files: list[Candidate], wanted: Wanted) -> list[Candidate]:
    if wanted.uses_automatic:
        return files
    allowed = [item for item in files if not item.is_automatic]
    if not allowed:
        raise _UndecidedError(f"its captions are machine-made ({_list(files)}), and auto_captions is skip")
    return allowed


def _take_best(files: Sequence[Candidate], language: str) -> Candidate:
    def rank(item: Candidate) -> tuple[bool, ...]:
        kinds = item.suffix.kinds
        return (
            item.is_text,
            item.is_automatic,
            bool(item.suffix.translated_from),
            item.is_automatic and Kind.ORIGINAL not in kinds,
            Kind.HEARING_IMPAIRED in kinds,
            item.suffix.language.casefold() != language.casefold(),
        )

    best_rank = min(map(rank, files))
    best = [item for item in files if rank(item) == best_rank]
    if len(best) > 1 and not _are_same(best):
        raise _UndecidedError(f"it has several caption files that differ: {_list(best)}; keep one")
    return best[-1]  # by name: .vtt, which may have times of words, after .srt


def _are_same(files: Iterable[Candidate]) -> bool:
    """Whether all files say the same; also if one of them cannot be read or had, which nobody can tell."""
    first, *others = [_read_text(item.file.path) for item in files]
    return bool(first) and all(
        Indel.normalized_similarity(first, other, score_cutoff=SAME_WORDS) >= SAME_WORDS for other in others
    )


def _read_text(path: Path | None) -> str:
    """What the captions say, without case and spaces; "" if they cannot be read."""
    try:
        cues = read_captions(path).cues if path else ()
    except CaptionError:
        return ""
    return "".join("".join(cue.text.casefold().split()) for cue in cues)


def _compare(item: Candidate, taken: Candidate) -> str:
    """Why a file is not taken, seen beside the one that is."""
    if primary_language(item.suffix.language) not in {"", primary_language(taken.suffix.language)}:
        return f"it is in {_name(item.suffix.language)}"
    if item.is_text and not taken.is_text:
        return f"{taken.filename} has the times"
    if item.is_automatic and not taken.is_automatic:
        return f"a machine made it, and people made {taken.filename}"
    return f"{taken.filename} is taken"


def _list(files: Iterable[Candidate]) -> str:
    return ", ".join(item.filename for item in files)


def _name_languages(files: Iterable[Candidate]) -> str:
    return " and ".join(sorted({_name(item.suffix.language) for item in files if item.suffix.language}))


def _name(tag: str) -> str:
    return langcodes.Language.get(tag).display_name()
