"""Where a run that downloads its recording lives: a real backend, a recording of tones and a tiny model."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training_runs import USER, TrainingRun, serve_backend, write_recording

FILES = [
    {"file_type": "audio", "filename": "tones.flac"},
    {"file_type": "transcript", "filename": "tones.vtt"},
]
"""What the backend has."""


@dataclass(frozen=True)
class Site:
    """A backend with one recording, and a tiny model.

    Attributes:
        root: Of everything.
        backend: Address of the backend.
        options: Of all runs, over the usual ones.
    """

    root: Path
    backend: str
    options: Mapping[str, object]

    def run(self, folder: str | Path) -> TrainingRun:
        """A run of some updates in 2 epochs, with a checkpoint after each; the job is named as its folder.

        Args:
            folder: Its name below the site, or where it is.
        """
        path = self.root / "runs" / folder
        usual = {
            "manifest_file": self.root / "manifest.json",
            "backend_base_url": self.backend,
            "user_id": USER,
            "job_id": path.name,
            "language": "en",
            "num_train_epochs": 2,
            "per_device_train_batch_size": 1,
            "learning_rate": 1e-3,
            "save_strategy": "steps",
            "save_steps": 1,
            "label_check": "on",
            "publish_if_worse": True,  # chance made the model
        }
        return TrainingRun(path, usual | self.options)


@contextmanager
def serve_site(root: Path, model: Path, num_cues: int = 20, **options: object) -> Iterator[Site]:
    """A site whose recording has so many cues."""
    uploads = root / "uploads" / USER
    uploads.mkdir(parents=True)
    write_recording(uploads / "tones", num_cues)
    (root / "manifest.json").write_text(json.dumps(FILES))
    with serve_backend(root) as backend:
        yield Site(root, backend, {"model_name_or_path": model, **options})
