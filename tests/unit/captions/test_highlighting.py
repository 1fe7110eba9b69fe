# ruff: noqa: E501, RUF001 - a table of other languages' lines
"""Lines that are shown again for each of their words: each once, with the times of its words."""

from __future__ import annotations

import random

import pytest
from caption_files import read_written, write_srt, write_vtt

from recipe.captions.highlighting import REPEATED_WITHOUT_TIME

WORD_MS, GAP_MS = 240, 60
LINE_MS = 3_000


def highlight(words, start_ms, mark, *, joiner=" ", has_fillers=True, lead="", tail="", pause_ms=0):
    """The line again for each word, the word within `mark`, and the bare line between two words."""
    cues, at = [], start_ms
    for index, word in enumerate(words):
        shown = [mark.format(word) if place == index else other for place, other in enumerate(words)]
        cues.append((at, at + WORD_MS, lead + joiner.join(shown) + tail))
        gap_ms = GAP_MS + (pause_ms if index == 0 else 0)
        if has_fillers and index + 1 < len(words):
            cues.append((at + WORD_MS, at + WORD_MS + gap_ms, lead + joiner.join(words) + tail))
        at += WORD_MS + gap_ms
    return cues


LINES = {
    "english underlined": ("<u>{}</u>", " ", ["we keep the bees behind the barn", "and open them in spring"]),
    "german colour": ('<font color="#00ff00">{}</font>', " ", ["wir gehen heute in den Wald", "dort ist es kühl"]),
    "french bold": ("<b>{}</b>", " ", ["la rivière monte au mois de mars", "on attend le bac"]),
    "spanish italic": ("<i>{}</i>", " ", ["el barco sale a las seis", "y vuelve por la noche"]),
    "russian class": ("<c.now>{}</c>", " ", ["мы ждали поезд до вечера", "он так и не пришёл"]),
    "arabic colour name": ('<font color="yellow">{}</font>', " ", ["نفتح الصناديق في الصباح", "ثم نأخذ العسل ببطء"]),
    "hindi span": ('<span style="color: red">{}</span>', " ", ["हम सुबह जल्दी उठते हैं", "फिर खेत में जाते हैं"]),
    "greek emphasis": ("<em>{}</em>", " ", ["το πλοίο φεύγει στις έξι", "και γυρίζει το βράδυ"]),
    "turkish override": (r"{{\c&H00FFFF&}}{}{{\c}}", " ", ["sabah erken kalkarız", "sonra tarlaya gideriz"]),
    "polish override bold": (r"{{\b1}}{}{{\b0}}", " ", ["czekamy na prom przy rzece", "o szóstej odpływa"]),
    "italian override reset": (r"{{\u1\1c&HFF0000&}}{}{{\r}}", " ", ["la nave parte alle sei", "torna di notte"]),
    "japanese": ("<u>{}</u>", "", ["朝 早く 起きて 畑 に 行き ます", "夕方 に 帰り ます"]),
    "chinese": ('<font color="#fff000">{}</font>', "", ["我们 在 谷仓 后面 养 蜜蜂", "春天 打开 箱子"]),
    "thai": ("<u>{}</u>", "", ["เรา ตื่น แต่ เช้า", "แล้ว ไป ที่ ทุ่งนา"]),
    "korean unknown tag": ("<mark>{}</mark>", " ", ["우리는 아침 일찍 일어나요", "그리고 밭에 가요"]),
    "portuguese two classes": ("<c.yellow.big>{}</c>", " ", ["o barco sai às seis horas", "e volta de noite"]),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
@pytest.mark.parametrize("has_fillers", [True, False], ids=["fillers", "no fillers"])
@pytest.mark.parametrize(("mark", "joiner", "lines"), LINES.values(), ids=LINES)
def test_a_highlighted_line_is_read_once_with_its_words_times(
    tmp_path, mark, joiner, lines, has_fillers, suffix
):
    cues = []
    for number, line in enumerate(lines):
        cues += highlight(line.split(), number * LINE_MS, mark, joiner=joiner, has_fillers=has_fillers)
    captions = read_written(tmp_path, write_srt(cues) if suffix == ".srt" else write_vtt(cues), suffix)
    step_ms = WORD_MS + GAP_MS
    assert [(cue.start_ms, cue.end_ms, cue.text) for cue in captions.cues] == [
        (number * LINE_MS, number * LINE_MS + len(line.split()) * step_ms - GAP_MS, joiner.join(line.split()))
        for number, line in enumerate(lines)
    ]
    assert captions.num_cues_in == len(cues)
    if joiner:
        for cue, line in zip(captions.cues, lines, strict=True):
            times = [(word.start_ms - cue.start_ms, word.text) for word in cue.words]
            assert times == [(index * step_ms, word) for index, word in enumerate(line.split())]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"lead": "[SPEAKER_01]: "}, id="label"),
        pytest.param({"tail": "."}, id="full stop outside"),
        pytest.param({"pause_ms": 2_500}, id="long pause after the first word"),
        pytest.param({"pause_ms": 7_500}, id="very long pause"),
        pytest.param({"has_fillers": False, "pause_ms": 900}, id="pause without filler"),
        pytest.param({"lead": "<i>", "tail": "</i>"}, id="whole line in italics"),
        pytest.param({"lead": r"{\an8}"}, id="placed"),
        pytest.param({"lead": "<v Ann>"}, id="voice"),
        pytest.param({"joiner": "\n"}, id="a word a row"),
    ],
)
def test_what_stands_around_a_highlighted_line_does_not_hide_it(tmp_path, options):
    cues = highlight(["so", "we", "go", "home"], 1_000, "<u>{}</u>", **options)
    cues += highlight(["and", "then", "we", "sleep"], 20_000, "<u>{}</u>", **options)
    captions = read_written(tmp_path, write_srt(cues))
    assert len(captions.cues) == 2
    assert [cue.text.removeprefix(": ").rstrip(".") for cue in captions.cues] == [
        "so we go home",
        "and then we sleep",
    ]
    assert (captions.cues[0].start_ms, captions.cues[0].end_ms) == (cues[0][0], cues[len(cues) // 2 - 1][1])


def test_a_mark_that_grows_along_the_line_is_read_as_its_words(tmp_path):
    words = ["nous", "partons", "demain", "matin"]
    cues = [
        (
            index * 400,
            index * 400 + 400,
            f"<c.sung>{' '.join(words[: index + 1])}</c> {' '.join(words[index + 1 :])}",
        )
        for index in range(len(words))
    ]
    captions = read_written(tmp_path, write_vtt(cues), ".vtt")
    (cue,) = captions.cues
    assert (cue.start_ms, cue.end_ms, cue.text) == (0, 1600, "nous partons demain matin")
    assert [word.start_ms for word in cue.words] == [0, 400, 800, 1200]


def test_each_word_in_a_tag_of_its_own_is_no_mark(tmp_path):
    words = ["wir", "warten", "am", "Fluss"]
    cues = [
        (index * 400, index * 400 + 400, " ".join(
            f'<font color="{"red" if place == index else "white"}">{word}</font>' for place, word in enumerate(words)
        ))
        for index in range(len(words))
    ]  # fmt: skip
    (cue,) = read_written(tmp_path, write_srt(cues)).cues
    assert (cue.start_ms, cue.end_ms, cue.text) == (0, 1600, "wir warten am Fluss")


def test_a_highlighted_line_that_is_said_twice_is_kept_twice(tmp_path):
    line = ["row", "row", "row", "your", "boat"]
    cues = highlight(line, 0, "<u>{}</u>") + highlight(line, 1_500, "<u>{}</u>")
    captions = read_written(tmp_path, write_srt(cues))
    assert [(cue.start_ms, cue.text) for cue in captions.cues] == [
        (0, " ".join(line)),
        (1_500, " ".join(line)),
    ]


def test_the_first_and_last_word_may_lack_a_time(tmp_path):
    """What an aligner cannot place, such as a year, is never marked."""
    cues = highlight(["in", "1984", "we", "met", "in", "1999"], 500, "<u>{}</u>")
    cues = [
        (start, end, text.replace("<u>1984</u>", "1984").replace("<u>1999</u>", "1999"))
        for start, end, text in cues
    ]
    captions = read_written(tmp_path, write_srt(cues))
    (cue,) = captions.cues
    assert cue.text == "in 1984 we met in 1999"
    assert (cue.start_ms, cue.end_ms) == (500, cues[-1][1])


STRIPPED = {
    "english": "we keep the bees in wooden boxes behind the barn",
    "german": "wir warten schon seit Stunden auf den Zug nach Hause",
    "french": "la rivière monte toujours au début du mois de mars",
    "russian": "мы ждали поезд до самого позднего вечера на станции",
    "greek": "το πλοίο φεύγει στις έξι και γυρίζει το βράδυ",
    "spanish": "el barco sale a las seis de la mañana y vuelve tarde",
    "finnish": "me odotamme lauttaa joen rannalla joka ikinen ilta",
    "indonesian": "kami menunggu kapal di tepi sungai setiap sore hari",
}


@pytest.mark.parametrize("line", STRIPPED.values(), ids=STRIPPED)
def test_a_line_whose_marks_were_stripped_is_read_once(tmp_path, line):
    cues = highlight(line.split(), 2_000, "{}")
    (cue,) = read_written(tmp_path, write_srt(cues)).cues
    assert (cue.start_ms, cue.end_ms, cue.text) == (cues[0][0], cues[-1][1], line)


REFRAINS = {
    "english": ["Row the boat", "Row the boat", "Row it down", "Row the boat"],
    "german": ["Schlaf, Kindlein, schlaf", "Schlaf, Kindlein, schlaf", "Der Vater hüt die Schaf"],
    "french": ["Frère Jacques", "Frère Jacques", "Dormez-vous", "Dormez-vous"],
    "italian": ["bella ciao", "bella ciao", "bella ciao ciao ciao"],
    "spanish": ["cielito lindo", "cielito lindo", "canta y no llores"],
    "russian": ["калинка", "калинка", "калинка моя", "калинка моя"],
    "japanese": ["さくら", "さくら", "やよいの空は", "さくら"],
    "marked": ["<i>No</i>", "<i>No</i>", "no <b>way</b>", "no <b>way</b>"],
}


@pytest.mark.parametrize("gap_ms", [0, 100])
@pytest.mark.parametrize("lines", REFRAINS.values(), ids=REFRAINS)
def test_a_refrain_has_time_of_its_own_and_stays(tmp_path, lines, gap_ms):
    cues = [(index * 2_000, index * 2_000 + 2_000 - gap_ms, line) for index, line in enumerate(lines)]
    captions = read_written(tmp_path, write_srt(cues))
    assert [cue.start_ms for cue in captions.cues] == [start_ms for start_ms, _, _ in cues]


def test_any_highlighted_text_is_read_as_it_was(tmp_path):
    generator = random.Random(7)
    vocabulary = ["a", "oh", "no", "we", "are", "here", "now", "and", "then", "tomorrow", "yesterday"]
    for _ in range(60):
        lines = [
            generator.choices(vocabulary, k=generator.randint(2, 9)) for _ in range(generator.randint(1, 6))
        ]
        cues, at = [], 0
        for line in lines:
            cues += highlight(line, at, "<u>{}</u>", has_fillers=generator.random() < 0.5)
            at = cues[-1][1] + generator.choice([0, 40, 700])
        captions = read_written(tmp_path, write_srt(cues))
        assert [cue.text for cue in captions.cues] == [" ".join(line) for line in lines]


def test_a_word_said_again_in_no_time_is_not_taken_for_a_line(tmp_path):
    cues = [(1_000, 3_000, "We asked again."), *((at, at + 10, "no,") for at in (4_000, 4_200, 4_300))]
    captions = read_written(tmp_path, write_vtt(cues), ".vtt")
    assert [cue.text for cue in captions.cues] == ["We asked again.", "no,", "no,", "no,"]


def test_a_line_said_twice_in_no_time_says_so(tmp_path):
    cues = [(1_000, 1_400, "We asked for it again."), (1_400, 1_800, "We asked for it again.")]
    captions = read_written(tmp_path, write_vtt(cues), ".vtt")
    assert [cue.text for cue in captions.cues] == ["We asked for it again."]
    assert [note.reason for note in captions.notes] == [REPEATED_WITHOUT_TIME]
