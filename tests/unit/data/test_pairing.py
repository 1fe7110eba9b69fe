import json
import random
import re
from pathlib import Path, PurePosixPath

import pytest
from files import write_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipe.data.caption_choice import Wanted
from recipe.data.manifest import AUDIO_EXTENSIONS, LocalFile, ManifestEntry, Recording, list_folder
from recipe.data.pairing import Pairing, pair_recordings
from recipe.data.sources import read_folder

CUES = [
    "Good evening to you all.",
    "It is late, so I will be short.",
    "Thank you.",
    "Are there questions?",
    "No.",
]


def write_captions(*texts: str, word_times: bool = False) -> str:
    blocks = []
    for number, text in enumerate(texts or CUES):
        first, *rest = text.split()
        timed = " ".join(f"<00:00:{2 * number:02}.500><c> {word}</c>" for word in rest)
        blocks.append(
            f"00:00:{2 * number:02}.000 --> 00:00:{2 * number + 1:02}.900\n"
            + (f"{first}{timed}" if word_times else text)
        )
    return "WEBVTT\n\n" + "\n\n".join(blocks) + "\n"


PEOPLE, MACHINE = write_captions(), write_captions(word_times=True)
OTHER_WORDS = write_captions("Nothing of this", "was ever said", "in the talk", "that is beside it.")


def pair(*names: str, language: str = "") -> Pairing:
    entries = [
        ManifestEntry(
            "audio" if PurePosixPath(name).suffix.lower() in AUDIO_EXTENSIONS else "transcript", name
        )
        for name in names
    ]
    return pair_recordings(
        entries, {name: LocalFile(Path("/nowhere") / name) for name in names}, Wanted(language)
    )


def read_one(folder: Path, files: dict[str, str], wanted: Wanted = Wanted()) -> Recording:  # noqa: B008
    (recording,) = read_folder(write_files(folder, files), wanted).recordings
    return recording


def taken(recording: Recording) -> str:
    return recording.transcript.path.name if recording.transcript.path else ""


