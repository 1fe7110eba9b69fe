"""The audio reader on files made here: formats, clocks, damage, false claims, hostile content."""

import contextlib
import random
import socket
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from recipe.audio.decoding import (
    SAMPLE_RATE,
    AudioLimits,
    decode_audio,
    decode_flac,
    encode_flac,
    iter_audio_blocks,
    silence,
    slice_samples,
)
from recipe.errors import AudioError

CLICK_MS = 1000


def make_click(seconds: float, rate: int, start_ms: int = CLICK_MS) -> NDArray[np.int16]:
    """Faint noise with a click of 10 ms that begins at `start_ms`."""
    samples = np.random.default_rng(0).normal(0, 20, int(seconds * rate))
    width = rate // 100
    samples[start_ms * rate // 1000 :][:width] += 16_000 * np.hanning(width)
    return samples.astype(np.int16)


def find_click_ms(samples: NDArray[np.int16]) -> float:
    """When the click begins: its centre, less the 5 ms of its first half."""
    power = samples.astype(np.float64) ** 4
    return float((np.arange(len(samples)) * power).sum() / power.sum() / 16) - 5


def write_media(
    path: Path,
    codec: str,
    rate: int = 44_100,
    *,
    container: str | None = None,
    seconds: float = 3.0,
    delay_ms: int = 0,
    with_video: bool = False,
    num_streams: int = 1,
    keep_frame: Callable[[float], bool] = lambda second: True,
) -> Path:
    """A stereo file with a click one second into its sound, which itself begins at `delay_ms`."""
    click = np.repeat(make_click(seconds, rate), 2)
    with av.open(str(path), "w", format=container) as output:
        video = add_video(output) if with_video else None
        streams = [output.add_stream(codec, rate=rate, layout="stereo") for _ in range(num_streams)]
        if video:
            write_video(output, video, seconds)
        for stream in streams:
            resampler = av.AudioResampler(stream.format, "stereo", rate, stream.frame_size or 1024)
            whole = av.AudioFrame.from_ndarray(click[None], format="s16", layout="stereo")
            whole.sample_rate, whole.time_base, whole.pts = rate, Fraction(1, rate), delay_ms * rate // 1000
            for frame in [*resampler.resample(whole), *resampler.resample(None), None]:
                for packet in stream.encode(frame):
                    if packet.pts is None or keep_frame(float(packet.pts * packet.time_base)):
                        output.mux(packet)
    return path


def add_video(output: av.container.OutputContainer) -> av.VideoStream:
    video = output.add_stream("mpeg4", rate=25)
    video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
    return video


def write_video(output: av.container.OutputContainer, video: av.VideoStream, seconds: float) -> None:
    for index in range(int(seconds * 25)):
        picture = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
        picture.pts, picture.time_base = index, Fraction(1, 25)
        output.mux(video.encode(picture))
    output.mux(video.encode(None))


def make_wav(
    data: bytes = bytes(32_000),
    *,
    rate: int = SAMPLE_RATE,
    num_channels: int = 1,
    num_bits: int = 16,
    is_float: bool = False,
    claimed_bytes: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """A WAV file whose header says what it is told to say."""
    size = len(data) if claimed_bytes is None else claimed_bytes
    frame_bytes = num_channels * num_bits // 8
    fields = (3 if is_float else 1, num_channels, rate, rate * frame_bytes % 2**32, frame_bytes, num_bits)
    chunks = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, *fields) + extra + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", min(size + len(chunks), 2**32 - 1)) + chunks + data


def float_wav(value: float) -> bytes:
    samples = np.zeros(SAMPLE_RATE, np.float32)
    samples[5000] = value
    return make_wav(samples.tobytes(), num_bits=32, is_float=True)


FORMATS = {
    "wav": ("a.wav", "pcm_s16le", 44_100, False),
    "wav, 24 bits at 96 kHz": ("a.wav", "pcm_s24le", 96_000, False),
    "wav, telephone": ("a.wav", "pcm_mulaw", 8_000, False),
    "flac": ("a.flac", "flac", 44_100, False),
    "mp3": ("a.mp3", "libmp3lame", 44_100, False),
    "opus": ("a.opus", "libopus", 48_000, False),
    "flac in ogg": ("a.oga", "flac", 44_100, False),
    "m4a": ("a.m4a", "aac", 44_100, False),
    "webm": ("a.webm", "libopus", 48_000, False),
    "aiff": ("a.aiff", "pcm_s16be", 44_100, False),
    "mp4 video": ("a.mp4", "aac", 44_100, True),
    "mov video": ("a.mov", "pcm_s16le", 44_100, True),
    "mkv video": ("a.mkv", "flac", 44_100, True),
}
"""Name, codec, rate, and whether there is a picture too."""

format_cases = pytest.mark.parametrize(
    ("name", "codec", "rate", "with_video"), FORMATS.values(), ids=FORMATS.keys()
)


@format_cases
def test_the_click_is_at_its_time_in_every_format(tmp_path, name, codec, rate, with_video):
    audio = decode_audio(write_media(tmp_path / name, codec, rate, with_video=with_video))
    assert audio.samples.dtype == np.int16
    assert audio.samples.ndim == 1
    assert audio.notes == ()
    assert 3000 <= audio.duration_ms <= 3025
    assert find_click_ms(audio.samples) == pytest.approx(CLICK_MS, abs=1)


@format_cases
def test_decoding_twice_gives_the_same_samples(tmp_path, name, codec, rate, with_video):
    path = write_media(tmp_path / name, codec, rate, with_video=with_video)
    assert np.array_equal(decode_audio(path).samples, decode_audio(path).samples)


def test_vorbis_is_read(tmp_path):
    soundfile.write(tmp_path / "a.ogg", make_click(3, 44_100), 44_100, format="OGG", subtype="VORBIS")
    assert find_click_ms(decode_audio(tmp_path / "a.ogg").samples) == pytest.approx(CLICK_MS, abs=1)


def test_16_khz_mono_int16_passes_through_bit_for_bit(tmp_path):
    samples = make_click(2.5, SAMPLE_RATE)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE, subtype="PCM_16")
    assert np.array_equal(decode_audio(tmp_path / "a.wav").samples, samples)


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4, 6, 8])
def test_every_channel_count_is_mixed_without_a_change_of_level(tmp_path, num_channels):
    samples = np.full((SAMPLE_RATE, num_channels), 1000, np.int16)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE)
    mixed = decode_audio(tmp_path / "a.wav").samples
    assert len(mixed) == SAMPLE_RATE
    assert set(np.unique(mixed)) <= {999, 1000}


