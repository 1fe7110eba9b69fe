import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recipe.evaluation.asr_errors import AsrErrors
from recipe.evaluation.metrics import score_texts
from recipe.evaluation.normalization import Normalizer

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def metric() -> AsrErrors:
    return AsrErrors()


def test_the_metric_answers_what_the_scores_say(metric: AsrErrors) -> None:
    references, hypotheses = ["The colour is red.", ""], ["the color is red", "thanks"]
    given = {"predictions": hypotheses, "references": references, "language": "en"}
    for name in ("whispertrain", "whisper"):
        answer = metric.compute(**given, spellings={"colour": "color"}, normalizer=name)
        normalizer = Normalizer(name, {"colour": "color"})
        scores = score_texts(references, hypotheses, language="en", normalizer=normalizer)
        assert answer == scores.as_dict()
        assert answer["wer_normalized"] == 1 / 4  # the word in silence


def test_the_metric_takes_batches_as_they_come(metric: AsrErrors) -> None:
    metric.add_batch(predictions=["a b"], references=["a c"])
    metric.add_batch(predictions=["d"], references=["d e"])
    assert metric.compute()["wer"] == 2 / 4


OFFLINE_SCRIPT = """
import json, socket
attempts = []

def refuse(*args, **kwargs):
    attempts.append(repr(args))
    raise OSError("no network here")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse

from recipe.evaluation.asr_errors import AsrErrors
answer = AsrErrors().compute(predictions=["un deux"], references=["un trois"], language="fr")
print(json.dumps({"wer": answer["wer"], "attempts": attempts}))
"""


def test_the_metric_loads_and_computes_without_touching_the_network(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {
        "HF_HOME": str(tmp_path)
    }
    answer = subprocess.run(
        [sys.executable, "-c", OFFLINE_SCRIPT],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout.splitlines()[-1]) == {"wer": 0.5, "attempts": []}
