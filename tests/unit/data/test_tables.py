"""Tables as people and tools write them: what their rows become, and what one broken part costs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from table_folders import SENTENCES, write_lines, write_sounds

from recipe.data.columns import ColumnNames
from recipe.data.manifest import Recording
from recipe.data.pairing import Pairing
from recipe.data.sources import read_folder

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
    rows = [f"{i},mluvci_{i % 2},{n}.flac,{t!r}".replace("'", '"') for i, (n, t) in enumerate(ROWS)]
    write_lines(folder / "tabulka.csv", "poradi,kdo,soubor,veta", *[r for r in rows if r.count('"') == 2])


FORMS: list[Callable[[Path], None]] = [
    *(audio_folder_csv, audio_folder_jsonl, excel_csv, common_voice, ljspeech, nemo, json_list, absolute),
    by_content,
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_each_sound_has_its_words(tmp_path, form):
    form(tmp_path)
    recordings, warnings = read(tmp_path).recordings, read(tmp_path).warnings
    print(warnings, [r.notes for r in recordings])
    assert said(recordings).items() <= SENTENCES.items()
    assert len(said(recordings)) >= len(SENTENCES) - 1
