import json
import os
import time

import numpy as np
import pytest
from files import write_files

from recipe.arguments import SourceArguments
from recipe.audio.decoding import encode_flac
from recipe.data import sources
from recipe.data.manifest import list_folder
from recipe.data.sources import check_source, read_folder
from recipe.errors import DataError

SOUND = encode_flac(np.zeros(1_600, np.int16))

NEED_LANGUAGE = {
    "rows": "\n\n".join(
        f"00:00:0{n},000 --> 00:00:0{n},900\n他们很安静\nThey are calm." for n in range(4)
    ).encode(),
    "cp949": "1\n00:00:01,000 --> 00:00:03,000\n네\n".encode("cp949"),
    "cp874": "1\n00:00:01,000 --> 00:00:03,000\nไม่\n".encode("cp874"),
}
VTT = b"WEBVTT\n\n00:01.000 --> 00:03.000\nHello there.\n"


def fill(folder, files: dict[str, bytes]) -> SourceArguments:
    return SourceArguments(data_dir=str(write_files(folder, files)))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(
            {"talk.wav": SOUND, "x.docx": b""}, "talk: there is no caption file named talk.vtt", id="alone"
        ),
        pytest.param({"talk.wav": SOUND, "tlak.vtt": VTT}, "did you mean talk.wav?", id="misspelt"),
        pytest.param({"talk.wav": SOUND, "x.docx": b""}, "passed over: 1 .docx (x.docx)", id="other files"),
        pytest.param({"talk.wav": b"", "talk.vtt": VTT}, "talk: talk.wav is empty", id="empty audio"),
        pytest.param(
            {"a.mp3": b"<!DOCTYPE html>", "a.vtt": VTT}, "a: a.mp3 is a text, expected audio", id="a page"
        ),
        pytest.param(
            {"a.mp3": "é".encode() * 999, "a.vtt": VTT}, "a.mp3 is a text, expected audio", id="a text"
        ),
        pytest.param(
            {"a.ogg": SOUND, "a.vtt": b""}, "a: a.vtt: the caption file is empty", id="empty captions"
        ),
        pytest.param({"a.ogg": SOUND, "a.srt": b"%PDF-1.7"}, "a: a.srt: ", id="captions are none"),
        pytest.param(
            {"a.ogg": SOUND, "a.vtt": b"WEBVTT\n"},
            "a: a.vtt: the caption file holds no usable cue",
            id="no cue",
        ),
        pytest.param(
            {"a.ogg": SOUND, "a.vtt": VTT.replace(b"Hello there", b"What [inaudible] there")},
            "most cues were dropped: it stands for speech that is not written down",
            id="no cue left",
        ),
        pytest.param({f"{n}.mp4": b"" for n in range(30)}, "and 10 more.", id="many"),
    ],
)
def test_a_folder_with_nothing_to_train_on_is_refused_naming_what_lies_there(tmp_path, files, found):
    with pytest.raises(DataError) as refusal:
        check_source(fill(tmp_path, files))
    assert found in str(refusal.value)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"a.wav": b"", "a.vtt": b"", "b.flac": SOUND, "b.vtt": VTT}, id="one is enough"),
        pytest.param({"a.wav": SOUND, "a.txt": b"Hello there."}, id="a text"),
        pytest.param({"a.wav": SOUND, "a.en.vtt": VTT, "a.fr.vtt": VTT}, id="the language may decide"),
        *[
            pytest.param({"a.wav": SOUND, "a.srt": captions}, id=f"the language tells how to read {kind}")
            for kind, captions in NEED_LANGUAGE.items()
        ],
    ],
)
def test_a_folder_with_something_passes(tmp_path, files):
    check_source(fill(tmp_path, files))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("talk.zip", "1 .zip (talk.zip; unpack it)"),
        ("talk.mp4.part", "1 .part (talk.mp4.part; a download that has not finished)"),
        ("train-00000.parquet", "; give such a folder as dataset_name instead of data_dir)"),
    ],
)
def test_what_is_often_taken_for_recordings_has_advice(tmp_path, name, advice):
    with pytest.raises(DataError) as refusal:
        check_source(fill(tmp_path, {name: b"x"}))
    assert advice in str(refusal.value)


HEADER, ROW = b"file_name,month,text\n", b"gone.wav,May,Nobody has this sound.\n"


@pytest.mark.parametrize("table", [b"id,month\n" + b"1,May\n" * 2**21, HEADER + ROW * 150])
def test_a_large_table_without_sounds_is_refused_in_seconds(tmp_path, table):
    source = fill(tmp_path, {"a.wav": SOUND, "metadata.csv": table})
    began = time.process_time()
    with pytest.raises(DataError, match=r"metadata.csv: (no column|150 of 150 rows)"):
        check_source(source)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("metadata.csv", HEADER + ROW * 200 + b"a.wav,May,Hello.\n"),
        (
            "all.json",
            json.dumps([{"file_name": "a.wav", "text": f"Hello {n}."} for n in range(30_000)]).encode(),
        ),
        (
            "metadata.tsv",
            "file_name\ttext\n".encode("utf-16") + "a.wav\tHello.\n".encode("utf-16-le") * 50_000,
        ),
    ],
    ids=["good-rows-far-down", "one-list", "utf-16"],
)
def test_a_large_table_with_sounds_passes(tmp_path, name, table):
    check_source(fill(tmp_path, {"a.wav": SOUND, name: table}))


def test_a_folder_is_refused_in_seconds_whatever_it_holds(tmp_path):
    source = fill(tmp_path, {f"{n % 50}/{n}.jpg": b"" for n in range(5_000)})
    fill(
        tmp_path,
        {f"talk {n}.mp3": b"<html>" for n in range(500)} | {f"talk {n}.srt": b"<html>" for n in range(500)},
    )
    fill(tmp_path, {f"take {n}.vtt": b"\0" * 1_000 for n in range(500)})
    fill(tmp_path, {f"page {n}.vtt": b"1\n" * 5_000 for n in range(500)})
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "pipe.vtt").symlink_to("/dev/zero")
    (tmp_path / "round").symlink_to(tmp_path)
    began = time.process_time()
    with pytest.raises(DataError, match=r"pipe.wav is a named pipe|and 481 more"):
        check_source(source)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("text", ["a.wav,", "missing.wav,hello"])
def test_a_table_is_read_on_where_its_first_rows_cannot_be_used(tmp_path, text):
    rows = [text] * (sources.LOOK_ROWS + 1)
    files = {"a.wav": SOUND, "metadata.csv": "\n".join(["file_name,text", *rows]).encode()}
    check_source(fill(tmp_path, files))  # a look is short: what is not read may be of use
    with pytest.raises(DataError, match=f"{len(rows)} of {len(rows)} rows"):
        read_folder(tmp_path)
    (tmp_path / "metadata.csv").write_bytes("\n".join(["file_name,text", *rows, "a.wav,hello"]).encode())
    assert [recording.clips[0].text for recording in read_folder(tmp_path).recordings] == ["hello"]


def test_a_process_lists_a_folder_once(tmp_path, monkeypatch):
    listed = []
    monkeypatch.setattr(
        sources, "list_folder", lambda folder: (listed.append(folder), list_folder(folder))[1]
    )
    source = fill(tmp_path, {"a.wav": SOUND, "a.vtt": VTT})
    check_source(source)
    check_source(source)
    assert listed == [tmp_path]
