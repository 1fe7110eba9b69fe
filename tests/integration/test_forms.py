"""Each form that people bring: its windows are what a person would cut, and its broken part is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forms import FORMS, Form
from speech import StandInTimer
from training_runs import TrainingRun

from recipe.arguments import DataArguments, SourceArguments
from recipe.audio.decoding import AudioLimits
from recipe.data.caption_choice import Wanted
from recipe.data.opening import prepare_dataset
from recipe.data.recording import PreparationSettings
from recipe.data.sources import Downloads, check_source, fetch_recordings
from recipe.screening.caption_times import TimingSettings, settle_times


def cut(row: dict[str, Any], form: Form) -> list[str] | list[tuple[int, int, str]]:
    """A window as the form tells it."""
    start_ms = row["start_ms"]
    timed = [(start_ms + s["start_ms"], start_ms + s["end_ms"], s["text"]) for s in row["segments"]]
    return timed if isinstance(form.windows[0][0], tuple) else [text for _, _, text in timed]


@pytest.mark.parametrize("name", FORMS)
def test_its_windows_are_what_a_person_would_cut_and_its_broken_part_is_named(tmp_path, tiny_dir, name):
    folder = tmp_path / "data"
    form = FORMS[name](folder)
    source = SourceArguments(**{form.source: str(folder)})
    check_source(source)
    pairing = fetch_recordings(source, Wanted("de"), Downloads(None, tmp_path / "downloads", 2**30))
    timing = TimingSettings(
        tmp_path / "aligned", "transcribe", False, AudioLimits(), lambda: StandInTimer([]), lambda: ""
    )
    recordings, _ = settle_times([replace(item, language="de") for item in pairing.recordings], timing)
    data = prepare_dataset(
        recordings,
        PreparationSettings(Path(tiny_dir) / "tokenizer.json", no_speech_fraction=0.0),
        DataArguments(),
        tmp_path / "prepared",
        num_workers=1,
    )
    rows = data.rows.remove_columns("audio")
    assert [cut(row, form) for row in rows if row["segments"]] == form.windows
    told = [*pairing.warnings, *data.warnings]
    told += [note for recording in data.report["recordings"] for note in recording["notes"]]
    assert any(form.named in sentence for sentence in told), told


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORMS if name == ".ass" or not name.startswith(".")])
def test_it_trains_two_updates(tmp_path, tiny_dir, name):
    form = FORMS[name](tmp_path / "data")
    options = {form.source: tmp_path / "data", "model_name_or_path": tiny_dir, "language": "de"}
    options |= {"max_steps": 2, "publish_if_worse": True, "max_fallback_fraction": 1.0}
    run = TrainingRun(tmp_path / "run", options).finish()
    report = run.read("prepared/dataset_report.json")
    assert report["num_windows"] - report["num_no_speech_windows"] == len(form.windows)
    assert run.num_updates_saved() == 2
