import random
from dataclasses import replace

import pytest
from tiny_trainers import make_example, make_examples

from recipe.data.dataset import PreparedDataset
from recipe.screening.label_check import MIN_WINDOWS, exclude_suspects, find_suspects
from recipe.screening.label_scores import LabelScore

GOOD, USUAL_TIMING = 0.85, -3.0
NUM_RECORDINGS, WINDOWS_EACH = 6, 5
NUM_WINDOWS = NUM_RECORDINGS * WINDOWS_EACH
OTHER_WORDS = "the model finds other words in its audio"
OTHER_TIMES = "the model finds its words at other times"


def usual_scores() -> list[LabelScore]:
    """Windows as true captions have them: both figures vary a little."""
    chance = random.Random(0)
    return [
        LabelScore(
            index,
            f"talk-{index // WINDOWS_EACH}",
            index % WINDOWS_EACH * 30_000,
            (index % WINDOWS_EACH + 1) * 30_000,
            "fr",
            GOOD + chance.uniform(-0.1, 0.1),
            USUAL_TIMING + chance.uniform(-0.8, 0.8),
        )
        for index in range(NUM_WINDOWS)
    ]


def change(scores: list[LabelScore], indices: list[int], fit: float, timing: float) -> list[LabelScore]:
    return [replace(score, fit=fit, timing=timing) if score.index in indices else score for score in scores]


def prepared(num_held_out: int) -> PreparedDataset:
    num_train = NUM_WINDOWS - num_held_out
    report = {
        "num_windows": NUM_WINDOWS,
        "num_train_windows": num_train,
        "num_validation_windows": 0,
        "num_test_windows": num_held_out,
        "num_excluded_suspect_windows": 0,
        "recordings": [{"name": f"talk-{i}"} for i in range(NUM_RECORDINGS)],
        "windows_to_review": [{"row": 2, "severity": 0.9}, {"row": 6, "severity": 0.8}],
    }
    rows = make_examples(
        make_example(
            "words",
            recording=f"talk-{i // WINDOWS_EACH}",
            start_ms=i % WINDOWS_EACH * 30_000,
            end_ms=(i % WINDOWS_EACH + 1) * 30_000,
            audio={"bytes": b"", "path": None},
        )
        for i in range(NUM_WINDOWS)
    )
    train, held_out = rows.select(range(num_train)), rows.select(list(range(num_train, NUM_WINDOWS)))
    return PreparedDataset(train, rows.select([]), held_out, rows, report, ["as before"], "f")


@pytest.mark.parametrize(
    ("indices", "fit", "timing", "suspect", "reason"),
    [
        pytest.param([7], 0.02, -5.5, [7], OTHER_WORDS, id="another window's words"),
        pytest.param([7], 0.02, -3.0, [7], OTHER_WORDS, id="wrong words at the right times"),
        pytest.param([7], 0.6, -6.0, [7], OTHER_TIMES, id="five seconds late"),
        pytest.param([7], 0.85, -4.5, [], "", id="loose times of the right words"),
        pytest.param([7], 0.65, -3.0, [], "", id="a few words that are hard to recognise"),
        pytest.param([7], 1.0, -0.5, [], "", id="better than usual"),
        pytest.param(
            [5, 6, 7],
            0.55,
            -3.0,
            [5, 6, 7, 8, 9],
            "most of its recording is suspect",
            id="most windows of a recording somewhat low",
        ),
        pytest.param([5, 12, 19], 0.55, -3.0, [], "", id="the same in different recordings"),
        pytest.param([5, 6], 0.02, -5.5, [5, 6], OTHER_WORDS, id="less than half a recording"),
    ],
)
def test_windows_far_below_the_median_are_suspect(indices, fit, timing, suspect, reason):
    suspects = find_suspects(change(usual_scores(), indices, fit, timing))
    assert sorted(found.window.index for found in suspects) == suspect
    assert all(found.score < 0 for found in suspects)
    assert {s.reason for s in suspects if s.window.index in indices} == ({reason} if reason else set())


def test_the_worst_window_comes_first():
    scores = change(change(usual_scores(), [3], 0.1, -5.0), [20], -0.4, -6.0)
    assert [suspect.window.index for suspect in find_suspects(scores)] == [20, 3]


def test_windows_that_are_all_alike_are_not_told_apart():
    alike = change(usual_scores(), list(range(NUM_WINDOWS)), GOOD, USUAL_TIMING)
    assert find_suspects(change(alike, [4], GOOD - 0.03, USUAL_TIMING - 0.2)) == []


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param([], id="nothing to score"),
        pytest.param(change(usual_scores(), [2], 0.0, -6.0)[: MIN_WINDOWS - 1], id="too few windows"),
        pytest.param(
            change(change(usual_scores(), list(range(NUM_WINDOWS)), 0.05, -5.0), [3], -0.9, -9.0),
            id="a language that the model does not know",
        ),
    ],
)
def test_nothing_is_suspect_where_the_model_cannot_judge(scores):
    assert find_suspects(scores) == []


