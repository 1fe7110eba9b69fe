"""From file names to recordings: which captions belong to which audio.

A caption file belongs to the audio file with the longest name that its own begins with, if what stands after
it is a language, or a word that people and tools use for captions (`talk.m4a` with `talk.fr-CA.vtt`; see
`caption_names`). Case and Unicode's normal forms play no part. They may lie in folders beside one another
(`audio/talk.mp3`, `subs/talk.vtt`). What belongs to nothing is named, and trains nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import PurePosixPath

import regex  # type: ignore[import-untyped]  # the package ships no types
from rapidfuzz import fuzz, process

from recipe.data.caption_choice import Candidate, Wanted, choose_captions
from recipe.data.caption_names import Suffix, fold_name, is_quality, read_suffix, split_prefix
from recipe.data.manifest import LocalFile, ManifestEntry, Recording, describe_files, show_name
from recipe.data.video_info import INFO_SUFFIX, VideoInfo, find_id, read_video_info
from recipe.errors import DataError
from recipe.run.warning import DataWarning, Finding, Importance

MAX_NAMED = 20
"""Files named in one sentence."""

MIN_SIMILARITY = 75
"""Percent, from which on a name may be another one misspelt."""

_GENERIC_EXTENSIONS = frozenset({".txt", ".json"})
"""Files that are captions only where an audio file has their name."""

INSIDE = "; subtitles inside a video are not read: ffmpeg -i VIDEO -map 0:s:0 NAME.srt takes them out"

_VIDEOS = frozenset({".avi", ".mkv", ".mov", ".mp4", ".webm"})

_LETTER = regex.compile(r"[\p{L}\p{M}\p{N}]")


@dataclass(frozen=True)
class Pairing:
    """The recordings of a run, and a sentence for each thing about their files that the user should know."""

    recordings: list[Recording]
    warnings: list[str]


@dataclass
class _Beside:
    """What lies beside the audio of one name."""

    audio: list[str] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)


def pair_recordings(
    entries: Iterable[ManifestEntry],
    files: Mapping[str, LocalFile],
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    ignored: Iterable[str] = (),
) -> Pairing:
    """Recordings in order of their names; what cannot be decided costs its recording, and nothing else.

    Args:
        entries: The manifest.
        files: Each file name's place on disk.
        wanted: Which captions are taken.
        ignored: Names of files that are passed over, to be counted.
    """
    by_type: defaultdict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_type[entry.file_type].append(entry.filename)
    index = _AudioIndex(by_type["audio"])
    beside = {name: _Beside(audio) for name, audio in index.audio.items()}
    unpaired: list[str] = []
    passed_over = list(ignored)
    for filename in by_type["transcript"]:
        match = index.find(filename)
        if filename.lower().endswith(INFO_SUFFIX):
            names = [match[0]] if match else index.find_parts(filename)
            passed_over += [filename] * (not names)
            for name in names:
                beside[name].infos.append(filename)
        elif match is None:
            is_generic = PurePosixPath(filename).suffix.lower() in _GENERIC_EXTENSIONS
            (passed_over if is_generic else unpaired).append(filename)
        else:
            beside[match[0]].candidates.append(Candidate(filename, files[filename], match[1]))
    recordings = [_make_recording(name, beside[name], files, wanted) for name in sorted(beside)]
    lonely = [name for name, found in beside.items() if not found.candidates]
    warnings = [
        *_describe_unpaired(unpaired, lonely or list(beside), index),
        *_describe_automatic(recordings),
        *_describe_ignored(passed_over),
    ]
    return Pairing(recordings, warnings)


class _AudioIndex:
    """The audio files, to be found by the names of what lies beside them."""

    def __init__(self, filenames: Iterable[str]) -> None:
        self.audio: defaultdict[str, list[str]] = defaultdict(list)
        for filename in sorted(filenames):
            path = PurePosixPath(filename)
            self.audio[str(path.parent / path.stem)].append(filename)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        self._by_base: defaultdict[str, list[str]] = defaultdict(list)
        self._by_folder: defaultdict[PurePosixPath, list[str]] = defaultdict(list)
        self._by_place: defaultdict[tuple[PurePosixPath, str], list[str]] = defaultdict(list)
        self._by_id: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.audio:
            stem = fold_name(PurePosixPath(name).name)
            self._by_stem[stem].append(name)
            self._by_folder[PurePosixPath(name).parent].append(name)
            self._by_place[PurePosixPath(name).parent, stem].append(name)
            self._by_id[find_id(name)].append(name)
            for base, suffix in _split_ends(stem):
                if is_quality(suffix) and base != stem:
                    self._by_base[base].append(name)

    def find(self, filename: str) -> tuple[str, Suffix] | None:
        """Name of the audio that a file belongs to, and what the end of its own name says; or None."""
        path = PurePosixPath(filename)
        is_info = filename.lower().endswith(INFO_SUFFIX)
        place = path.parent / (path.name[: -len(INFO_SUFFIX)] if is_info else path.stem)
        stem = fold_name(place.name)
        found = self._find_by_name(stem, place)
        prefix = None if found else split_prefix(stem)
        if prefix:
            found = self._find_by_name(prefix[1], place)
            return found and (found[0], replace(prefix[0], kinds=prefix[0].kinds | found[1].kinds))
        suffix = None if found else read_suffix(stem)
        name = self._find_by_folder(path.parent) if suffix else ""
        return (name, suffix) if suffix and name else found

    def _find_by_name(self, stem: str, place: PurePosixPath) -> tuple[str, Suffix] | None:
        """As `find`, by a folded stem and the place of the file."""
        for start, end in _split_ends(stem):
            suffix = read_suffix(end) if start in self._by_stem else None
            if suffix:
                names = self._by_place.get((place.parent, start)) or self._by_stem[start]
                return self._answer(names, suffix, place)
        for start, end in _split_ends(stem):
            suffix = read_suffix(end) if start in self._by_base else None
            if suffix:
                return self._answer(self._keep_sounds(self._by_base[start]), suffix, place)
        return None

    def _answer(
        self, names: Sequence[str], suffix: Suffix, place: PurePosixPath
    ) -> tuple[str, Suffix] | None:
        name = self._choose_nearest(names, place)
        return (name, _with_folder(suffix, place.parent, name)) if name else None

    def _keep_sounds(self, names: Sequence[str]) -> Sequence[str]:
        """Of the files of one recording, the one without pictures, which some tools save beside them."""
        sounds = [name for name in names if PurePosixPath(self.audio[name][0]).suffix.lower() not in _VIDEOS]
        is_one = len({PurePosixPath(name).parent for name in names}) == 1
        return sounds if sounds and is_one else names

    def find_parts(self, filename: str) -> list[str]:
        """Names of the audio with the id of a video in them, such as its chapters."""
        return self._by_id[find_id(filename)] if find_id(filename) else []

    def find_similar(self, filename: str, names: Sequence[str]) -> str:
        """The file of these recordings whose name is most like a caption file's; "" if none is."""
        stem = fold_name(PurePosixPath(filename).stem)
        *_, (without_tag, _) = takewhile(lambda parts: read_suffix(parts[1]), _split_ends(stem))
        choices = {name: fold_name(PurePosixPath(name).name) for name in names}
        found = [
            process.extractOne(item, choices, scorer=fuzz.ratio, score_cutoff=MIN_SIMILARITY)
            for item in (stem, without_tag)
        ]
        best = max(filter(None, found), key=lambda match: match[1], default=None)
        return self.audio[best[2]][0] if best else ""

    def _choose_nearest(self, names: Sequence[str], place: PurePosixPath) -> str:
        """The name whose folder is most like that of a file; "" if several are."""
        ranked = sorted(((_count_common(PurePosixPath(name), place), name) for name in names), reverse=True)
        is_clear = len(ranked) == 1 or ranked[0][0] > ranked[1][0]
        return ranked[0][1] if is_clear else ""

    def _find_by_folder(self, folder: PurePosixPath) -> str:
        """The only audio of a folder, or the one that the folder has its name from (`talk/en.srt`)."""
        names = self._by_folder.get(folder) or self._by_stem.get(fold_name(folder.name), [])
        return names[0] if len(names) == 1 else ""


