# ruff: noqa: E501, RUF001 - a table of other languages' lines
"""Captions in two languages at once: the wanted one is kept where letters tell, else the file is refused."""

from __future__ import annotations

import pytest
from caption_files import read_written, write_srt, write_vtt

from recipe.errors import CaptionError

SAID = {
    "en": ["We keep bees behind the barn.", "Every spring we open the boxes.", "They are calm.", "Nobody is afraid."],
    "de": ["Wir halten Bienen hinter der Scheune.", "Jedes Frühjahr öffnen wir die Kästen.", "Sie sind ruhig.", "Niemand hat Angst."],
    "fr": ["Nous élevons des abeilles.", "Chaque printemps on ouvre les ruches.", "Elles sont calmes.", "Personne n'a peur."],
    "es": ["Criamos abejas tras el granero.", "Cada primavera abrimos las cajas.", "Son tranquilas.", "Nadie tiene miedo."],
    "pl": ["Trzymamy pszczoły za stodołą.", "Każdej wiosny otwieramy ule.", "Są spokojne.", "Nikt się nie boi."],
    "tr": ["Ahırın arkasında arı besliyoruz.", "Her bahar kovanları açarız.", "Sakindirler.", "Kimse korkmaz."],
    "fi": ["Pidämme mehiläisiä ladon takana.", "Joka kevät avaamme laatikot.", "Ne ovat rauhallisia.", "Kukaan ei pelkää."],
    "vi": ["Chúng tôi nuôi ong sau kho.", "Mỗi mùa xuân chúng tôi mở thùng.", "Chúng hiền.", "Không ai sợ."],
    "zh": ["我们在谷仓后面养蜜蜂", "每年春天都要打开箱子", "它们很安静", "没有人害怕"],
    "ja": ["納屋の裏で蜂を飼っています", "毎年春に箱を開けます", "とてもおとなしいです", "誰も怖がりません"],
    "ko": ["우리는 헛간 뒤에서 벌을 친다", "봄마다 상자를 연다", "벌은 얌전하다", "아무도 무서워하지 않는다"],
    "ru": ["Мы держим пчёл за сараем.", "Каждую весну открываем ульи.", "Они спокойны.", "Никто не боится."],
    "el": ["Έχουμε μέλισσες πίσω από τον αχυρώνα.", "Κάθε άνοιξη ανοίγουμε τα κουτιά.", "Είναι ήρεμες.", "Κανείς δεν φοβάται."],
    "ar": ["نربي النحل خلف الحظيرة.", "نفتح الصناديق كل ربيع.", "إنها هادئة.", "لا أحد يخاف."],
    "he": ["אנחנו מגדלים דבורים מאחורי האסם.", "בכל אביב אנו פותחים את התיבות.", "הן רגועות.", "אף אחד לא מפחד."],
    "hi": ["हम खलिहान के पीछे मधुमक्खियाँ पालते हैं।", "हर वसंत में बक्से खोलते हैं।", "वे शांत हैं।", "कोई नहीं डरता।"],
    "th": ["เราเลี้ยงผึ้งหลังยุ้งข้าว", "ทุกฤดูใบไม้ผลิเราเปิดกล่อง", "พวกมันสงบ", "ไม่มีใครกลัว"],
    "sr": ["Држимо пчеле иза штале.", "Сваког пролећа отварамо кутије.", "Мирне су.", "Нико се не боји."],
}  # fmt: skip

APART = [
    ("zh", "en"), ("en", "zh"), ("ja", "en"), ("ko", "en"), ("ru", "de"), ("el", "fr"), ("ar", "fr"), ("he", "en"),
    ("hi", "en"), ("th", "en"), ("en", "ru"), ("de", "ar"), ("zh", "ko"), ("ja", "ru"), ("hi", "th"), ("fr", "ja"),
    ("ja", "zh"), ("zh", "ja"), ("ko", "zh"),
]  # fmt: skip


def rows(first, second):
    return [
        (n * 4_000, n * 4_000 + 3_500, f"{a}\n{b}")
        for n, (a, b) in enumerate(zip(first, second, strict=True))
    ]


def cues(first, second, lag_ms=0):
    both = []
    for n, (a, b) in enumerate(zip(first, second, strict=True)):
        both.append((n * 4_000, n * 4_000 + 3_500, a))
        both.append((n * 4_000 + lag_ms, n * 4_000 + 3_500 + lag_ms, b))
    return both


def below(first, second):
    one = cues(first, second)
    return one[::2] + one[1::2]


LAYOUTS = {
    "rows": rows,
    "rows, wanted below": lambda wanted, other: rows(other, wanted),
    "cues of the same times": cues,
    "cues, wanted second": lambda wanted, other: cues(other, wanted),
    "cues with other times": lambda wanted, other: cues(wanted, other, 300),
    "one file below the other": below,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("wanted", "other"), APART, ids=map("-".join, APART))
