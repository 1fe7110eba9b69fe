"""Which words of a caption file are spoken: labels, annotations, credits and rows, in many languages."""

# ruff: noqa: RUF001 - captions in other scripts

from __future__ import annotations

import pytest
from caption_files import read_written, write_srt

from recipe.captions.annotations import AMBIGUOUS, UNWRITTEN
from recipe.captions.credits import CREDIT
from recipe.captions.reader import Action, read_captions


@pytest.fixture
def read(tmp_path):
    """Read texts as the cues of a SubRip file, two seconds each, three seconds apart."""

    def read_texts(*texts):
        cues = ((3_000 * n, 3_000 * n + 2_000, text) for n, text in enumerate(texts))
        return read_written(tmp_path, write_srt(cues))

    return read_texts


def texts_of(captions):
    return [cue.text for cue in captions.cues]


def reasons_of(captions):
    return [note.reason for note in captions.notes if note.action is Action.DROPPED]


LABELS = {
    "whisperx": ["[SPEAKER_00]: So we begin.", "[SPEAKER_01]: Not yet."],
    "pyannote_without_brackets": ["SPEAKER_00: So we begin.", "SPEAKER_01: Not yet."],
    "colon_inside_the_brackets": ["[Speaker 1:] So we begin.", "[Speaker 2:] Not yet."],
    "letters_for_voices": ["Speaker A: So we begin.", "Speaker B: Not yet."],
    "deepgram": ["[speaker 0] So we begin.", "[speaker 1] Not yet."],
    "whisper_cpp_turn": ["So we begin. [SPEAKER_TURN]", "Not yet."],
    "turn_without_punctuation": ["so we begin [SPEAKER TURN] not yet", "and then"],
    "time_and_label": ["[00:00:01] Speaker 1: So we begin.", "[00:00:04] Speaker 2: Not yet."],
    "label_and_time": ["Speaker 1 (00:01): So we begin.", "Speaker 2 (00:04): Not yet."],
    "names_in_brackets": ["[Clara]: So we begin.", "[Otto]: Not yet."],
    "rev": ["- [Clara] So we begin.", "- [Otto] Not yet."],
    "names_in_parentheses": ["(Clara) So we begin.", "(Clara) Not yet."],
    "capitals": ["CLARA: So we begin.", "OTTO: Not yet."],
    "capitals_with_a_note": ["NARRATOR (V.O.): So we begin.", "Not yet."],
    "arrows": [">> Clara: So we begin.", ">> Otto: Not yet."],
    "dialogue": ["- Clara: So we begin.\n- Otto: Not yet.", "And then?"],
    "recurring": ["Clara: So we begin.", "Not yet.", "Clara: Now we do."],
    "spanish": ["Hablante 1: Empezamos ya.", "Hablante 2: Todavía no."],
    "portuguese": ["[Falante 1]: Vamos começar.", "[Falante 2]: Ainda não."],
    "french_with_a_space": ["Locuteur 1 : On commence.", "Locuteur 2 : Pas encore."],
    "german": ["Sprecher 1: Wir fangen an.", "Sprecherin 2: Noch nicht."],
    "italian_recurring": [
        "Intervistatore: Cominciamo.",
        "Ospite: Non ancora.",
        "Intervistatore: Adesso.",
        "Ospite: Va bene.",
    ],
    "polish": ["Mówca 1: Zaczynamy.", "Mówca 2: Jeszcze nie."],
    "russian_numbered": ["Говорящий 1: Начинаем.", "Говорящий 2: Ещё нет."],
    "ukrainian_recurring": ["Ведуча: Починаємо.", "Гість: Ще ні.", "Ведуча: Тепер так.", "Гість: Добре."],
    "greek": ["Ομιλητής 1: Αρχίζουμε.", "Ομιλητής 2: Όχι ακόμα."],
    "turkish": ["Konuşmacı 1: Başlıyoruz.", "Konuşmacı 2: Daha değil."],
    "arabic": ["المتحدث 1: نبدأ الآن", "المتحدث 2: ليس بعد"],
    "hebrew": ["דובר 1: אנחנו מתחילים", "דובר 2: עוד לא"],
    "persian_recurring": ["مجری: شروع می‌کنیم", "مهمان: هنوز نه", "مجری: حالا بله", "مهمان: باشد"],
    "hindi": ["वक्ता 1: हम शुरू करते हैं", "वक्ता 2: अभी नहीं"],
    "korean": ["화자 1: 시작합시다", "화자 2: 아직요"],
    "japanese_wide_colon": ["話者1：始めましょう", "話者2：まだです"],
    "japanese_recurring": ["佐藤：始めましょう", "鈴木：まだです", "佐藤：では今", "鈴木：はい"],
    "chinese_without_space": ["记者:我们开始吧", "老师:还没有", "记者:现在呢", "老师:好的"],
    "vietnamese": ["Người nói 1: Chúng ta bắt đầu.", "Người nói 2: Chưa đâu."],
    "indonesian": ["Pembicara 1: Kita mulai.", "Pembicara 2: Belum."],
}
MARKS = ":：[]()>"


