import json
from dataclasses import asdict

import pyarrow.parquet as pq
import pytest
from pages import PageReader
from voices import make_voice

from recipe.arguments import DataArguments
from recipe.audio.decoding import encode_flac
from recipe.data.attention import list_findings, sort_recordings
from recipe.data.opening import prepare_dataset
from recipe.data.report import UNCAPTIONED, RecordingReport, build_report
from recipe.data.report_files import write_report
from recipe.data.report_page import MAX_LISTED

ORIGIN = {
    "name": "r", "base_model": "m", "source": "s", "created": "c", "preparation": "p", "task": "t"
}  # fmt: skip


@pytest.fixture
def data(make_recording, write_vtt, tmp_path, preparation):
    recording = make_recording("talk", encode_flac(make_voice(8)), write_vtt((0, 6_000, "All is said.")))
    return prepare_dataset([recording], preparation, DataArguments(), tmp_path, num_workers=1)


def report_of(data, recordings: list[RecordingReport], num_suspects: int = 0) -> dict:
    suspect = {"recording": "talk", "start_ms": 0, "end_ms": 1, "words": "no", "score": -5.0, "reason": "it"}
    whole = data.report | build_report(recordings, {}, {})
    whole |= {
        f"num_{side}_windows": data.report[f"num_{side}_windows"] for side in ("train", "validation", "test")
    }
    whole |= {"run": ORIGIN, "warnings": [f"warning {number}" for number in range(len(recordings))]}
    whole["suspect_windows"] = [{**suspect, "index": n, "used_for": "nothing"} for n in range(num_suspects)]
    return whole | {"needs_a_person": list_findings(whole, [])}


def make_reports(number: int) -> list[RecordingReport]:
    bad = RecordingReport("bad", "skipped", "no words", audio_ms=9)
    odd = RecordingReport("odd", audio_ms=9, kept_ms=9, flags=["letters in capitals: 99%"])
    short = RecordingReport("short", audio_ms=9, kept_ms=5, lost_ms={UNCAPTIONED: 4}, notes=["a note"])
    short.lost_examples = {UNCAPTIONED: [5, 9]}
    good = [RecordingReport(f"good {n}", audio_ms=9, kept_ms=9) for n in range(number - 3)]
    return [*good, short, odd, bad]


def test_many_recordings_are_in_a_file_of_their_own_the_worst_first(data, tmp_path):
    reports = make_reports(MAX_LISTED + 1)
    write_report(tmp_path, report_of(data, reports, num_suspects=MAX_LISTED + 1), data.rows)
    written = json.loads((tmp_path / "dataset_report.json").read_text())
    assert (written["recordings"], written["recordings_file"]) == ([], "dataset_recordings.parquet")
    assert written["num_recordings"] == written["num_warnings"] == MAX_LISTED + 1
    assert len(written["warnings"]) == MAX_LISTED
    rows = pq.read_table(tmp_path / written["recordings_file"]).to_pylist(maps_as_pydicts="strict")
    assert [row["name"] for row in rows[:4]] == ["bad", "odd", "short", "good 0"]
    assert sorted(rows, key=str) == sorted(map(asdict, reports), key=str)
    assert (written["suspect_windows"], written["num_suspect_windows"]) == ([], MAX_LISTED + 1)
    assert pq.read_metadata(tmp_path / written["suspect_windows_file"]).num_rows == MAX_LISTED + 1
    page = PageReader()
    page.feed((tmp_path / "dataset_report.html").read_text())
    shown = page.text.partition("Shown are the 1,000 of 1,001 recordings")[2]
    assert shown.index("odd") < shown.index("good 0") < shown.index("good 996")
    assert "good 997" not in shown
    assert "read_parquet('dataset_recordings.parquet')" in shown
    assert "Shown are 300 of 1,001" in page.text


def test_fewer_recordings_are_all_in_json_and_on_the_page_in_their_order(data, tmp_path):
    write_report(tmp_path, report_of(data, make_reports(MAX_LISTED + 1)), data.rows)
    reports = make_reports(MAX_LISTED)
    write_report(tmp_path, report_of(data, reports, num_suspects=1), data.rows)
    written = json.loads((tmp_path / "dataset_report.json").read_text())
    assert written["recordings"] == list(map(asdict, reports))
    assert written["recordings_file"] == written["suspect_windows_file"] == ""
    assert len(written["suspect_windows"]) == 1
    assert not list(tmp_path.glob("*.parquet"))  # that of more recordings is gone
    page = PageReader()
    page.feed((tmp_path / "dataset_report.html").read_text())
    assert page.text.index("good 996") < page.text.rindex("short") < page.text.rindex("odd")
    assert not {"script", "input"} & {*page.tags}
    assert "parquet" not in page.text


def test_what_is_not_trained_is_worse_than_what_looks_odd():
    reports = [
        RecordingReport("whole", audio_ms=60_000, kept_ms=60_000),
        RecordingReport("half", audio_ms=60_000, kept_ms=30_000),
        RecordingReport("faulty", audio_ms=60_000, kept_ms=30_000, num_faulty_windows=1),
        RecordingReport("odd", audio_ms=60_000, kept_ms=60_000, flags=["one"]),
        RecordingReport("in part", reason="some", audio_ms=60_000),
        RecordingReport("a short one", "skipped", "why", audio_ms=1_000),
        RecordingReport("a long one", "skipped", "why", audio_ms=60_000),
        RecordingReport("silent", "silence", "why"),
        RecordingReport("silent as it should be", "silence"),
    ]
    order = [recording["name"] for recording in sort_recordings(map(asdict, reports))]
    assert order == [
        "a long one", "a short one", "silent", "in part", "odd", "faulty", "half", "whole",
        "silent as it should be",
    ]  # fmt: skip
