from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """WEBVTT

id
00:01.000 --> 00:03.000
<v Bob>R&amp;D
[laughs] <ruby>a<rt>b</rt></ruby>

00:05.000 --> 00:04.000
x
"""


def run(*command):
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, check=False, capture_output=True, text=True
    )


def inspect(*arguments):
    return run("scripts/inspect_captions.py", *arguments)


def test_raw_cues_are_as_the_specification_reads_them(tmp_path):
    path = tmp_path / "talk.vtt"
    path.write_text(SOURCE)
    answer = json.loads(inspect(path, "--raw", "--json").stdout)
    assert {name: answer[name] for name in ("cues", "notes")} == {
        "cues": [
            {
                "id": "id",
                "start_ms": 1000,
                "end_ms": 3000,
                "payload": "<v Bob>R&amp;D\n[laughs] <ruby>a<rt>b</rt></ruby>",
                "text": "R&D\n[laughs] a",
            },
            {"id": "", "start_ms": 5000, "end_ms": 4000, "payload": "x", "text": "x"},
        ],
        "notes": [],
    }


def test_cues_are_as_training_sees_them_with_a_note_for_each_change(tmp_path):
    path = tmp_path / "talk.vtt"
    path.write_text(SOURCE)
    answer = json.loads(inspect(path, "--json").stdout)
    assert [(cue["start_ms"], cue["end_ms"], cue["text"]) for cue in answer["cues"]] == [
        (1000, 3000, "R&D a")
    ]
    assert [(note["line"], note["action"], note["reason"]) for note in answer["notes"]] == [
        (4, "repaired", "marks of sounds were removed"),
        (8, "dropped", "it ends before it starts"),
    ]


def test_counts_format_and_encoding_are_told(tmp_path):
    path = tmp_path / "talk.srt"
    path.write_bytes("1\n00:00:01,000 --> 00:00:03,000\nStůl, židle a kůň.\n".encode("cp1250"))
    answer = json.loads(inspect(path, "--language", "cs", "--json").stdout)
    assert [cue["text"] for cue in answer["cues"]] == ["Stůl, židle a kůň."]
    assert answer["counts"] == {"num_cues_in": 1, "num_cues": 1, "num_merged": 0, "num_dropped": 0}
    assert (answer["format"], answer["encoding"]) == ("subrip", "cp1250")


def test_a_file_in_the_encoding_of_another_language_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "talk.srt"
    path.write_bytes("1\n00:00:01,000 --> 00:00:03,000\nЖёлтый щенок бежит домой.\n".encode("cp1251"))
    answer = inspect(path, "--language", "fr", "--json")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("talk.srt: it is not UTF-8, and none of the encodings of French")
    assert len(answer.stderr.splitlines()) == 1


def test_a_person_gets_a_table(tmp_path):
    path = tmp_path / "talk.vtt"
    path.write_text(SOURCE)
    lines = inspect(path).stdout.splitlines()
    assert lines[0].split() == ["1.000", "3.000", "R&D", "a"]
    assert lines[2] == "line 8: dropped: it ends before it starts: x"


def test_what_is_no_captions_is_said_in_one_sentence(tmp_path):
    path = tmp_path / "talk.vtt"
    path.write_text('{"text": "hello"}')
    answer = inspect(path, "--json")
    assert answer.returncode == 1
    assert answer.stderr.startswith("talk.vtt: this looks like JSON")
    assert len(answer.stderr.splitlines()) == 1


def test_the_fuzzer_finds_no_broken_promise():
    answer = run(
        "-m", "scripts.benchmarks.fuzz_captions", "--num_files", 1500, "--seed", 1, "--num_processes", 1
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "0 broken promises" in answer.stdout
