import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recipe.data.overview import count_bins
from voices import make_noise, make_voice

from recipe.arguments import DataArguments
from recipe.audio.decoding import encode_flac
from recipe.data.dataset import prepare_dataset, write_dataset_report
from recipe.data.manifest import LocalFile, Recording
from recipe.data.recording import PreparationSettings
from recipe.data.report_page import format_clock, format_hours, render_page
from recipe.errors import DataError
from recipe.model.tiny import build_tiny_whisper

SOUNDS = {
    "voice": encode_flac(make_voice(35)),
    "noise": encode_flac(make_noise(50)),
    "silence": encode_flac(np.zeros(16_000 * 20, np.int16)),
    "html": b"<!DOCTYPE html><html>",
    "missing": None,
}


@pytest.fixture(scope="module")
def preparation(tmp_path_factory) -> PreparationSettings:
    folder = build_tiny_whisper(tmp_path_factory.mktemp("tiny"))
    return PreparationSettings(folder / "tokenizer.json", no_speech_fraction=1.0)


def write_recording(folder, name: str, sound: bytes | None, captions: str | None) -> Recording:
    files = []
    for extension, content in (("flac", sound), ("vtt", captions and captions.encode())):
        path = folder / f"{name}.{extension}"
        if content is not None:
            path.write_bytes(content)
        files.append(LocalFile(None, "it is missing") if content is None else LocalFile(path))
    return Recording(name, *files)


def write_vtt(cues) -> str:
    def stamp(time_ms: int) -> str:
        return f"{time_ms // 60_000:02}:{time_ms // 1_000 % 60:02}.{time_ms % 1_000:03}"

    blocks = [f"{stamp(start)} --> {stamp(max(0, start + length))}\n{text}" for start, length, text in cues]
    return "WEBVTT\n\n" + "\n\n".join(blocks) + "\n"


def check_sums(report) -> None:
    """Every recording, cue, millisecond and window is where the report says, and nowhere else."""
    for part in (report, *report["recordings"]):
        assert part["audio_ms"] == part["kept_ms"] + sum(part["lost_ms"].values())
        assert part["num_cues"] == part["num_cues_kept"] + sum(part["lost_cues"].values())
        assert min(part["kept_ms"], part["num_cues_kept"], *part["lost_ms"].values(), 0) == 0
    for name in ("audio_ms", "kept_ms", "num_cues", "num_cues_kept", "num_windows", "num_no_speech_windows"):
        assert report[name] == sum(recording[name] for recording in report["recordings"])
    assert report["num_recordings"] == sum(report["recordings_by_outcome"].values())
    num_split = report["num_train_windows"] + report["num_held_out_windows"]
    assert report["num_windows"] == num_split + sum(report["num_unused_windows"].values())
    for name in ("window_seconds", "label_tokens"):
        assert sum(report["histograms"][name]["counts"]) == report["num_windows"]
    assert sum(report["held_back_windows"].values()) == report["num_broken_windows"]
    for recording in report["recordings"]:
        assert set(recording["lost_examples"]) == set(recording["lost_ms"])
        for reason, (start_ms, end_ms) in recording["lost_examples"].items():
            assert 0 < end_ms - start_ms <= recording["lost_ms"][reason]