def _split_ends(stem: str) -> Iterator[tuple[str, str]]:
    """The beginnings of a name that end where a word does, longest first, each with what stands after it."""
    yield stem, ""
    for end in range(len(stem) - 1, 0, -1):
        if not _LETTER.match(stem[end]):
            yield stem[:end], stem[end:]


def _count_common(name: PurePosixPath, place: PurePosixPath) -> tuple[bool, int, bool]:
    """How alike two places are: in one folder; folders in common at both ends; the very same name."""
    folders, others = name.parent.parts, place.parent.parts
    at_start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(folders, others, strict=False)))
    rest = min(len(folders), len(others)) - at_start
    backwards = list(zip(reversed(folders), reversed(others), strict=False))[:rest]
    at_end = sum(1 for _ in takewhile(lambda pair: fold_name(pair[0]) == fold_name(pair[1]), backwards))
    return folders == others, at_start + at_end, name.name == place.name[: len(name.name)]


def _with_folder(suffix: Suffix, folder: PurePosixPath, name: str) -> Suffix:
    """The suffix, with the language that a folder of its own says (`subs/fr/talk.vtt`).

    Not by the rare codes of three letters that are allowed after a full stop: `mai` is a month as well.
    """
    said = read_suffix(fold_name(f"/{folder.name}"))
    if suffix.language or not said or folder == PurePosixPath(name).parent:
        return suffix
    return replace(suffix, language=said.language)


