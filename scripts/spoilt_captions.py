"""True captions, spoilt on purpose in known places, to measure who notices."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recipe.captions.reader import Cue, format_webvtt, read_captions
from recipe.data.manifest import AUDIO_EXTENSIONS

KINDS = {
    "a": "captions of two swapped",
    "b": "all cues 5 s late",
    "c": "text of another window",
    "d": "another language",
    "e": "one word in five wrong",
    "f": "times off by up to 0.4 s",
}
"""What is done to one recording in five, or (c) to one window in ten; (f) is harmless and should pass."""

SHIFT_MS = 5_000
JITTER_MS = 400
ERROR_SHARE = 0.2
RECORDING_SHARE = 0.2
WINDOW_SHARE = 0.1

Captions = Mapping[str, Sequence[Cue]]
"""Cues in order, by recording."""


@dataclass(frozen=True)
class Span:
    """A part of a recording."""

    recording: str
    start_ms: int = 0
    end_ms: int = 10**9


class Spoiler:
    """Spoils captions by chance; the same seed spoils the same ones.

    Args:
        captions: True ones.
        other: Captions in another language.
        windows: Where the windows of the true captions are.
        seed: Of all choices.
    """

    def __init__(self, captions: Captions, other: Captions, windows: Sequence[Span], seed: int) -> None:
        self._captions = captions
        self._other = list(other.values())
        self._windows = windows
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._vocabulary = [word for cues in captions.values() for cue in cues for word in cue.text.split()]

    def spoil(self, kind: str) -> tuple[Captions, list[Span]]:
        """All captions, some of them spoilt, and where; nowhere for the harmless kind."""
        if kind == "c":
            return self._replace_windows()
        names = sorted(self._captions)
        chosen = self._random.sample(names, max(2, round(RECORDING_SHARE * len(names))))
        if kind == "a":
            spoilt = {name: self._captions[chosen[i - 1]] for i, name in enumerate(chosen)}
        else:
            spoil = {"b": self._delay, "d": self._translate, "e": self._mishear, "f": self._jitter}[kind]
            spoilt = {name: spoil(self._captions[name]) for name in chosen}
        return {**self._captions, **spoilt}, [] if kind == "f" else [Span(name) for name in chosen]

    def _replace_windows(self) -> tuple[Captions, list[Span]]:
        chosen = self._random.sample(self._windows, round(WINDOW_SHARE * len(self._windows)))
        captions = {name: list(cues) for name, cues in self._captions.items()}
        for window in chosen:
            source = self._random.choice([other for other in self._windows if other != window])
            shift_ms = window.start_ms - source.start_ms
            foreign = [
                _move(cue, shift_ms)
                for cue in self._captions[source.recording]
                if source.start_ms <= cue.start_ms and cue.end_ms <= source.end_ms
            ]
            own = [
                cue
                for cue in captions[window.recording]
                if not window.start_ms <= cue.start_ms < window.end_ms
            ]
            fitting = [cue for cue in foreign if cue.end_ms <= window.end_ms]
            captions[window.recording] = sorted(own + fitting, key=lambda cue: cue.start_ms)
        return captions, chosen

    def _delay(self, cues: Sequence[Cue]) -> list[Cue]:
        return [_move(cue, SHIFT_MS) for cue in cues]

    def _translate(self, cues: Sequence[Cue]) -> list[Cue]:
        foreign = self._random.choice(self._other)
        return [replace(cue, text=foreign[i % len(foreign)].text) for i, cue in enumerate(cues)]

    def _mishear(self, cues: Sequence[Cue]) -> list[Cue]:
        texts = [" ".join(" ".join(map(self._mishear_word, cue.text.split())).split()) for cue in cues]
        return [replace(cue, text=text) for cue, text in zip(cues, texts, strict=True) if text]

    def _mishear_word(self, word: str) -> str:
        """The word; one time in five another one, none, or two."""
        if self._random.random() >= ERROR_SHARE:
            return word
        wrong = self._random.choice(self._vocabulary)
        return self._random.choice([wrong, "", f"{word} {wrong}"])

    def _jitter(self, cues: Sequence[Cue]) -> list[Cue]:
        moved = []
        for cue in cues:
            first, last = (self._random.randint(-JITTER_MS, JITTER_MS) for _ in range(2))
            start_ms = max(0, cue.start_ms + first)
            moved.append(replace(cue, start_ms=start_ms, end_ms=max(start_ms + 100, cue.end_ms + last)))
        return moved


def read_folder(folder: Path) -> Captions:
    """The captions of a folder whose caption files are named as the audio."""
    return {path.stem: read_captions(path).cues for path in sorted(folder.glob("*.vtt"))}


def write_folder(folder: Path, audio_dir: Path, captions: Captions) -> Path:
    """`folder`, with links to the audio of `audio_dir` and these captions."""
    folder.mkdir(parents=True)
    for path in audio_dir.iterdir():
        if path.suffix in AUDIO_EXTENSIONS:
            (folder / path.name).symlink_to(path.resolve())
    for name, cues in captions.items():
        plain = [replace(cue, identifier="", payload=cue.text) for cue in cues]
        (folder / f"{name}.vtt").write_text(format_webvtt(plain), encoding="utf-8")
    return folder


def _move(cue: Cue, shift_ms: int) -> Cue:
    return replace(cue, start_ms=cue.start_ms + shift_ms, end_ms=cue.end_ms + shift_ms)
