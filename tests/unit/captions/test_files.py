from __future__ import annotations

import json

import pytest

from recipe.captions.reader import Captions, Cue, decode_captions, parse_subrip, read_captions
from recipe.errors import CaptionError

CUE = "00:01.000 --> 00:03.000\nHello.\n"


def write(tmp_path, data, name="talk.vtt"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("", "is empty"),
        ("\ufeff \n\r\n\t", "is empty"),
        (
            json.dumps({"segments": [{"start": 0, "text": "00:00:01.000 --> 00:00:02.000"}]}),
            "looks like JSON",
        ),
        ('[{"start": 0}]', "looks like JSON"),
        ("<!DOCTYPE html>\n<html><!-- 00:00:01.000 --> </html>", "looks like an HTML page"),
        (
            '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"></tt>',
            "looks like TTML, and holds no text",
        ),
        ('<?xml version="1.0"?><rss version="2.0"></rss>', "looks like an XML document"),
        ("[Script Info]\nTitle: x\n", "looks like SubStation Alpha"),
        ("Hello, this is what was said.\nAnd more --> of it.\n", "looks like plain text"),
        ("[Music]\nHello.\n", "looks like plain text"),
        (b"RIFF\x24\x08\0\0WAVEfmt ", "looks like a binary file"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\x01\0\x07\x06\x05", "looks like a binary file"),
        (bytes(range(256)) * 8, "looks like a binary file"),
    ],
)
def test_a_file_that_is_no_captions_is_refused_with_one_sentence_of_what_it_is(tmp_path, data, what):
    with pytest.raises(CaptionError, match=what) as refused:
        read_captions(write(tmp_path, data))
    assert str(refused.value).startswith("talk.vtt: ")
    assert "WebVTT or SubRip" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CaptionError, match=r"gone.vtt: expected a caption file, found nothing"):
        read_captions(tmp_path / "gone.vtt")


@pytest.mark.parametrize("data", ["WEBVTT", "WEBVTT\n", "WEBVTT\n\nNOTE nothing was said\n"])
def test_a_valid_file_without_cues_has_none(tmp_path, data):
    assert read_captions(write(tmp_path, data)) == Captions((), (), None, "webvtt", 0)


def test_the_header_says_the_language(tmp_path):
    path = write(tmp_path, f"WEBVTT\nKind: captions\nLanguage: fr-CA\n\n{CUE}")
    assert read_captions(path).language == "fr-CA"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "cp1252"]
)
def test_text_survives_its_encoding(encoding):
    text = f"WEBVTT\n\n{CUE}naïve œuvre “déjà vu”"
    assert decode_captions(text.encode(encoding)) == text


def test_subrip_payloads_are_as_written_and_their_text_is_not():
    text = "7\n00:00:01,000 --> 00:00:03,000\n<i>Hello</i> &amp;\nx < y\n\n"
    (cue,) = parse_subrip(text)
    assert cue == Cue("7", 1000, 3000, "<i>Hello</i> &amp;\nx < y", "Hello &\nx < y")


def test_a_cue_keeps_its_line_identifier_payload_speaker_and_words(tmp_path):
    payload = "<v Ann>so<00:02.000> it\n<00:02.500>is"
    (cue,) = read_captions(write(tmp_path, f"WEBVTT\n\nfirst\n00:01.000 --> 00:03.000\n{payload}\n")).cues
    assert (cue.line, cue.identifier, cue.payload, cue.speaker, cue.text) == (
        4,
        "first",
        payload,
        "Ann",
        "so it is",
    )
    assert [(word.start_ms, word.text) for word in cue.words] == [(1000, "so"), (2000, "it"), (2500, "is")]


def test_numbers_that_leak_become_identifiers_again(tmp_path):
    path = write(
        tmp_path, f"WEBVTT\n\n1\n{CUE}2\n{CUE.replace('Hello', 'So')}3\n{CUE.replace('Hello', 'Yes')}"
    )
    assert [cue.identifier for cue in parse_subrip(path.read_text().partition("\n\n")[2])] == ["1", "2", "3"]


def test_a_label_names_the_speaker(tmp_path):
    (cue,) = read_captions(
        write(tmp_path, "WEBVTT\n\n00:01.000 --> 00:03.000\n>> DR. SMITH (V.O.): Hello.\n")
    ).cues
    assert (cue.speaker, cue.text) == ("DR. SMITH", "Hello.")


RULES = {
    "escaped twice": ("it&amp;#39;s", "it's"),
    "decomposed": ("cafe\u0301", "café"),
    "mark of a sound": ("[laughs] ha", "ha"),
    "mark of a speaker": (">> JOHN: ha", "ha"),
    "suppressed symbol": ("so; ha", "so ha"),
}


@pytest.mark.parametrize(("payload", "expected"), RULES.values(), ids=RULES)
def test_each_rule_brings_a_text_into_reading_form(tmp_path, payload, expected):
    path = write(tmp_path, f"WEBVTT\n\n00:01.000 --> 00:03.000\n{payload}\n")
    (cue,) = read_captions(path, suppressed_symbols=frozenset(";")).cues
    assert cue.text == expected


CAPITALS = """WEBVTT

00:01.000 --> 00:03.000
I THINK I'M FINE. ARE

00:03.000 --> 00:05.000
YOU SURE? YES.
"""


def test_capitals_are_kept_and_flagged(tmp_path):
    captions = read_captions(write(tmp_path, CAPITALS))
    assert [cue.text for cue in captions.cues] == ["I THINK I'M FINE. ARE", "YOU SURE? YES."]
    assert [str(note.action) for note in captions.notes] == ["flagged"]


def test_speech_that_was_lost_is_told_from_silence(tmp_path):
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n[Music]\n\n00:03.000 --> 00:03.100\n" + "too much to say " * 20
    assert read_captions(write(tmp_path, text)).lost_speech_ms == ((3000, 3100),)
