"""Resource telemetry: a line of JSON every few seconds, and the same figures in TensorBoard."""

import json
import threading
import time
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recipe.run.machine import gpu_stats, system_stats

INTERVAL_SECONDS = 5.0


class TelemetryCallback(TrainerCallback):
    """Samples processor, memory, disk and every GPU while the trainer trains, in a thread of its own.

    Args:
        folder: Receives `telemetry.jsonl` and TensorBoard's event file.
        interval_seconds: Time between two samples.
    """

    def __init__(self, folder: Path, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._folder = folder
        self._interval_seconds = interval_seconds
        self._step = 0
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start sampling, on the main process of each machine."""
        if not state.is_local_process_zero:
            return
        self._step = state.global_step
        self._is_over.clear()
        self._thread = threading.Thread(target=self._sample, name="telemetry", daemon=True)
        self._thread.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note which update the samples belong to."""
        self._step = state.global_step

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take a last sample and stop."""
        self._is_over.set()
        if self._thread:
            self._thread.join()

    def _sample(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (
            (self._folder / "telemetry.jsonl").open("a") as lines,
            SummaryWriter(str(self._folder / "telemetry")) as board,
        ):
            is_last = False
            while not is_last:
                is_last = self._is_over.wait(self._interval_seconds)
                stats, gpus = system_stats(self._folder), gpu_stats()
                row = {"time": time.time(), "step": self._step, **stats, "gpus": gpus}
                lines.write(json.dumps(row) + "\n")
                lines.flush()
                for name, value in stats.items():
                    board.add_scalar(f"system/{name}", float(value), self._step)
                for gpu in gpus:
                    for name, value in gpu.items():
                        board.add_scalar(f"gpu{gpu['index']:.0f}/{name}", value, self._step)
