"""Two processes that share each update; memory is short in some scenarios. Writes what became of each.

python memory_trial.py TINY_DIR FOLDER
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import debug_launcher
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.futures import Future
from torch.utils.data import Dataset
from transformers import WhisperProcessor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from recipe.errors import TrainingError
from recipe.model.whisper import Whisper, WhisperForConditionalGeneration
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.trainer import WhisperTrainer

UNLIMITED = 1_000


class Tones(Dataset[dict[str, Any]]):
    """Windows with labels of uneven length, by (epoch, index)."""

    states = None

    def __len__(self) -> int:
        return 8

    def estimate_length(self, epoch: int, index: int) -> int:
        """All alike, so that windows stay in the order that is drawn."""
        return 1

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        random = torch.Generator().manual_seed(key[1])
        ids = torch.randint(0, 200, (3 + key[1] ** 2 % 40,), generator=random).tolist()
        features = torch.randn((80, 3000), generator=random).numpy()
        return {"input_features": features, "decoder_input_ids": ids[:-1], "labels": ids[1:]}


@dataclass(frozen=True)
class Scenario:
    """How a run is set up.

    Attributes:
        is_tried: Whether memory is tried before the first update.
        capacities: Windows that fit at once, on each process.
        ample_calls: Forward passes before memory becomes so small.
        dropout: Fraction of activations dropped, so that random numbers matter.
    """

    is_tried: bool = True
    capacities: tuple[int, int] = (UNLIMITED, UNLIMITED)
    ample_calls: int = 0
    dropout: float = 0.0


SCENARIOS = {
    "ample": Scenario(is_tried=False),
    "ample, dropout": Scenario(is_tried=False, dropout=0.2),
    "ample, tried, dropout": Scenario(dropout=0.2),
    "little on the second": Scenario(capacities=(UNLIMITED, 1)),
    "none on the first": Scenario(capacities=(0, UNLIMITED)),
    "little later": Scenario(is_tried=False, capacities=(1, 1), ample_calls=3),
}


class Trial(WhisperTrainer):
    """A trainer on a device of the scenario's size that counts what it tells the other process."""

    scenario: Scenario

    @property
    def must_try_memory(self) -> bool:
        return self.scenario.is_tried

    def _prepare_for_training(self, *args: Any) -> tuple[Any, Any]:
        self.num_reductions = 0
        model, loader = super()._prepare_for_training(*args)
        assert isinstance(model, torch.nn.parallel.DistributedDataParallel)
        model.register_comm_hook(None, self._count)
        return model, loader

    def _count(self, _: object, bucket: GradBucket) -> Future[torch.Tensor]:
        self.num_reductions += 1
        return allreduce_hook(None, bucket)

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], **kwargs: Any) -> Any:
        capacity = self.scenario.capacities[self.args.process_index]
        self.batch_sizes.append(len(inputs["labels"]))
        if len(self.batch_sizes) > self.scenario.ample_calls and self.batch_sizes[-1] > capacity:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return super().compute_loss(model, inputs, **kwargs)


def run(tiny_dir: Path, folder: Path) -> None:
    """Go through all scenarios on one of the processes."""
    torch.set_num_threads(1)
    outcomes = dict(try_all(tiny_dir, folder))
    rank = torch.distributed.get_rank()
    (folder / f"process-{rank}.json").write_text(json.dumps(outcomes))


def try_all(tiny_dir: Path, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, scenario in SCENARIOS.items():
        trainer = build(tiny_dir, folder, scenario)
        try:
            trainer.train()
            error = ""
        except TrainingError as caught:
            error = str(caught)
        yield name, describe(trainer, error)


def build(tiny_dir: Path, folder: Path, scenario: Scenario) -> Trial:
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration.from_pretrained(tiny_dir, dropout=scenario.dropout)
    whisper = Whisper(model, WhisperProcessor.from_pretrained(tiny_dir))
    arguments = RecipeTrainingArguments(
        output_dir=str(folder / "run"),
        per_device_train_batch_size=2,
        num_train_epochs=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trial(whisper, arguments, Tones(), None, fingerprint={}, measure=lambda: None, callbacks=[])
    trainer.scenario, trainer.batch_sizes = scenario, []
    return trainer


def describe(trainer: Trial, error: str) -> dict[str, Any]:
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {
        "error": error,
        "warnings": trainer.warnings,
        "num_splits": trainer.num_splits,
        "num_reductions": trainer.num_reductions,
        "batch_sizes": trainer.batch_sizes,
        "curve": [(entry["loss"], entry["grad_norm"]) for entry in log],
        "weights": [float(weight.norm()) for weight in trainer.model.state_dict().values()],
        "hash": hashlib.sha256(
            b"".join(w.detach().numpy().tobytes() for w in trainer.model.parameters())
        ).hexdigest(),
    }


if __name__ == "__main__":
    debug_launcher(run, (Path(sys.argv[1]), Path(sys.argv[2])), num_processes=2)