@pytest.mark.parametrize("texts", LABELS.values(), ids=LABELS)
def test_labels_of_speakers_go_with_their_colons(read, texts):
    captions = read(*texts)
    assert len(captions.cues) == len(texts)
    for cue, text in zip(captions.cues, texts, strict=True):
        assert not set(MARKS) & set(cue.text)
        assert cue.text.split()[-1] == text.replace(" [SPEAKER_TURN]", "").split()[-1] or cue.text in text
    names = ("speaker", "clara", "otto", "narrator", "hablante", "falante", "locuteur", "sprecher", "ospite")
    assert not any(name in text.lower() for name in names for text in texts_of(captions))


def test_the_speaker_of_a_label_is_known(read):
    captions = read(
        "[SPEAKER_00]: So we begin.", "- [Otto] Not yet.", ">> CLARA: Now.", "司会：はい", "司会：では"
    )
    assert [cue.speaker for cue in captions.cues] == ["SPEAKER_00", "Otto", "CLARA", "司会", "司会"]


SPOKEN = {
    "reason_german": [
        "Der Grund: Es fehlt an Wasser.",
        "Meine Idee: Wir graben.",
        "Das Ergebnis: Ein Brunnen.",
    ],
    "said_twice_german": ["Die Frage: Wer gräbt?", "Die Frage: Wer zahlt?"],
    "titles": [
        "Lesson Three: The deep well.",
        "Step Two: Dig slowly.",
        "Verdict: It is dry.",
        "Blade Runner: never saw it.",
    ],
    "lower_case_follows": ["Cause Of Delay: rain again.", "Cause Of Delay: mud this time."],
    "note_recurs": ["Note: the pump is old.", "Note: the rope is new."],
    "imperatives_french": ["Écoutez : On creuse.", "Regardez : De l'eau.", "Écoutez : Encore."],
    "imperatives_ukrainian": ["Слухайте: Вода пішла.", "Знайте: Це добре.", "Слухайте: Ще раз."],
    "imperatives_russian": ["Запомните: Вода холодная.", "Запомните: Колодец глубокий."],
    "reported_spanish": ["Ella dijo: No hay agua.", "Pregunta: ¿Dónde está?", "Respuesta: En el pozo."],
    "reported_arabic": ["قالت: لا يوجد ماء", "قالت: البئر جافة", "قال المعلم: احفروا"],
    "reported_persian": ["او گفت: آب نیست", "او گفت: چاه خشک است"],
    "reported_hebrew": ["היא אמרה: אין מים", "שאלנו: ומחר?", "היא אמרה: נחפור"],
    "reported_hindi": ["उसने कहा: पानी नहीं है", "उसने कहा: कुआँ सूखा है"],
    "reported_thai": ["เขาพูดว่า: ไม่มีน้ำ", "เขาพูดว่า: บ่อแห้ง"],
    "reported_korean": ["그녀가 물었어요: 물은요", "그녀가 물었어요: 어디요"],
    "reported_chinese": ["她问: 水呢", "她问: 井呢", "老师说：挖吧", "老师说：再挖"],
    "reported_japanese": ["母は言った: 水がない", "母は言った：井戸が枯れた"],
    "adverb_sanskrit": ["मूलत: यह पानी है", "मूलत: यह कुआँ है"],
    "reasons_japanese": ["理由：水がない", "理由：井戸が浅い"],
    "questions_read_aloud": [
        "Frage: Wie tief ist er?",
        "Antwort: Zehn Meter.",
        "Frage: Wie alt?",
        "Antwort: Sehr.",
    ],
    "example_polish": ["Przykład: Studnia w lesie.", "Przykład: Studnia w polu."],
    "acronym": ["DNA: the plan of a cell.", "We read DNA in a day.", "DNA is long."],
    "clock_and_address": ["At 10:30 we met.", "See https://well.example/a:b now."],
    "dash_and_title": ["- Time Of Arrival: noon.", "- Not before."],
    "end_of_a_sentence": ["It is deep.\nVery deep: ten metres.", "Nobody knows: it is dark."],
    "letters_of_a_list": ["S: Susceptible.", "I: Infected.", "S: Again.", "R: Recovered."],
}


