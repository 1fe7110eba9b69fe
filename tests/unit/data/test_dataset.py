import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_folders import SENTENCES, write_lines, write_sounds
from voices import make_noise, make_voice

from recipe.arguments import DataArguments
from recipe.audio.decoding import encode_flac
from recipe.data.dataset import ReportOrigin, check_dataset, write_dataset_report
from recipe.data.opening import prepare_dataset
from recipe.data.sources import list_recordings, read_folder
from recipe.errors import DataError
from recipe.run.files import read_state, write_state

VTT = "WEBVTT\n\n00:01.000 --> 00:04.000\nThis one is as it should be.\n"
ORIGIN = ReportOrigin("fr-1", "openai/whisper-small", "transcribe", "recordings", "2031-05-06 07:08 UTC")
SOUNDS = {
    "voice": encode_flac(make_voice(35)),
    "noise": encode_flac(make_noise(50)),
    "silence": encode_flac(np.zeros(16_000 * 20, np.int16)),
    "html": b"<!DOCTYPE html><html>",
    "missing": None,
}


def test_the_whole_dataset_adds_up_and_holds_a_recording_out(make_recording, tmp_path, preparation):
    recordings = [make_recording(f"talk-{number}") for number in range(4)]
    recordings.append(make_recording("untold", encode_flac(make_voice(40)), None))
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    assert (len(data.validation), len(data.test)) == (0, 1)
    assert len(data.train) == 3
    assert data.report["num_recordings"] == 5
    assert data.report["recordings_by_outcome"] == {"speech": 4, "skipped": 1}
    assert data.report["audio_ms"] == data.report["kept_ms"] + sum(data.report["lost_ms"].values())
    assert data.warnings == [
        "untold: skipped: there is no vtt",
        "Too little speech is held out to choose weights by: the last ones are measured.",
    ]
    cues = [cue for row in data.rows.remove_columns("audio") for cue in row["segments"]]
    assert data.report["speech_ms"] == sum(cue["end_ms"] - cue["start_ms"] for cue in cues) > 0
    assert data.report["num_words"] == sum(len(cue["text"].split()) for cue in cues) > 0
    assert not set(data.train["recording"]) & set(data.test["recording"])


def test_rows_in_another_language_are_named_to_the_user(tmp_path, preparation):
    write_sounds(tmp_path / "data")
    rows = [f'{name}.flac,"{text}"' for name, text in SENTENCES.items()]
    rows[2] = "de_03.flac,Поезд отправляется в восемь часов."
    write_lines(tmp_path / "data" / "metadata.csv", "file_name,text", *rows)
    recordings = [replace(item, language="fr") for item in read_folder(tmp_path / "data").recordings]
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    assert data.warnings[0] == (
        "Rows of tables that are not trained: 1, such as metadata 1: row 4: dropped: most of its letters are "
        "Cyrillic, and French (fr) is written in Latin. The dataset report has more."
    )
    texts = [" ".join(part["text"] for part in row) for row in data.rows["segments"]]
    good = [*SENTENCES.values()]
    assert texts == [" ".join(good[:2]), " ".join(good[3:])]


def test_what_is_no_file_costs_its_recording_only(make_recording, tmp_path, preparation):
    for name in ("one", "two", "piped", "endless"):
        make_recording(name)
    (tmp_path / "piped.vtt").unlink()
    os.mkfifo(tmp_path / "piped.vtt")
    (tmp_path / "endless.flac").unlink()
    (tmp_path / "endless.flac").symlink_to("/dev/zero")
    (tmp_path / "folder.wav").mkdir()
    arguments = DataArguments(max_fallback_fraction=1.0)
    data = prepare_dataset(list_recordings(tmp_path, "en"), preparation, arguments, tmp_path / "prepared")
    assert data.warnings[:3] == [
        "endless: silence: endless.flac is a device, expected a file",
        "folder: silence: folder.wav is a folder, expected a file",
        "piped: silence: piped.vtt is a named pipe, expected a file",
    ]
    assert [item["name"] for item in data.report["recordings"] if item["outcome"] == "speech"] == [
        "one",
        "two",
    ]


