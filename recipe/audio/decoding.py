"""Audio as the model takes it: int16, mono, 16 kHz, on the time line that captions count on.

PyAV, whose wheel carries FFmpeg, reads whatever people upload. A file is decoded once, in order, and
never sought, since seeking in a compressed file is inexact. What the header says is checked but never
believed: nothing is allocated by it, and every limit is enforced on what is really decoded.

Sample 0 is presentation time 0, where a player's clock starts. Encoder delay is removed where the file
declares it (MP4 edit lists, Opus pre-skip, LAME tags); sound that starts late is preceded by silence;
holes in the timestamps, dropped or damaged packets included, are filled with silence.
"""

import functools
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from numpy.typing import NDArray

from recipe.audio.mp4 import check_mp4_tables, is_mp4
from recipe.audio.resampling import SAMPLE_RATE, SAMPLES_PER_MS, Timeline
from recipe.errors import AudioError, explain_error

__all__ = [
    "SAMPLE_RATE",
    "Audio",
    "AudioLimits",
    "decode_audio",
    "decode_beginning",
    "decode_flac",
    "encode_flac",
    "iter_audio_blocks",
    "silence",
    "slice_samples",
]

FORMATS = "wav,w64,aiff,au,flac,mp3,aac,amr,ogg,matroska,webm,flv,asf,avi,mpegts,mpeg"
"""FFmpeg demuxers that read one file and nothing else: no playlists, scripts, devices or addresses.

MP4 joins them once its tables have been checked."""

TIMED_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "ogg", "flv", "asf", "avi"})
"""Containers whose time 0 is meant; the others start when their first packet does, whatever its number."""

GUESSED_FORMATS = frozenset({"aac", "amr", "mpeg"})
"""Formats without a length in their header: FFmpeg guesses one from the bit rate."""

MAX_RIFF_CLAIM = 0x7FFF_0000
"""Larger sizes in a RIFF header are those that programs write when they cannot know, as into a pipe."""

MIN_BYTES_PER_SECOND = 1
"""No codec needs less: FLAC takes about two for digital silence at 8 kHz."""

MAX_MISSING_SECONDS = 1.0
"""A header that says up to this much more than was decoded is imprecise, not a sign of damage."""

MAX_FLOAT_PEAK = 8.0
"""Floating-point samples belong in [-1, 1]; a little over is clipped, integers in disguise are refused."""

NOT_AUDIO = {
    ("<!doctype html", "<html", "<head", "<body"): "an HTML page (did the server send an error page?)",
    ("#extm3u", "ffconcat", "[playlist]"): "a playlist, which names recordings but holds none",
    ("webvtt",): "captions",
    ("{", "[", "<"): "JSON or XML (did the server send an error message?)",
}
"""What files that are not audio begin with, and what to call them."""


@dataclass(frozen=True)
class AudioLimits:
    """What one audio file may cost; checked on the header first, then on what is decoded.

    Attributes:
        max_seconds: Longest recording, in seconds.
        max_bytes: Largest file, in bytes.
        max_channels: Most channels that are mixed down.
        min_rate: Lowest sampling rate, in Hz.
        max_rate: Highest sampling rate, in Hz.
    """

    max_seconds: float = 12 * 3600.0
    max_bytes: int = 8 * 2**30
    max_channels: int = 32
    min_rate: int = 4_000
    max_rate: int = 384_000


DEFAULT_LIMITS = AudioLimits()


@dataclass(frozen=True)
class Audio:
    """One decoded recording.

    Attributes:
        samples: int16 mono at 16 kHz, shape (num_samples,); index 0 is presentation time 0.
        notes: What was odd about the file and what was done about it, a sentence each.
    """

    samples: NDArray[np.int16]
    notes: tuple[str, ...] = ()

    @property
    def duration_ms(self) -> int:
        """Length in whole milliseconds, rounded down."""
        return len(self.samples) // SAMPLES_PER_MS