@pytest.mark.parametrize("texts", SPOKEN.values(), ids=SPOKEN)
def test_spoken_words_before_a_colon_stay(read, texts):
    expected = [" ".join(text.split()).removeprefix("- ") for text in texts]
    assert texts_of(read(*texts)) == expected


def test_a_label_among_titles_does_not_take_them_with_it(read):
    captions = read(
        "Otto: We dig.", "Verdict: Too deep.", "Spoiler: It rains.", "Otto: We stop.", "So we left."
    )
    assert texts_of(captions) == [
        "We dig.",
        "Verdict: Too deep.",
        "Spoiler: It rains.",
        "We stop.",
        "So we left.",
    ]


MEETINGS = {
    "lower_case": ("clara", "otto"),
    "surname_first": ("Brunner, Clara", "Quell, Otto"),
    "pronouns": ("Clara Brunner (she/her)", "Otto Quell (he/him)"),
    "devices": ("iPhone 3", "room_2.14"),
    "mail": ("clara@wells.org", "otto@wells.org"),
    "long": ("Clara Brunner from the town council", "Otto Quell"),
    "arabic": ("السيدة كلارا بئر", "السيد أوتو نبع"),
    "chinese": ("王小明 13", "李华"),
}


@pytest.mark.parametrize("names", MEETINGS.values(), ids=MEETINGS)
def test_a_transcript_that_names_every_speaker_may_do_so_in_any_form(read, names):
    sentences = ["we dig.", "how deep?", "it is dry.", "we stop.", "good.", "one last word."]
    speakers = [names[index % 2] for index in range(5)] + ["guest from far away"]
    captions = read(*(f"{name}: {text}" for name, text in zip(speakers, sentences, strict=True)))
    assert texts_of(captions) == sentences
    assert [cue.speaker for cue in captions.cues][:2] == list(names)


def test_a_voice_may_have_a_row_of_its_own(read):
    captions = read("Speaker 1\nWe dig.", "SPEAKER_02:\nWe stop.", "Speaker 1")
    assert texts_of(captions)[:2] == ["We dig.", "We stop."]


def test_a_known_label_goes_where_it_follows_a_sentence(read):
    captions = read("Otto: We dig.", "Otto: We stop.", "It is dry. Otto: So we left.", "He asked Otto: why?")
    assert texts_of(captions)[2:] == ["It is dry. So we left.", "He asked Otto: why?"]