@pytest.mark.parametrize(
    ("audio", "captions", "tag"),
    [
        ("r1.wav", "r1.vtt", ""),
        ("talk [abc].m4a", "talk [abc].en.vtt", "en"),
        ("talk.webm", "talk.fr-CA.srt", "fr-CA"),
        ("a.en.wav", "a.en.vtt", ""),
        ("GMT20240102-100000_Recording.m4a", "GMT20240102-100000_Recording.transcript.vtt", ""),
        ("GMT20240102-100000_Recording_1920x1080.mp4", "GMT20240102-100000_Recording.transcript.vtt", ""),
        ("Vorlesung 3 720p.mp4", "Vorlesung 3.de.srt", "de"),
        ("aula.f140.m4a", "aula.pt-BR.vtt", "pt-BR"),
        ("Réunion - 2024-01-02 - Recording.mp4", "Réunion - 2024-01-02 - Transcript.txt", ""),
        ("Lecture 1_default.mp4", "Lecture 1_Captions_English (United States).vtt", "en-US"),
        ("talk.mp3", "talk.mp3.srt", ""),
        ("conférence.ogg", "conférence.ogg.fr.vtt", "fr"),
        ("talk.m4a", "talk.en_US.vtt", "en-US"),
        ("entretien.m4a", "entretien_fr.vtt", "fr"),
        ("talk.mkv", "talk.en.sdh.srt", "en"),
        ("talk.mkv", "talk.en.hi.srt", "en"),
        ("talk.mkv", "talk.cc.vtt", ""),
        ("talk.mp4", "talk.English.srt", "en"),
        ("charla.mp4", "charla - Español (España).srt", "es-ES"),
        ("講演.mp4", "講演.日本語.srt", "ja"),
        ("Лекция 1.mp3", "лекция 1 (русский).vtt", "ru"),
        ("Talk.MP4", "talk.vtt", ""),
        ("STRASSE.wav", "straße.vtt", ""),
        ("cafe\u0301.mp3", "caf\u00e9.vtt", ""),
        ("ハ\u3099ス.mp3", "バス.vtt", ""),
        ("talk.webm", "talk.en-orig.vtt", "en"),
        ("Lecture 1/video.mp4", "Lecture 1/subtitles.srt", ""),
        ("Lecture 1/video.mp4", "Lecture 1/fr.vtt", "fr"),
        ("Film.mkv", "Subs/Film/German.srt", "de"),
        ("audio/talk.mp3", "subs/talk.en.vtt", "en"),
        ("wav/2021/03/a.wav", "vtt/2021/03/a.vtt", ""),
        ("media/talk.mp3", "subs/de/talk.vtt", "de"),
        ("media/talk.mp3", "subs/deu/talk.vtt", "de"),
        ("media/talk.mp3", "subs/mai/talk.vtt", ""),  # the month, hardly Maithili
        ("clips/a/b/talk.flac", "clips/a/b/talk.vtt", ""),
        ("Talk.mp4", "[English (auto-generated)] Talk [DownSub.com].srt", "en"),
        ("Un discours.webm", "(Français) Un discours.vtt", "fr"),
        ("[Live] 講演.mp4", "【日本語】[Live] 講演.srt", "ja"),
    ],
)
def test_names_pair_as_people_and_tools_write_them(audio, captions, tag):
    (recording,) = pair(audio, captions).recordings
    name = str(PurePosixPath(audio).with_suffix(""))
    assert (recording.name, taken(recording)) == (name, PurePosixPath(captions).name)
    assert (recording.language_tag, recording.problem) == (tag, "")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(
            ["talk.mp3", "talk 1.mp3", "talk.vtt", "talk 1.en.vtt"],
            {"talk": "talk.vtt", "talk 1": "talk 1.en.vtt"},
            id="the longest name",
        ),
        pytest.param(
            ["Talk.mp3", "talk.wav", "talk.vtt", "Talk.en.vtt"],
            {"Talk": "Talk.en.vtt", "talk": "talk.vtt"},
            id="the same case first",
        ),
        pytest.param(
            ["en/a.mp3", "de/a.mp3", "en/a.vtt", "de/a.vtt"],
            {"en/a": "a.vtt", "de/a": "a.vtt"},
            id="the same folder first",
        ),
        pytest.param(
            ["audio/x/a.mp3", "audio/y/a.mp3", "subs/x/a.vtt", "subs/y/a.srt"],
            {"audio/x/a": "a.vtt", "audio/y/a": "a.srt"},
            id="folders that are alike",
        ),
        pytest.param(
            ["x/a.mp3", "y/a.mp3", "x/subs/a.vtt", "y/subs/a.srt"],
            {"x/a": "a.vtt", "y/a": "a.srt"},
            id="a folder below",
        ),
        pytest.param(["b.wav", "a.wav"], {"a": "", "b": ""}, id="no captions"),
        pytest.param(
            ["t.f137.mp4", "t.f140.m4a", "t.en.vtt"],
            {"t.f140": "t.en.vtt", "t.f137": ""},
            id="the sound alone",
        ),
        pytest.param(
            ["talk-2.mp3", "talk.mp3", "talk.vtt"], {"talk": "talk.vtt", "talk-2": ""}, id="one of two"
        ),
    ],
)
def test_each_caption_file_finds_its_audio_among_several(names, expected):
    assert {recording.name: taken(recording) for recording in pair(*names).recordings} == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param(
            ["interview.wav", "intervieuw.vtt"],
            "1 caption file is not used, since no one audio file has that name: "
            "intervieuw.vtt (did you mean interview.wav?).",
            id="misspelt",
        ),
        pytest.param(
            ["Лекция-01.mp3", "Лекция-1.ru.srt"],
            "Лекция-1.ru.srt (did you mean Лекция-01.mp3?).",
            id="with a tag",
        ),
        pytest.param(["a.wav", "lost.vtt"], "that name: lost.vtt.", id="nothing is like it"),
        pytest.param(
            ["talk01.mp3", "talk02.mp3", "talk01.vtt", "talk-02.en.forced.srt"],
            "talk-02.en.forced.srt (did you mean talk02.mp3?)",
            id="only audio without captions is meant",
        ),
        pytest.param(["a.wav", "b\nc.vtt"], "that name: 'b\\nc.vtt'.", id="a line break"),
        pytest.param(["a.wav", "a.vtt", "b.vtt", "c.srt"], "2 caption files are not used", id="two"),
        pytest.param(
            ["x/talk.mp3", "y/talk.mp3", "talk.vtt"], "talk.vtt (did you mean", id="two could be meant"
        ),
        pytest.param(["talk.mp3", "talk part 2.vtt"], "talk part 2.vtt", id="another part"),
        pytest.param(["a.wav", *(f"{n}.vtt" for n in range(25))], "and 5 more.", id="many"),
    ],
)
def test_captions_without_audio_are_named_and_train_nothing(names, sentence):
    pairing = pair(*names)
    assert sentence in pairing.warnings[0]
    assert {recording.name for recording in pairing.recordings} == {
        str(PurePosixPath(name).with_suffix("")) for name in names if not name.endswith(("vtt", "srt"))
    }


