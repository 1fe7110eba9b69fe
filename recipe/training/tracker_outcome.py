"""What trackers are told at the end of a run: figures, the verdict, and test windows before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset
from transformers import TrainerCallback
from transformers.integrations.integration_utils import (
    MLflowCallback,
    TensorBoardCallback,
    TrackioCallback,
    WandbCallback,
)

from recipe.audio.decoding import decode_flac
from recipe.data.sounds import read_flac
from recipe.evaluation.keywords import GLOSSARY_COLUMNS, tabulate_glossary
from recipe.evaluation.long_form_table import LONG_FORM_ROWS, VIEW_TITLES, tabulate
from recipe.evaluation.report_page import choose_windows, find_row, format_percent
from recipe.page.rendering import format_clock
from recipe.run.summary import RATES

NUM_SAMPLES = 2
"""Windows that gained most, that gained least, and that chance takes."""

SAMPLE_COLUMNS = ("window", "why", "said", "before", "after")


@dataclass(frozen=True)
class Sample:
    """A test window.

    Attributes:
        texts: As `SAMPLE_COLUMNS` names them.
        sound: float32 in [-1, 1), 16 kHz, shape (num_samples,).
    """

    texts: tuple[str, ...]
    sound: npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrackedOutcome:
    """What trackers are told at the end.

    Attributes:
        figures: By name; trackers show `test_wer` as `test/wer`.
        verdict: Of the comparison.
        sentence: The figure, and what became of the model.
        summary: Both with a table of the figures, in Markdown.
        samples: Test windows, before and after.
    """

    figures: Mapping[str, float]
    verdict: str
    sentence: str
    summary: str
    samples: Sequence[Sample]


def build_tracked_outcome(report: Mapping[str, Any], test: Dataset) -> TrackedOutcome:
    """What trackers are told.

    Args:
        report: As `report.json` has it.
        test: The test windows.
    """
    comparison, long_form = report["comparison"], report["long_form"]
    figures = {f"test_{name}": report[f"{name}_after"] for name in RATES}
    figures |= {f"test_{name}_before": report[f"{name}_before"] for name in RATES}
    for name, interval in {"": "after_interval", "_before": "before_interval"}.items():
        low, high = comparison[interval]
        figures |= {f"test_wer_normalized{name}_low": low, f"test_wer_normalized{name}_high": high}
    rows = [
        (label, *(format_percent(report[f"{name}_{side}"]) for side in ("before", "after")))
        for name, label in RATES.items()
    ]
    low_to_high = (" to ".join(map(format_percent, comparison[f"{s}_interval"])) for s in ("before", "after"))
    rows.insert(1, ("95 % interval", *low_to_high))
    if long_form:
        for name in LONG_FORM_ROWS.keys() & long_form["after"].keys():
            figures[f"test_{long_form['view']}_{name}"] = long_form["after"][name]
            figures[f"test_{long_form['view']}_{name}_before"] = long_form["before"][name]
        title = VIEW_TITLES[long_form["view"]]
        rows += [(f"{title}: {label}", *pair) for label, *pair in tabulate(long_form)]
    table = format_table(("On the test speech", "before", "after"), rows)
    summary = f"**{comparison['verdict']}**\n\n{comparison['sentence']}\n\n{table}"
    glossary = report["glossary"]
    if glossary:
        figures |= list_keyword_figures(glossary)
        columns = ("With the glossary in the prompt", *(column for column, _, _ in GLOSSARY_COLUMNS))
        summary += f"\n\n{glossary['sentence']}\n\n{format_table(columns, tabulate_glossary(glossary))}"
    samples = [
        Sample(
            (
                f"{window['recording']} {format_clock(window['start_ms'])}",
                *(why, window["reference"], window["before"], window["after"]),
            ),
            decode_flac(read_flac(find_row(test, window)["audio"])),
        )
        for why, window in choose_windows(report["windows"], NUM_SAMPLES)
    ]
    return TrackedOutcome(figures, comparison["verdict"], comparison["sentence"], summary, samples)


def list_keyword_figures(glossary: Mapping[str, Any]) -> dict[str, float]:
    """How the test windows' terms are written, from `report.json`; no term is named."""
    return {
        f"test_keyword_{name}{'_prompted' * (kind == 'prompted')}{'_before' * (side == 'before')}": rate
        for _, side, kind in GLOSSARY_COLUMNS
        for name in ("recall", "precision")
        if (rate := glossary[side][kind][name]) is not None
    }


def format_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; whatever stands in a cell stays in it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_as_cell, line))} |" for line in lines)


def _as_cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def write_outcome(tracker: TrainerCallback, outcome: TrackedOutcome, step: int) -> None:
    """Write verdict and samples as the tracker shows texts; those not named here get the figures only."""
    rows = [sample.texts for sample in outcome.samples]
    table = format_table(SAMPLE_COLUMNS, rows)
    if isinstance(tracker, TensorBoardCallback):
        board: Any = tracker.tb_writer
        board.add_text("outcome", outcome.summary, step)
        board.add_text("samples", table, step)
        for number, sample in enumerate(outcome.samples, 1):
            board.add_audio(f"samples/{number}", sample.sound, step, sample_rate=16_000)
        board.flush()
    elif isinstance(tracker, WandbCallback):
        wandb = import_module("wandb")
        wandb.run.summary.update({"verdict": outcome.verdict, "outcome": outcome.sentence})
        wandb.log({"samples": wandb.Table(columns=list(SAMPLE_COLUMNS), data=rows)})
    elif isinstance(tracker, TrackioCallback):
        trackio = import_module("trackio")
        trackio.log({"outcome": trackio.Markdown(outcome.summary), "samples": trackio.Markdown(table)})
    elif isinstance(tracker, MLflowCallback):
        mlflow = import_module("mlflow")
        mlflow.set_tags({"verdict": outcome.verdict, "outcome": outcome.sentence})
        mlflow.log_text(outcome.summary, "outcome.md")
        mlflow.log_text(table, "samples.md")