@pytest.mark.parametrize(
    ("name", "codec", "rate", "with_video"),
    [
        ("a.m4a", "aac", 44_100, False),
        ("a.mp4", "aac", 44_100, True),
        ("a.webm", "libopus", 48_000, False),
        ("a.mkv", "libopus", 48_000, True),
        ("a.opus", "libopus", 48_000, False),
    ],
)
def test_sound_that_starts_late_stays_late(tmp_path, name, codec, rate, with_video):
    path = write_media(tmp_path / name, codec, rate, delay_ms=500, with_video=with_video)
    samples = decode_audio(path).samples
    assert find_click_ms(samples) == pytest.approx(CLICK_MS + 500, abs=2)
    assert not samples[: 400 * 16].any()


def test_a_transport_stream_counts_from_the_first_moment_of_its_pictures(tmp_path):
    path = write_media(tmp_path / "a.ts", "libmp3lame", with_video=True, delay_ms=500)
    assert find_click_ms(decode_audio(path).samples) == pytest.approx(CLICK_MS + 500, abs=60)


def test_a_hole_in_the_timestamps_becomes_silence(tmp_path):
    whole = write_media(tmp_path / "whole.webm", "libopus", 48_000)
    holed = write_media(tmp_path / "a.webm", "libopus", 48_000, keep_frame=lambda s: not 0.3 < s < 0.8)
    audio = decode_audio(holed)
    assert find_click_ms(audio.samples) == pytest.approx(find_click_ms(decode_audio(whole).samples), abs=2)
    assert not audio.samples[400 * 16 : 700 * 16].any()
    assert audio.duration_ms == pytest.approx(3000, abs=10)
    assert "filled with silence" in " ".join(audio.notes)


