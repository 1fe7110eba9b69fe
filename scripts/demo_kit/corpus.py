"""Builds real recordings with true captions out of Debian packages, for the demo and the tests.

    python -m scripts.demo_kit.corpus --name fr --output_dir DIR --cache_dir DIR

The telephone prompts of Asterisk (read by voice actors, CC-BY-SA 3.0) come with their texts. They are
strung together with pauses into recordings of two to three minutes, in the formats that people upload,
each with a WebVTT file of the true times. apt-get and dpkg-deb are used as they are, without root.
"""

import gzip
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from rich.progress import track

from recipe.audio.decoding import silence
from recipe.audio.resampling import SAMPLE_RATE, SAMPLES_PER_MS
from recipe.captions.reader import Cue, format_webvtt
from recipe.run.files import write_json
from scripts.demo_kit.packages import run_builder, unpack_debian_packages

INDEX_FILE = "corpus.json"  # written last: a folder that has it is complete
VERSION = 1  # of the recordings; a new one replaces folders made by an older one
SEED = 1
RECORDING_MS = 150_000  # about, each
PAUSE_MS = (300, 1_200)
MAX_PROMPT_MS = 30_000  # of one model input; a few prompts are longer
SOUND_MARKS = re.compile(r"[\[\]<>()]")  # "[ascending tones]", "(beep)": not speech, or not only

SPEAKERS = {
    "en": "Asterisk core sounds in English, read by Allison Smith, financed by Digium, Inc.",
    "fr": "Asterisk core sounds in French, read by June Wallack, translated by Clod Patry, Kristopher "
    "Lalletti and June Wallack, financed by Digium, Inc., Unlimitel and BGM Informatique",
}

CHANGES = "Announcements were joined with pauses into recordings and re-encoded."

FORMATS = {
    "wav": ("pcm_s16le", 16_000, "mono"),
    "m4a": ("aac", 44_100, "stereo"),
    "mp3": ("libmp3lame", 44_100, "stereo"),
    "webm": ("libopus", 48_000, "mono"),
    "flac": ("flac", 22_050, "mono"),
}
"""Containers in turn: codec, sampling rate in Hz, channel layout."""


@dataclass(frozen=True)
class Prompt:
    """One announcement.

    Attributes:
        text: what is said.
        samples: int16 mono at 16 kHz, shape (num_samples,), a whole number of milliseconds.
    """

    text: str
    samples: NDArray[np.int16]

    @property
    def duration_ms(self) -> int:
        """Length of the announcement."""
        return len(self.samples) // SAMPLES_PER_MS


def build_corpus(language: str, output_dir: Path, cache_dir: Path) -> Path:
    """A folder of recordings with captions in `output_dir`; one that is complete is left as it is.

    Raises:
        RecipeError: the packages cannot be had.
    """
    index = output_dir / INDEX_FILE
    if is_complete(index, language):
        return output_dir
    packages = [f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722"]
    prompts = read_prompts(unpack_debian_packages(packages, cache_dir), language)
    output_dir.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)
    rng = np.random.default_rng(SEED)
    entries = []
    for number, group in enumerate(track(group_prompts(prompts, rng), "Writing recordings"), 1):
        extension = list(FORMATS)[number % len(FORMATS)]
        audio = output_dir / f"prompts-{language}-{number:02}.{extension}"
        entries.append(write_recording(audio, *join_prompts(group, rng)))
    origin = {"licence": "CC-BY-SA-3.0", "attribution": SPEAKERS[language], "changes": CHANGES}
    write_json(index, describe_corpus(language, packages, origin, entries))
    return output_dir


def is_complete(index: Path, language: str) -> bool:
    """True if the index names this corpus and all its files are there."""
    if not index.is_file():
        return False
    corpus = json.loads(index.read_text(encoding="utf-8"))
    files = [index.parent / entry[kind] for entry in corpus["recordings"] for kind in ("audio", "captions")]
    return (corpus["version"], corpus["language"]) == (VERSION, language) and all(map(Path.is_file, files))


