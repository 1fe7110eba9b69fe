import os
import socket
from pathlib import Path

import pytest
from damages import DAMAGES, Damage

from recipe.data.manifest import (
    LocalFile,
    ManifestEntry,
    list_folder,
    locate_files,
    pair_recordings,
    read_manifest,
)
from recipe.errors import DataError


def pair(*names: str, language: str | None = None):
    entries = [
        ManifestEntry("transcript" if name.endswith((".vtt", ".srt")) else "audio", name) for name in names
    ]
    return pair_recordings(entries, {name: LocalFile(Path(name)) for name in names}, language)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["r1.wav", "r1.vtt"], [("r1", "r1.wav", "r1.vtt", "")], id="plain"),
        pytest.param(
            ["talk [abc].m4a", "talk [abc].en.vtt"],
            [("talk [abc]", "talk [abc].m4a", "talk [abc].en.vtt", "en")],
            id="language-tag",
        ),
        pytest.param(
            ["talk.webm", "talk.fr-CA.srt"],
            [("talk", "talk.webm", "talk.fr-CA.srt", "fr-CA")],
            id="region-tag",
        ),
        pytest.param(
            ["a.en.wav", "a.en.vtt"], [("a.en", "a.en.wav", "a.en.vtt", "")], id="tag-in-both-names"
        ),
        pytest.param(
            ["b.wav", "a.wav"], [("a", "a.wav", None, ""), ("b", "b.wav", None, "")], id="no-captions"
        ),
        pytest.param(["a.vtt"], [("a", None, "a.vtt", "")], id="no-audio"),
    ],
)
def test_names_pair_without_extension_and_language_tag(names, expected):
    found = [
        (
            r.name,
            r.audio.path and r.audio.path.name,
            r.transcript.path and r.transcript.path.name,
            r.language_tag,
        )
        for r in pair(*names)
    ]
    assert found == expected


def test_the_jobs_language_chooses_among_several_captions():
    (recording,) = pair("a.wav", "a.en.vtt", "a.fr-CA.vtt", language="fr")
    assert recording.transcript.path == Path("a.fr-CA.vtt")


@pytest.mark.parametrize(
    ("names", "language", "message"),
    [
        pytest.param(["a.wav", "a.en.vtt", "a.fr.vtt"], None, "a.en.vtt, a.fr.vtt", id="no-language"),
        pytest.param(["a.wav", "a.en.vtt", "a.fr.vtt"], "de", "language", id="another-language"),
        pytest.param(["a.wav", "a.vtt", "a.srt"], "en", "a.vtt, a.srt", id="same-language-twice"),
        pytest.param(["a.wav", "a.mp3"], None, "a.wav, a.mp3", id="two-audio-files"),
    ],
)
def test_what_cannot_be_paired_is_named(names, language, message):
    with pytest.raises(DataError, match="Recording 'a'") as caught:
        pair(*names, language=language)
    assert message in str(caught.value)


def test_a_folder_without_audio_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="holds no audio file"):
        list_folder(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        list_folder(tmp_path / "missing")


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
    files = locate_files(tmp_path, list_folder(tmp_path))
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


def test_a_folder_lists_audio_and_captions_only(tmp_path):
    for name in ("b.MP4", "b.vtt", "a.wav", "notes.md"):
        (tmp_path / name).write_text("")
    assert list_folder(tmp_path) == [
        ManifestEntry("audio", "a.wav"),
        ManifestEntry("audio", "b.MP4"),
        ManifestEntry("transcript", "b.vtt"),
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
