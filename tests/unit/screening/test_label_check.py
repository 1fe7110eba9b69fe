import random
from dataclasses import replace

import pytest
from datasets import Dataset

from recipe.data.dataset import PreparedDataset
from recipe.data.shards import FEATURES, load_examples
from recipe.screening.label_check import MIN_WINDOWS, WindowFit, find_doubts, hold_back

GOOD, USUAL_TIMING = 0.85, -3.0
NUM_RECORDINGS, WINDOWS_EACH = 6, 5
NUM_WINDOWS = NUM_RECORDINGS * WINDOWS_EACH


def usual_fits() -> list[WindowFit]:
    """Windows as true captions have them: both figures vary a little."""
    chance = random.Random(0)
    return [
        WindowFit(
            index,
            f"talk-{index // WINDOWS_EACH}",
            index % WINDOWS_EACH * 30_000,
            (index % WINDOWS_EACH + 1) * 30_000,
            "fr",
            "words",
            GOOD + chance.uniform(-0.1, 0.1),
            USUAL_TIMING + chance.uniform(-0.8, 0.8),
        )
        for index in range(NUM_WINDOWS)
    ]


def change(fits: list[WindowFit], indices: list[int], fit: float, timing: float) -> list[WindowFit]:
    return [
        WindowFit(f.index, f.recording, f.start_ms, f.end_ms, f.language, f.words, fit, timing)
        if f.index in indices
        else f
        for f in fits
    ]


def prepared(num_held_out: int) -> PreparedDataset:
    def examples(indices: range) -> Dataset:
        rows = [
            {
                "recording": f"talk-{i // WINDOWS_EACH}",
                "language": "fr",
                "start_ms": i % WINDOWS_EACH * 30_000,
                "end_ms": (i % WINDOWS_EACH + 1) * 30_000,
                "audio": {"bytes": b"", "path": None},
                "segments": [],
                "prompt": "",
                "num_tokens": 0,
                "chars_per_second": 0.0,
                "compression_ratio": 0.0,
                "flags": [],
                "doubt": 0.0,
                "held_back": "",
            }
            for i in indices
        ]
        return Dataset.from_list(rows, features=FEATURES) if rows else load_examples([])

    num_train = NUM_WINDOWS - num_held_out
    report = {
        "num_windows": NUM_WINDOWS,
        "num_train_windows": num_train,
        "num_held_out_windows": num_held_out,
        "num_held_back_windows": 0,
        "recordings": [{"name": f"talk-{i}"} for i in range(NUM_RECORDINGS)],
        "listening": [{"row": 2, "doubt": 0.9}, {"row": 6, "doubt": 0.8}],
    }
    rows = examples(range(NUM_WINDOWS))
    train, held_out = rows.select(range(num_train)), rows.select(list(range(num_train, NUM_WINDOWS)))
    return PreparedDataset(train, held_out, rows, report, ["as before"], "f")


@pytest.mark.parametrize(
    ("indices", "fit", "timing", "doubted", "reason"),
    [
        pytest.param([7], 0.02, -5.5, [7], "its words are not heard", id="another window's words"),
        pytest.param([7], 0.02, -3.0, [7], "its words are not heard", id="wrong words at the right times"),
        pytest.param([7], 0.6, -6.0, [7], "its words are heard at other times", id="five seconds late"),
        pytest.param([7], 0.85, -4.5, [], "", id="loose times of the right words"),
        pytest.param([7], 0.65, -3.0, [], "", id="a few words that are hard to hear"),
        pytest.param([7], 1.0, -0.5, [], "", id="better than usual"),
        pytest.param(
            [5, 6, 7],
            0.55,
            -3.0,
            [5, 6, 7, 8, 9],
            "most of its recording is in doubt",
            id="most windows of a recording somewhat low",
        ),
        pytest.param([5, 12, 19], 0.55, -3.0, [], "", id="the same in different recordings"),
        pytest.param([5, 6], 0.02, -5.5, [5, 6], "its words are not heard", id="less than half a recording"),
    ],
)
def test_windows_far_below_the_median_are_in_doubt(indices, fit, timing, doubted, reason):
    doubts = find_doubts(change(usual_fits(), indices, fit, timing))
    assert sorted(doubt.window.index for doubt in doubts) == doubted
    assert all(doubt.score < 0 for doubt in doubts)
    assert {d.reason for d in doubts if d.window.index in indices} == ({reason} if reason else set())


def test_the_worst_window_comes_first():
    fits = change(change(usual_fits(), [3], 0.1, -5.0), [20], -0.4, -6.0)
    assert [doubt.window.index for doubt in find_doubts(fits)] == [20, 3]


def test_windows_that_are_all_alike_are_not_told_apart():
    alike = change(usual_fits(), list(range(NUM_WINDOWS)), GOOD, USUAL_TIMING)
    assert find_doubts(change(alike, [4], GOOD - 0.03, USUAL_TIMING - 0.2)) == []