MARKUP = {
    "substation_break": (r"We dig\NWe stop.", "We dig We stop."),
    "substation_lower": (r"We dig,\n We stop.", "We dig, We stop."),
    "hard_space": (r"We dig\hWe stop.", "We dig We stop."),
    "override": (r"{\an8}We dig.", "We dig."),
    "override_amid": (r"We {\i1}dig{\i0}.", "We dig."),
    "microdvd": ("{y:i}We dig.", "We dig."),
    "nbsp": ("We&nbsp;dig.", "We dig."),
    "escaped_twice": ("We&amp;nbsp;dig &amp;amp; stop.", "We dig & stop."),
    "quotes": ("&quot;We dig&#39;", "\"We dig'"),
    "left_to_right_mark": ("We&lrm; dig.", "We dig."),
    "path": (r"in C:\newer it lies", r"in C:\newer it lies"),
    "font": ('<font face="Arial" size="20">We dig.</font>', "We dig."),
}


@pytest.mark.parametrize(("text", "expected"), MARKUP.values(), ids=MARKUP)
def test_markup_of_tools_goes(read, text, expected):
    assert texts_of(read(text)) == [expected]


TURNS = {
    "arrows": (">> Dry? >> Wet.", "Dry? Wet."),
    "dashes": ("- Dry? - Wet.", "Dry? Wet."),
    "dashes_without_spaces": ("-Dry! -Wet.", "Dry! Wet."),
    "en_dashes": ("– Sec ? – Mouillé.", "Sec ? Mouillé."),
    "em_dashes": ("— Сухо? — Мокро.", "Сухо? Мокро."),
    "spanish": ("-¿Seco? -¡Mojado!", "¿Seco? ¡Mojado!"),
    "three_turns": ("- Dry? - Wet. - Dry!", "Dry? Wet. Dry!"),
    "arabic": ("- جاف؟ - رطب", "جاف؟ رطب"),
    "chinese_rows": ("- 干的吗？\n- 湿的。", "干的吗？ 湿的。"),
    "labels_within": ("- OTTO: Dry? - CLARA: Wet.", "Dry? Wet."),
    "a_dash_within_a_sentence_stays": ("The well - our well - is dry.", "The well - our well - is dry."),
    "a_negative_number_stays": ("- Is it -5? - No, -7.", "Is it -5? No, -7."),
}


@pytest.mark.parametrize(("text", "expected"), TURNS.values(), ids=TURNS)
def test_turns_in_one_line_lose_their_marks(read, text, expected):
    assert texts_of(read(text)) == [expected]


ROWS = {
    "thai": ("บ่อน้ำอยู่\nหลังบ้าน", "บ่อน้ำอยู่หลังบ้าน"),
    "lao": ("ນ້ຳສ້າງ\nຢູ່ຫຼັງເຮືອນ", "ນ້ຳສ້າງຢູ່ຫຼັງເຮືອນ"),
    "khmer": ("អណ្តូង\nនៅក្រោយផ្ទះ", "អណ្តូងនៅក្រោយផ្ទះ"),
    "burmese": ("ရေတွင်း\nအိမ်နောက်မှာ", "ရေတွင်းအိမ်နောက်မှာ"),
    "japanese": ("井戸は家の\nうらにある", "井戸は家のうらにある"),
    "japanese_punctuation": ("井戸がある、\nでも水がない。", "井戸がある、でも水がない。"),
    "katakana": ("ポンプの\nスイッチー\nを押す", "ポンプのスイッチーを押す"),
    "chinese": ("水井在\n房子后面", "水井在房子后面"),
    "traditional_chinese": ("水井在 \n房子後面", "水井在房子後面"),
    "korean": ("우물은\n집 뒤에 있다", "우물은 집 뒤에 있다"),
    "vietnamese": ("Giếng ở\nsau nhà", "Giếng ở sau nhà"),
    "chinese_and_latin": ("我们用\nPython 写", "我们用 Python 写"),
    "hindi": ("कुआँ घर के\nपीछे है", "कुआँ घर के पीछे है"),
    "spaces_within_a_row_stay": ("บ่อน้ำ อยู่\nหลังบ้าน", "บ่อน้ำ อยู่หลังบ้าน"),
}


@pytest.mark.parametrize(("text", "expected"), ROWS.values(), ids=ROWS)
def test_rows_are_joined_as_the_script_wants_it(read, text, expected):
    assert texts_of(read(text)) == [expected]


