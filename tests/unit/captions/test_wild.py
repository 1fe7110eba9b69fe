from __future__ import annotations

import pytest
from caption_cases import CASES, Case
from caption_files import read_written


def read(case: Case, tmp_path):
    settings = {"duration_ms": case.duration_ms, "suppressed_symbols": case.symbols}
    return read_written(tmp_path, case.data, case.suffix, **settings)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_training_sees_the_cues(case, tmp_path):
    captions = read(case, tmp_path)
    assert [f"{cue.start_ms} {cue.end_ms} {cue.text}" for cue in captions.cues] == list(case.cues)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_change_and_loss_is_noted(case, tmp_path):
    notes = [f"{note.action} {note.line} {note.reason}" for note in read(case, tmp_path).notes]
    assert len(notes) == len(case.notes), notes
    for note, expected in zip(notes, case.notes, strict=True):
        action_and_line, reason = " ".join(expected.split()[:2]), " ".join(expected.split()[2:])
        assert note.startswith(f"{action_and_line} ")
        assert reason in note


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_cues_add_up(case, tmp_path):
    captions = read(case, tmp_path)
    assert captions.num_cues_in == len(captions.cues) + captions.num_merged + captions.num_dropped
