# ruff: noqa: E501, RUF001 - a table of other languages' lines
"""Times that cannot be right: hours late, or two captions of one time that cannot both be said."""

from __future__ import annotations

import pytest
from caption_files import read_written, write_srt, write_vtt

HOUR_MS = 3_600_000


def broadcast(first_ms, num_cues=10, step_ms=4_000):
    return [
        (first_ms + n * step_ms, first_ms + n * step_ms + 3_000, f"Sentence number {n} of it.")
        for n in range(num_cues)
    ]


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
@pytest.mark.parametrize(
    ("hours", "offset_ms", "duration_ms", "num_cues"),
    [
        (10, 1_000, 42_000, 10),
        (1, 0, 45_000, 10),
        (1, 20_000, 65_000, 10),
        (9, 500, 300_000, 10),
        (20, 90_000, 1_800_000, 100),
        (23, 2_000, 600_000, 140),
        (10, 5_000, 2 * HOUR_MS, 1_700),
        (10, 1_000, 38_000, 10),
    ],
)
def test_times_that_are_whole_hours_late_are_moved(tmp_path, hours, offset_ms, duration_ms, num_cues, suffix):
    cues = broadcast(hours * HOUR_MS + offset_ms, num_cues)
    captions = read_written(
        tmp_path, write_srt(cues) if suffix == ".srt" else write_vtt(cues), suffix, duration_ms=duration_ms
    )
    assert [cue.start_ms for cue in captions.cues] == [offset_ms + n * 4_000 for n in range(num_cues)]
    assert [(note.line, str(note.action)) for note in captions.notes if not note.line] == [(0, "repaired")]
    assert f"{hours} h late" in captions.notes[0].reason


@pytest.mark.parametrize(
    ("first_ms", "duration_ms"),
    [
        pytest.param(10 * HOUR_MS - 2_000, 45_000, id="begins before the hour"),
        pytest.param(10 * HOUR_MS + 60_000, 45_000, id="does not fit"),
        pytest.param(2 * HOUR_MS + 100_000, 2 * HOUR_MS, id="fits in two hours"),
        pytest.param(90_000, 45_000, id="minutes late"),
    ],
)
def test_times_that_are_late_by_nobody_knows_what_are_said_to_be(tmp_path, first_ms, duration_ms):
    captions = read_written(tmp_path, write_srt(broadcast(first_ms)), duration_ms=duration_ms)
    assert not captions.cues
    assert next(note.reason for note in captions.notes if not note.line).endswith(
        "late, or is it another recording?"
    )


@pytest.mark.parametrize("duration_ms", [None, 11 * HOUR_MS])
def test_times_that_may_be_right_are_left(tmp_path, duration_ms):
    captions = read_written(tmp_path, write_srt(broadcast(10 * HOUR_MS)), duration_ms=duration_ms)
    assert captions.cues[0].start_ms == 10 * HOUR_MS
    assert not captions.notes


def test_what_is_lost_of_late_captions_is_lost_on_the_audio_s_clock(tmp_path):
    cues = [
        *broadcast(10 * HOUR_MS),
        (10 * HOUR_MS + 41_000, 10 * HOUR_MS + 41_100, "far too much to be said in it " * 8),
    ]
    captions = read_written(tmp_path, write_srt(cues), duration_ms=45_000)
    assert captions.lost_speech_ms == ((41_000, 41_100),)


LONG = {
    "en": ("then it falls at a constant speed until it reaches zero just at the end of the whole run.", "I can already hear you shout at the screen, yes, I know, that is in fact a linear decay."),
    "de": ("dann fällt sie mit gleichbleibender Geschwindigkeit, bis sie ganz am Ende null erreicht hat.", "Ich höre euch schon alle rufen, ja, ich weiß, das ist in Wirklichkeit ein linearer Abfall."),
    "fr": ("puis il descend à vitesse constante jusqu'à atteindre zéro à la toute fin de l'entraînement.", "Je vous entends déjà crier devant l'écran, oui, je sais, c'est en fait une descente linéaire."),
    "ru": ("затем он падает с постоянной скоростью, пока не достигнет нуля в самом конце всего обучения.", "Я уже слышу, как вы кричите на экран, да, я знаю, это на самом деле линейное затухание."),
    "es": ("luego cae a velocidad constante hasta llegar a cero justo al final de todo el entrenamiento.", "Ya os oigo gritar a la pantalla, sí, lo sé, en realidad eso es un descenso lineal y nada más."),
    "it": ("poi scende a velocità costante fino ad arrivare a zero proprio alla fine dell'addestramento.", "Vi sento già gridare davanti allo schermo, sì, lo so, in realtà è una discesa del tutto lineare."),
    "el": ("μετά πέφτει με σταθερή ταχύτητα μέχρι να φτάσει στο μηδέν στο τέλος όλης της εκπαίδευσης.", "Σας ακούω ήδη να φωνάζετε στην οθόνη, ναι, το ξέρω, είναι στην ουσία γραμμική μείωση."),
    "ar": ("ثم ينخفض بسرعة ثابتة حتى يصل إلى الصفر في نهاية التدريب كله تماما وليس قبل ذلك بأي حال.", "أستطيع أن أسمعكم تصرخون أمام الشاشة، نعم أعرف، هذا في الحقيقة انخفاض خطي ليس أكثر."),
    "tr": ("sonra eğitimin tam sonunda sıfıra ulaşana kadar sabit bir hızla düşmeye devam ediyor işte.", "Ekrana bağırdığınızı şimdiden duyar gibiyim, evet, biliyorum, bu aslında doğrusal bir düşüş."),
}  # fmt: skip


@pytest.mark.parametrize(
    "second",
    [(5_280, 11_120), (5_280, 10_500), (6_000, 11_120), (6_000, 12_000)],
    ids=["same", "inside", "late", "over"],
)
@pytest.mark.parametrize("texts", LONG.values(), ids=LONG)
def test_two_long_cues_of_one_time_are_both_lost(tmp_path, texts, second):
    cues = [
        (1_000, 5_000, "Before."),
        (5_280, 11_120, texts[0]),
        (*second, texts[1]),
        (13_000, 15_000, "After."),
    ]
    captions = read_written(tmp_path, write_srt(cues))
    assert [cue.text for cue in captions.cues] == ["Before.", "After."]
    assert captions.lost_speech_ms == ((5_280, 11_120), second)


def test_a_third_cue_of_that_time_is_lost_too(tmp_path):
    first, second = LONG["en"]
    cues = [(0, 5_000, first), (0, 5_000, second), (3_000, 6_000, "And me."), (6_100, 8_000, "After.")]
    captions = read_written(tmp_path, write_srt(cues))
    assert [cue.text for cue in captions.cues] == ["After."]
    assert captions.num_dropped == 3


def test_a_cue_of_minutes_does_not_cost_those_that_are_said_meanwhile(tmp_path):
    cues = [(0, 600_000, "The end of this one is a slip. " * 20), *broadcast(4_000)]
    captions = read_written(tmp_path, write_srt(cues))
    assert [cue.start_ms for cue in captions.cues] == [4_000 + n * 4_000 for n in range(10)]
    assert captions.num_dropped == 1
