"""A small folder in each form that people bring, with a broken part, and the windows people would cut.

All is in German.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset, Features, Value
from format_cases import BROKEN, FORMATS
from table_folders import write_lines, write_sounds

SAID = {
    "s1": "Der Zug fährt um acht Uhr.",
    "s2": "Straße, Brücke und Überweg.",
    "s3": "Niemand hat das gesagt.",
    "s4": "Wo ist denn der Bahnhof?",
}
ROWS = [*SAID.items()]
GOOD = [text for name, text in ROWS if name != "s3"]
CUES = ((1_000, 3_500, SAID["s1"]), (4_000, 6_500, SAID["s2"]))


@dataclass(frozen=True)
class Form:
    """What a folder holds.

    Attributes:
        windows: For each window with words its texts, or where the folder tells times (start, end, text) of
            each, in milliseconds of its recording.
        named: What names the broken part.
        source: The option that takes the folder.
    """

    windows: list[list[str] | list[tuple[int, int, str]]] = field(default_factory=lambda: [[*GOOD]])
    named: str = ""
    source: str = "data_dir"


def write_vtt(path: Path) -> None:
    """The two cues."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cues = [f"00:{start / 1000:06.3f} --> 00:{end / 1000:06.3f}\n{text}\n" for start, end, text in CUES]
    path.write_text("WEBVTT\n\n" + "\n".join(cues))


def deep(folder: Path) -> Form:
    write_sounds(folder / "jahr" / "audio" / "mai", ["talk", "bad"], seconds=8)
    write_vtt(folder / "jahr" / "subs" / "mai" / "talk.vtt")
    (folder / "jahr" / "subs" / "mai" / "bad.vtt").write_bytes(b"%PDF-1.7")
    return Form(
        [[*CUES]], "jahr/audio/mai/bad: skipped: its captions cannot be used: this looks like a binary file"
    )


def yt_dlp(folder: Path) -> Form:
    for title in ("Am Zug [dQw4w9WgXcQ]", "Im Stau [aB3dE6gH9jK]"):
        write_sounds(folder, [title], seconds=8)
        tracks = {"subtitles": {"de": []}, "automatic_captions": {"en": []}, "channel_id": title[:2]}
        (folder / f"{title}.info.json").write_text(json.dumps({"language": "de", **tracks}))
        write_vtt(folder / f"{title}.de.vtt")
        write_vtt(folder / f"{title}.en.vtt")
        (folder / f"{title}.live_chat.json").write_text("{}")
        (folder / f"{title}.webp").write_bytes(b"RIFF")
    (folder / "Im Stau [aB3dE6gH9jK].info.json").write_text("{")
    return Form([[*CUES], [*CUES]], "Im Stau [aB3dE6gH9jK].info.json")


def plain_text(folder: Path) -> Form:
    write_sounds(folder, ["talk", "bad"], seconds=8)
    (folder / "talk.txt").write_text(f"{SAID['s1']}\n{SAID['s2']}\n")
    (folder / "bad.txt").write_text("\n")
    return Form([[f"{SAID['s1']} {SAID['s2']}"]], "bad.txt: the text file has no words")


def metadata_csv(folder: Path) -> Form:
    write_sounds(folder / "data", ["s1", "s2", "s4"])
    write_lines(folder / "metadata.csv", "file_name,text", *[f'data/{n}.flac,"{t}"' for n, t in ROWS])
    return Form(named="row 4 was left out: column file_name: there is no audio file 'data/s3.flac'")


def metadata_jsonl(folder: Path) -> Form:
    write_sounds(folder, [*SAID])
    rows = [json.dumps({"file_name": f"{n}.flac", "transcription": t}) for n, t in ROWS]
    write_lines(folder / "metadata.jsonl", *rows[:2], rows[2][:-3], rows[3])
    return Form(named="metadata.jsonl: row 3 was left out: it is not JSON")


