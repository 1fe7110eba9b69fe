import random
import time
from itertools import pairwise

import pytest
from speech import PAUSE_MS, WORD_MS, StandInTimer, speak

from recipe.captions.plain_text import split_phrases
from recipe.screening.alignment import MAX_CUE_MS, align_text
from recipe.screening.matching import find_anchors
from recipe.screening.word_times import cut_at_pauses

SENTENCES = {
    "en": [
        "The morning train was late again.",
        "Nobody on the platform said a word.",
        "Then it came at last.",
    ],
    "fr": [
        "Le train du matin était en retard.",
        "Personne n'a rien dit sur le quai.",
        "Puis il est enfin venu.",
    ],
    "de": ["Der Zug am Morgen kam zu spät.", "Auf dem Bahnsteig sagte niemand etwas.", "Dann kam er doch."],
    "es": ["El tren de la mañana llegó tarde.", "Nadie dijo nada en el andén.", "Luego vino por fin."],
    "pl": [
        "Poranny pociąg znów się spóźnił bardzo.",
        "Nikt na peronie nic nie powiedział.",
        "Potem wreszcie przyjechał tutaj.",
    ],
    "ru": [
        "Утренний поезд снова сильно опоздал.",
        "Никто на платформе ничего не сказал.",
        "Потом он наконец пришёл.",
    ],
    "tr": [
        "Sabah treni yine çok geç geldi.",
        "Peronda kimse tek kelime etmedi.",
        "Sonra nihayet tren geldi.",
    ],
    "ar": ["تأخر قطار الصباح مرة أخرى.", "لم يقل أحد شيئا على الرصيف.", "ثم جاء القطار أخيرا هنا."],
    "hi": ["सुबह की ट्रेन फिर देर से आई।", "प्लेटफार्म पर किसी ने कुछ नहीं कहा।", "फिर वह आखिर आ गई।"],
    "ja": [
        "朝の電車はまた遅れていました。",
        "ホームでは誰も何も言わなかった。",
        "それから電車がやっと来ました。",
    ],
    "zh": ["早上的火车又一次晚点很久。", "站台上没有一个人说一句话。", "后来火车终于开到这里来了。"],
}
WITHOUT_SPACES = {"ja", "zh"}


def words_of(sentence: str, language: str) -> list[str]:
    return list(sentence) if language in WITHOUT_SPACES else sentence.split()


def say(sentences: list[str], language: str):
    return speak([words_of(sentence, language) for sentence in sentences], language)


def align(text: str, spoken: list[str], language: str = "en", probability: float = 0.5):
    sound, transcript = say(spoken, language)
    return align_text(split_phrases(text), transcript, sound, StandInTimer(transcript, probability))


def texts_of(alignment) -> list[str]:
    return [cue.text for cue in alignment.cues]


@pytest.mark.parametrize(("language", "sentences"), SENTENCES.items(), ids=SENTENCES)
def test_each_sentence_is_a_cue_where_it_is_spoken(language, sentences):
    alignment = align("\n".join(sentences), sentences, language)
    sound, _ = say(sentences, language)
    assert texts_of(alignment) == sentences
    for cue, (start_ms, end_ms) in zip(alignment.cues, sound.voice, strict=True):
        assert abs(cue.start_ms - start_ms) <= 60
        assert abs(cue.end_ms - end_ms) <= WORD_MS
        assert cue.confidence == 1
    assert not alignment.lost_ms
    assert alignment.num_used == alignment.num_words == alignment.num_matched


NOT_SPOKEN = {
    "heading": "Chapter One\n\n{}\n{}\n{}",
    "title and author": "A MORNING JOURNEY\nby Somebody Else\n\n{}\n{}\n{}",
    "page number": "{}\n12\n{}\n{}",
    "page in words": "{}\nPage 3 of 14\n{}\n{}",
    "page number in a sentence": "The morning train\n- 7 -\nwas late again.\n{1}\n{2}",
    "times": "[00:00:01] {}\n[00:00:04] {}\n00:07 {}",
    "rule": "{}\n* * *\n{}\n----\n{}",
    "names": "ANNA: {}\nBen Smith: {}\nANNA: {}",
    "names on lines": "Speaker 1\n{}\nSpeaker 2\n{}\nSpeaker 1\n{}",
    "sounds": "[Music]\n{}\n(applause)\n{}\n*door*\n{}",
    "footer": "{}\n{}\n{}\nTranscribed by the office, all rights are reserved by us.",
}


@pytest.mark.parametrize("layout", NOT_SPOKEN.values(), ids=NOT_SPOKEN)
def test_what_is_not_spoken_is_left_out(layout):
    spoken = SENTENCES["en"]
    alignment = align(layout.format(*spoken), spoken)
    assert " ".join(texts_of(alignment)) == " ".join(spoken)
    assert not alignment.lost_ms


@pytest.mark.parametrize(
    "sentence",
    [
        "Der Grund: wir hatten keine Zeit.",
        "La raison : nous étions en retard.",
        "Verdict: he was not guilty at all.",
        "Знайте: мы ещё вернёмся сюда.",
        "قال: سوف نعود غدا إلى البيت.",
        "Pregunta: quién ha venido esta noche.",
        "Uwaga: pociąg jest dzisiaj opóźniony.",
        "Dikkat: tren bugün geç kalacak yine.",
    ],
)
def test_words_before_a_colon_that_are_spoken_are_kept(sentence):
    alignment = align(sentence, [sentence])
    assert texts_of(alignment) == [sentence]


