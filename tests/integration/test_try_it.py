"""The page that transcribes by two models: on this machine alone, for this machine's page alone."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from try_it_server import serve_try_it
from voices import make_voice

ROOT = Path(__file__).resolve().parents[2]
RAW = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def page(tiny_dir: Path) -> Iterator[httpx.Client]:
    """The page with the tiny model on both sides."""
    with serve_try_it(tiny_dir) as client:
        yield client


def record(seconds: int) -> bytes:
    """What a browser's recorder makes: Opus in WebM, without a length."""
    samples = make_voice(seconds)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, 3)[None], format="s16", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return buffer.getvalue()


def test_the_page_needs_nothing_from_elsewhere(page: httpx.Client) -> None:
    for name in ("/", "/try_it.js", "/try_it.css"):
        answer = page.get(name)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "://" not in answer.text


def test_what_a_browser_records_is_transcribed_with_times(page: httpx.Client) -> None:
    recording = record(seconds=40)
    sides = ("base", "trained")
    answers = [page.post(f"/transcribe/{side}", content=recording, headers=RAW) for side in sides]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    base, trained = (answer.json() for answer in answers)
    assert base["segments"] == trained["segments"]
    assert base["audio_seconds"] == pytest.approx(40, abs=0.1)


def test_what_is_no_sound_is_refused_with_a_sentence(page: httpx.Client) -> None:
    answer = page.post("/transcribe/base", content=b"<html>", headers=RAW)
    assert answer.status_code == 422
    assert "expected audio or video" in answer.json()["error"]
    assert page.post("/transcribe/other", content=b"x", headers=RAW).status_code == 404


def test_another_page_cannot_ask(page: httpx.Client) -> None:
    form = {"content-type": "text/plain"}
    assert page.post("/transcribe/base", content=b"x", headers=form).status_code == 415
    assert page.get("/models", headers={"host": "evil.example"}).status_code == 400
