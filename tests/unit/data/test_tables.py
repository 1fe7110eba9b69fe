"""Tables as people and tools write them: what their rows become, and what one broken part costs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from table_folders import SENTENCES, write_lines, write_sounds

from recipe.data.columns import ColumnNames
from recipe.data.manifest import Recording, list_folder
from recipe.data.pairing import Pairing
from recipe.data.rows import pack_rows
from recipe.data.sources import read_folder
from recipe.data.tables import read_tables
from recipe.errors import DataError

NAMES = tuple(SENTENCES)
TEXTS = [*SENTENCES.values()]
ROWS = [*SENTENCES.items()]


def read(folder: Path, **asked: str) -> Pairing:
    return read_folder(folder, asked=ColumnNames(**asked))


def said(recordings: list[Recording]) -> dict[str, str]:
    """The words of each sound."""
    return {clip.audio.path.stem: clip.text for recording in recordings for clip in recording.clips}


def audio_folder_csv(folder: Path) -> None:
    write_sounds(folder / "data")
    write_lines(
        folder / "metadata.csv", "file_name,transcription", *[f'data/{n}.flac,"{t}"' for n, t in ROWS]
    )


def audio_folder_jsonl(folder: Path) -> None:
    write_sounds(folder)
    rows = [json.dumps({"file_name": f"{n}.flac", "text": t}) for n, t in ROWS]
    write_lines(folder / "metadata.jsonl", *rows)


def excel_csv(folder: Path) -> None:
    """Semicolons, a byte order mark, Windows paths and line ends, columns in capitals."""
    write_sounds(folder / "Aufnahmen")
    rows = "\r\n".join(f'{i};Aufnahmen\\{n}.flac;"{t}"' for i, (n, t) in enumerate(ROWS))
    (folder / "Liste.csv").write_bytes(f"Nr;Audio File;Sentence\r\n{rows}\r\n".encode("utf-8-sig"))


def common_voice(folder: Path) -> None:
    """Names without a folder, which is clips; quotes are letters."""
    write_sounds(folder / "clips")
    header = "client_id\tpath\tsentence_id\tsentence\tup_votes\tlocale"
    rows = [f"c{i % 2}{'0' * 120}\t{n}.flac\t{i}\t{t}\t2\t{n[:2]}" for i, (n, t) in enumerate(ROWS)]
    write_lines(folder / "validated.tsv", header, *rows)
    write_lines(folder / "invalidated.tsv", header, rows[0].replace("train", "avion"))
    write_lines(folder / "other.tsv", header, rows[1].replace("oui", "non"))
    write_lines(folder / "clip_durations.tsv", "clip\tduration[ms]", *[f"{n}.flac\t3000" for n in NAMES])


def ljspeech(folder: Path) -> None:
    write_sounds(folder / "wavs")
    write_lines(folder / "metadata.csv", *[f"{n}|{t}|{t.lower()}" for n, t in ROWS])


def nemo(folder: Path) -> None:
    write_sounds(folder / "audio")
    rows = [{"audio_filepath": f"audio/{n}.flac", "text": t, "duration": 3.0} for n, t in ROWS]
    write_lines(folder / "manifest.json", *map(json.dumps, rows))


def json_list(folder: Path) -> None:
    write_sounds(folder / "audio")
    rows = [{"audio": {"path": f"audio/{n}.flac"}, "sentence": t, "language": n[:2]} for n, t in ROWS]
    write_lines(folder / "all.json", json.dumps(rows, indent=1))


def absolute(folder: Path) -> None:
    write_sounds(folder / "audio")
    rows = [{"path": str((folder / "audio" / f"{n}.flac").absolute()), "transcript": t} for n, t in ROWS]
    write_lines(folder / "list.jsonl", *map(json.dumps, rows))


def by_content(folder: Path) -> None:
    """Names that no list of names has."""
    write_sounds(folder / "zvuky")
    rows = [f'{i},mluvci_{i % 2},{n}.flac,"{t}"' for i, (n, t) in enumerate(ROWS)]
    write_lines(folder / "tabulka.csv", "poradi,kdo,soubor,veta", *rows)


def nested(folder: Path) -> None:
    """A table in each of two folders, with the same names in both."""
    for side, part in (("train", ROWS[:4]), ("test", ROWS[4:])):
        names = [f"{number}" for number in range(len(part))]
        write_sounds(folder / side / "audio", names)
        rows = [f"audio/{name}.flac\t{text}" for name, (_, text) in zip(names, part, strict=True)]
        write_lines(folder / side / "metadata.tsv", "file_name\ttext", *rows)


def utf16(folder: Path) -> None:
    write_sounds(folder)
    rows = "\n".join(f"{n}.flac\t{t}" for n, t in ROWS)
    (folder / "list.tsv").write_bytes(f"file\tsentence\n{rows}\n".encode("utf-16"))


FORMS: list[Callable[[Path], None]] = [
    *(audio_folder_csv, audio_folder_jsonl, excel_csv, common_voice, ljspeech, nemo, json_list, absolute),
    *(by_content, nested, utf16),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_each_sound_has_its_words(tmp_path, form):
    form(tmp_path)
    pairing = read(tmp_path)
    texts = sorted(clip.text for recording in pairing.recordings for clip in recording.clips)
    assert texts == sorted(TEXTS)
    if form is not nested:
        assert said(pairing.recordings) == SENTENCES
    assert not [warning for warning in pairing.warnings if "passed over" in warning or "cannot be" in warning]


def test_what_common_voice_rejected_is_never_used(tmp_path):
    common_voice(tmp_path)
    pairing = read(tmp_path)
    left_alone = "clip_durations.tsv, invalidated.tsv, other.tsv"
    assert pairing.warnings == [f"Tables left alone by their names: {left_alone}."]
    assert {recording.language_tag for recording in pairing.recordings} == {name[:2] for name in NAMES}
    assert len({recording.group for recording in pairing.recordings}) == 2


def test_a_split_that_comes_with_the_tables_is_kept(tmp_path):
    write_sounds(tmp_path / "clips")
    header = "client_id\tpath\tsentence"
    lines = [f"s{i}\t{n}.flac\t{t}" for i, (n, t) in enumerate(ROWS)]
    write_lines(tmp_path / "validated.tsv", header, *lines)
    for name, part in (("train", lines[:3]), ("dev", lines[3:4]), ("test", lines[4:])):
        write_lines(tmp_path / f"{name}.tsv", header, *part)
    sides = {recording.name: recording.side for recording in read(tmp_path).recordings}
    assert sides == {
        **{f"train s{i} 1": "train" for i in range(3)},
        "dev s3 1": "validation",
        "test s4 1": "test",
        "test s5 1": "test",
    }


@pytest.mark.parametrize(
    ("values", "sides"),
    [
        pytest.param(["train", "train", "validation"], ["train", "train", "validation"], id="column"),
        pytest.param(["train", "train", "train"], ["", "", ""], id="nothing-held-out"),
        pytest.param(["test", "test", "test"], ["", "", ""], id="nothing-to-train"),
    ],
)
def test_a_column_may_tell_the_split(tmp_path, values, sides):
    write_sounds(tmp_path)
    rows = [f"{n}.flac,{v},{v}{n},'{n} text'" for n, v in zip(NAMES, values, strict=False)]
    write_lines(tmp_path / "metadata.csv", "file_name,split,speaker_id,text", *rows)
    assert sorted(recording.side for recording in read(tmp_path).recordings) == sorted(sides)


@pytest.mark.parametrize(
    ("lines", "kept", "problem"),
    [
        pytest.param(
            ["file_name,text", "fr_01.flac,Un.", "gone.flac,Deux.", "fr_02.flac,Trois."],
            ["Un.", "Trois."],
            "row 3 was left out: column file_name: there is no audio file 'gone.flac' below the folder",
            id="no-such-sound",
        ),
        pytest.param(
            ["file_name,text", "fr_01.flac,Un.", "fr_02.flac,  "],
            ["Un."],
            "row 3 was left out: column text: it is empty, expected what is said",
            id="no-words",
        ),
        pytest.param(
            ["file_name,text", "../secret/x.flac,Un.", "fr_02.flac,Deux."],
            ["Deux."],
            "row 2 was left out: column file_name: '../secret/x.flac' leads out of the folder; expected a "
            "path below it",
            id="out-of-the-folder",
        ),
        pytest.param(
            ["file_name,text", "/etc/hostname.wav,Un.", "fr_02.flac,Deux."],
            ["Deux."],
            "row 2 was left out: column file_name: '/etc/hostname.wav' leads out of the folder; expected a "
            "path below it",
            id="absolute",
        ),
        pytest.param(
            ["file_name,text", "https://example.org/fr_01.flac,Un.", "fr_02.flac,Deux."],
            ["Deux."],
            "row 2 was left out: column file_name: 'https://example.org/fr_01.flac' leads out of the folder; "
            "expected a path below it",
            id="address",
        ),
        pytest.param(
            ["file_name,text", 'fr_01.flac,"Un', "fr_02.flac,Deux.", 'de_03.flac,"Trois."'],
            ["Deux.", "Trois."],
            "row 2 was left out: its quotes do not match; put a text with ',' or quotes in it in quotes",
            id="open-quote",
        ),
        pytest.param(
            ["file_name,text,votes", "fr_01.flac,Un, deux.,3", "fr_02.flac,Trois.,2"],
            ["Trois."],
            "row 2 was left out: it has 4 cells, expected 3; put a text with ',' or quotes in it in quotes",
            id="unquoted-comma-in-the-middle",
        ),
        pytest.param(
            ["file_name,text", "fr_01.flac,Un, deux, trois.", "fr_02.flac,Quatre."],
            ["Un, deux, trois.", "Quatre."],
            "row 2 was repaired: it has 4 cells, expected 2; put a text with ',' or quotes in it in quotes",
            id="unquoted-comma-at-the-end",
        ),
        pytest.param(
            ["file_name,text,offset,duration", "fr_01.flac,Un.,soon,2", "fr_02.flac,Deux.,0,2"],
            ["Deux."],
            "row 2 was left out: column offset: expected seconds, found 'soon'",
            id="no-time",
        ),
        pytest.param(
            ["file_name,text,start,end", "fr_01.flac,Un.,5,2", "fr_02.flac,Deux.,0,2"],
            ["Deux."],
            "row 2 was left out: column end: it ends at 2000 ms, before its start",
            id="backwards",
        ),
        pytest.param(
            ["file_name,text", "fr_01.flac,Un.", "fr_02.flac,Deux.", "fr_01.flac,Autre chose."],
            ["Deux."],
            "row 2 was left out: its sound has other words in row 4 of metadata.csv",
            id="other-words",
        ),
        pytest.param(
            ["file_name,text", "fr_01.flac,Un.", "fr_02.flac,Deux.", "fr_01.flac,Un."],
            ["Un.", "Deux."],
            "row 4 was left out: row 2 of metadata.csv is the same sentence",
            id="twice",
        ),
    ],
)
def test_a_broken_row_costs_itself_and_is_named(tmp_path, lines, kept, problem):
    write_sounds(tmp_path / "x")
    write_lines(tmp_path / "metadata.csv", *lines)
    pairing = read(tmp_path)
    (recording,) = pairing.recordings
    assert [clip.text for clip in recording.clips] == kept
    assert f"metadata.csv: {problem}" in recording.notes
    if "left out" in problem:
        assert any(warning.startswith("metadata.csv: ") for warning in pairing.warnings)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param("{broken", "it is not JSON", id="not-json"),
        pytest.param("[1, 2]", "it is no JSON object", id="no-object"),
        pytest.param('{"file_name": "fr_02.flac"}', "column text: it is empty", id="no-words"),
        pytest.param('{"text": "Deux."}', "column file_name: expected the name of a file", id="no-sound"),
        pytest.param("[" * 100_000, "it is not JSON", id="nested"),
    ],
)
def test_a_broken_line_of_json_costs_itself(tmp_path, line, problem):
    write_sounds(tmp_path)
    good = [json.dumps({"file_name": f"{n}.flac", "text": t}) for n, t in ROWS[2:]]
    write_lines(tmp_path / "metadata.jsonl", good[0], line, *good[1:])
    (recording,) = read(tmp_path).recordings
    assert len(recording.clips) == 4
    assert any(note.startswith(f"metadata.jsonl: row 2 was left out: {problem}") for note in recording.notes)


@pytest.mark.parametrize(
    ("header", "asked", "problem"),
    [
        pytest.param(
            "clip_id,up_votes",
            {},
            "metadata.csv: no column of its sound and words was found among 'clip_id', 'up_votes'; expected "
            "names such as file_name",
            id="neither",
        ),
        pytest.param(
            "file_name,up_votes",
            {},
            "metadata.csv: no column of its words was found among 'file_name', 'up_votes'",
            id="no-words",
        ),
        pytest.param(
            "file_name,text",
            {"text": "sentence"},
            "metadata.csv: it has no column 'sentence', only 'file_name', 'text'",
            id="asked",
        ),
    ],
)
def test_a_table_without_its_columns_is_refused_in_a_sentence(tmp_path, header, asked, problem):
    write_sounds(tmp_path, ["a"])
    write_lines(tmp_path / "metadata.csv", header, "a.flac,7" if "file" in header else "7,7")
    with pytest.raises(DataError) as caught:
        read(tmp_path, **asked)
    assert str(caught.value).startswith(problem)


def test_columns_can_be_asked_for(tmp_path):
    write_sounds(tmp_path)
    rows = [f'{n}.flac,wrong words,"{t}",{n[:2]}' for n, t in ROWS[3:]]
    write_lines(tmp_path / "metadata.csv", "file_name,text,spoken,who", *rows)
    recordings = read(tmp_path, text="spoken", speaker="who").recordings
    assert not any("wrong" in text for text in said(recordings).values())
    assert [recording.group for recording in recordings] == ["es", "pl", "tr"]


def test_rows_with_times_are_the_captions_of_their_file(tmp_path):
    write_sounds(tmp_path, ["talk", "single"], seconds=20)
    rows = [
        {"audio_filepath": "talk.flac", "text": t, "offset": 3.0 * i, "duration": 2.5}
        for i, t in enumerate(TEXTS[:4])
    ]
    single = {"audio_filepath": "single.flac", "text": TEXTS[4], "offset": 1.5, "duration": 3.25}
    write_lines(tmp_path / "manifest.jsonl", *map(json.dumps, [*rows[::-1], single]))
    clips, talk = read(tmp_path).recordings
    assert talk.audio.path == tmp_path / "talk.flac"
    assert [(clip.text, clip.start_ms, clip.end_ms) for clip in talk.clips] == [
        (text, 3_000 * i, 3_000 * i + 2_500) for i, text in enumerate(TEXTS[:4])
    ]
    assert (clips.audio.path, clips.clips[0].start_ms, clips.clips[0].end_ms) == (None, 1_500, 4_750)


LONG = " ".join(TEXTS)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({}, id="by-the-header"),
        pytest.param({"duration": 40.0}, id="by-a-column"),
        pytest.param({"offset": 0.0, "duration": 40.0}, id="with-an-offset"),
    ],
)
def test_a_row_of_more_than_a_window_is_a_recording_with_a_text(tmp_path, told):
    write_sounds(tmp_path, ["talk"], seconds=40)
    write_sounds(tmp_path, ["short"], seconds=20)
    rows = [
        {"audio_filepath": f"{name}.flac", "text": f"{name}: {LONG}", "speaker": "anna", **told}
        for name in ("talk", "short")
    ]
    rows[1] |= {"duration": 20.0} if told else {}
    write_lines(tmp_path / "manifest.jsonl", *map(json.dumps, rows))
    short, talk = read(tmp_path).recordings
    assert (talk.name, talk.audio.path, talk.whole_text) == (
        "manifest row 1",
        tmp_path / "talk.flac",
        f"talk: {LONG}",
    )
    assert (short.name, short.whole_text, len(short.clips)) == ("manifest anna 1", "", 1)


def test_a_list_of_timed_sentences_in_a_row(tmp_path):
    write_sounds(tmp_path, ["talk"], seconds=20)
    sentences = [{"start": 2.0 * i, "end": 2.0 * i + 1.5, "text": t} for i, t in enumerate(TEXTS)]
    row = {
        "audio": {"path": "talk.flac"},
        "sentence": " ".join(TEXTS),
        "sentences": sentences,
        "duration": 20,
    }
    write_lines(tmp_path / "data.jsonl", json.dumps(row))
    (recording,) = read(tmp_path).recordings
    assert [(clip.text, clip.start_ms) for clip in recording.clips] == [
        (text, 2_000 * i) for i, text in enumerate(TEXTS)
    ]


def test_captions_and_tables_lie_in_one_folder(tmp_path):
    write_sounds(tmp_path, [*NAMES, "talk", "nobody"])
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:02.000\nHello.\n")
    write_lines(tmp_path / "metadata.csv", "file_name,text", *[f'{n}.flac,"{t}"' for n, t in ROWS])
    pairing = read(tmp_path)
    assert [recording.name for recording in pairing.recordings] == ["metadata 1", "talk"]
    assert "1 audio files are in no row and have no captions; they were left alone." in pairing.warnings


def test_another_table_beside_captions_is_only_named(tmp_path):
    write_sounds(tmp_path, ["talk"])
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:02.000\nHello.\n")
    write_lines(tmp_path / "budget.csv", "month,euros", "May,100", "June,200")
    pairing = read(tmp_path)
    assert [recording.name for recording in pairing.recordings] == ["talk"]
    assert any(warning.startswith("budget.csv: no column") for warning in pairing.warnings)


def test_long_lists_make_recordings_of_about_ten_minutes(tmp_path):
    names = [f"{number:03}" for number in range(180)]
    (tmp_path / "clips").mkdir()
    for name in names:
        (tmp_path / "clips" / f"{name}.wav").touch()
    rows = [f"{name}.wav\tspeaker {'ab'[int(name) % 2]}\t6.5\tSaid {name}." for name in names]
    write_lines(tmp_path / "list.tsv", "path\tspeaker\tduration\ttext", *rows)
    recordings = read(tmp_path).recordings
    assert [(r.name, r.group, len(r.clips)) for r in recordings] == [
        ("list speaker a 1", "speaker a", 90),
        ("list speaker b 1", "speaker b", 90),
    ]
    halves = pack_rows(read_tables(tmp_path, list_folder(tmp_path), ColumnNames(speaker="text")).tables)
    assert len(halves) == 180
    mixed = [line.replace("speaker a", "").replace("speaker b", "") for line in rows]
    write_lines(tmp_path / "list.tsv", "path\tspeaker\tduration\ttext", *mixed)
    recordings = read(tmp_path).recordings
    assert [(r.name, r.group, len(r.clips)) for r in recordings] == [("list 1", "", 92), ("list 2", "", 88)]
    assert any("no column says who speaks" in note for note in recordings[0].notes)


def test_thousands_of_voices_share_recordings_but_no_window(tmp_path):
    names = [f"{number:04}" for number in range(600)]
    for name in names:
        (tmp_path / f"{name}.wav").touch()
    rows = [f"{name}.wav,voice{name},Said {name}." for name in names]
    write_lines(tmp_path / "metadata.csv", "file_name,speaker_id,text", *rows)
    recordings = read(tmp_path).recordings
    assert [(r.name, len(r.clips)) for r in recordings] == [
        *[(f"metadata voices {i}", 200) for i in (1, 2, 3)],
    ]
    assert len({recording.group for recording in recordings}) == 3
    assert len({clip.voice for clip in recordings[0].clips}) == 200