def test_timed_runs_of_a_script_without_spaces_keep_their_text(tmp_path):
    path = tmp_path / "talk.vtt"
    path.write_text(
        "WEBVTT\n\n00:01.000 --> 00:03.000\n井戸<00:01.500>は\n<00:02.000>深い\n", encoding="utf-8"
    )
    (cue,) = read_captions(path).cues
    assert (cue.text, [word.text for word in cue.words]) == ("井戸は深い", ["井戸は深い"])


CUT_WORDS = {
    "syllables": ("the wa-\nter is cold", "the water is cold"),
    "german": ("der Brun-\nnen ist tief", "der Brunnen ist tief"),
    "spanish": ("el po-\nzo es hondo", "el pozo es hondo"),
    "russian": ("ко-\nлодец глубокий", "колодец глубокий"),
    "soft_hyphen": ("the wonder\u00ad\nful water", "the wonderful water"),
    "hyphen_of_line_breaks": ("the wonder\u2010\nful water", "the wonderful water"),
    "compound": ("a well-\nknown place", "a well-known place"),
    "number": ("twenty-\nfive metres", "twenty-five metres"),
    "long_parts": ("each mathematician-\nplumber digs", "each mathematician-plumber digs"),
    "french_inversion": ("que dit-\nil alors", "que dit-il alors"),
    "chain": ("mother-in-\nlaw digs", "mother-in-law digs"),
    "suspended_german": ("die Vor-\nund Nachteile", "die Vor- und Nachteile"),
    "suspended_english": ("two-\nor threefold", "two- or threefold"),
    "broken_off": ("I was go-\nNo, wait.", "I was go- No, wait."),
    "stutter": ("the w-\nwater", "the w- water"),
    "dashes": ("she said-- and\nthen left", "she said-- and then left"),
    "formula": ("פשוטה-\nt squared", "פשוטה- t squared"),
}


@pytest.mark.parametrize(("text", "expected"), CUT_WORDS.values(), ids=CUT_WORDS)
def test_words_cut_at_the_end_of_a_row_are_whole(read, text, expected):
    assert texts_of(read(text)) == [expected]


def test_the_file_tells_how_a_cut_word_is_spelt(read):
    captions = read(
        "an under-\nground stream",
        "the underground water",
        "a rain-\nwater-tank",
        "my ice-\nbox",
        "an ice-box",
    )
    assert texts_of(captions)[0] == "an underground stream"
    assert texts_of(captions)[3] == "my ice-box"