def test_the_rows_in_the_wanted_language_are_kept(tmp_path, wanted, other, layout):
    captions = read_written(tmp_path, write_srt(layout(SAID[wanted], SAID[other])), language=wanted)
    assert [cue.text for cue in captions.cues] == SAID[wanted]
    assert not captions.num_dropped
    assert captions.notes


@pytest.mark.parametrize("layout", [rows, cues], ids=["rows", "cues"])
@pytest.mark.parametrize(
    ("wanted", "other"),
    [("de", "en"), ("fr", "es"), ("pl", "en"), ("tr", "de"), ("fi", "en"), ("vi", "en"), ("en", "fr"), ("es", "en")]
    + [("ru", "sr"), ("ar", "ar-fa")],
    ids="-".join,
)  # fmt: skip
def test_two_languages_of_one_script_are_refused(tmp_path, wanted, other, layout):
    others = ["ما زنبور نگه می‌داریم.", "هر بهار جعبه‌ها را باز می‌کنیم.", "آرام هستند.", "هیچ‌کس نمی‌ترسد."]
    text = write_srt(layout(SAID[wanted], SAID.get(other, others)))
    with pytest.raises(CaptionError, match=r"^talk.srt: each caption stands there in two languages.*Remove"):
        read_written(tmp_path, text, language=wanted)


@pytest.mark.parametrize("layout", [rows, cues], ids=["rows", "cues"])
@pytest.mark.parametrize("other", ["zh", "ja", "ru", "ar", "hi", "th", "el", "ko"])
def test_two_languages_are_refused_where_nobody_said_the_wanted_one(tmp_path, other, layout):
    with pytest.raises(CaptionError, match="set the language"):
        read_written(tmp_path, write_srt(layout(SAID["en"], SAID[other])), language=None)


ONE_LANGUAGE = {
    "sentences over two rows": ("en", ["So you have walked\nall the way from the coast?", "Yes. It took us\nthe whole day,", "because the road\nis under water.", "Sit down."]),
    "two speakers": ("en", ["- Is it far?\n- An hour or so.", "- By road?\n- By boat.", "- And tonight?\n- Stay here.", "- Thank you.\n- Not at all."]),
    "german rows": ("de", ["Wir sind den ganzen Weg\nvon der Küste gelaufen,", "weil die Straße noch\nunter Wasser steht.", "Das hat uns gestern\nniemand gesagt.", "Setzt euch."]),
    "japanese rows": ("ja", ["東京大学\n教授の田中さんです", "毎年春に\n箱を開けます", "とても\nおとなしいです", "以上です"]),
    "terms in latin letters": ("ja", ["Visual Studio Code\nを使います", "毎年春に\n箱を開けます", "とても\nおとなしいです", "GitHubに置きます"]),
    "a foreign sentence": ("ru", ["Мы держим пчёл\nза сараем.", "He said: no.\nИ ушёл.", "Они спокойны.", "Никто не боится."]),
    "short sentences": ("en", ["I know.\nYou told me that.", "You did.\nI know you did.", "So it is.\nThat is what you told me.", "I know it."]),
    "serbian in latin letters": ("sr", ["Držimo pčele\niza štale.", "Svakog proleća\notvaramo kutije.", "Mirne su.", "Niko se ne boji."]),
    "korean with hanja": ("ko", ["대한민국 헌법\n제일조를 읽는다", "大韓民國은\n민주공화국이다", "주권은 국민에게\n있다", "그렇다"]),
}  # fmt: skip


@pytest.mark.parametrize(("language", "texts"), ONE_LANGUAGE.values(), ids=ONE_LANGUAGE)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_captions_in_one_language_keep_every_row(tmp_path, language, texts, is_known):
    text = write_srt((n * 4_000, n * 4_000 + 3_500, shown) for n, shown in enumerate(texts))
    captions = read_written(tmp_path, text, language=language if is_known else None)
    expected = [len("".join(ch for ch in shown if ch.isalpha())) for shown in texts]
    assert [sum(map(str.isalpha, cue.text)) for cue in captions.cues] == expected


def test_a_cue_in_the_other_language_alone_is_lost_speech(tmp_path):
    shown = [*rows(SAID["zh"], SAID["en"]), (16_000, 19_000, "Nobody knows what this was in Chinese.")]
    captions = read_written(tmp_path, write_srt(shown), language="zh")
    assert [cue.text for cue in captions.cues] == SAID["zh"]
    assert captions.lost_speech_ms == ((16_000, 19_000),)


def test_rows_as_cues_of_one_language_become_one_cue(tmp_path):
    halves = [("So you have walked", "all the way from the coast?"), ("It took us", "the whole day."),
              ("The road is", "under water now."), ("Sit down with us", "and eat something.")]  # fmt: skip
    shown = [
        (n * 4_000, n * 4_000 + 3_000, row, f"line:{85 - 6 * (row == pair[0])}%")
        for n, pair in enumerate(halves)
        for row in reversed(pair)
    ]
    captions = read_written(tmp_path, write_vtt(shown), ".vtt", language="en")
    assert [cue.text for cue in captions.cues] == [" ".join(pair) for pair in halves]
