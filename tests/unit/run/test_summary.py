import pytest

from recipe.run.summary import MAX_WARNINGS, describe_result

RESULT = {
    "message": "Trained on 40 windows. The trained model is better: 16.1% of the words are wrong.",
    "artifacts": {
        "model_path": "runs/x/model",
        "model_bytes": 145_200_000,
        "model_dtype": "float16",
        "report_path": "runs/x/report.json",
    },
    "evaluation": {
        **{f"{name}_before": 0.27 for name in ("wer", "cer", "wer_normalized", "cer_normalized")},
        **{f"{name}_after": 0.161 for name in ("wer", "cer", "wer_normalized", "cer_normalized")},
        "other_speech": [
            {
                "name": "news",
                "wer_normalized_before": 0.052,
                "wer_normalized_after": 0.061,
                "comparison": {"verdict": "worse"},
            }
        ],
        "example": {"reference": "we said this", "before": "we set this", "after": "we said this"},
    },
    "dataset": {
        "audio_hours": 0.5,
        "num_train_windows": 40,
        "num_validation_windows": 4,
        "num_test_windows": 6,
    },
    "seconds_by_stage": {"train": 100.0, "publish": 20.0},
    "warnings": [f"warning {number}" for number in range(12)],
}


def test_the_end_of_a_run_says_the_figure_the_warnings_and_the_places() -> None:
    text = "\n".join(describe_result(RESULT))
    assert text.startswith(RESULT["message"])
    assert "Words wrong                         27.0%    16.1%     -40%" in text
    assert "Words wrong in news                  5.2%     6.1%     +17%  worse" in text
    assert "Before  we set this\nAfter   we said this" in text
    assert f"- warning {MAX_WARNINGS - 1}\n- and 2 more, in the report" in text
    assert "Report  runs/x/report.html\nModel   runs/x/model\n" in text
    assert "0.50 h of recordings, 50 windows; 2 min in all" in text
    assert "{" not in text


@pytest.mark.parametrize(
    ("view", "label"), [("cuts", "Words wrong, cuts of 30 s   "), ("whole", "Words wrong, whole recordings")]
)
def test_recordings_are_a_row_with_the_verdict(view: str, label: str) -> None:
    sides = {"before": {"wer_normalized": 0.3}, "after": {"wer_normalized": 0.15}}
    long_form = {"view": view, **sides, "comparison": {"verdict": "better"}}
    evaluation = RESULT["evaluation"] | {"long_form": long_form}
    lines = list(describe_result({**RESULT, "evaluation": evaluation}))
    assert f"{label:32}    30.0%    15.0%     -50%  better" in lines


def test_a_run_that_measured_and_published_nothing_says_so() -> None:
    nothing = {"wer_before": None, "wer_after": None}
    artifacts = RESULT["artifacts"] | {"model_path": ""}
    text = "\n".join(
        describe_result({**RESULT, "evaluation": nothing, "artifacts": artifacts, "warnings": []})
    )
    assert "before" not in text
    assert "Model   not published" in text
    assert "Next" not in text