LOST = {
    "video_site": "take the [ __ ] bucket away",
    "stars": "take the *** bucket away",
    "masked_letters": "take the f**k away",
    "masked_end": "what the s*** is it",
    "underscores": "take the ____ bucket away",
    "question_marks": "??? the bucket is gone",
    "question_marks_in_brackets": "the name is [???] I think",
    "question_mark_in_parentheses": "his name is Brunner (?) I think",
    "dots_in_brackets": "we dug [...] and found water",
    "wide_dots": "we dug […] and found water",
    "empty_brackets": "we dug [ ] and found water",
    "xxx": "we dug [xxx] and found water",
    "unk": "we dug [UNK] and found water",
    "unk_tag": "we dug <unk> and found water",
    "time_within": "we dug [00:12:33] and found water",
    "inaudible": "we dug at [inaudible] and left",
    "with_time": "we dug at [inaudible 00:12:33] and left",
    "in_parentheses": "we dug at (unintelligible) and left",
    "in_stars": "we dug at *inaudible* and left",
    "capitals": "[INDISTINCT CHATTER]",
    "crosstalk": "[crosstalk]",
    "bleep": "you [bleep] idiot",
    "expletive": "you [expletive] idiot",
    "speaking_language": "[speaking Portuguese]",
    "speaks_foreign": "(speaks foreign language)",
    "in_language": "(in Italian) Buongiorno a tutti",
    "language_alone": "[Japanese]",
    "foreign_alone": "[foreign]",
    "german": "Wir gruben bei [unverständlich] weiter",
    "german_language": "(spricht Russisch)",
    "dutch": "We groeven bij [onverstaanbaar] verder",
    "swedish": "Vi grävde vid [ohörbart] sedan",
    "danish": "Vi gravede ved [uforståeligt] og gik",
    "norwegian": "Vi gravde ved [utydelig] og gikk",
    "finnish": "Kaivoimme [epäselvää] ja lähdimme",
    "french": "On creusait à [inaudible] et puis",
    "french_language": "[parle en espagnol]",
    "spanish": "Cavamos en [ininteligible] y ya",
    "spanish_language": "[habla en inglés]",
    "portuguese": "Cavamos em [inaudível] e fomos",
    "italian": "Scavammo a [incomprensibile] e poi",
    "romanian": "Am săpat la [neinteligibil] și gata",
    "catalan": "Vam cavar a [inintel·ligible] i prou",
    "polish": "Kopaliśmy w [niezrozumiałe] i już",
    "czech": "Kopali jsme u [nesrozumitelné] a dost",
    "slovak": "Kopali sme pri [nezrozumiteľné] a dosť",
    "croatian": "Kopali smo kod [nerazumljivo] i gotovo",
    "hungarian": "Ástunk a [érthetetlen] és kész",
    "russian": "Мы копали у [неразборчиво] и всё",
    "russian_language": "(говорит по-немецки)",
    "ukrainian": "Ми копали біля [нерозбірливо] і все",
    "bulgarian": "Копахме до [неразбираемо] и край",
    "greek": "Σκάβαμε στο [ακατάληπτο] και τέλος",
    "turkish": "Kazdık [anlaşılmıyor] ve bitti",
    "arabic": "حفرنا عند [غير مسموع] وانتهى",
    "hebrew": "חפרנו ליד [לא ברור] וזהו",
    "persian": "کندیم کنار [نامفهوم] و تمام",
    "hindi": "हमने [अस्पष्ट] खोदा और बस",
    "thai": "เราขุด [ฟังไม่ชัด] แล้ว",
    "vietnamese": "Chúng tôi đào [không nghe rõ] rồi",
    "indonesian": "Kami menggali [tidak jelas] lalu",
    "chinese": "我们挖 [听不清] 然后走",
    "japanese": "掘ったのは（聞き取れず）でした",
    "korean": "우리는 [알아들을 수 없음] 팠어요",
}


@pytest.mark.parametrize("text", LOST.values(), ids=LOST)
def test_speech_that_is_not_written_down_is_lost(read, text):
    captions = read("Well.", text, "Water.")
    assert texts_of(captions) == ["Well.", "Water."]
    assert reasons_of(captions) == [UNWRITTEN]
    assert captions.lost_speech_ms == ((3000, 5000),)


SILENT = {
    "music": "[Music]",
    "music_german": "[Musik]",
    "music_russian": "[Музыка]",
    "music_arabic": "[موسيقى]",
    "music_hindi": "[संगीत]",
    "music_korean": "[음악]",
    "music_japanese": "【音楽】",
    "applause_spanish": "(Aplausos)",
    "laughter_french": "(rires)",
    "laughter_chinese": "（笑）",
    "unknown": "[ovi paukahtaa]",
    "unknown_among_rows": "[a pump starts]\n[a dog]",
    "stars": "*coughs*",
    "note": "♪♪",
    "marks": "[♪♪♪]",
}


@pytest.mark.parametrize("text", SILENT.values(), ids=SILENT)
def test_sounds_alone_are_no_lost_speech(read, text):
    captions = read("Well.", text, "Water.")
    assert texts_of(captions) == ["Well.", "Water."]
    assert captions.lost_speech_ms == ()


