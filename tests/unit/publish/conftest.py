"""A tiny checkpoint, what is published about it, and a sealed folder made without a model."""

import pytest

from recipe.arguments import ModelArguments
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import load_whisper
from recipe.publish.metadata import ReleaseMetadata
from recipe.publish.release import REQUIRED_FILES, seal_release


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return build_tiny_whisper(tmp_path_factory.mktemp("publish") / "base")


@pytest.fixture
def whisper(checkpoint):
    return load_whisper(ModelArguments(str(checkpoint)))


@pytest.fixture
def make_metadata():
    def make(**changes):
        metadata = {
            "base_model": "openai/whisper-tiny",
            "languages": ("fr",),
            "task": "transcribe",
            "job_id": "job-1",
        }
        return ReleaseMetadata(**(metadata | {"num_steps": 10, "max_steps": 10, "epochs": 1.0} | changes))

    return make


@pytest.fixture
def make_sealed():
    def make(folder, content="content"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in REQUIRED_FILES:
            (folder / name).write_text(f"{content} of {name}")
        return seal_release(folder)

    return make