@pytest.mark.parametrize(
    "fits",
    [
        pytest.param([], id="nothing to score"),
        pytest.param(change(usual_fits(), [2], 0.0, -6.0)[: MIN_WINDOWS - 1], id="too few windows"),
        pytest.param(
            change(change(usual_fits(), list(range(NUM_WINDOWS)), 0.05, -5.0), [3], -0.9, -9.0),
            id="a language that the model does not know",
        ),
    ],
)
def test_nothing_is_in_doubt_where_the_model_cannot_judge(fits):
    assert find_doubts(fits) == []


@pytest.mark.parametrize(
    ("max_fraction", "num_held_back"),
    [(0.0, 0), (0.08, 2), (0.25, 4)],
    ids=["none allowed", "two allowed", "enough allowed"],
)
def test_at_most_the_stated_share_is_held_back_and_everything_is_named(max_fraction, num_held_back):
    data = prepared(num_held_out=5)
    fits = change(usual_fits(), [0, 6, 12, 18], 0.0, -5.5)
    fits = change(fits, [12], -0.5, -6.0)  # the worst
    fits = change(fits, [27], 0.0, -5.5)  # held out

    checked = hold_back(data, fits, max_fraction)

    report = checked.report
    assert len(checked.train) == report["num_train_windows"] == 25 - num_held_back
    assert len(report["held_back"]) == report["num_held_back_windows"] == num_held_back
    assert checked.held_out is data.held_out
    assert report["num_windows"] == (
        report["num_train_windows"] + report["num_held_out_windows"] + report["num_held_back_windows"]
    )
    assert sum(r["num_held_back_windows"] for r in report["recordings"]) == num_held_back
    removed = {entry["index"] for entry in report["held_back"]}
    used = set(zip(checked.train["recording"], checked.train["start_ms"], strict=True))
    assert used.isdisjoint((entry["recording"], entry["start_ms"]) for entry in report["held_back"])
    assert [entry["index"] for entry in report["held_back"]][:1] == [12][:num_held_back]
    named = [(entry["index"], entry["used_for"]) for entry in report["doubted"]]
    assert removed | {index for index, _ in named} == {0, 6, 12, 18, 27}
    assert dict(named)[27] == "measurement"
    assert len(checked.warnings) == 1 + (num_held_back > 0) + (num_held_back < 4) + 1
    assert (checked.fingerprint == hold_back(data, usual_fits(), max_fraction).fingerprint) == (
        num_held_back == 0
    )


def test_a_report_entry_says_where_what_how_far_and_why():
    entry = hold_back(prepared(0), change(usual_fits(), [7], 0.0, -5.5), 0.25).report["held_back"][0]
    assert (entry["recording"], entry["start_ms"], entry["end_ms"]) == ("talk-1", 60_000, 90_000)
    assert (entry["words"], entry["reason"]) == ("words", "its words are not heard")
    assert entry["score"] < -4


def in_language(code: str, fits: list[WindowFit], *, worse_by: float = 0.0) -> list[WindowFit]:
    """The windows in another language, which the model hears worse, as recordings of their own."""
    return [
        replace(
            f,
            index=f.index + NUM_WINDOWS,
            recording=f"{code}-{f.recording}",
            language=code,
            fit=f.fit - worse_by,
        )
        for f in fits
    ]


def test_each_language_is_judged_by_its_own_usual_fit():
    weaker = in_language("cy", usual_fits()[:MIN_WINDOWS], worse_by=0.5)
    assert find_doubts([*usual_fits(), *weaker]) == []
    spoilt = change(weaker, [weaker[3].index], -0.2, -5.5)
    assert [doubt.window for doubt in find_doubts([*usual_fits(), *spoilt])] == [spoilt[3]]


def test_a_language_that_the_model_does_not_know_is_told_and_leaves_the_others_judged():
    unknown = in_language("cy", usual_fits(), worse_by=0.85)
    checked = hold_back(prepared(0), [*change(usual_fits(), [7], 0.0, -5.5), *unknown], 0.25)
    assert [entry["index"] for entry in checked.report["held_back"]] == [7]
    assert "in language cy" in checked.warnings[1]
    assert {code: part["is_judged"] for code, part in checked.report["label_check"].items()} == {
        "cy": False,
        "fr": True,
    }


def test_the_listening_list_begins_with_what_the_model_doubts():
    fits = change(change(usual_fits(), [6], 0.0, -5.5), [27], -0.5, -6.0)
    listening = hold_back(prepared(5), fits, 0.25).report["listening"]
    assert [item["row"] for item in listening] == [27, 6, 2]
    assert [item.get("held_back") for item in listening] == ["", "by the label check", None]
    assert listening[0]["doubt"] > listening[1]["doubt"] > 1
    assert listening[1]["flags"] == ["its words are not heard"]


def test_a_model_that_hears_nothing_is_told_and_all_windows_are_trained():
    deaf = change(usual_fits(), list(range(NUM_WINDOWS)), 0.01, -7.0)
    checked = hold_back(prepared(0), deaf, 0.25)
    assert len(checked.train) == NUM_WINDOWS
    assert "hardly any of the words" in checked.warnings[-1]