@pytest.mark.parametrize(
    ("names", "language", "problem"),
    [
        pytest.param(
            ["a.wav", "a.en.vtt", "a.fr.vtt"], "", "nobody said which language is spoken", id="languages"
        ),
        pytest.param(["a.wav", "a.en.vtt", "a.fr.vtt"], "de", "German is wanted", id="another language"),
        pytest.param(
            ["a.wav", "a.en.vtt"], "fr", "in English (a.en.vtt), and French is wanted", id="a single one"
        ),
        pytest.param(
            ["a.wav", "a.vtt", "a.srt"], "en", "caption files that differ: a.srt, a.vtt", id="twice"
        ),
        pytest.param(
            ["a.wav", "a.mp3", "a.vtt"], "", "several audio files: a.mp3, a.wav", id="two audio files"
        ),
    ],
)
def test_what_cannot_be_decided_costs_its_recording_only(names, language, problem):
    undecided, good = pair(*names, "good.wav", "good.vtt", language=language).recordings
    assert problem in undecided.problem
    assert undecided.transcript.path is None
    assert (taken(good), good.problem) == ("good.vtt", "")


@pytest.mark.parametrize(
    ("names", "language", "expected"),
    [
        pytest.param(["a.wav", "a.en.vtt", "a.fr-CA.vtt"], "fr", "a.fr-CA.vtt", id="the job's language"),
        pytest.param(["a.wav", "a.vtt", "a.de.vtt"], "", "a.vtt", id="without a tag"),
        pytest.param(
            ["a.wav", "a.vtt", "a.de.vtt"], "fr", "a.vtt", id="without a tag, others in another language"
        ),
        pytest.param(["a.wav", "a.vtt", "a.de.vtt"], "de", "a.de.vtt", id="with the tag"),
        pytest.param(["a.wav", "a.pt.vtt", "a.pt-BR.vtt"], "pt", "a.pt.vtt", id="the very tag"),
        pytest.param(["a.wav", "a.nb.vtt", "a.en.vtt"], "no", "a.nb.vtt", id="a kindred code"),
        pytest.param(
            ["a.wav", "a.en.srt", "a.en.sdh.srt"], "en", "a.en.srt", id="plain before hearing impaired"
        ),
        pytest.param(["a.wav", "a.en.srt", "a.en.forced.srt"], "en", "a.en.srt", id="forced is no dialogue"),
        pytest.param(["a.wav", "a.srt", "a.txt"], "", "a.srt", id="times before a text"),
        pytest.param(["a.wav", "a.txt"], "", "a.txt", id="a text alone"),
        pytest.param(["a.wav", "a.hi.srt", "a.en.srt"], "hi", "a.hi.srt", id="Hindi"),
        pytest.param(["a.wav", "a.hi.srt"], "en", "a.hi.srt", id="hearing impaired"),
        pytest.param(["a.wav", "a.vtt", "a.chapters.vtt"], "", "a.vtt", id="chapters"),
        pytest.param(["a.wav", "a.en-orig.vtt", "a.de.vtt"], "", "a.en-orig.vtt", id="the original"),
    ],
)
def test_of_several_captions_one_is_taken_and_the_others_are_named(names, language, expected):
    (recording,) = pair(*names, language=language).recordings
    assert (taken(recording), recording.problem) == (expected, "")
    others = {*names[1:]} - {expected}
    assert {note.partition(" is not used: ")[0] for note in recording.notes} == others


def test_hindi_captions_are_not_those_for_the_hearing_impaired():
    (recording,) = pair("a.wav", "a.hi.srt").recordings
    assert recording.language_tag == "hi"
    (recording,) = pair("a.wav", "a.hi.srt", "a.ta.srt", language="en").recordings
    assert "in Hindi and Tamil" in recording.problem


