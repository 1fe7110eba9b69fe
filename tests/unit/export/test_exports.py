"""An export is there in full and proved, or is not there and somebody is told why."""

import os
from dataclasses import replace

import pytest

from recipe.errors import PublishError
from recipe.export.artifacts import ARTIFACTS
from recipe.export.exports import call_apart, export_model
from recipe.export.runtimes import RUNTIMES
from recipe.model.tiny import build_tiny_whisper


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_whisper(tmp_path_factory.mktemp("tiny"), num_mel_bins=128)


def list_files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "tiny.en", "turbo"])
def test_each_runtime_reads_and_runs_its_export(name, folders, window, tmp_path):
    exports = export_model(folders(name), ["ct2", "ggml", "pt"], tmp_path, [window], "transcribe")
    assert {"ct2-float16", "ct2-int8", "ggml-model-f16.bin", "openai-whisper.pt"} <= {e.name for e in exports}
    assert list_files(tmp_path) == {file for export in exports for file in ARTIFACTS[export.name].files}
    for export in exports:
        assert export.num_bytes > 1e6
        assert export.proof.num_windows == 1


def test_a_vocabulary_that_a_runtime_cannot_know_is_refused_with_a_sentence(tiny, tmp_path):
    told = []
    exports = export_model(tiny, ["pt"], tmp_path, [], "transcribe", told.append)
    assert told == exports
    assert exports[0].problem.startswith("openai-whisper.pt was not made: The vocabulary has 1,")
    assert list_files(tmp_path) == set()


def test_without_speech_an_export_is_there_and_not_proved(folders, tmp_path):
    (export,) = export_model(folders("base"), ["pt"], tmp_path, [], "transcribe")
    assert export.num_bytes == (tmp_path / "openai-whisper.pt").stat().st_size
    assert export.problem == "openai-whisper.pt is not proved: there is no held-out speech."


def test_without_its_runtime_an_export_is_there_and_not_proved(folders, window, tmp_path, monkeypatch):
    absent = replace(RUNTIMES["openai-whisper"], module="not_installed_here")
    monkeypatch.setitem(RUNTIMES, "openai-whisper", absent)
    (export,) = export_model(folders("base"), ["pt"], tmp_path, [window], "transcribe")
    assert "openai-whisper.pt is not proved: pip install openai-whisper" in export.problem
    assert list_files(tmp_path) == {"openai-whisper.pt"}


def test_a_failure_leaves_the_earlier_export(tiny, tmp_path):
    def fail(_, path):
        (path / "model.bin").write_text("half")
        raise OSError("disk full")

    artifact = replace(ARTIFACTS["ct2-int8"], write=fail)
    (tmp_path / artifact.name).mkdir()
    (tmp_path / artifact.name / "model.bin").write_text("whole")
    with pytest.raises(OSError, match="disk full"):
        artifact.make(None, tmp_path)
    assert list_files(tmp_path) == {"ct2-int8/model.bin"}
    assert (tmp_path / "ct2-int8" / "model.bin").read_text() == "whole"


def test_a_process_that_dies_is_an_error_with_a_sentence():
    with pytest.raises(PublishError, match="its process crashed"):
        call_apart(os._exit, 3)
