import numpy as np
import pytest
from datasets import Audio, Dataset
from pages import PageReader

from recipe.audio.decoding import encode_flac
from recipe.evaluation.keywords import BothModels, GlossaryComparison, compare_prompted
from recipe.evaluation.long_form_table import LONG_FORM_ROWS
from recipe.evaluation.metrics import score_text
from recipe.evaluation.mistakes import Text, describe_mistakes
from recipe.evaluation.other_speech import OtherSpeech
from recipe.evaluation.report import Evaluation, Transcript, build_report, judge_difference
from recipe.evaluation.report_page import (
    MAX_RECORDINGS,
    NUM_SHOWN,
    choose_recordings,
    draw_curves,
    render_page,
    show_windows,
)

SOUND = encode_flac(np.zeros(16_000, np.int16))
EVIL = "<script>alert(1)</script>"


def evaluate(hypotheses: list[str]) -> Evaluation:
    """Windows of 30 s of two recordings; each says six words."""
    transcripts = [
        Transcript(
            f"{EVIL}{number % 2}",
            30_000 * number,
            30_000 * number + 30_000,
            "en",
            "We saw Anna in Rome then",
            hypothesis,
            score_text("We saw Anna in Rome then", hypothesis, language="en"),
        )
        for number, hypothesis in enumerate(hypotheses)
    ]
    return Evaluation(transcripts, 1.0)


WORD_TIMES = {
    "num_cues": 41,
    "start_error_median_ms": 32.0,
    "start_error_p90_ms": 71.0,
    "starts_within_200_ms": 0.9,
    "misses_within_200_ms": 0.95,
}


@pytest.fixture(scope="module")
def report() -> dict:
    before = evaluate(["we saw Hannah in Rome"] * 20)
    after = evaluate(["We saw Anna in Rome then"] * 12 + ["we saw Hannah"] * 8)
    texts = [Text(item.reference, item.hypothesis, "en") for item in after.transcripts]
    return {
        "run": {"name": EVIL, "base_model": EVIL, "created": "2031-01-01 10:00 UTC"},
        "task": "transcribe",
        **build_report(before, after),
        "comparison": judge_difference(before, after).as_dict(),
        "weight_selection": {"rises": {EVIL: 0.01}},
        "other_speech": [OtherSpeech(EVIL, before, after, has_weighed=True).as_dict()],
        "mistakes": {"before": describe_mistakes(texts), "after": describe_mistakes(texts)},
        "curve": [
            {"step": 0, "wer_normalized": 0.33, "validation_loss": 2.0},
            {"step": 5, "train_loss": 1.5},
            {"step": 10, "train_loss": 1.0},
            {"step": 10, "wer_normalized": 0.2, "validation_loss": 1.2},
        ],
        "glossary": GlossaryComparison(
            *(["Anna", EVIL], 3, 1),
            BothModels(
                compare_prompted(["Anna", EVIL], before, after),
                compare_prompted(["Anna", EVIL], after, before),
            ),
        ).as_dict(),
        "long_form": {
            "view": "whole",
            "num_recordings": 2,
            "audio_seconds": 90.0,
            "before": {name: 4 if form == "d" else 0.25 for name, (_, form) in LONG_FORM_ROWS.items()},
            "after": {name: 2 if form == "d" else 0.125 for name, (_, form) in LONG_FORM_ROWS.items()},
            "comparison": {"sentence": "Whole recordings are better too."},
            "word_times": {
                **dict.fromkeys(("before", "with_base_heads"), WORD_TIMES | {"start_error_median_ms": 88.0}),
                "after": WORD_TIMES,
                "max_windows": 16,
            },
        },
        "dtype": {"name": "float16", "num_bytes": 10, "sentence": f"The weights are float16: {EVIL}."},
        "dataset": {"num_train_windows": 40, "num_recordings": 5, "audio_ms": 1_200_000},
        "command": f"accelerate launch train.py --data_dir '{EVIL}'",
    }


@pytest.fixture(scope="module")
def windows_to_play(report: dict) -> Dataset:
    windows = report["windows"]
    columns = {name: [window[name] for window in windows] for name in ("recording", "start_ms")}
    rows = Dataset.from_dict({**columns, "audio": [{"bytes": SOUND, "path": None}] * len(windows)})
    return rows.cast_column("audio", Audio(decode=False))


@pytest.fixture(scope="module")
def page(report: dict, windows_to_play: Dataset) -> PageReader:
    reader = PageReader()
    reader.feed(render_page(report, windows_to_play, [f"{EVIL} is missing"]))
    return reader


def test_the_page_says_the_figure_and_what_may_be_said_of_it_first(page: PageReader, report: dict) -> None:
    text = " ".join(page.text.split())
    assert "Of 100 words, the base model gets 33 wrong, the trained model 27 ." in text.replace("27.", "27 .")
    assert report["comparison"]["sentence"] in text
    assert text.index(report["comparison"]["sentence"]) < text.index("By recording")