def test_the_same_captions_in_two_formats_are_one(tmp_path):
    srt = PEOPLE.replace("WEBVTT\n\n", "").replace(".", ",", 0)
    assert taken(read_one(tmp_path / "same", {"a.wav": "", "a.vtt": PEOPLE, "a.srt": srt})) == "a.vtt"
    differ = read_one(tmp_path / "differ", {"a.wav": "", "a.vtt": PEOPLE, "a.srt": OTHER_WORDS})
    assert "a.srt, a.vtt" in differ.problem


VIDEO = "Une soirée [dQw4w9WgXcQ]"


def write_video(folder: Path, info: object, *captions: str, content: str = PEOPLE) -> Path:
    text = info if isinstance(info, str) else json.dumps(info)
    names = dict.fromkeys((f"{VIDEO}.{tag}.vtt" for tag in captions), content)
    return write_files(folder, {f"{VIDEO}.webm": "", f"{VIDEO}.info.json": text, **names})


@pytest.mark.parametrize(
    ("info", "language", "tags", "expected", "is_automatic"),
    [
        pytest.param({"language": "fr"}, "", ["fr", "de"], "fr", False, id="the video's language"),
        pytest.param({"language": "en-GB"}, "", ["en-GB", "en"], "en-GB", False, id="the video's variety"),
        pytest.param({"language": "fr"}, "de", ["fr", "de"], "de", False, id="the job's before it"),
        pytest.param(
            {"language": "fr", "subtitles": {"fr": []}, "automatic_captions": {"fr-orig": [], "fr": []}},
            *("", ["fr", "fr-orig"], "fr", False),
            id="people before a machine",
        ),
        pytest.param(
            {"subtitles": {}, "automatic_captions": {"fr-orig": [], "fr": [], "en": []}},
            *("", ["fr", "fr-orig", "en"], "fr-orig", True),
            id="a machine's, as it wrote them",
        ),
        pytest.param({"automatic_captions": {"fr": []}}, "", ["fr"], "fr", True, id="a machine's alone"),
        pytest.param({"subtitles": None, "language": None}, "fr", ["fr"], "fr", False, id="nothing is known"),
        pytest.param({"language": "und"}, "", ["fr"], "fr", False, id="undetermined"),
        pytest.param({"language": "English (US)"}, "", ["en"], "en", False, id="no tag"),
        pytest.param({"subtitles": {"hi": []}, "language": "hi"}, "", ["hi", "en"], "hi", False, id="Hindi"),
    ],
)
def test_a_videos_info_chooses_among_its_captions(tmp_path, info, language, tags, expected, is_automatic):
    (recording,) = read_folder(write_video(tmp_path, info, *tags), Wanted(language)).recordings
    assert taken(recording) == f"{VIDEO}.{expected}.vtt"
    assert recording.is_automatic == is_automatic
    assert len(recording.notes) == len(tags) - 1


@pytest.mark.parametrize(
    "info", ["{", "[1, 2]", '{"language": {"a": 1}}', "\x00", "[" * 100_000, '{"language": 1e999}']
)
def test_a_damaged_info_is_passed_over_with_a_note(tmp_path, info):
    (recording,) = read_folder(write_video(tmp_path, info, "fr"), Wanted("fr")).recordings
    assert taken(recording) == f"{VIDEO}.fr.vtt"
    if info != '{"language": 1e999}':  # as JSON of other programs has it
        assert f"{VIDEO}.info.json is not used: " in recording.notes[0]


def test_a_videos_channel_is_its_group_and_its_chapters_share_it(tmp_path):
    write_video(tmp_path, {"channel_id": "UC1", "uploader": "Someone"}, "fr")
    (tmp_path / f"{VIDEO}.webm").unlink()
    write_files(tmp_path, {f"Une soirée - {n:03} Teil [dQw4w9WgXcQ].webm": "" for n in (1, 2)})
    write_files(tmp_path, {"other [abcdefghi-1].webm": "", "plain.wav": ""})
    groups = {recording.name[:14]: recording.group for recording in read_folder(tmp_path).recordings}
    assert groups == {"Une soirée - 0": "UC1", "other [abcdefg": "abcdefghi-1", "plain": ""}