@pytest.mark.parametrize(
    ("max_fraction", "num_excluded"),
    [(0.0, 0), (0.08, 2), (0.25, 4)],
    ids=["none allowed", "two allowed", "enough allowed"],
)
def test_at_most_the_stated_fraction_is_excluded_and_everything_is_named(max_fraction, num_excluded):
    data = prepared(num_held_out=5)
    scores = change(usual_scores(), [0, 6, 12, 18], 0.0, -5.5)
    scores = change(scores, [12], -0.5, -6.0)  # the worst
    scores = change(scores, [27], 0.0, -5.5)  # held out

    checked = exclude_suspects(data, scores, max_fraction)

    report = checked.report
    by_use = {
        use: [entry for entry in report["suspect_windows"] if entry["used_for"] == use]
        for use in ("nothing", "training", "measurement")
    }
    excluded = by_use["nothing"]
    assert len(checked.train) == report["num_train_windows"] == 25 - num_excluded
    assert len(excluded) == report["num_excluded_suspect_windows"] == num_excluded
    assert checked.test is data.test
    assert report["num_windows"] == (
        report["num_train_windows"] + report["num_test_windows"] + report["num_excluded_suspect_windows"]
    )
    assert sum(r["num_excluded_suspect_windows"] for r in report["recordings"]) == num_excluded
    used = set(zip(checked.train["recording"], checked.train["start_ms"], strict=True))
    assert used.isdisjoint((entry["recording"], entry["start_ms"]) for entry in excluded)
    assert [entry["index"] for entry in excluded][:1] == [12][:num_excluded]
    assert sorted(entry["index"] for entry in report["suspect_windows"]) == [0, 6, 12, 18, 27]
    assert sum(map(len, by_use.values())) == 5
    assert [entry["index"] for entry in by_use["measurement"]] == [27]
    assert len(checked.warnings) == 1 + (num_excluded > 0) + (num_excluded < 4) + 1
    assert (checked.fingerprint == exclude_suspects(data, usual_scores(), max_fraction).fingerprint) == (
        num_excluded == 0
    )


def test_a_report_entry_says_where_what_how_far_and_why():
    scores = change(usual_scores(), [7], 0.0, -5.5)
    (entry,) = exclude_suspects(prepared(0), scores, 0.25).report["suspect_windows"]
    assert (entry["recording"], entry["start_ms"], entry["end_ms"]) == ("talk-1", 60_000, 90_000)
    assert (entry["words"], entry["reason"]) == ("words", OTHER_WORDS)
    assert entry["score"] < -4


def in_language(code: str, scores: list[LabelScore], *, worse_by: float = 0.0) -> list[LabelScore]:
    """The windows in another language, which the model knows less, as recordings of their own."""
    return [
        replace(
            score,
            index=score.index + NUM_WINDOWS,
            recording=f"{code}-{score.recording}",
            language=code,
            fit=score.fit - worse_by,
        )
        for score in scores
    ]


def test_each_language_is_judged_by_its_own_usual_fit():
    weaker = in_language("cy", usual_scores()[:MIN_WINDOWS], worse_by=0.5)
    assert find_suspects([*usual_scores(), *weaker]) == []
    spoilt = change(weaker, [weaker[3].index], -0.2, -5.5)
    suspects = find_suspects([*usual_scores(), *spoilt])
    assert [suspect.window for suspect in suspects] == [spoilt[3]]


def test_a_language_that_the_model_does_not_know_is_told_and_leaves_the_others_judged():
    unknown = in_language("cy", usual_scores(), worse_by=0.85)
    known = change(usual_scores(), [7], 0.0, -5.5)
    checked = exclude_suspects(prepared(0), [*known, *unknown], 0.25)
    assert [entry["index"] for entry in checked.report["suspect_windows"]] == [7]
    assert checked.report["num_excluded_suspect_windows"] == 1
    assert "in language cy" in checked.warnings[1]
    assert {code: part["is_judged"] for code, part in checked.report["label_check"].items()} == {
        "cy": False,
        "fr": True,
    }


def test_the_windows_to_review_begin_with_the_suspect_ones():
    scores = change(change(usual_scores(), [6], 0.0, -5.5), [27], -0.5, -6.0)
    windows = exclude_suspects(prepared(5), scores, 0.25).report["windows_to_review"]
    assert [window["row"] for window in windows] == [27, 6, 2]
    assert [window.get("not_used_because") for window in windows] == ["", "it is suspect", None]
    assert windows[0]["severity"] > windows[1]["severity"] > 1
    assert windows[1]["flags"] == [OTHER_WORDS]


def test_a_person_is_told_of_each_suspect_window_with_its_mend():
    scores = change(change(usual_scores(), [6], 0.0, -5.5), [27], -0.5, -6.0)
    checked = exclude_suspects(prepared(5), scores, 0.25)
    not_trained, measured = [warning.findings[0] for warning in checked.warnings[1:]]
    assert (not_trained.where, not_trained.start_ms) == (scores[6].recording, scores[6].start_ms)
    assert (measured.where, measured.start_ms) == (scores[27].recording, scores[27].start_ms)
    assert not_trained.mend == checked.report["terms"][OTHER_WORDS]["mend"]
    assert OTHER_WORDS in not_trained.why


def test_a_model_that_recognises_nothing_is_told_and_all_windows_are_trained():
    lost = change(usual_scores(), list(range(NUM_WINDOWS)), 0.01, -7.0)
    checked = exclude_suspects(prepared(0), lost, 0.25)
    assert len(checked.train) == NUM_WINDOWS
    assert "hardly any of the words" in checked.warnings[-1]
