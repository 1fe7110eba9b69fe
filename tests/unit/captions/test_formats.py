from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress

import pytest
from caption_cases import Case
from caption_files import read_written
from format_cases import BROKEN, FORMATS, textgrid

from recipe.captions.formats import CAPTION_EXTENSIONS, is_transcript
from recipe.captions.reader import read_captions, read_language
from recipe.errors import CaptionError


def read(case: Case, tmp_path):
    return read_written(tmp_path, case.data, case.suffix)


@pytest.mark.parametrize("case", FORMATS, ids=lambda case: case.id)
def test_training_sees_the_cues(case, tmp_path):
    captions = read(case, tmp_path)
    assert [f"{cue.start_ms} {cue.end_ms} {cue.text}" for cue in captions.cues] == list(case.cues)
    assert captions.num_cues_in == len(captions.cues) + captions.num_merged + captions.num_dropped


@pytest.mark.parametrize("case", FORMATS, ids=lambda case: case.id)
def test_every_change_and_loss_is_noted(case, tmp_path):
    notes = [f"{note.action} {note.line} {note.reason}" for note in read(case, tmp_path).notes]
    assert len(notes) == len(case.notes), notes
    for note, expected in zip(notes, case.notes, strict=True):
        action_and_line, reason = " ".join(expected.split()[:2]), " ".join(expected.split()[2:])
        assert note.startswith(f"{action_and_line} ")
        assert reason in note


@pytest.mark.parametrize("suffix", BROKEN)
def test_a_broken_file_is_refused_with_a_sentence(suffix, tmp_path):
    data, sentence = BROKEN[suffix]
    path = tmp_path / f"talk{suffix}"
    path.write_text(data, encoding="utf-8")
    with pytest.raises(CaptionError) as refused:
        read_captions(path)
    message = str(refused.value)
    assert message.startswith(f"talk{suffix}: ")
    assert sentence in message
    assert "\n" not in message


def test_every_extension_has_a_file_and_a_broken_one():
    extensions = {case.suffix.lower() for case in FORMATS}
    assert extensions | {".vtt", ".srt"} >= CAPTION_EXTENSIONS
    assert extensions - {".srt"} <= {suffix.lower() for suffix in BROKEN}


@pytest.mark.parametrize(
    ("id_", "words"),
    [
        ("ass_karaoke", [(1000, "Au"), (1500, "clair"), (2000, "de"), (3000, "la lune")]),
        ("lyrics_by_words_with_an_offset", [(1000, "Sur"), (1500, "le"), (2000, "pont")]),
        ("ttml_timed_by_spans", [(1000, "On garde"), (2000, "des abeilles.")]),
        ("srv3_scrolling_with_words", [(1000, "we"), (1400, "keep"), (1900, "bees")]),
        ("json3_scrolling", [(1000, "we"), (1400, "keep"), (1900, "bees")]),
        (
            "whisperx_with_a_number_that_was_not_aligned",
            [(1000, "In"), (1000, "2014"), (2000, "kamen"), (2500, "Bienen.")],
        ),
        ("whisper_with_words_of_its_api", [(1000, "On"), (1400, "garde.")]),
        ("textgrid_of_a_forced_aligner", [(1000, "nous"), (1400, "gardons"), (2000, "l'abeille")]),
    ],
)
def test_word_times_are_kept(id_, words, tmp_path):
    (case,) = (case for case in FORMATS if case.id == id_)
    first = read(case, tmp_path).cues[0]
    assert [(word.start_ms, word.text) for word in first.words] == words


def test_speakers_are_kept(tmp_path):
    for id_, speakers in {
        "ass_two_speakers_and_italics": ["Anna", "Ben"],
        "eaf_of_two_speakers_with_a_translation": ["Anna", "Ben"],
        "whisperx_with_a_number_that_was_not_aligned": ["SPEAKER_00"],
    }.items():
        (case,) = (case for case in FORMATS if case.id == id_)
        assert [cue.speaker for cue in read(case, tmp_path).cues] == speakers