def test_a_machines_captions_are_told_by_their_marks_and_used_or_not(tmp_path):
    write_files(tmp_path, {"a.wav": "", "a.en.vtt": MACHINE, "b.wav": "", "b.en.vtt": PEOPLE})
    pairing = read_folder(tmp_path)
    assert [recording.is_automatic for recording in pairing.recordings] == [True, False]
    assert "1 of 2 recordings have captions that a machine made" in pairing.warnings[0]
    first, second = read_folder(tmp_path, Wanted(uses_automatic=False)).recordings
    assert first.problem == "its captions are machine-made (a.en.vtt), and auto_captions is skip"
    assert (second.problem, taken(second)) == ("", "b.en.vtt")


def test_people_before_a_machine_by_the_marks_in_the_files(tmp_path):
    files = {"a.wav": "", "a.en.vtt": MACHINE, "a.en-GB.vtt": PEOPLE}
    assert taken(read_one(tmp_path, files, Wanted("en"))) == "a.en-GB.vtt"


def test_a_whole_folder_of_a_download_tool(tmp_path):
    info = {
        "language": "fr",
        "subtitles": {"fr": []},
        "automatic_captions": {"fr-orig": [], "de": []},
        "channel_id": "UC1",
    }
    write_video(tmp_path, info, "fr", "fr-orig", "de")
    rest = ("description", "live_chat.json", "webp", "mp4.part", "f137.mp4.ytdl", "jpg")
    write_files(tmp_path, {f"{VIDEO}.{extension}": "" for extension in rest})
    pairing = read_folder(tmp_path)
    (recording,) = pairing.recordings
    assert (taken(recording), recording.group, recording.problem) == (f"{VIDEO}.fr.vtt", "UC1", "")
    (warning,) = pairing.warnings
    assert warning.startswith("Files that are no recordings were passed over: 1 .")


words = st.sampled_from(
    ["talk", "Talk", "été", "a", "en", "fr", "part", "2", "hi", "orig", "chapters", "info", "[dQw4w9WgXcQ]"]
)
separators = st.sampled_from([".", "_", "-", " ", ""])
extensions = st.sampled_from(
    [".wav", ".mp3", ".vtt", ".srt", ".txt", ".json", ".info.json", ".part", ".jpg", "", ".MP4"]
)
folders = st.sampled_from(["", "audio/", "subs/", "subs/fr/", ".git/", "__MACOSX/", "talk.wav/"])


@st.composite
def file_names(draw: st.DrawFn) -> str:
    stem = "".join(draw(words) + draw(separators) for _ in range(draw(st.integers(1, 3))))
    return draw(folders) + draw(st.sampled_from(["", "."])) + stem + draw(extensions)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(file_names(), min_size=1, max_size=12), st.sampled_from(["", "en", "fr"]))
def test_every_file_is_in_a_recording_or_named_or_counted(tmp_path_factory, names, language):
    folder = tmp_path_factory.mktemp("any")
    names = {name.strip() for name in names} | {"always.wav"}
    names = {name for name in names if not any(f"{name}/" == other[: len(name) + 1] for other in names)}
    write_files(folder, dict.fromkeys(names, PEOPLE))
    pairing = read_folder(folder, Wanted(language))
    assert len({recording.name for recording in pairing.recordings}) == len(pairing.recordings)
    used = {
        str(file.path.relative_to(folder))
        for r in pairing.recordings
        for file in (r.audio, r.transcript)
        if file.path
    }
    said = " ".join([*pairing.warnings, *(f"{r.problem} {' '.join(r.notes)}" for r in pairing.recordings)])
    num_counted = sum(
        int(number)
        for number in re.findall(r"(\d+) (?:\.\w+|hidden|without an|folder passed|more files)", said)
    )
    listing = list_folder(folder)
    left = {e.filename for e in listing.entries if e.filename not in used and e.filename not in said}
    left = {name for name in left if not name.endswith(".info.json")}  # read, or counted
    assert num_counted >= len(listing.ignored) + len(left)
    assert {e.filename for e in listing.entries} | set(listing.ignored) >= {
        name for name in names if not re.search(r"(^|/)(\.git|__MACOSX)/", name)
    }


def test_many_files_pair_in_seconds():
    rng = random.Random(0)
    names = [f"{n % 100}/{rng.randrange(10**9)} lecture {n}" for n in range(5_000)]
    files = [f"{name}{end}" for name in names for end in (".mp4", ".en.vtt")]
    assert all(map(taken, pair(*files).recordings))
