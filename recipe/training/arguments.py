"""`train.py`'s arguments: flags, or one YAML or JSON file; the recipe's groups and Trainer's own."""

import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import PartialState
from transformers import Seq2SeqTrainingArguments

from recipe.arguments import (
    AUDIO_AUGMENTATION,
    DataArguments,
    EvaluationArguments,
    ModelArguments,
    PublishArguments,
    SourceArguments,
    TrainerOptions,
    describe_problems,
    describe_unknown,
    find_contradictions,
    find_problems,
    split_trackers,
)
from recipe.errors import JobError
from recipe.model.inference import has_bfloat16
from recipe.run.folder import RunFolder
from recipe.run.glossary import hash_terms, read_glossary
from recipe.run.launch import engine_name, uses_deepspeed
from recipe.training.command_line import CommandLine
from recipe.training.raw_options import DEFAULT_OUTPUT_DIR, is_options_file, read_options_file

OPTIMISATION = (
    *("max_steps", "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm"),
    *("label_smoothing_factor", "optim", "bf16", "fp16", "torch_compile", "seed"),
)
"""Trainer's arguments that shape the weights; a run that resumes must have the same."""

ADAPTATION = ("freeze_encoder", "keep_encoder_states", "lora_rank", "lora_alpha", "lora_dora")
"""The model's arguments that say which weights are trained, and how."""

AUTO = -1

