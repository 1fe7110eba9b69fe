import os
import socket
from pathlib import Path

import pytest
from damages import DAMAGES, Damage
from files import write_files

from recipe.data.manifest import ManifestEntry, list_folder, locate_files, read_manifest
from recipe.errors import DataError


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param([], "It is empty", id="empty"),
        pytest.param(["notes.docx"], r"It holds 1 \.docx \(notes.docx\)", id="one document"),
        pytest.param(["a.vtt", "b.VTT"], r"It holds 2 \.vtt \(a.vtt\)", id="captions alone"),
        pytest.param(["x/y/Makefile"], r"It holds 1 without an extension \(x/y/Makefile\)", id="deep"),
        pytest.param([".env"], r"It holds 1 hidden \(.env\)", id="hidden"),
        pytest.param([".talk.mp3"], r"It holds 1 hidden \(.talk.mp3\)", id="hidden audio"),
        pytest.param(
            ["__MACOSX/a.mp3"], r"It holds 1 folder passed over \(__MACOSX/\)", id="an archive's rest"
        ),
        pytest.param(["a.mp4.part", "a.mp4.ytdl"], r"1 \.part \(.*1 \.ytdl", id="an unfinished download"),
        pytest.param([f"a.{n}" for n in "bcdefghi"], "and 2 more files", id="many kinds"),
    ],
)
def test_a_folder_without_audio_is_refused_and_what_it_holds_is_named(tmp_path, names, found):
    write_files(tmp_path, dict.fromkeys(names, ""))
    with pytest.raises(DataError, match=f"holds no audio file. .*{found}.*; expected names such as talk.m4a"):
        list_folder(tmp_path)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match="missing does not exist"):
        list_folder(tmp_path / "missing")


def test_too_many_files_are_refused(tmp_path):
    write_files(tmp_path, {f"{number}/{number}.jpg": "" for number in range(11)})
    with pytest.raises(DataError, match="more than 10 files; give a folder of recordings only"):
        list_folder(tmp_path, max_files=10)


def test_folders_are_read_at_any_depth_and_links_that_go_round_end(tmp_path):
    found = ["a/b/c/talk.wav", "a/b/c/talk.vtt", "Talk.mp4/Talk.mp4", "top.mp3"]
    write_files(tmp_path / "data", dict.fromkeys(found, ""))
    write_files(tmp_path / "elsewhere", {"far.wav": ""})
    (tmp_path / "data" / "a" / "b" / "round").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "elsewhere")
    names = [entry.filename for entry in list_folder(tmp_path / "data").entries]
    assert names == ["Talk.mp4/Talk.mp4", "a/b/c/talk.vtt", "a/b/c/talk.wav", "again/far.wav", "top.mp3"]


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"")
    with pytest.raises(DataError, match=r"'caf\\udce9.wav'.*not UTF-8; rename it"):
        list_folder(tmp_path)


def test_what_is_no_file_is_missing_and_named(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.vtt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.vtt"))
    (tmp_path / "endless.wav").symlink_to("/dev/zero")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "ring.wav").symlink_to(tmp_path / "ring.wav")
    (tmp_path / "talk.wav").write_bytes(b"RIFF")
    (tmp_path / "link.wav").symlink_to(tmp_path / "talk.wav")
    files = locate_files(tmp_path, list_folder(tmp_path).entries)
    assert {name: file.error for name, file in files.items()} == {
        "folder.wav": "folder.wav is a folder, expected a file",
        "pipe.vtt": "pipe.vtt is a named pipe, expected a file",
        "socket.vtt": "socket.vtt is a socket, expected a file",
        "endless.wav": "endless.wav is a device, expected a file",
        "dangling.wav": "dangling.wav leads to no file (No such file or directory)",
        "ring.wav": "ring.wav leads to no file (Too many levels of symbolic links)",
        "talk.wav": "",
        "link.wav": "",
    }
    assert [name for name, file in files.items() if file.path] == ["link.wav", "talk.wav"]


def test_a_folder_lists_audio_and_what_says_something_about_it(tmp_path):
    names = ["a.wav", "b.MP4", "b.en.vtt", "b.info.json", "b.txt"]
    ignored = [".hidden/", "b.description", "b.live_chat.json", "b.temp.mp4", "b.webp", "notes.docx"]
    others = [name + "x" * name.endswith("/") for name in ignored]
    write_files(tmp_path, dict.fromkeys([*names, *others], ""))
    listing = list_folder(tmp_path)
    assert listing.ignored == ignored
    assert listing.entries == [
        ManifestEntry("audio" if name.endswith(("wav", "MP4")) else "transcript", name) for name in names
    ]


def test_captions_of_any_format_are_listed_and_json_only_if_it_is_a_transcript_beside_audio(tmp_path):
    transcript = '{"segments": [{"start": 0.0, "end": 1.0, "text": "a"}]}'
    for name in ("a.wav", "b.wav", "c.wav", "d.wav", "b.ASS", "c.TextGrid"):
        (tmp_path / name).write_text("")
    (tmp_path / "a.json").write_text(transcript)
    (tmp_path / "d.en.json").write_text(transcript)
    (tmp_path / "other.json").write_text(transcript)
    (tmp_path / "b.info.json").write_text('{"id": "b", "formats": [], "chapters": [{"start_time": 0}]}')
    listed = [entry.filename for entry in list_folder(tmp_path).entries if entry.file_type == "transcript"]
    assert [name for name in listed if name != "b.info.json"] == [
        "a.json",
        "b.ASS",
        "c.TextGrid",
        "d.en.json",
    ]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('[{"file_type": "audio", "filename": "a.wav"}]')
    assert read_manifest(path) == [ManifestEntry("audio", "a.wav")]
    damage(path)
    if damage is DAMAGES["bit-flipped"]:
        path.write_text('[{"file_type": "audin", "filename": "a.wav"}]')
    with pytest.raises(DataError, match=r"manifest\.json cannot be read: .*Expected a JSON list"):
        read_manifest(path)
    assert path.exists(), "it is the user's own"
