# ruff: noqa: E501, RUF001 - a table of other languages' lines
"""Rows in the order that they are read, and signs on the screen that nobody says."""

from __future__ import annotations

import pytest
from caption_files import read_written, write_srt, write_vtt

SPOKEN = {
    "en": ["Children, what are you hiding there?", "Please stay under the roof for now.", "I will call you.", "Bring your brother."],
    "de": ["Kinder, was versteckt ihr da?", "Bleibt erst einmal unter dem Dach.", "Ich rufe euch.", "Bringt euren Bruder mit."],
    "fr": ["Les enfants, que cachez-vous là ?", "Restez sous le toit pour l'instant.", "Je vous appelle.", "Amenez votre frère."],
    "es": ["Niños, ¿qué escondéis ahí?", "Quedaos bajo el techo por ahora.", "Ya os llamaré.", "Traed a vuestro hermano."],
    "ru": ["Дети, что вы там прячете?", "Побудьте пока под крышей.", "Я вас позову.", "Приведите брата."],
    "ja": ["みんな、何を隠しているの", "しばらく屋根の下にいなさい", "あとで呼ぶから", "弟も連れておいで"],
    "ar": ["يا أولاد، ماذا تخفون هناك؟", "ابقوا تحت السقف الآن.", "سأناديكم.", "أحضروا أخاكم."],
    "pt": ["Crianças, o que escondem aí?", "Fiquem sob o telhado por ora.", "Eu chamo vocês.", "Tragam o irmão."],
    "zh": ["孩子们你们在藏什么", "先待在屋檐下", "我会叫你们", "把弟弟也带来"],
}  # fmt: skip

SIGNS = {
    "en": "Old Mill Inn", "de": "Gasthof zur Mühle", "fr": "Auberge du moulin", "es": "Posada del molino", "ru": "Старая мельница",
    "ja": "水車小屋", "ar": "نزل الطاحونة", "pt": "Pousada do moinho", "zh": "老磨坊客栈",
}  # fmt: skip


def spoken(language):
    return [(n * 4_000, n * 4_000 + 3_500, text) for n, text in enumerate(SPOKEN[language])]


SRT_MARKS = [
    r"{\an8}",
    r"{\an9}",
    r"{\an7}",
    r"{\an5}",
    r"{\a6}",
    r"{\pos(320,40)}",
    r"{\an8\fs20}",
    r"{\fad(200,200)\pos(1,2)}",
]
VTT_SETTINGS = [
    "line:0",
    "line:10%",
    "line:5% position:20% align:start",
    "position:80% line:1",
    "line:2,start",
    "line:20.5%",
]
SPANS = [(500, 9_000), (3_600, 7_000), (4_000, 7_500), (8_200, 15_000)]


@pytest.mark.parametrize("span", SPANS, ids=map(str, SPANS))
@pytest.mark.parametrize("mark", SRT_MARKS)
def test_a_sign_over_dialogue_is_in_no_label(tmp_path, mark, span):
    for language, texts in SPOKEN.items():
        cues = sorted([*spoken(language), (*span, mark + SIGNS[language])])
        captions = read_written(tmp_path, write_srt(cues))
        assert [cue.text for cue in captions.cues] == texts
        assert captions.num_dropped == 1


@pytest.mark.parametrize("settings", VTT_SETTINGS)
@pytest.mark.parametrize("language", SPOKEN)
def test_a_sign_that_settings_place_is_in_no_label(tmp_path, language, settings):
    cues = [*spoken(language), (3_800, 9_000, SIGNS[language], settings)]
    captions = read_written(tmp_path, write_vtt(cues), ".vtt")
    assert [cue.text for cue in captions.cues] == SPOKEN[language]


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ru", "pt"])
def test_a_sign_in_capitals_is_told_without_its_place(tmp_path, language):
    cues = sorted([*spoken(language), (3_800, 9_000, SIGNS[language].upper())])
    captions = read_written(tmp_path, write_srt(cues))
    assert [cue.text for cue in captions.cues] == SPOKEN[language]


KEPT = {
    "alone at the top": [(0, 3_000, r"{\an8}Wait for me."), (3_500, 6_000, "All right."), (6_500, 8_000, "Now go.")],
    "all at the top": [(n * 2_000, n * 2_000 + 2_300, rf"{{\an8}}Sentence number {n}.") for n in range(4)],
    "at the bottom": [(0, 3_000, r"{\an2}Wait for me."), (2_500, 6_000, r"{\an1}All right."), (6_500, 8_000, "Now go.")],
    "in capitals alone": [(0, 2_000, "GET OUT NOW!"), (2_500, 5_000, "And so he went."), (6_500, 8_000, "Quietly.")],
    "a file in capitals": [(0, 2_900, "GET OUT NOW!"), (2_500, 5_000, "AND SO HE WENT."), (6_500, 8_000, "QUIETLY.")],
    "touching": [(0, 3_100, r"{\an8}Wait for me."), (3_000, 6_000, "All right."), (6_500, 8_000, "Now go.")],
}  # fmt: skip


@pytest.mark.parametrize("cues", KEPT.values(), ids=KEPT)
def test_speech_that_is_placed_is_kept(tmp_path, cues):
    captions = read_written(tmp_path, write_srt(cues))
    assert not captions.num_dropped
    assert len(captions.cues) + captions.num_merged == len(cues)


ROWS = {
    "percent": ("line:79.29%", "line:84.62%"),
    "more percent": ("line:10%", "line:90%"),
    "whole percent and alignment": ("line:70%,start", "line:80%,start"),
    "lines from the top": ("line:11", "line:12"),
    "lines from the bottom": ("line:-2", "line:-1"),
    "among others": ("align:start line:79% size:30%", "position:10% line:85% align:start"),
    "upper one alone": ("line:60%", ""),
    "from the bottom and no place": ("line:-3", ""),
}


@pytest.mark.parametrize("is_top_first", [True, False], ids=["top first", "bottom first"])
@pytest.mark.parametrize(("top", "bottom"), ROWS.values(), ids=ROWS)
def test_rows_that_are_cues_are_read_from_the_top(tmp_path, top, bottom, is_top_first):
    pairs = [("So you have walked", "all the way from the coast?"), ("Avez-vous marché", "depuis la côte ?"),
             ("Вы шли пешком", "от самого берега?"), ("浜辺から", "歩いてきたの")]  # fmt: skip
    cues = []
    for number, (first, second) in enumerate(pairs):
        times = (number * 4_000, number * 4_000 + 3_000)
        rows = [(*times, first, top), (*times, second, bottom)]
        cues += rows if is_top_first else rows[::-1]
    captions = read_written(tmp_path, write_vtt(cues), ".vtt")
    joined = ["".join(pair) if pair[0] == "浜辺から" else " ".join(pair) for pair in pairs]
    assert [cue.text for cue in captions.cues] == joined


def test_cues_of_the_same_start_and_other_ends_keep_their_order(tmp_path):
    cues = [(0, 3_000, "Hello."), (0, 3_500, "World.", "line:0")]
    (cue,) = read_written(tmp_path, write_vtt(cues), ".vtt").cues
    assert cue.text == "Hello. World."