def test_whole_recordings_have_a_table(page: PageReader) -> None:
    assert "Whole recordings are better too." in page.text
    assert page.text.count("12.5") >= 1


def test_a_glossary_has_a_table_with_both_models_with_it_and_without(page: PageReader, report: dict) -> None:
    section = page.text.partition("With the glossary in the prompt")[2]
    assert report["glossary"]["sentence"] in section
    for words in ("base, without", "base, with", "trained, without", "trained, with", "60.0 %", EVIL):
        assert words in section


def test_other_speech_has_a_table_with_the_verdict(page: PageReader, report: dict) -> None:
    (item,) = report["other_speech"]
    told = page.text[page.text.index("What was forgotten") :]
    assert "others of the same sets weighed" in told
    assert item["comparison"]["verdict"] in told
    assert told.index(EVIL) < told.index("33.3 %") < told.index("26.7 %")


def test_the_page_loads_nothing_and_escapes_what_files_hold(page: PageReader) -> None:
    assert "script" not in page.tags
    outside = [a for a in page.addresses if not a.startswith(("data:audio/mpeg;base64,", "#", "prepared/"))]
    assert outside == []
    assert page.text.count(EVIL) > 3


def test_the_windows_that_gained_most_and_least_are_shown_and_some_by_chance(
    report: dict, windows_to_play: Dataset
) -> None:
    shown = show_windows(report, windows_to_play)
    kinds = ("gained most", "gained least", "drawn by chance")
    assert [item.why for item in shown] == [why for why in kinds for _ in range(NUM_SHOWN)]
    gains = [item.window["num_errors"] - item.window["num_errors_after"] for item in shown]
    assert gains[:4] == [2] * 4
    assert gains[4:8] == [-2] * 4
    places = [(item.window["recording"], item.window["start_ms"]) for item in shown]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("num_windows", [1, 2, 5])
def test_few_windows_are_shown_once_each(num_windows: int, windows_to_play: Dataset, report: dict) -> None:
    few = {**report, "windows": report["windows"][:num_windows]}
    assert len(show_windows(few, windows_to_play)) == num_windows


def test_what_differs_is_marked_for_eyes_and_without_colour(page: PageReader) -> None:
    assert page.tags.count("del") > 4
    assert page.tags.count("ins") > 4
    assert "Struck out" in page.text


def test_curves_begin_with_the_base_model(report: dict) -> None:
    curves = {curve.title: curve for curve in draw_curves(report["curve"])}
    assert curves["Words wrong on the validation part"].points == [(0, 0.33), (10, 0.2)]
    assert curves["Words wrong on the validation part"].places == [(0.0, 0.0), (300.0, 110.0)]
    assert curves["Loss in training, nats a token"].points == [(5, 1.5), (10, 1.0)]


def test_a_figure_taken_once_is_no_curve() -> None:
    assert list(draw_curves([{"step": 0, "wer_normalized": 0.3}])) == []


def test_recordings_have_their_own_figures(report: dict) -> None:
    rows = report["recordings"]
    assert [row["num_words"] for row in rows.values()] == [60, 60]
    assert all(row["after_interval"][0] <= row["after"] <= row["after_interval"][1] for row in rows.values())


def test_cuts_are_shown_where_whole_recordings_would_be(report: dict, windows_to_play: Dataset) -> None:
    sides = {
        side: {name: value for name, value in report["long_form"][side].items() if "words_on" not in name}
        for side in ("before", "after")
    }
    page = render_page(
        {**report, "long_form": {**report["long_form"], **sides, "view": "cuts"}}, windows_to_play, []
    )
    assert "<h2>Cuts of 30 seconds</h2>" in page
    assert "1.5 min of 2 test recordings, cut every 30 seconds wherever that falls" in page
    assert "minute of silence" not in page
    assert "WhisperTrain&#39;s normalisation" in page


def test_the_page_says_how_far_off_word_times_are_and_what_dtype_is_published(page):
    assert "Word times at the starts of 41 cues" in page.text
    assert "this model by its heads 88 ms (median)" in page.text
    assert f"The weights are float16: {EVIL}." in page.text


def test_of_very_many_recordings_those_with_the_most_words_wrong_are_shown():
    few = {f"talk-{n}": {"num_words": 100, "after": n / 1000} for n in range(MAX_RECORDINGS)}
    assert list(choose_recordings(few)) == list(few)
    many = {"short": {"num_words": 1, "after": 0.95}, **few, "long": {"num_words": 10_000, "after": 0.1}}
    names = list(few)
    assert list(choose_recordings(many)) == ["long", *names[:9:-1], "short", *names[9:1:-1]]


def test_a_page_of_very_many_recordings_says_how_many_it_shows(report, windows_to_play):
    row = next(iter(report["recordings"].values()))
    many = {f"talk {number}": row for number in range(MAX_RECORDINGS + 1)}
    page = PageReader()
    page.feed(render_page(report | {"recordings": many}, windows_to_play, []))
    assert "Shown are the 500 of 501 recordings" in page.text
    assert "talk 499" in page.text
    assert "talk 500" not in page.text