def _make_recording(name: str, beside: _Beside, files: Mapping[str, LocalFile], wanted: Wanted) -> Recording:
    inside = INSIDE if PurePosixPath(beside.audio[0]).suffix.lower() in _VIDEOS else ""
    no_captions = LocalFile(None, f"there is no caption file named {name}.vtt or {name}.srt{inside}")
    recording = Recording(name, files[beside.audio[0]], no_captions)
    if len(beside.audio) > 1:
        problem = f"it has several audio files: {', '.join(beside.audio)}; keep one, or rename the others"
        notes = tuple(f"{item.filename} is not used: {problem}" for item in beside.candidates)
        return replace(recording, audio=LocalFile(None, problem), notes=notes, problem=problem)
    info, notes = _read_infos(beside.infos, files)
    choice = choose_captions(beside.candidates, wanted, info)
    recording = replace(
        recording,
        problem=choice.problem,
        group=info.group if info else find_id(name),
        notes=(*notes, *choice.notes),
    )
    if choice.problem:
        return replace(recording, transcript=LocalFile(None, choice.problem))
    if choice.taken is None:
        return recording
    return replace(
        recording,
        transcript=choice.taken.file,
        language_tag=choice.taken.suffix.language or _spoken_language(info, wanted),
        is_automatic=choice.taken.is_automatic,
    )


def _read_infos(
    filenames: Sequence[str], files: Mapping[str, LocalFile]
) -> tuple[VideoInfo | None, tuple[str, ...]]:
    """What the first file says of a video, if it can be read, and a sentence for each that is not used."""
    if not filenames:
        return None, ()
    first, *others = filenames
    notes = [f"{filename} is not used: {first} is" for filename in others]
    path = files[first].path
    try:
        return (read_video_info(path) if path else None), tuple(notes)
    except DataError as error:
        return None, (f"{first} is not used: {error}", *notes)


def _spoken_language(info: VideoInfo | None, wanted: Wanted) -> str:
    return info.spoken if info and not wanted.language else ""


def _describe_unpaired(filenames: Sequence[str], names: Sequence[str], index: _AudioIndex) -> list[str]:
    """One sentence for all caption files that belong to no audio file."""
    if not filenames:
        return []
    found = [(filename, index.find_similar(filename, names)) for filename in filenames[:MAX_NAMED]]
    shown = ", ".join(
        f"{show_name(name)}{f' (did you mean {show_name(near)}?)' if near else ''}" for name, near in found
    )
    what = "1 caption file is" if len(filenames) == 1 else f"{len(filenames)} caption files are"
    sentence = f"{what} not used, since no one audio file has that name: {shown}{count_more(filenames)}."
    findings = [
        Finding(
            "captions without audio",
            "no one audio file has its name",
            show_name(name),
            mend=f"Rename it after {show_name(near)}, if it belongs to that."
            if near
            else "Give it the name of its audio file, or add that file.",
        )
        for name, near in found
    ]
    return [DataWarning(sentence, Importance.LOST, findings)]


def _describe_automatic(recordings: Sequence[Recording]) -> list[str]:
    names = [recording.name for recording in recordings if recording.is_automatic]
    if not names:
        return []
    sentence = (
        f"{len(names)} of {len(recordings)} recordings have captions that a machine made: they are another "
        "model's words, and its mistakes are learnt as if they were said; --auto_captions skip leaves them "
        f"out ({', '.join(names[:MAX_NAMED])}{count_more(names)})."
    )
    return [DataWarning(sentence, Importance.MISLEADING, ())]


def _describe_ignored(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    found = describe_files(names).removeprefix("It holds ")
    sentence = f"Files that are no recordings were passed over: {found}."
    return [DataWarning(sentence, Importance.INFORMATION)]


def count_more(items: Sequence[object]) -> str:
    """What follows the first `MAX_NAMED` of them in a sentence."""
    return f" and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else ""