def test_a_sign_where_nothing_is_said_may_be_speech_after_all(tmp_path):
    case = next(case for case in FORMATS if case.id == "ass_a_sign_of_its_own_style_over_dialogue")
    assert read(case, tmp_path).lost_speech_ms == ()
    source = case.source.replace("0:00:01.50,0:00:03.00", "0:00:07.00,0:00:09.00")
    alone = Case("", source, (), suffix=".ass")
    assert read(alone, tmp_path).lost_speech_ms == ((7000, 9000),)


@pytest.mark.parametrize(
    ("name", "data", "language"),
    [
        ("a.vtt", "WEBVTT\nKind: captions\nLanguage: fr-CA\n\n", "fr-CA"),
        ("b.ttml", '<?xml version="1.0"?>\n<tt xmlns="http://www.w3.org/ns/ttml" xml:lang="pt-BR">', "pt-BR"),
        ("c.json", '{"text": "…", "segments": [], "language": "ja"}', "ja"),
        ("d.srt", "1\n00:00:01,000 --> 00:00:02,000\nLanguage: none\n", None),
        ("e.lrc", "[00:01.00]x\n", None),
    ],
)
def test_a_file_says_its_language(name, data, language, tmp_path):
    (tmp_path / name).write_text(data, encoding="utf-8")
    assert read_language(tmp_path / name) == language


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"text": "a long one", "segments": [{"start": 0.0, "end": 1.0, "text": "a"}]}', True),
        ('[{"start": 0.0, "end": 1.0, "text": "a"}]', True),
        ('{"id": "x", "title": "y", "chapters": [{"start_time": 0}], "formats": []}', False),
        ('{"model": "whisper", "epochs": 3}', False),
        ("no JSON at all", False),
    ],
)
def test_a_transcript_is_told_from_other_json(text, expected, tmp_path):
    path = tmp_path / "talk.json"
    path.write_text(text)
    assert is_transcript(path) is expected


HEADS = {
    ".ass": "[Script Info]\n[Events]\nDialogue: 0,0:00:01.00,0:00:03.50,Default,,0,0,0,,",
    ".sub": "{1}{1}25\n{25}{88}",
    ".mpl": "[10][20]",
    ".sbv": "0:00:01.000,0:00:03.500\n",
    ".lrc": "[00:01.00]",
    ".ttml": '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">',
    ".srv3": '<timedtext><body><p t="1" d="2">',
    ".json": '{"segments": [{"start": 1, "end": 2, "text": "',
    ".TextGrid": textgrid(("words", [])) + "        intervals [1]:\n",
    ".eaf": '<ANNOTATION_DOCUMENT><TIER TIER_ID="',
}
UNITS = [
    "{",
    "{\\k10}",
    "{\\",
    "[00:01.00]",
    "<00:01.00>",
    "<p begin='1s' end='2s'>a</p>",
    "<!--",
    '"',
    "[[",
    "\n",
]
UNITS += ['{"start":1,"end":2,"text":"a"},', 'xmax = 2\ntext = "a"\n', "<", "a ", "\xe9"]


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
@pytest.mark.parametrize("suffix", HEADS)
def test_much_of_anything_takes_linear_time(suffix, unit, tmp_path):
    path = tmp_path / f"talk{suffix}"
    path.write_text(HEADS[suffix] + unit * (100_000 // len(unit)), encoding="latin-1")
    started = time.process_time()
    with suppress(CaptionError):
        read_captions(path, language="fr")
    assert time.process_time() - started < 3, "a third of a second or less"


def test_no_library_is_loaded_for_webvtt(tmp_path):
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n")
    code = (
        "import sys; from pathlib import Path; from recipe.captions.reader import read_captions; "
        f"read_captions(Path({str(tmp_path / 'talk.vtt')!r})); "
        "libraries = {'pysubs2', 'ttconv', 'praatio', 'charset_normalizer'}; "
        "print(sorted(libraries & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
