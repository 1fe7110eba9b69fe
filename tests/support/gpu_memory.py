"""A process group of one on a GPU tries its memory before the first update; writes what became of it.

python gpu_memory.py FOLDER    # with WORLD_SIZE, RANK, LOCAL_RANK, MASTER_ADDR and MASTER_PORT of the group
"""

import gc
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from tiny_trainers import build_trainer, curve, make_windows, tiny_whisper, trained
from transformers import TrainerCallback

from recipe.errors import TrainingError
from recipe.model.whisper import Whisper


class NotedTrial(TrainerCallback):
    """Notes the memory that the trial took at most: of its tensors, and of the GPU."""

    allocated = 0
    reserved = 0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.allocated, self.reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def run(whisper: Whisper, folder: Path, batch_size: int) -> dict[str, Any]:
    """What became of a training whose updates have four windows."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    noted = NotedTrial()
    trainer = build_trainer(
        whisper,
        make_windows(whisper),
        folder,
        callbacks=(noted,),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=4 // batch_size,
        use_cpu=False,
        bf16=False,
        save_strategy="no",
        dataloader_num_workers=0,
    )
    assert trainer.must_try_memory
    try:
        trained(trainer)
    except TrainingError as error:
        return {"error": str(error)}
    return {
        "num_splits": trainer.num_splits,
        "warnings": trainer.warnings,
        "curve": curve(trainer),
        "allocated": noted.allocated,
        "reserved": noted.reserved,
    }


def limit_memory(num_bytes: float) -> None:
    """Let this process have no more of the GPU."""
    torch.cuda.set_per_process_memory_fraction(num_bytes / torch.cuda.get_device_properties(0).total_memory)


def run_all(whisper: Whisper, folder: Path) -> dict[str, Any]:
    """Every scenario. How much memory is too little is measured first."""
    four, two, one = (run(whisper, folder, batch_size) for batch_size in (4, 2, 1))
    outcomes = {"ample": four}
    assert two["reserved"] < four["allocated"], (two, four)
    limit_memory((two["reserved"] + four["allocated"]) / 2)
    outcomes["short"] = run(whisper, folder, 4)
    bytes_per_window = two["allocated"] - one["allocated"]
    limit_memory(one["allocated"] - bytes_per_window / 2)
    outcomes["none"] = run(whisper, folder, 4)
    return outcomes


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    whisper = tiny_whisper(folder / "model", d_model=256, num_layers=2)
    outcomes = run_all(whisper, folder / "run")
    (folder / "outcomes.json").write_text(json.dumps(outcomes))
    torch.distributed.destroy_process_group()