def decode_audio(path: Path, limits: AudioLimits = DEFAULT_LIMITS) -> Audio:
    """The whole sound of an audio or video file.

    Raises:
        AudioError: the file is not audio, is outside the limits, or nothing in it can be decoded.
    """
    notes: list[str] = []
    buffer = bytearray()  # grows in place, so the samples never exist twice
    for block in iter_audio_blocks(path, limits, notes):
        buffer += block.data
    return Audio(np.frombuffer(buffer, dtype=np.int16), tuple(notes))


def iter_audio_blocks(
    path: Path, limits: AudioLimits = DEFAULT_LIMITS, notes: list[str] | None = None
) -> Iterator[NDArray[np.int16]]:
    """The sound of an audio or video file in consecutive blocks, in memory that does not grow with it.

    Args:
        path: The file; its name is not trusted to tell its format.
        limits: What the file may cost.
        notes: Receives a sentence for each oddity, at the latest with the last block.

    Yields:
        int16 mono at 16 kHz, shape (num_samples,), about a second each; longer only to fill a gap.

    Raises:
        AudioError: the file is not audio, is outside the limits, or nothing in it can be decoded.
    """
    notes = [] if notes is None else notes
    with _errors_named(path):
        head = _read_head(path, limits)
        with path.open("rb") as file, _open_container(file, head) as container:
            stream = _choose_stream(container, notes)
            claimed_seconds = _claimed_seconds(container, stream, head)
            _check_claims(container, stream, claimed_seconds, limits)
            timeline = Timeline(_presentation_start(container))
            for block in timeline.place_all(_decode_frames(container, stream, limits, notes)):
                if timeline.num_samples > limits.max_seconds * SAMPLE_RATE:
                    raise AudioError(f"it is longer than the limit of {limits.max_seconds:,.0f} s; split it")
                yield block
            notes += timeline.describe() + _compare_with_claim(claimed_seconds, timeline.num_samples)
        if timeline.num_samples == 0:
            raise AudioError("no sound in it can be decoded: it is empty or damaged; upload it again")


def read_claimed_ms(path: Path) -> int:
    """The length that a file's header gives, in milliseconds; 0 if it says nothing, or is no audio."""
    try:
        with _errors_named(path):
            head = _read_head(path, DEFAULT_LIMITS)
            with path.open("rb") as file, _open_container(file, head) as container:
                seconds = _claimed_seconds(container, _choose_stream(container, []), head)
    except AudioError:
        return 0
    return round(1000 * (seconds or 0))


def decode_beginning(path: Path, max_ms: int) -> NDArray[np.int16]:
    """As much of the sound of an audio or video file, from its beginning: int16 mono at 16 kHz.

    Raises:
        AudioError: as `decode_audio`.
    """
    max_samples = max_ms * SAMPLES_PER_MS
    blocks: list[NDArray[np.int16]] = []
    for block in iter_audio_blocks(path):
        blocks.append(block)
        if sum(map(len, blocks)) >= max_samples:
            break
    return np.concatenate(blocks)[:max_samples]


