# ruff: noqa: RUF001 - a table of other languages' lines
"""Timed text for programs is refused by name; captions that quote some are read."""

from __future__ import annotations

import json

import pytest
from caption_files import read_written, write_srt, write_vtt

from recipe.captions.reader import read_captions
from recipe.errors import CaptionError

FOR_PROGRAMS = {
    "sprite": ("preview images", lambda n: f"/assets/preview.jpg#xywh={160 * n},0,160,90"),
    "sprite by address": (
        "preview images",
        lambda n: f"https://cdn.example/v/{n}/sprite.webp#xywh=0,{90 * n},160,90",
    ),
    "an image each": ("preview images", lambda n: f"thumbs/img-{n:04}.png"),
    "a name with spaces": ("preview images", lambda n: f"My holiday {n}.JPG"),
    "an image with a query": ("preview images", lambda n: f"../t.jpeg?time={n}&size=s"),
    "percent": ("preview images", lambda n: f"sheet.avif#xywh=percent:{n},0,10,10"),
    "image as data": ("preview images", lambda n: f"data:image/png;base64,iVBORw0KGgo{n}"),
    "object": ("metadata", lambda n: json.dumps({"x": n, "y": 0})),
    "object over rows": ("metadata", lambda n: json.dumps({"chapter": n, "cover": None}, indent=1)),
    "list of objects": ("metadata", lambda n: json.dumps([{"id": n}, {"id": n + 1}])),
    "object that is cut": ("metadata", lambda n: f'{{"lat": {n}.5, "lon":'),
    "address": ("addresses", lambda n: f"https://example.com/slides/{n}"),
    "path": ("addresses", lambda n: f"/media/slides/{n}"),
    "base64": ("data", lambda n: f"eyJ0eXBlIjoiYWRicmVhayI{n}" * 6),
}


@pytest.mark.parametrize("suffix", [".vtt", ".srt"])
@pytest.mark.parametrize(("kind", "payload"), FOR_PROGRAMS.values(), ids=FOR_PROGRAMS)
def test_payloads_for_programs_are_refused_by_name(tmp_path, kind, payload, suffix):
    path = tmp_path / f"talk{suffix}"
    cues = [(n * 5_000, n * 5_000 + 5_000, payload(n)) for n in range(6)]
    path.write_text(write_vtt(cues) if suffix == ".vtt" else write_srt(cues))
    with pytest.raises(CaptionError, match=rf"^talk\{suffix}: it holds {kind}.*, not captions: 6 of 6 cues"):
        read_captions(path)


SAID = [
    "Go to https://example.com/slides now.", "The file is called preview.jpg, I think.", "and/or", "24/7",
    "either/or/neither", "He typed {x}.", "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
    "Donaudampfschifffahrtsgesellschaftskapitän", "www", "C:", "ааа" * 60, "7" * 200,
]  # fmt: skip


@pytest.mark.parametrize("text", SAID, ids=range(len(SAID)))
def test_text_for_people_is_read(tmp_path, text):
    captions = read_written(tmp_path, write_vtt([(0, 20_000, text), (20_000, 40_000, text)]), ".vtt")
    assert [cue.text for cue in captions.cues] == [text] * 2


@pytest.mark.parametrize("text", ["[laughs]", "[1]", "{ }"])
def test_marks_for_people_say_nothing(tmp_path, text):
    captions = read_written(tmp_path, write_vtt([(0, 20_000, text), (20_000, 40_000, text)]), ".vtt")
    assert [(note.action, note.reason) for note in captions.notes] == [("dropped", "it says nothing")] * 2


def test_captions_that_quote_a_few_are_read(tmp_path):
    cues = [(0, 2_000, "Look here:"), (2_000, 5_000, "https://example.com/a"), (5_000, 7_000, "So.")]
    captions = read_written(tmp_path, write_vtt(cues), ".vtt")
    assert [cue.text for cue in captions.cues] == ["Look here:", "So."]