def test_a_clock_that_leaps_by_hours_does_not_become_hours_of_silence(tmp_path):
    path = write_media(tmp_path / "a.mkv", "libopus", 48_000, delay_ms=5 * 3600 * 1000)
    audio = decode_audio(path, AudioLimits(max_seconds=7 * 3600))
    assert audio.duration_ms == pytest.approx(3000, abs=20)
    assert "jump" in audio.notes[0]


def test_of_several_audio_streams_the_first_is_used_and_it_is_said(tmp_path):
    audio = decode_audio(write_media(tmp_path / "a.mkv", "libopus", 48_000, num_streams=2))
    assert audio.duration_ms == 3000
    assert audio.notes == ("it has 2 audio streams; the first one was used",)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.webm", "a.mkv"])
def test_a_file_that_was_cut_off_keeps_its_beginning_and_says_so(tmp_path, name):
    codec = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame", "webm": "libopus", "mkv": "aac"}
    rate = 48_000 if name == "a.webm" else 44_100
    path = write_media(tmp_path / name, codec[name[2:]], rate, seconds=6)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    audio = decode_audio(path)
    assert 2000 < audio.duration_ms < 4000
    assert find_click_ms(audio.samples) == pytest.approx(CLICK_MS, abs=1)
    assert "it may be cut off" in audio.notes[-1]


def test_damage_in_the_middle_costs_only_the_middle(tmp_path):
    path = write_media(tmp_path / "a.flac", "flac", seconds=6)
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 20_000] = random.Random(0).randbytes(20_000)
    path.write_bytes(data)
    audio = decode_audio(path)
    assert 5000 < audio.duration_ms < 6100
    assert find_click_ms(audio.samples) == pytest.approx(CLICK_MS, abs=1)
    assert audio.notes


def test_a_text_tag_in_another_encoding_is_no_problem(tmp_path):
    tag = b"LIST" + struct.pack("<I", 20) + b"INFOINAM" + struct.pack("<I", 8) + b"caf\xe9\xe9\xe9a\0"
    (tmp_path / "a.wav").write_bytes(make_wav(extra=tag))
    assert decode_audio(tmp_path / "a.wav").duration_ms == 1000


@pytest.mark.parametrize("claimed_bytes", [0, 0xFFFF_FFFF, 0x7FFF_F000], ids=hex)
def test_a_wav_written_into_a_pipe_claims_nothing(tmp_path, claimed_bytes):
    (tmp_path / "a.wav").write_bytes(make_wav(claimed_bytes=claimed_bytes))
    audio = decode_audio(tmp_path / "a.wav")
    assert (audio.duration_ms, audio.notes) == (1000, ())


def flac_claiming(num_samples: int) -> bytes:
    """A FLAC file of ten seconds with another number of samples in its STREAMINFO (36 bits at byte 21)."""
    data = bytearray(encode_flac(silence(10_000)))
    data[21] = data[21] & 0xF0 | num_samples >> 32
    data[22:26] = struct.pack(">I", num_samples & 0xFFFF_FFFF)
    return bytes(data)