def encode_flac(samples: NDArray[np.int16]) -> bytes:
    """FLAC file of int16 mono samples at 16 kHz; equal samples give equal bytes."""
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> NDArray[np.float32]:
    """Mono float32 in [-1, 1) at 16 kHz, shape (num_samples,): the int16 samples over 32768, exactly.

    Raises:
        AudioError: the bytes are not what `encode_flac` wrote.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"A stored window of {len(data)} bytes is not FLAC; prepare the dataset again"
        ) from error
    assert rate == SAMPLE_RATE
    scaled: NDArray[np.float32] = samples.astype(np.float32) / np.float32(32768)
    return scaled


def silence(duration_ms: int) -> NDArray[np.int16]:
    """Digital silence: int16 zeros at 16 kHz, shape (num_samples,)."""
    return np.zeros(duration_ms * SAMPLES_PER_MS, dtype=np.int16)


def slice_samples(samples: NDArray[np.int16], start_ms: int, end_ms: int) -> NDArray[np.int16]:
    """View of the samples in [start_ms, end_ms), exact to the sample; shorter where the recording ends."""
    assert 0 <= start_ms <= end_ms
    return samples[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS]


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Everything that goes wrong inside becomes an AudioError that begins with the file's name."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{path.name}: {error}") from error.__cause__
    except (av.FFmpegError, OSError) as error:
        raise AudioError(f"{path.name}: it cannot be read ({error.strerror}); upload it again") from error
    except Exception as error:  # PyAV raises more than its own errors where a file's numbers are odd
        problem = explain_error(error, "it cannot be read")
        raise AudioError(f"{path.name}: {problem}; upload it again") from error


def _read_head(path: Path, limits: AudioLimits) -> bytes:
    """The first bytes of a file that is worth opening."""
    if not path.is_file():
        raise AudioError("expected an audio file, found nothing or no regular file of that name")
    num_bytes = path.stat().st_size
    if num_bytes == 0:
        raise AudioError("the file is empty (0 bytes); upload it again")
    if num_bytes > limits.max_bytes:
        raise AudioError(f"the file has {num_bytes:,} bytes, the limit is {limits.max_bytes:,}; split it")
    with path.open("rb") as file:
        return file.read(512)


def _open_container(file: BinaryIO, head: bytes) -> InputContainer:
    """The container, opened so that nothing inside it makes FFmpeg open another file or an address."""
    formats = FORMATS
    if is_mp4(head):
        check_mp4_tables(file, os.fstat(file.fileno()).st_size)
        file.seek(0)
        formats = "mov,mp4"
    options = {
        "format_whitelist": formats,
        "protocol_whitelist": "none",
        "codec_whitelist": _audio_decoders(),
    }
    try:
        return av.open(file, "r", container_options=options, metadata_errors="replace", buffer_size=2**16)
    except av.FFmpegError as error:
        found = _describe_content(head)
        raise AudioError(f"expected audio or video, found {found}; upload the recording again") from error


@functools.cache
def _audio_decoders() -> str:
    """FFmpeg's audio decoders, comma-separated: pictures are not decoded, not even to probe a video file."""
    return ",".join(name for name in sorted(av.codecs_available) if _is_audio_decoder(name))


def _is_audio_decoder(name: str) -> bool:
    try:
        return av.Codec(name, "r").type == "audio"
    except UnknownCodecError:  # an encoder only
        return False


def _describe_content(head: bytes) -> str:
    """What a file that is not audio seems to be, in words, from its first bytes."""
    text = head.decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip().lower()
    for openings, description in NOT_AUDIO.items():
        if text.startswith(openings):
            return description
    if head[4:8] == b"ftyp":
        return "an MP4 file without its index (was it cut off?)"
    is_text = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return "plain text" if is_text else "damaged or unknown data"


def _choose_stream(container: InputContainer, notes: list[str]) -> AudioStream:
    """The first audio stream, to be decoded by one thread; all other streams are skipped unread."""
    if not container.streams.audio:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise AudioError(f"it has no audio stream, only {found}; upload a file with sound")
    chosen = container.streams.audio[0]
    if len(container.streams.audio) > 1:
        notes.append(f"it has {len(container.streams.audio)} audio streams; the first one was used")
    for stream in container.streams:
        stream.discard = Discard.default if stream is chosen else Discard.all
    if chosen.codec_context is None:
        raise AudioError("its sound is in a codec that is not supported; convert it to FLAC or MP3")
    chosen.codec_context.thread_count = 1
    return chosen


def _claimed_seconds(container: InputContainer, stream: AudioStream, head: bytes) -> float | None:
    """The length that the header gives the stream, or the file if it does not say."""
    if container.format.name in GUESSED_FORMATS or container.duration is None:
        return None
    seconds = container.duration / av.time_base
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    return seconds * _riff_claim(head, container.size)


