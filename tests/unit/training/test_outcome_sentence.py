"""Console, page, event and card say the same sentence of a model, for each of the three verdicts."""

import json
from typing import Any

import numpy as np
import pytest
from datasets import Audio, Dataset

from recipe.audio.decoding import encode_flac
from recipe.evaluation.metrics import score_text
from recipe.evaluation.mistakes import Text, describe_mistakes
from recipe.evaluation.report import Evaluation, Transcript, build_report
from recipe.evaluation.report_page import render_page
from recipe.publish.metadata import ReleaseMetadata
from recipe.publish.model_card import format_model_card
from recipe.run.summary import describe_result
from recipe.training.weight_selection import Outcome

WORDS = 20
NUM_WINDOWS = 8
ERRORS = {"better": [2] * 8, "by chance": [8] + [10] * 7, "no gain": [10] * 8, "worse": [15] * 8}
"""Of the trained model in each window; the base model's are ten."""


def transcribe(errors: list[int]) -> Evaluation:
    """One window a recording, each of `WORDS` words."""
    transcripts = []
    for number, num_errors in enumerate(errors):
        reference, hypothesis = "a " * WORDS, "b " * num_errors + "a " * (WORDS - num_errors)
        scores = score_text(reference, hypothesis, language="en")
        transcripts.append(Transcript(f"talk {number}", 0, 1_000, "en", reference, hypothesis, scores))
    return Evaluation(transcripts, 1.0)


def show_page(outcome: Outcome) -> str:
    mistakes = describe_mistakes([Text("a", "b", "en")])
    report = {
        "run": {"name": "r", "base_model": "m", "created": "now"},
        "task": "transcribe",
        **build_report(outcome.before, outcome.after),
        "comparison": outcome.describe_comparison(),
        "other_speech": outcome.describe_other_speech(),
        "mistakes": {"before": mistakes, "after": mistakes},
        "curve": [],
        "long_form": {},
        "glossary": outcome.describe_glossary(),
        "dtype": {},
        "normalizer": "whispertrain",
        "dataset": {"num_train_windows": 1, "num_recordings": 1, "audio_ms": 1},
        "command": "train.py",
    }
    columns = {name: [w[name] for w in report["windows"]] for name in ("recording", "start_ms")}
    sound = {"bytes": encode_flac(np.zeros(16_000, np.int16)), "path": None}
    windows = Dataset.from_dict({**columns, "audio": [sound] * NUM_WINDOWS})
    return render_page(report, windows.cast_column("audio", Audio(decode=False)), [])


def end_on_console(outcome: Outcome) -> str:
    result: dict[str, Any] = {
        "message": outcome.sentence,
        "artifacts": {"model_path": "", "report_path": "report.json"},
        "evaluation": {**outcome.as_dict(), "example": {"reference": "a", "before": "b", "after": "a"}},
        "dataset": {f"num_{side}_windows": 1 for side in ("train", "validation", "test")}
        | {"audio_hours": 1},
        "seconds_by_stage": {},
        "warnings": outcome.warnings,
    }
    return "\n".join(describe_result(result))


@pytest.mark.parametrize(
    ("kind", "is_asked_for", "verdict", "end"),
    [
        ("better", False, "better", "50.0% (50.0% to 50.0%) by the base model."),
        (
            *("by chance", False, "not shown to be better"),
            "about 1,100 would tell. It is published all the same: try it, or train on more speech.",
        ),
        (
            *("no gain", False, "not shown to be better"),
            "It makes no fewer errors. It is not published; the option publish_if_worse publishes it.",
        ),
        ("worse", False, "worse", "It is not published; the option publish_if_worse publishes it."),
        ("worse", True, "worse", "It is published since publish_if_worse asks for it."),
    ],
)
def test_console_page_event_and_card_say_the_same_sentence(
    kind: str, is_asked_for: bool, verdict: str, end: str
) -> None:
    outcome = Outcome(transcribe([10] * NUM_WINDOWS), transcribe(ERRORS[kind]), None, is_asked_for)
    event = json.loads(json.dumps(outcome.as_dict()))
    sentence = event["comparison"]["sentence"]
    assert event["comparison"]["verdict"] == verdict
    assert sentence.startswith(f"The trained model is {verdict}: ")
    assert sentence.endswith(end)
    assert sentence in show_page(outcome)
    card = ReleaseMetadata(
        *("m", ("en",), "transcribe", "j"),
        num_steps=1,
        max_steps=1,
        epochs=1.0,
        figures={"wer_after": 0.5},
        comparison=outcome.describe_comparison(),
    )
    assert sentence in format_model_card(card, "m")
    assert end_on_console(outcome).count(sentence) == 1
