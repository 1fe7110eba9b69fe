"""What a run has told, as its outbox has it."""

from pathlib import Path

from recipe.backend.events import Outbox
from recipe.run.folder import RunFolder
from recipe.run.stages import Stage


def has_told(run: Path, stage: str) -> bool:
    """Whether any attempt in the run's folder has told of a stage; asking makes no outbox."""
    path = RunFolder(run).events
    return path.exists() and Outbox(path, "").has_told(Stage(stage))