@pytest.mark.parametrize(("language", "sentences"), SENTENCES.items(), ids=SENTENCES)
def test_speech_that_the_text_leaves_out_is_lost_speech(language, sentences):
    alignment = align("\n".join([sentences[0], sentences[2]]), sentences, language)
    sound, _ = say(sentences, language)
    assert texts_of(alignment) == [sentences[0], sentences[2]]
    (lost,) = alignment.lost_ms
    assert lost == pytest.approx(sound.voice[1], abs=3 * WORD_MS)  # a mark has no word time


def test_speech_left_out_inside_a_sentence_cuts_its_cue():
    spoken = "We went home early and then something else was said by him before it rained all night."
    text = "We went home early before it rained all night."
    alignment = align(text, [spoken])
    assert texts_of(alignment) == ["We went home early", "before it rained all night."]
    assert len(alignment.lost_ms) == 1


@pytest.mark.parametrize(("language", "sentences"), SENTENCES.items(), ids=SENTENCES)
def test_text_that_is_not_spoken_is_dropped_and_counted(language, sentences):
    other = SENTENCES["de" if language == "en" else "en"] * 3
    alignment = align("\n".join([sentences[0], *other, *sentences[1:]]), sentences, language)
    assert texts_of(alignment) == sentences
    assert alignment.num_used < alignment.num_words
    assert [text for _, text in alignment.left_out] == other
    assert [line for line, _ in alignment.left_out] == list(range(2, 11))


def test_a_changed_word_stays_and_lowers_the_confidence():
    spoken = SENTENCES["en"]
    changed = spoken[1].replace("platform", "xylophone")
    alignment = align("\n".join([spoken[0], changed, spoken[2]]), spoken)
    assert texts_of(alignment) == [spoken[0], changed, spoken[2]]
    assert [round(cue.confidence, 2) for cue in alignment.cues] == [1, 0.86, 1]


@pytest.mark.parametrize(("probability", "is_kept"), [(0.5, True), (0.01, False)])
def test_a_sentence_that_was_transcribed_as_another_is_kept_if_it_is_probable(probability, is_kept):
    spoken = [SENTENCES["en"][0], "zzz yyy xxx www vvv uuu ttt", SENTENCES["en"][2]]
    alignment = align("\n".join(SENTENCES["en"]), spoken, probability=probability)
    assert (SENTENCES["en"][1] in texts_of(alignment)) == is_kept
    assert bool(alignment.lost_ms) != is_kept


def test_a_long_sentence_is_cut_at_its_clauses():
    words = [f"word{n}{'abcdefgh'[n % 8]}{'klmnop'[n % 6]}" for n in range(90)]
    words[30] += ","
    words[61] += ";"
    alignment = align(" ".join(words) + ".", [" ".join(words)])
    assert all(cue.end_ms - cue.start_ms <= MAX_CUE_MS for cue in alignment.cues)
    assert " ".join(texts_of(alignment)) == " ".join(words) + "."
    ends = [cue.text[-1] for cue in alignment.cues]
    assert ends.count(",") == ends.count(";") == 1


def test_a_text_of_other_words_has_no_cues():
    alignment = align("\n".join(SENTENCES["fr"]), SENTENCES["en"])
    assert not alignment.cues
    assert alignment.num_matched == 0


def test_a_recording_without_a_transcript_has_no_cues():
    sound, _ = say(SENTENCES["en"], "en")
    alignment = align_text(split_phrases("Some words."), [], sound, StandInTimer([]))
    assert not alignment.cues
    assert len(alignment.lost_ms) == 1


def test_common_words_alone_are_no_anchor():
    chance = random.Random(0)
    common = ["the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "was", "on", "are"]
    reference = [chance.choice(common) if n % 3 else f"left{n}" for n in range(300)]
    hypothesis = [chance.choice(common) if n % 3 else f"{n}right" for n in range(300)]
    assert len(find_anchors(reference, hypothesis, 3)) < 30


def test_misspelt_words_are_anchors():
    reference = ["nous", "étions", "arrivés", "hier", "avec", "mademoiselle", "Duchâteau"]
    hypothesis = ["nous", "étion", "arrivé", "hier", "avec", "madamoiselle", "Duchateau"]
    assert find_anchors(reference, hypothesis, 3) == [(n, n) for n in range(7)]


def test_ten_hours_are_matched_in_seconds():
    chance = random.Random(0)
    words = [f"{chance.randrange(10_000):x}" for _ in range(90_000)]
    assert len(find_anchors(words, words[:40_000] + words[45_000:], 3)) == 85_000


def test_a_long_text_without_a_mark_is_aligned_in_seconds():
    words = [f"w{n:x}{'bcdfg'[n % 5]}" for n in range(30_000)]
    started = time.process_time()
    lines = [" ".join(words[n : n + 12]) for n in range(0, 30_000, 12)]
    alignment = align("\n".join(lines), [" ".join(words[n : n + 50]) for n in range(0, 30_000, 50)])
    assert " ".join(texts_of(alignment)) == " ".join(words)
    assert all(cue.end_ms - cue.start_ms <= MAX_CUE_MS for cue in alignment.cues)
    assert time.process_time() - started < 15


def test_spans_hold_all_voice_and_fit_the_model():
    chance = random.Random(0)
    voice, end_ms = [], 0
    for _ in range(300):
        start_ms = end_ms + chance.randrange(100, 9_000)
        end_ms = start_ms + chance.choice([200, 4_000, 70_000])
        voice.append((start_ms, end_ms))
    spans = cut_at_pauses(voice, end_ms + PAUSE_MS)
    assert all(0 < end - start <= 30_000 for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    covered = [(max(a, c), min(b, d)) for a, b in voice for c, d in spans if max(a, c) < min(b, d)]
    assert sum(d - c for c, d in covered) == sum(b - a for a, b in voice)