def common_voice(folder: Path) -> Form:
    write_sounds(folder / "clips", [*SAID])
    rows = [f"c\t{n}.flac\t{t if n != 's3' else ''}\t2\tde" for n, t in ROWS]
    write_lines(folder / "validated.tsv", "client_id\tpath\tsentence\tup_votes\tlocale", *rows)
    return Form(named="validated.tsv: row 4 was left out: column sentence: it is empty")


def ljspeech(folder: Path) -> Form:
    write_sounds(folder / "wavs", [*SAID])
    (folder / "wavs" / "s3.flac").write_bytes(b"")
    write_lines(folder / "metadata.csv", *[f"{n}|{t}|{t.lower()}" for n, t in ROWS])
    return Form(named="row 3: dropped: its sound cannot be used: the file is empty (0 bytes)")


def manifest(folder: Path) -> Form:
    write_sounds(folder, ["talk"], seconds=20)
    spans = [(1.0, 2.5), (4.0, 2.5), (8.0, -2.5), (12.0, 2.5)]
    rows = [
        {"audio_filepath": "talk.flac", "text": text, "offset": start, "duration": length}
        for (start, length), text in zip(spans, SAID.values(), strict=True)
    ]
    write_lines(folder / "manifest.jsonl", *map(json.dumps, rows))
    last = (12_000, 14_500, SAID["s4"])
    return Form([[*CUES], [last]], "manifest.jsonl: row 3 was left out: column duration: expected seconds")


def write_rows(folder: Path, names: list[str]) -> Dataset:
    sounds = write_sounds(folder, [*SAID])
    types = {"audio": {"bytes": Value("binary"), "path": Value("string")}, "sentence": Value("string")}
    rows = {"audio": [], "sentence": [SAID[name] for name in names]}
    for name in names:
        data = (sounds / f"{name}.flac").read_bytes() if name != "s3" else b"no sound"
        rows["audio"].append({"bytes": data, "path": f"{name}.flac"})
    return Dataset.from_dict(rows, features=Features(types))


def parquet(folder: Path) -> Form:
    folder.mkdir()
    write_rows(folder.with_name("sounds"), ["s1", "s2", "s4"]).to_parquet(folder / "train-00000.parquet")
    (folder / "train-00001.parquet").write_bytes(b"PAR1")
    return Form(
        named="train-00001.parquet: it is damaged or no parquet file; left out", source="dataset_name"
    )


def arrow(folder: Path) -> Form:
    write_rows(folder.with_name("sounds"), [*SAID]).save_to_disk(folder)
    named = "row 3: dropped: its sound cannot be used: its sampling rate is 0 Hz"
    return Form(named=named, source="dataset_name")


def caption_format(suffix: str) -> Callable[[Path], Form]:
    """The writer of a folder of captions with an extension, of which one file is broken."""
    cases = [case for case in FORMATS if case.suffix == suffix]
    case = next(case for case in cases if int(case.cues[-1].split()[1]) < 30_000)
    cues = [(int(start), int(end), text) for start, end, text in (cue.split(" ", 2) for cue in case.cues)]

    def write(folder: Path) -> Form:
        write_sounds(folder, ["talk", "bad"], seconds=cues[-1][1] / 1000 + 1)
        (folder / f"talk{suffix}").write_bytes(case.data)
        (folder / f"bad{suffix}").write_text(BROKEN[suffix][0])
        return Form([cues], "bad: skipped: ")

    return write


FORMS: dict[str, Callable[[Path], Form]] = {
    form.__name__: form
    for form in (deep, yt_dlp, plain_text, metadata_csv, metadata_jsonl, common_voice, ljspeech, manifest)
} | {"parquet": parquet, "arrow": arrow}
FORMS |= {
    suffix: caption_format(suffix)
    for suffix in dict.fromkeys(case.suffix for case in FORMATS)
    if suffix in BROKEN
}