BESIDE_WORDS = {
    "before": ("[laughs] That was deep.", "That was deep."),
    "after": ("That was deep. [splash]", "That was deep."),
    "own_row": ("[pump starts]\nThat was deep.", "That was deep."),
    "german": ("Das war tief (lacht) und kalt.", "Das war tief und kalt."),
    "french": ("C'était profond (rires) et froid.", "C'était profond et froid."),
    "ukrainian": ("Було глибоко (сміється) і холодно.", "Було глибоко і холодно."),
    "turkish": ("Çok derindi (gülüyor) ve soğuktu.", "Çok derindi ve soğuktu."),
    "stars": ("*sighs* deep, 5 * 3 metres * 2", "deep, 5 * 3 metres * 2"),
    "emphasis": ("that is *very* deep", "that is very deep"),
    "lyrics": ("♪ deep is the well ♪", "deep is the well"),
    "lyrics_with_hashes": ("# deep is the well #", "deep is the well"),
    "lyrics_with_tildes": ("~ deep is the well ~", "deep is the well"),
    "disclaimer": ("[Auto-generated transcript. There may be\nmistakes.]\nHello.", "Hello."),
    "time_mark": ("[00:12:33] That was deep.", "That was deep."),
    "footnote": ("That was deep.[12]", "That was deep."),
    "manner": ("[whispering] That was deep.", "That was deep."),
    "aside": ("It took ten (maybe twelve) days.", "It took ten (maybe twelve) days."),
    "aside_of_sounds": ("A bell (the sound of a bell) rings.", "A bell (the sound of a bell) rings."),
    "aside_in_rows": ("We dug\n(as one does)\nand left.", "We dug (as one does) and left."),
    "acronym": ("The council (UN) met.", "The council (UN) met."),
    "coordinates": ("goes from [1, 0] to [0, 1].", "goes from [1, 0] to [0, 1]."),
    "coordinates_on_a_row": ("lands at the point\n[3, -2].", "lands at the point [3, -2]."),
    "power_operator": ("x**2 and **kwargs and __init__", "x**2 and **kwargs and __init__"),
    "product": ("it is f*pi of L*theta", "it is f*pi of L*theta"),
    "french_marks": ("Quoi ??? Encore ?", "Quoi ??? Encore ?"),
    "part_of_a_word": ("[I]t was deep", "It was deep"),
    "operand": ("that is 2*[pi]*r", "that is 2*pi*r"),
    "open_operand": ("so it is 1+1/(...) in the end", "so it is 1+1/(...) in the end"),
}


@pytest.mark.parametrize(("text", "expected"), BESIDE_WORDS.values(), ids=BESIDE_WORDS)
def test_annotations_go_and_words_stay(read, text, expected):
    assert texts_of(read("Well.", text, "Water."))[1:2] == [expected]


IN_SENTENCES = {
    "token": "The model expects a [CLS] token first.",
    "tag": "Close the <title> element first.",
    "inserted": "They moved [it] to the barn.",
    "inserted_at_the_start": "[they] moved the pump away",
    "quoted": 'He said: "I left [the keys] there", and laughed.',
    "german": "Sie trugen [den Eimer] zum Brunnen.",
    "french": "Ils ont mis [la pompe] dans la grange.",
    "spanish": "Llevaron [el cubo] al pozo.",
    "polish": "Zanieśli [wiadro] do studni.",
    "ukrainian": "Вони віднесли [відро] до криниці.",
    "chinese": "他们把[水桶]搬走了",
    "arabic": "حملوا [الدلو] إلى البئر",
    "wrapped": "They moved\n[the old] pump away.",
    "aside": '[Aside: "Please sit down."]',
    "aside_german": "[Leise: „Setzen Sie sich.“]",
    "aside_japanese": "[小声で「座って」]",
    "sentence_alone": "[What did you find in the well then?]",
    "sentence_in_parentheses": "(He never found out who had done it.)",
    "guess_in_capitals": "And you can [FORGET TO DIG?] there.",
}


@pytest.mark.parametrize("text", IN_SENTENCES.values(), ids=IN_SENTENCES)
def test_brackets_inside_a_sentence_make_its_cue_doubtful(read, text):
    captions = read("Well.", text, "Water.")
    assert texts_of(captions) == ["Well.", "Water."]
    assert reasons_of(captions) == [AMBIGUOUS]
    assert captions.lost_speech_ms == ((3000, 5000),)