REFUSED = {
    "empty": (b"", "is empty"),
    "html": (b"<!DOCTYPE html><html><body>404", "HTML page"),
    "html after a BOM": (b"\xef\xbb\xbf\r\n<HTML>", "HTML page"),
    "json": (b'{"error": "not found"}', "JSON"),
    "captions": (b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n", "captions"),
    "text": ("hello wörld\n".encode() * 50, "plain text"),
    "noise": (random.Random(0).randbytes(5000), "unknown data"),
    "mp4 without an index": (b"\0\0\0\x10ftypM4A \0\0\0\0" + bytes(500), "without its index"),
    "no samples": (make_wav(b""), "no sound"),
    "rate zero": (make_wav(rate=0), "damaged"),
    "rate of 1 Hz": (make_wav(rate=1), "1 Hz"),
    "255 channels": (make_wav(bytes(51_000), num_channels=255), "255 channels"),
    "9 unnamed channels": (make_wav(bytes(180_000), num_channels=9), "9 channels"),
    "NaN": (float_wav(float("nan")), "nan"),
    "infinity": (float_wav(float("inf")), "inf"),
    "integers as floats": (float_wav(20_000.0), "20000"),
    "5 KB that claim ten hours, wav": (make_wav(bytes(5000), claimed_bytes=36_000 * 32_000), "cannot hold"),
    "5 KB that claim ten hours, flac": (flac_claiming(36_000 * 16_000), "cannot hold"),
    "5 KB that claim 1,193 hours, flac": (flac_claiming(2**36 - 1), "cannot hold"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "playlist"),
    "script": (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "playlist"),
}


@pytest.mark.parametrize(("content", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_usable_audio_is_refused_with_a_sentence_that_names_it(tmp_path, content, expected):
    path = tmp_path / "talk.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"^talk\.wav: .*{expected}"):
        decode_audio(path)


@pytest.mark.parametrize("name", ["missing.wav", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(AudioError, match="no regular file"):
        decode_audio(tmp_path / name)


def test_a_video_without_sound_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        write_video(output, add_video(output), 1)
    with pytest.raises(AudioError, match="no audio stream, only video"):
        decode_audio(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (AudioLimits(max_bytes=1000), "the limit is 1,000"),
        (AudioLimits(max_seconds=2), "claims 3 s of sound, the limit is 2 s"),
        (AudioLimits(max_channels=1), "has 2 channels"),
        (AudioLimits(max_rate=22_050), "44,100 Hz"),
    ],
    ids=["bytes", "seconds", "channels", "rate"],
)
def test_every_limit_is_enforced(tmp_path, limits, expected):
    with pytest.raises(AudioError, match=expected):
        decode_audio(write_media(tmp_path / "a.wav", "pcm_s16le"), limits)


def test_the_limit_in_seconds_holds_for_sound_that_no_header_announced(tmp_path):
    path = write_media(tmp_path / "a.aac", "aac", container="adts")
    with pytest.raises(AudioError, match="longer than the limit of 2 s"):
        decode_audio(path, AudioLimits(max_seconds=2))


def nest(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", len(body) + 8, kind) + body


@pytest.mark.parametrize(
    ("num_frames", "num_edits"), [(80_000_000, 1), (100_000, 1000)], ids=["frames", "frames times edits"]
)
def test_mp4_tables_that_would_exhaust_the_memory_are_refused(tmp_path, num_frames, num_edits):
    sizes = nest(b"stsz", struct.pack(">III", 0, 1, num_frames))
    track = nest(
        b"trak", nest(b"edts", nest(b"elst", struct.pack(">II", 0, num_edits))), nest(b"stbl", sizes)
    )
    (tmp_path / "a.m4a").write_bytes(nest(b"ftyp", b"M4A \0\0\0\0") + nest(b"moov", track))
    with pytest.raises(AudioError, match=f"claim {num_frames * num_edits:,} frames"):
        decode_audio(tmp_path / "a.m4a")


@pytest.mark.parametrize("name", ["a.wav", "a.m3u8", "a.mp3", "a.mpd", "a.sdp", "a.ffconcat"])
def test_no_content_makes_the_reader_connect_or_read_another_file(tmp_path, name):
    write_media(tmp_path / "secret.ts", "libmp3lame")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        port = server.getsockname()[1]
        for target in (f"http://127.0.0.1:{port}/a.ts", str(tmp_path / "secret.ts"), "secret.ts"):
            for content in (
                f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
                f"ffconcat version 1.0\nfile '{target}'\n",
                f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
                f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{target}</BaseURL></MPD>',
            ):
                (tmp_path / name).write_text(content)
                with pytest.raises(AudioError):
                    decode_audio(tmp_path / name)
        with pytest.raises(TimeoutError):
            server.accept()


def test_blocks_are_small_and_together_are_the_whole(tmp_path):
    path = write_media(tmp_path / "a.mp3", "libmp3lame", seconds=10)
    blocks = list(iter_audio_blocks(path))
    assert max(len(block) for block in blocks) <= SAMPLE_RATE
    assert np.array_equal(np.concatenate(blocks), decode_audio(path).samples)


def test_no_file_stays_open_when_a_caller_stops_early_or_a_file_is_refused(tmp_path):
    path = write_media(tmp_path / "a.mp3", "libmp3lame", seconds=10)
    (tmp_path / "bad.wav").write_bytes(make_wav(rate=1))
    before = len(list(Path("/proc/self/fd").iterdir()))
    blocks = iter_audio_blocks(path)
    next(blocks)
    blocks.close()
    with pytest.raises(AudioError):
        decode_audio(tmp_path / "bad.wav")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def mutate(data: bytes, rng: random.Random) -> bytes:
    """The file cut off, with bytes changed anywhere or in its header, or with a piece missing."""
    mutated = bytearray(data)
    kind = rng.randrange(4)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 3:
        start = rng.randrange(len(data))
        del mutated[start : start + rng.randrange(4000)]
        return bytes(mutated)
    span = len(data) if kind == 1 else min(len(data), 1500)
    for _ in range(rng.randrange(1, 40)):
        mutated[rng.randrange(span)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return bytes(mutated)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.wav", "pcm_f32le", 44_100),
        ("a.flac", "flac", 44_100),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.opus", "libopus", 48_000),
        ("a.webm", "libopus", 48_000),
        ("a.m4a", "aac", 44_100),
        ("a.ts", "aac", 44_100),
    ],
)
def test_a_mutated_file_is_decoded_or_refused_and_nothing_else(tmp_path, name, codec, rate):
    original = write_media(tmp_path / name, codec, rate, seconds=1.5).read_bytes()
    rng = random.Random(name)
    for _ in range(30):
        (tmp_path / name).write_bytes(mutate(original, rng))
        with contextlib.suppress(AudioError):
            audio = decode_audio(tmp_path / name, AudioLimits(max_seconds=3600))
            assert audio.samples.dtype == np.int16
            assert 0 < len(audio.samples) <= 3600 * SAMPLE_RATE


def test_flac_gives_back_the_samples_exactly_and_the_same_bytes_each_time():
    samples = np.random.default_rng(0).integers(-32768, 32768, 30 * SAMPLE_RATE, dtype=np.int16)
    samples[:2] = -32768, 32767
    decoded = decode_flac(encode_flac(samples))
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, samples / np.float32(32768))
    assert encode_flac(samples) == encode_flac(samples.copy())


def test_bytes_that_are_not_flac_are_refused():
    with pytest.raises(AudioError, match="is not FLAC"):
        decode_flac(b"not flac")


def test_silence_is_zeros_of_the_right_length():
    assert silence(1500).shape == (24_000,)
    assert not silence(1500).any()


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "expected"),
    [
        (0, 1, (0, 16)),
        (10, 30, (160, 480)),
        (990, 2000, (15_840, 16_000)),
        (5, 5, (80, 80)),
        (2000, 3000, None),
    ],
    ids=["start", "middle", "past the end", "nothing", "outside"],
)
def test_a_slice_is_exact_to_the_sample_and_no_copy(start_ms, end_ms, expected):
    samples = np.arange(SAMPLE_RATE, dtype=np.int16)
    part = slice_samples(samples, start_ms, end_ms)
    assert part.base is samples
    assert part.tolist() == ([] if expected is None else list(range(*expected)))
