import base64
import io
from dataclasses import replace

import pytest
import soundfile
from pages import PageReader
from voices import make_voice

from recipe.arguments import DataArguments
from recipe.audio.decoding import encode_flac
from recipe.data.attention import list_findings
from recipe.data.dataset import ReportOrigin, write_dataset_report
from recipe.data.opening import prepare_dataset
from recipe.data.recording import PreparationSettings
from recipe.data.report_page import render_page
from recipe.page.rendering import format_clock, format_hours

VOICE, OTHER_VOICE = (encode_flac(make_voice(seconds)) for seconds in (35, 36))
ORIGIN = ReportOrigin(
    "fr-<1>", "openai/whisper-small@a1b2", "transcribe", "talks/<b>", "2031-05-06 07:08 UTC", ("as told",)
)


@pytest.fixture
def preparation(preparation) -> PreparationSettings:
    return replace(preparation, no_speech_fraction=1.0)


def test_the_page_plays_windows_to_review_and_escapes_what_files_hold(
    make_recording, write_vtt, tmp_path, preparation
):
    evil = "&lt;script&gt;alert(1)&lt;/script&gt; and some more of that."
    repeated = [(at, at + 3_000, "Over and over.\nOver and over.") for at in (14_000, 17_000)]
    plain = [(0, 3_000, "A beginning."), (3_000, 6_000, "It goes on."), (6_000, 8_000, "And on.")]
    recordings = [
        make_recording("<u>bold", VOICE, write_vtt((0, 6_000, evil))),
        make_recording("loop", OTHER_VOICE, write_vtt(*plain, *repeated)),
    ]
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    write_dataset_report(tmp_path / "prepared", data, ORIGIN)
    page = PageReader()
    page.feed((tmp_path / "prepared" / "dataset_report.html").read_text())
    assert not {"script", "u", "link", "img"} & set(page.tags)
    assert "<u>bold" in page.text
    assert "<script>alert(1)</script> and some more of that." in page.text
    sounds = [address for address in page.addresses if not address.startswith("#")]
    assert page.tags.count("audio") == len(sounds) == 3 + len(data.report["test_windows"]) == 4
    for sound in sounds:
        head, _, content = sound.partition(",")
        assert head == "data:audio/mpeg;base64"
        assert soundfile.info(io.BytesIO(base64.b64decode(content))).samplerate == 16_000
    assert data.report["windows_to_review"][0]["not_used_because"] == "each thing is said twice or more"
    assert "not used: each thing is said twice or more" in page.text
    assert "Suspect windows" not in page.text


def test_the_page_lists_the_windows_that_the_label_check_suspects(
    make_recording, write_vtt, tmp_path, preparation
):
    recordings = [
        make_recording(name, VOICE, write_vtt((0, 6_000, "All of this is said."))) for name in ("one", "two")
    ]
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    report = data.report | {"run": ORIGIN.as_dict(), "warnings": [], "needs_a_person": []}
    window = {"recording": "two", "start_ms": 0, "end_ms": 6_000, "words": "<b>Not said"}
    judgement = {"score": -7.1, "reason": "its words are not recognised", "used_for": "measurement"}
    report["suspect_windows"] = [window | judgement]
    page = PageReader()
    page.feed(render_page(report, data.rows))
    for text in ("Suspect windows", "<b>Not said", *map(str, judgement.values())):
        assert text in page.text


def test_the_page_says_whose_it_is_and_begins_with_what_needs_a_person(
    make_recording, write_vtt, tmp_path, preparation
):
    recordings = [
        make_recording("said", VOICE, write_vtt((0, 6_000, "ALL OF THIS IS SAID."))),
        make_recording("again", VOICE, write_vtt((0, 6_000, "All of this is said."))),
        make_recording("<i>empty", VOICE, "WEBVTT\n\n"),
    ]
    data = prepare_dataset(recordings, preparation, DataArguments(), tmp_path / "prepared", num_workers=1)
    write_dataset_report(tmp_path / "prepared", data, ORIGIN)
    page = PageReader()
    page.feed((tmp_path / "prepared" / "dataset_report.html").read_text())
    head, _, rest = page.text.partition("What needs a person")
    assert all(value in head for value in ORIGIN.as_dict().values())
    places = [rest.index(text) for text in ("<i>empty", "Replace it by", "What came in", "Test windows")]
    assert places == sorted(places)
    kinds = {kind["what"]: kind["items"] for kind in list_findings(data.report, data.warnings)}
    assert next(iter(kinds)) == "recordings that are not trained"
    assert kinds["recordings that are not trained"][0]["where"] == "<i>empty"
    assert kinds["letters in capitals"][0]["mend"] in page.text
    assert [item["where"] for item in kinds["the same recording again"]] == ["said"]
    assert "as told" in page.text


@pytest.mark.parametrize(
    ("time_ms", "clock", "hours"),
    [(0, "0:00", "0.0 s"), (61_000, "1:01", "1.0 min"), (3_723_000, "1:02:03", "1.0 h")],
)
def test_times_read_as_people_write_them(time_ms, clock, hours):
    assert (format_clock(time_ms), format_hours(time_ms)) == (clock, hours)