CREDITS = {
    "amara": "Subtitles by the Amara.org community",
    "english": "Captioned by Wells & Sons",
    "synced": "Synced & corrected by digger22",
    "decorated": "== Sync by digger22 ==",
    "ted": "Translator: Clara Brunner\nReviewer: Otto Quell",
    "address": "www.wells.example",
    "site": "Downloaded from opensubtitles.org",
    "german": "Untertitel im Auftrag des ZDF, 2021",
    "german_maker": "Untertitel: Clara Brunner",
    "french": "Sous-titrage Société Brunnen",
    "french_colon": "Traduction : Clara Brunner",
    "spanish": "Subtítulos por Clara Pozo",
    "portuguese": "Legendas: Clara Poço",
    "portuguese_translated": "Traduzido por Clara Poço",
    "italian": "Sottotitoli di Clara Pozzo",
    "dutch": "Ondertiteling: Clara Put",
    "swedish": "Undertexter: Clara Brunn",
    "danish": "Danske tekster: Clara Brønd",
    "norwegian": "Tekstet av Clara Brønn",
    "finnish": "Suomennos: Clara Kaivo",
    "polish": "Napisy: Clara Studnia",
    "polish_translated": "Tłumaczenie: Clara Studnia",
    "czech": "Titulky: Clara Studna",
    "slovak": "Preklad: Clara Studňa",
    "croatian": "Prijevod: Clara Bunar",
    "hungarian": "Fordította: Kút Klára",
    "romanian": "Traducerea: Clara Puț",
    "russian": "Субтитры: Клара Колодец",
    "russian_editor": "Редактор субтитров К. Колодец",
    "ukrainian": "Переклад: Клара Криниця",
    "bulgarian": "Превод: Клара Кладенец",
    "greek": "Υπότιτλοι: Κλάρα Πηγάδι",
    "turkish": "Altyazı: Clara Kuyu",
    "turkish_translation": "Çeviri: Clara Kuyu",
    "arabic": "ترجمة: كلارا بئر",
    "hebrew": "תרגום: קלרה באר",
    "persian": "زیرنویس: کلارا چاه",
    "vietnamese": "Phụ đề: Clara Giếng",
    "indonesian": "Diterjemahkan oleh Clara Sumur",
    "chinese": "字幕：克拉拉",
    "chinese_volunteers": "中文字幕志愿者 克拉拉",
    "japanese": "翻訳：井戸クララ",
    "korean": "자막: 우물 클라라",
}


@pytest.mark.parametrize("text", CREDITS.values(), ids=CREDITS)
@pytest.mark.parametrize("is_last", [False, True], ids=["first", "last"])
def test_credits_are_dropped_and_are_no_silence(read, text, is_last):
    texts = ["So we dig.", "It is deep."]
    texts.insert(2 if is_last else 0, text)
    captions = read(*texts)
    assert texts_of(captions) == ["So we dig.", "It is deep."]
    assert reasons_of(captions) == [CREDIT]
    assert len(captions.lost_speech_ms) == 1


NO_CREDITS = {
    "about_subtitles": "Subtitles are on by default, I think.",
    "question": "Subtitles by whom?",
    "translation": "Translation is hard work.",
    "german": "Untertitel sind wichtig für alle, die schlecht hören.",
    "french": "La traduction de ce livre est belle.",
    "russian": "Субтитры нам очень помогли вчера на уроке.",
    "chinese": "字幕真的很重要",
    "address_in_a_sentence": "Go to wells.example and look for us there.",
    "chinese_address": "请访问wells.com看看",
}


@pytest.mark.parametrize("text", NO_CREDITS.values(), ids=NO_CREDITS)
def test_talk_of_captions_is_speech(read, text):
    assert texts_of(read(text, "So we dig.")) == [text, "So we dig."]


def test_credits_are_looked_for_where_files_begin_and_end(read):
    texts = [f"We dig number {index}." for index in range(20)]
    texts[10] = "Subtitles by our own club are read aloud here."
    assert texts_of(read(*texts)) == texts