def check_sums(report) -> None:
    """Every recording, cue, millisecond and window is where the report says, and nowhere else."""
    for part in (report, *report["recordings"]):
        assert part["audio_ms"] == part["kept_ms"] + sum(part["lost_ms"].values())
        assert part["num_cues"] == part["num_cues_kept"] + sum(part["lost_cues"].values())
        assert min(part["kept_ms"], part["num_cues_kept"], *part["lost_ms"].values(), 0) == 0
    summed = ("audio_ms", "kept_ms", "num_cues", "num_cues_kept", "speech_ms", "num_words", "num_windows")
    for name in (*summed, "num_no_speech_windows"):
        assert report[name] == sum(recording[name] for recording in report["recordings"])
    assert report["num_recordings"] == sum(report["recordings_by_outcome"].values())
    num_split = sum(report[f"num_{side}_windows"] for side in ("train", "validation", "test"))
    assert report["num_windows"] == num_split + sum(report["num_unused_windows"].values())
    for name in ("window_seconds", "label_tokens"):
        assert sum(report["histograms"][name]["counts"]) == report["num_windows"]
    assert sum(report["faulty_windows"].values()) == report["num_faulty_windows"]
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
captions = st.one_of(st.none(), st.just('{"error": 1}'), cues)
"""A file's text, or the cues that are written into it, or no file."""


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(SOUNDS)), captions), min_size=1, max_size=3))
def test_the_sums_hold_on_broken_datasets(make_recording, write_vtt, tmp_path, preparation, broken):
    recordings = []
    for number, (sound, content) in enumerate(broken):
        is_cues = isinstance(content, list)
        text = write_vtt(*((at, at + length, words) for at, length, words in content)) if is_cues else content
        recordings.append(make_recording(f"talk-{number}", SOUNDS[sound], text))
    good = write_vtt((1_000, 4_000, "This one is as it should be."), (5_000, 7_000, "All of it is said."))
    recordings.append(make_recording("talk-good", SOUNDS["voice"], good))
    settings_ = replace(preparation, no_speech_fraction=1.0)
    arguments = DataArguments(max_fallback_fraction=1.0)
    data = prepare_dataset(recordings, settings_, arguments, tmp_path / "prepared", num_workers=1)
    check_sums(data.report)
    write_dataset_report(tmp_path / "prepared", data, ORIGIN)
    written = json.loads((tmp_path / "prepared" / "dataset_report.json").read_text())
    report = data.report | {"recordings": list(data.report["recordings"])}
    assert {name: written[name] for name in report} == report
    assert written["warnings"] == sorted(written["warnings"], key=data.warnings.index)
    assert sum(kind["number"] for kind in written["needs_a_person"]) >= len(data.warnings)
    for side in ("train", "validation", "test"):
        assert len(getattr(data, side)) == data.report[f"num_{side}_windows"]


@pytest.mark.parametrize(
    ("sounds", "problem"),
    [
        pytest.param(["silence"], "None of the 1 recordings can be trained on", id="no speech"),
        pytest.param(["html", "missing"], "None of the 2 recordings can be trained on", id="no audio"),
        pytest.param(["voice", "html"], r"1 of \d windows would stand in for bad data", id="too much is bad"),
    ],
)
@pytest.mark.parametrize("empty_transcript", ["auto", "skip"])
def test_a_dataset_that_is_refused_has_its_report(
    make_recording, tmp_path, preparation, sounds, problem, empty_transcript
):
    recordings = [
        make_recording(sound, SOUNDS[sound], VTT if sound != "silence" else None) for sound in sounds
    ]
    settings_ = replace(preparation, empty_transcript=empty_transcript)
    data = prepare_dataset(recordings, settings_, DataArguments(), tmp_path / "prepared", num_workers=1)
    write_dataset_report(tmp_path / "prepared", data, ORIGIN)
    with pytest.raises(DataError, match=problem):
        check_dataset(data, DataArguments())
    report = json.loads((tmp_path / "prepared" / "dataset_report.json").read_text())
    check_sums(report)
    assert [recording["name"] for recording in report["recordings"]] == sounds
    assert sounds[-1] in (tmp_path / "prepared" / "dataset_report.html").read_text()


def test_the_fingerprint_is_of_the_shards_content_not_of_their_names(make_recording, tmp_path, preparation):
    def prepare() -> tuple[str, list[str]]:
        recordings = [make_recording(f"talk-{number}") for number in range(2)]
        data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
        return data.fingerprint, [path.name for path in (tmp_path / "prepared" / "shards").glob("*.arrow")]

    fingerprint, names = prepare()
    assert prepare() == (fingerprint, names)
    path = next((tmp_path / "prepared" / "shards").glob("*.arrow"))
    changed = path.read_bytes().replace(b"Hello there", b"Hollo there")
    path.write_bytes(changed)
    state = read_state(path.with_suffix(".json"), dict)
    write_state(path.with_suffix(".json"), state | {"rows_hash": hashlib.sha256(changed).hexdigest()})
    other, same_names = prepare()
    assert sorted(same_names) == sorted(names)
    assert other != fingerprint