def _riff_claim(head: bytes, num_bytes: int) -> float:
    """How many times as long as it is a RIFF file (WAV, AVI) says it is; FFmpeg itself believes the disk."""
    claimed_bytes = int.from_bytes(head[4:8], "little") + 8
    if not head.startswith(b"RIFF") or claimed_bytes > MAX_RIFF_CLAIM:
        return 1.0
    return max(1.0, claimed_bytes / num_bytes)


def _check_claims(
    container: InputContainer, stream: AudioStream, seconds: float | None, limits: AudioLimits
) -> None:
    """Refuse at once what is outside the limits by its header."""
    _check_format(stream.rate, stream.channels, limits)
    if seconds is None:
        return
    if seconds * MIN_BYTES_PER_SECOND > container.size:
        raise AudioError(
            f"its header claims {seconds:,.0f} s of sound, which its {container.size:,} bytes cannot hold; "
            "upload it again"
        )
    if seconds > limits.max_seconds and container.format.name != "mp3":  # there it may be FFmpeg's guess
        raise AudioError(
            f"its header claims {seconds:,.0f} s of sound, the limit is {limits.max_seconds:,.0f} s; split it"
        )


def _check_format(rate: int, num_channels: int, limits: AudioLimits) -> None:
    if not limits.min_rate <= rate <= limits.max_rate:
        raise AudioError(
            f"its sampling rate is {rate:,} Hz, expected {limits.min_rate:,} to {limits.max_rate:,}; "
            "if it plays, export it again at 16,000 Hz"
        )
    if not 1 <= num_channels <= limits.max_channels:
        raise AudioError(
            f"it has {num_channels} channels, expected 1 to {limits.max_channels}; mix it down to mono"
        )


def _presentation_start(container: InputContainer) -> Fraction:
    """The timestamp, in seconds, of the moment at which a player's clock shows zero."""
    if container.format.name in TIMED_FORMATS or container.start_time is None:
        return Fraction(0)
    return Fraction(container.start_time, av.time_base)


def _read_packets(
    container: InputContainer, stream: AudioStream, notes: list[str]
) -> Iterator["Packet[AudioStream] | None"]:
    """The packets of the stream; None, which empties the decoder, instead of those that cannot be read."""
    try:
        yield from container.demux(stream)
    except (av.FFmpegError, IndexError):  # PyAV 18 raises IndexError where an MPEG-TS gains streams midway
        notes.append("it cannot be read to its end; the sound up to there was kept")
        yield None


def _decode_frames(
    container: InputContainer, stream: AudioStream, limits: AudioLimits, notes: list[str]
) -> Iterator[AudioFrame]:
    """The frames of the stream that can be decoded, checked; damage is noted and passed over."""
    num_damaged = 0
    is_raw = stream.codec_context.name.startswith("pcm_f")
    for packet in _read_packets(container, stream, notes):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            num_damaged += 1
            continue
        for frame in frames:
            _check_format(frame.sample_rate, frame.layout.nb_channels, limits)
            if is_raw:
                _check_scale(frame)
            yield frame
    if num_damaged:
        notes.append(f"damaged packets of its sound that were left out: {num_damaged}")


def _check_scale(frame: AudioFrame) -> None:
    """Refuse floating-point samples as they stand in the file that are no sound, NaN among them."""
    peak = float(np.abs(frame.to_ndarray()).max(initial=0.0))
    if not peak <= MAX_FLOAT_PEAK:  # so written because NaN compares false
        raise AudioError(
            f"it holds a floating-point sample of {peak:g}, expected -1 to 1: it was damaged or not scaled; "
            "export it as 16-bit"
        )


def _compare_with_claim(claimed_seconds: float | None, num_samples: int) -> list[str]:
    """A note if the sound ends well before the length in the header: a file that was cut off."""
    seconds = num_samples / SAMPLE_RATE
    if claimed_seconds is None or seconds >= claimed_seconds - MAX_MISSING_SECONDS:
        return []
    return [f"its sound ends at {seconds:.1f} s, its header says {claimed_seconds:.1f} s: it may be cut off"]