LABEL_BUCKET = 64
"""Label lengths are rounded up to multiples of so many tokens: kernels and compiled code see seven shapes."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - no temporary file: torch hands batches over there
_WINDOW_BYTES = 1500 * 1280 * 2  # states of the largest models' encoder, in bfloat16; features take less
_BATCHES_PER_WORKER = 4  # two wait, one is being made, one is in use


@dataclass
class RecipeTrainingArguments(Seq2SeqTrainingArguments):
    """Trainer's arguments with the recipe's defaults.

    Trainer's own choice of the best model and its batch-size finder stay off: the recipe keeps the
    checkpoint with the lowest WER itself, and halves micro-batches without starting over.
    """

    output_dir: str = field(default=DEFAULT_OUTPUT_DIR, metadata={"help": "Folder of the run; one run each."})
    num_train_epochs: float = field(
        default=None,  # type: ignore[assignment]  # until `settle_schedule`, as the two below
        metadata={"help": "Passes over the training windows; by default 8 to 2, fewer for more speech."},
    )
    per_device_train_batch_size: int = field(
        default=None,  # type: ignore[assignment]
        metadata={
            "help": "Windows a device takes at once; by default so many that an update has 2 to 16, the more "
            "the more speech."
        },
    )
    learning_rate: float = field(
        default=None,  # type: ignore[assignment]
        metadata={"help": "Peak learning rate; by default by the size of the model (docs/schedule.md)."},
    )
    patience: int | None = field(
        default=None,
        metadata={
            "help": "Evaluations without a lower WER on the validation part after which training ends; 0: "
            "never. Default: 3 where num_train_epochs is not given, else 0."
        },
    )
    eval_strategy: str = field(default="epoch", metadata={"help": "When loss and WER are measured."})
    save_strategy: str = field(
        default="epoch", metadata={"help": "When checkpoints are saved; see save_minutes."}
    )
    save_minutes: float = field(
        default=10.0,
        metadata={"help": "Longest time between two checkpoints, in minutes, whatever save_strategy says."},
    )
    save_total_limit: int | None = field(
        default=3,
        metadata={"help": "Checkpoints kept: the best, the last whole one, that being written; 3 or more."},
    )
    logging_steps: float = field(
        default=1,
        metadata={
            "help": "Updates between two points of the loss curve. At 1 a loss that is not a number ends the "
            "run before it is saved."
        },
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Leave off: it would hide a loss that is not a number."}
    )
    report_to: None | str | list[str] = field(  # noqa: RUF036 - the argument parser wants None first
        default="tensorboard",
        metadata={"help": "Trackers that get figures and sample texts, as in tensorboard,wandb; or none."},
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Leave off: features are made on the fly."}
    )
    dataloader_num_workers: int = field(
        default=AUTO, metadata={"help": "Processes that make features; -1 chooses by the device."}
    )
    label_multiple: int = field(
        default=AUTO,
        metadata={"help": "Labels are padded to a multiple of so many tokens; -1 chooses by the device."},
    )
    bf16: bool | None = field(  # type: ignore[assignment]  # None: not decided yet
        default=None, metadata={"help": "bfloat16 autocast; by default where a GPU has it."}
    )

    def __post_init__(self) -> None:
        """Fill in what depends on the device, then let Trainer check and set up the rest."""
        # Not told so, Accelerate lets processes without a GPU each train on their own, in the same folder.
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        if self.use_cpu and uses_deepspeed():
            # With use_cpu Accelerate leaves DeepSpeed out without a word.
            self.use_cpu, self.ddp_backend = False, "gloo"
        elif self.use_cpu and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            # Trainer hands its time-out to GPUs only; what is initialised already, it takes as it is.
            PartialState(cpu=True, timeout=timedelta(seconds=self.ddp_timeout))
        has_gpu = torch.cuda.is_available() and not self.use_cpu
        if self.bf16 is None:
            is_native = has_bfloat16(torch.device("cuda" if has_gpu else "cpu"))
            self.bf16 = is_native and not self.fp16
        if self.dataloader_num_workers == AUTO:
            wanted = self.per_device_train_batch_size or EvaluationArguments.eval_batch_size
            batch_size = max(wanted, EvaluationArguments.eval_batch_size)
            self.dataloader_num_workers = choose_num_workers(batch_size) if has_gpu else 0
        if self.label_multiple == AUTO:
            self.label_multiple = LABEL_BUCKET if has_gpu else 1
        self.dataloader_pin_memory = self.dataloader_pin_memory and has_gpu
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(RunFolder(Path(self.output_dir)).logs))
        self.report_to = split_trackers(self.report_to)
        super().__post_init__()  # type: ignore[no-untyped-call]
        # Trainer would share batches out by DataParallel, without autocast and with that many times the loss.
        self._n_gpu = min(self.n_gpu, 1)

    @property
    def windows_per_update(self) -> int:
        """Windows that one update works through, over all processes and accumulated batches."""
        return int(self.train_batch_size * self.gradient_accumulation_steps * self.world_size)

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """What training's matrices are multiplied in; None for float32, the weights' own."""
        return torch.bfloat16 if self.bf16 else torch.float16 if self.fp16 else None

    def count_epochs(self, num_windows: int) -> int:
        """Passes over the windows, a part of one included."""
        if self.max_steps > 0:
            return math.ceil(self.max_steps / math.ceil(num_windows / self.windows_per_update))
        return math.ceil(self.num_train_epochs)


def choose_num_workers(batch_size: int) -> int:
    """The number of processes that make features on a machine with GPUs: one per core, at most 8.

    Batches wait in /dev/shm, of which container engines give 64 MB; where it is full, training would die.

    Args:
        batch_size: The most windows of a batch, on one device.
    """
    num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    room = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else sys.maxsize
    batches = room // (batch_size * _WINDOW_BYTES * num_processes)
    return min(8, os.cpu_count() or 1, batches // _BATCHES_PER_WORKER)


class Arguments(NamedTuple):
    """All arguments of a run, by group."""

    source: SourceArguments
    model: ModelArguments
    data: DataArguments
    evaluation: EvaluationArguments
    publish: PublishArguments
    training: RecipeTrainingArguments


def fingerprint(arguments: Arguments, dataset: str, task: str | None) -> dict[str, Any]:
    """What must stay the same for a checkpoint to be resumed; ready for JSON.

    Args:
        arguments: Of the run.
        dataset: The dataset's own fingerprint.
        task: What the model is told to do; None for an English-only checkpoint.
    """
    _, model, data, evaluation, _, training = arguments
    return {
        "dataset": dataset,
        "model": model.model_name_or_path,
        "revision": model.model_revision,
        "task": task,
        "normalizer": evaluation.normalizer,
        "training_engine": engine_name(),
        "num_processes": training.world_size,
        "batch_size": training.per_device_train_batch_size,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
        "epochs": training.num_train_epochs,
        "patience": training.patience or 0,
        **{name: getattr(training, name) for name in OPTIMISATION},
        **{name: getattr(model, name) for name in ADAPTATION},
        "views": [data.timestamp_fraction, data.prompt_fraction, data.single_cue_fraction],
        "glossary": _describe_glossary(data),
        "augmentation": [getattr(data, name) for name in AUDIO_AUGMENTATION],
    }


def _describe_glossary(data: DataArguments) -> list[Any]:
    """What of a glossary shapes the weights; where no prompt holds terms, nothing does."""
    if not data.glossary_fraction:
        return [0.0]
    terms = read_glossary(Path(data.glossary)) if data.glossary else []
    return [data.glossary_fraction, data.glossary_weight, hash_terms(terms)]


def parse_arguments(argv: Sequence[str] | None = None) -> Arguments:
    """The arguments of the command line, or of the one .json, .yaml or .yml file named there.

    Raises:
        JobError: if they cannot be read; `check_arguments` judges their values.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    groups = Arguments.__annotations__.values()
    try:
        values = _read_file(argv[0]) if is_options_file(argv) else CommandLine(groups).read(argv)
        return Arguments(*(group(**_pick(values, group)) for group in groups))
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise JobError(describe_problems([str(error)])) from error


