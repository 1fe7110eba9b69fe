"""Recordings written for a test, and the settings that examples are made with."""

from collections.abc import Callable

import pytest
from voices import make_noise

from recipe.audio.decoding import encode_flac
from recipe.data.manifest import LocalFile, Recording
from recipe.data.recording import PreparationSettings
from recipe.model.tiny import build_tiny_whisper

AUDIO = encode_flac(make_noise(8, level=3_000))
VTT = "WEBVTT\n\n00:01.000 --> 00:03.000\nHello there.\n\n00:03.500 --> 00:06.000\nHow are you?\n"


@pytest.fixture(scope="session")
def preparation(tmp_path_factory) -> PreparationSettings:
    return PreparationSettings(build_tiny_whisper(tmp_path_factory.mktemp("tiny")) / "tokenizer.json")


@pytest.fixture
def make_recording(tmp_path) -> Callable[..., Recording]:
    """Writes a recording; None for audio or captions leaves the file out."""

    def make(name: str = "talk", audio: bytes | None = AUDIO, captions: str | None = VTT) -> Recording:
        files = []
        for extension, content in (("flac", audio), ("vtt", captions)):
            if content is None:
                files.append(LocalFile(None, f"there is no {extension}"))
                continue
            path = tmp_path / f"{name}.{extension}"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            files.append(LocalFile(path))
        return Recording(name, *files)

    return make


@pytest.fixture(scope="session")
def write_vtt() -> Callable[..., str]:
    """Gives the content of a caption file for cues as (start, end, text)."""

    def stamp(time_ms: int) -> str:
        return f"{time_ms // 60_000:02}:{time_ms // 1_000 % 60:02}.{time_ms % 1_000:03}"

    def write(*cues: tuple[int, int, str]) -> str:
        blocks = [f"{stamp(start)} --> {stamp(max(0, end))}\n{text}" for start, end, text in cues]
        return "WEBVTT\n\n" + "\n\n".join(blocks) + "\n"

    return write
