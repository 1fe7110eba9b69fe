import numpy as np
import pytest

from recipe.data.preparation import build_shards
from recipe.data.report import RecordingReport, build_report, check_fallbacks, count_bins
from recipe.errors import DataError


def test_the_report_names_languages_with_recordings_and_audio():
    reports = [
        RecordingReport("a", language="fr", audio_ms=5),
        RecordingReport("b", language="fr", audio_ms=2),
        RecordingReport("c", audio_ms=1),
    ]
    assert build_report(reports, {"train": 1, "validation": 0, "test": 0}, {})["languages"] == {
        "fr": {"num_recordings": 2, "audio_ms": 7},
        "unknown": {"num_recordings": 1, "audio_ms": 1},
    }


def test_values_beyond_the_last_edge_are_counted_in_the_last_bin():
    assert count_bins(np.array([0, 1.9, 2, 99]), np.arange(0, 5, 2)) == {"edges": [0, 2, 4], "counts": [2, 2]}
    assert count_bins(np.array([]), np.arange(0, 5, 2))["counts"] == [0, 0]


def test_too_many_substitutes_are_refused_with_the_list(make_recording, tmp_path, preparation):
    good = make_recording("good")
    bad = make_recording("bad", b"<html>")
    shards = build_shards([good, bad], preparation, tmp_path / "shards", num_workers=1)
    reports = [shard.report for shard in shards]
    with pytest.raises(DataError, match=r"1 of 2 windows .* bad: silence: "):
        check_fallbacks(reports, 0.1)
    check_fallbacks(reports, 0.5)
    with pytest.raises(DataError, match="None of the 1 recordings can be trained on"):
        check_fallbacks(reports[1:], 1.0)
    assert build_report(reports, {"train": 1, "validation": 0, "test": 0}, {})["num_fallback_recordings"] == 1
