"""What the unit tests share."""

import pytest


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory):
    """A tiny random model with its processor, of each test file its own."""
    from tiny_trainers import tiny_whisper  # noqa: PLC0415 - loads torch, which most files do without

    return tiny_whisper(tmp_path_factory.mktemp("tiny"))