def read_prompts(root: Path, language: str) -> list[Prompt]:
    """The prompts that are nothing but speech, in the order of the package's list ("id: text")."""
    listing = root / f"usr/share/doc/asterisk-core-sounds-{language}/core-sounds-{language}.txt.gz"
    (sounds,) = (root / "usr/share/asterisk/sounds").glob(f"{language}_*")
    prompts = []
    for line in track(gzip.decompress(listing.read_bytes()).decode().splitlines(), "Reading prompts"):
        name, _, text = line.partition(":")
        audio = sounds / f"{name}.g722"
        if text.strip() and not SOUND_MARKS.search(text) and audio.is_file():
            prompts.append(Prompt(" ".join(text.split()), decode_prompt(audio)))
    return [prompt for prompt in prompts if prompt.duration_ms <= MAX_PROMPT_MS]


def decode_prompt(path: Path) -> NDArray[np.int16]:
    """The samples of a G.722 file: int16 mono at 16 kHz, padded with silence to a whole millisecond."""
    with av.open(path) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return np.pad(samples, (0, -len(samples) % SAMPLES_PER_MS))


def group_prompts(prompts: list[Prompt], rng: np.random.Generator) -> list[list[Prompt]]:
    """The prompts of each recording: about equally long, shuffled, those of the same words together.

    Recordings are held out whole, so no sentence is both trained on and tested.
    """
    same_words: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        same_words.setdefault(" ".join(re.findall(r"\w+", prompt.text.casefold())), []).append(prompt)
    families = list(same_words.values())
    rng.shuffle(families)
    pause_ms = sum(PAUSE_MS) // 2
    lengths_ms = np.array([sum(prompt.duration_ms + pause_ms for prompt in family) for family in families])
    total_ms = lengths_ms.sum()
    num_recordings = max(1, round(total_ms / RECORDING_MS))
    middles_ms = np.cumsum(lengths_ms) - lengths_ms / 2
    groups: list[list[Prompt]] = [[] for _ in range(num_recordings)]
    for family, middle_ms in zip(families, middles_ms, strict=True):
        groups[int(middle_ms * num_recordings / total_ms)] += family
    return groups


def join_prompts(prompts: list[Prompt], rng: np.random.Generator) -> tuple[NDArray[np.int16], list[Cue]]:
    """Samples (int16 mono at 16 kHz) and cues of the prompts, in an order and at distances of chance."""
    parts: list[NDArray[np.int16]] = []
    cues: list[Cue] = []
    end_ms = 0
    for i in rng.permutation(len(prompts)):
        pause_ms = int(rng.integers(*PAUSE_MS, endpoint=True))
        parts += [silence(pause_ms), prompts[i].samples]
        start_ms, text = end_ms + pause_ms, prompts[i].text
        end_ms = start_ms + prompts[i].duration_ms
        cues.append(Cue("", start_ms, end_ms, html.escape(text, quote=False), text))
    return np.concatenate([*parts, silence(PAUSE_MS[0])]), cues


def write_recording(audio: Path, samples: NDArray[np.int16], cues: list[Cue]) -> dict[str, Any]:
    """The entry in the index of a recording, after its audio and captions are on disk."""
    captions = audio.with_suffix(".vtt")
    encode_audio(samples, audio)
    captions.write_text(format_webvtt(cues), encoding="utf-8")
    return {
        "audio": audio.name,
        "captions": captions.name,
        "seconds": len(samples) / SAMPLE_RATE,
        "num_cues": len(cues),
    }


def encode_audio(samples: NDArray[np.int16], path: Path) -> None:
    """Write int16 mono samples at 16 kHz in the format of the path's extension."""
    codec, rate, layout = FORMATS[path.suffix[1:]]
    # Without bitexact, WebM files hold random ids and equal corpora are not equal files.
    with av.open(path, "w", container_options={"fflags": "bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, AudioStream)
        frame = AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = 0  # without it the container does not learn of the codec's delay, 23 ms for AAC
        resampler = AudioResampler(stream.format, stream.layout, rate, stream.frame_size or None)
        for converted in (*resampler.resample(frame), *resampler.resample(None), None):
            container.mux(stream.encode(converted))


def describe_corpus(
    language: str, packages: list[str], origin: Mapping[str, str], entries: list[dict[str, Any]]
) -> dict[str, Any]:
    """The content of the index; `origin` says under which licence, from whom, and what was changed."""
    return {
        "version": VERSION,
        "language": language,
        **origin,
        "packages": packages,
        "seconds": round(sum(entry["seconds"] for entry in entries), 3),
        "num_cues": sum(entry["num_cues"] for entry in entries),
        "recordings": entries,
    }


if __name__ == "__main__":
    run_builder(build_corpus, SPEAKERS, __doc__)