def _read_file(path: str) -> dict[str, Any]:
    """The options in a file; their names, and the types of Trainer's, are judged before Trainer sees them."""
    values = read_options_file(path)
    known = {f.name for group in Arguments.__annotations__.values() for f in fields(group) if f.init}
    problems = [describe_unknown(str(name), known) for name in values if name not in known]
    problems += find_problems(TrainerOptions, _pick(values, TrainerOptions))
    if problems:
        raise JobError(describe_problems(problems))
    return values


def _pick(values: Mapping[str, Any], group: type) -> dict[str, Any]:
    names = {f.name for f in fields(group)}
    return {name: value for name, value in values.items() if name in names}


def check_arguments(arguments: Arguments) -> None:
    """Check bounds and the rules between options, before anything costly begins.

    Raises:
        JobError: naming every value that is out of bounds, or all options that contradict each other.
    """
    *groups, training = arguments
    problems = [problem for group in groups for problem in find_problems(type(group), vars(group))]
    names = {f.name for f in fields(TrainerOptions)} - {"lr_scheduler_type"}  # Trainer's own enumeration
    problems += find_problems(TrainerOptions, {name: getattr(training, name) for name in names})
    if not problems:
        values = {name: value for group in (*groups, training) for name, value in vars(group).items()}
        problems = find_contradictions(values) + _find_trainer_problems(training)
    if problems:
        raise JobError(describe_problems(problems))


def _find_trainer_problems(training: RecipeTrainingArguments) -> list[str]:
    """One sentence for each of Trainer's own arguments that this recipe cannot train with."""
    rules = [
        (training.label_multiple >= 1, f"label_multiple must be at least 1, found {training.label_multiple}"),
        (
            training.save_total_limit is None or training.save_total_limit >= 3,
            "save_total_limit must be at least 3: the best, the last whole one, and that being written",
        ),
        (
            training.save_strategy != "no" or training.eval_strategy == "no",
            "save_strategy no would lose the best weights; leave it, or set eval_strategy no too",
        ),
        (
            training.average_tokens_across_devices,
            "average_tokens_across_devices must stay on: without it, the parts of processes weigh unequally",
        ),
        (
            training.train_sampling_strategy == "random",
            "train_sampling_strategy does nothing: the recipe's order depends on seed and epoch alone",
        ),
        (
            not training.auto_find_batch_size,
            "auto_find_batch_size starts over; batches are halved anyway",
        ),
        (
            not training.load_best_model_at_end,
            "load_best_model_at_end is off: the best WER is kept anyway",
        ),
        (
            not training.fsdp and not training.deepspeed,
            "fsdp and deepspeed are chosen with `accelerate launch --config_file`, see accelerate_configs",
        ),
        (not training.push_to_hub, "push_to_hub would upload the run folder; use publish_to hub:owner/name"),
        (not training.hub_token, "hub_token would be written to disk; use the environment variable HF_TOKEN"),
        (not training.ignore_data_skip, "ignore_data_skip would train windows twice after a resume"),
    ]
    return [problem for is_met, problem in rules if not is_met]