texts = st.one_of(
    st.text(alphabet="ab é<>&\n-[]♪:", max_size=60),
    st.sampled_from(
        ["All of this is said.", "so " * 80, "", "&amp;lt;i", "[Music]", "one", "Some more of it."]
    ),
)
cues = st.lists(st.tuples(st.integers(0, 60_000), st.integers(-500, 40_000), texts), max_size=10)
captions = st.one_of(st.none(), st.just('{"error": 1}'), cues.map(write_vtt))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(SOUNDS)), captions), min_size=1, max_size=3))
def test_the_sums_hold_on_broken_datasets(tmp_path, preparation, broken):
    recordings = [
        write_recording(tmp_path, f"talk-{number}", SOUNDS[sound], text)
        for number, (sound, text) in enumerate(broken)
    ]
    good = write_vtt([(1_000, 3_000, "This one is as it should be."), (5_000, 2_000, "All of it is said.")])
    recordings.append(write_recording(tmp_path, "talk-good", SOUNDS["voice"], good))
    arguments = DataArguments(max_fallback_fraction=1.0)
    data = prepare_dataset(recordings, preparation, arguments, tmp_path / "prepared", num_workers=1)
    check_sums(data.report)
    write_dataset_report(tmp_path / "prepared", data)
    assert json.loads((tmp_path / "prepared" / "dataset_report.json").read_text()) == data.report
    assert (len(data.train), len(data.held_out)) == (
        data.report["num_train_windows"],
        data.report["num_held_out_windows"],
    )


class PageReader(HTMLParser):
    """Collects what a browser would show, load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data) -> None:
        self.text += data


def test_the_page_plays_doubtful_windows_and_escapes_what_files_hold(tmp_path, preparation):
    evil = "&lt;script&gt;alert(1)&lt;/script&gt; and some more of that."
    doubtful = [(at, 3_000, "Over and over.\nOver and over.") for at in range(12_000, 33_000, 3_000)]
    recordings = [
        write_recording(tmp_path, "<u>bold", SOUNDS["voice"], write_vtt([(0, 6_000, evil)])),
        write_recording(
            tmp_path, "loop", SOUNDS["voice"], write_vtt([(0, 4_000, "A beginning."), *doubtful])
        ),
    ]
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    write_dataset_report(tmp_path / "prepared", data)
    page = PageReader()
    page.feed((tmp_path / "prepared" / "dataset_report.html").read_text())
    assert not {"script", "u", "link", "img"} & set(page.tags)
    assert "<u>bold" in page.text
    assert "<script>alert(1)</script> and some more of that." in page.text
    assert page.tags.count("audio") == len(page.addresses) == len(data.report["listening"]) == 3
    assert all(re.match("data:audio/flac;base64,ZkxhQ", address) for address in page.addresses)
    assert data.report["listening"][0]["held_back"] == "each thing is said twice or more"
    assert "held back: each thing is said twice or more" in page.text
    assert "Held back by the label check" not in page.text


def test_the_page_lists_what_the_label_check_held_back(tmp_path, preparation):
    recordings = [
        write_recording(tmp_path, name, SOUNDS["voice"], write_vtt([(0, 6_000, "All of this is said.")]))
        for name in ("one", "two")
    ]
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    doubt = {"recording": "two", "start_ms": 0, "end_ms": 6_000, "words": "<b>Not said", "score": -7.1}
    data.report["held_back"] = [doubt | {"reason": "its words are not heard"}]
    page = PageReader()
    page.feed(render_page(data.report, data.rows))
    for text in ("Held back by the label check", "<b>Not said", "-7.1", "its words are not heard"):
        assert text in page.text


def test_a_dataset_without_speech_is_refused_before_any_report(tmp_path, preparation):
    recording = write_recording(tmp_path, "talk", SOUNDS["silence"], None)
    with pytest.raises(DataError, match="None of the 1 recordings"):
        prepare_dataset([recording], preparation, DataArguments(), tmp_path / "prepared")


def test_values_beyond_the_last_edge_are_counted_in_the_last_bin():
    assert count_bins(np.array([0, 1.9, 2, 99]), np.arange(0, 5, 2)) == {"edges": [0, 2, 4], "counts": [2, 2]}
    assert count_bins(np.array([]), np.arange(0, 5, 2))["counts"] == [0, 0]


@pytest.mark.parametrize(
    ("time_ms", "clock", "hours"),
    [(0, "0:00", "0.0 s"), (61_000, "1:01", "1.0 min"), (3_723_000, "1:02:03", "1.0 h")],
)
def test_times_read_as_people_write_them(time_ms, clock, hours):
    assert (format_clock(time_ms), format_hours(time_ms)) == (clock, hours)
