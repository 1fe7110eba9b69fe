"""The engines of Accelerate, told what they need so that all of them compute the same.

    one process, or several whose gradients are averaged (DDP)
    FSDP             weights, gradients and optimizer state shared out among the processes
    DeepSpeed ZeRO-2 gradients and optimizer state shared out

`accelerate launch --config_file` chooses one and tells its processes by environment variables.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import DeepSpeedPlugin, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors.torch import load_file
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor
from transformers import Seq2SeqTrainer, WhisperForConditionalGeneration
from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.utils import SAFE_WEIGHTS_NAME

from recipe.run.launch import uses_deepspeed, uses_fsdp
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.checkpoint_writer import CheckpointWriter
from recipe.training.checkpoints import FileRecord
from recipe.training.sharded_state import ShardedState


class EngineTrainer(Seq2SeqTrainer):
    """`Seq2SeqTrainer` that computes the same under each engine, and always has whole weights at hand.

    FSDP trains a copy that it cuts into shards. Generating with those would need all processes to take
    the same steps, so everything that transcribes or publishes uses `whole_model`.

    Args:
        model: In float32; autocast lowers the precision of what gains by it.
        args: Arguments of the run.
        kwargs: As in Trainer.

    Attributes:
        whole_model: The model that was given; under FSDP its weights are those of the last
            `gather_weights`.
        writer: Writes checkpoints.
    """

    args: RecipeTrainingArguments

    def __init__(
        self, model: WhisperForConditionalGeneration, args: RecipeTrainingArguments, **kwargs: Any
    ) -> None:
        self.whole_model = model
        self.writer = CheckpointWriter()
        self._shards = ShardedState() if uses_fsdp() else None
        if uses_fsdp():
            model = copy.deepcopy(model)
            _shard_without_gpus()
        super().__init__(model=model, args=args, **kwargs)
        self._move_whole_model(args.device)  # Trainer leaves that to DeepSpeed, which begins with training

    def gather_weights(self) -> None:
        """Bring the weights as they are now into `whole_model`; every process must take part."""
        if not uses_fsdp():
            return
        assert self.model is not None
        self._move_whole_model(self.args.device)
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                whole = weight.full_tensor() if isinstance(weight, DTensor) else weight
                self.whole_model.get_parameter(name).copy_(whole)

    def load_weights(self, checkpoint: Path) -> None:
        """Take up the weights of a checkpoint in `whole_model`, on its device."""
        self._move_whole_model(self.args.device)
        if self._shards:
            self._shards.load_whole(self.whole_model, checkpoint)
            return
        # Not by safetensors' load_model, which refuses weights that DeepSpeed has laid into one buffer.
        weights = load_file(checkpoint / SAFE_WEIGHTS_NAME)
        missing, unexpected = self.whole_model.load_state_dict(weights, strict=False)
        assert not unexpected, unexpected
        assert set(missing) <= set(self.whole_model.all_tied_weights_keys), missing

    @contextmanager
    def whole_weights(self) -> Iterator[None]:
        """In the body, `whole_model` is on its device with the weights as they are now, without autocast."""
        self.gather_weights()
        autocast_forward = self.drop_autocast()
        yield
        if autocast_forward:
            self.whole_model.forward = autocast_forward
        self._make_room()

    def drop_autocast(self) -> Callable[..., Any] | None:
        """Take back the `forward` in training's precision that Accelerate gave the model, and return it.

        Whatever measures chooses its own precision, the same before training and after it.
        """
        autocast_forward: Callable[..., Any] | None = self.whole_model.__dict__.pop("forward", None)
        return autocast_forward

    def autocast_smart_context_manager(self, *args: Any, **kwargs: Any) -> AbstractContextManager[None]:
        """Trainer's hook: Accelerate autocasts the models that it wraps itself, and FSDP's are not."""
        if uses_fsdp():
            return self.accelerator.autocast()  # type: ignore[no-any-return]
        return super().autocast_smart_context_manager(*args, **kwargs)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        self._make_room()
        return super()._prepare_for_training(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Trainer's hook: the weights and their config, beside training."""
        if not self.args.should_save:
            return
        assert self.model is not None
        # Copied, or gathered, tied weights are no longer one: they would be written twice.
        tied = self.whole_model.all_tied_weights_keys
        weights = (state_dict or self.model.state_dict()).items()
        write = partial(super()._save, output_dir)
        self.writer.add(write, {name: weight for name, weight in weights if name not in tied})

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Trainer's hook: the optimizer's state beside training, unless an engine writes it itself."""
        if uses_deepspeed():
            super()._save_optimizer_and_scheduler(output_dir)
            return
        assert self.optimizer is not None
        assert self.lr_scheduler is not None
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), folder / SCHEDULER_NAME)
        if self._shards:
            self._shards.save(self.model, self.optimizer, folder)
        elif self.args.should_save:
            write = partial(torch.save, f=folder / OPTIMIZER_NAME)
            self.writer.add(write, self.optimizer.state_dict())

    def finish_shards(self) -> dict[str, FileRecord]:
        """Return once every process has written its part of a checkpoint: the parts' files, by name."""
        return self._shards.finish() if self._shards else {}

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self._shards:  # else the optimizer's comes with it
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not (checkpoint and self._shards):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        assert self.lr_scheduler is not None
        self._shards.load(self.model, self.optimizer, Path(checkpoint))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))

    def _make_room(self) -> None:
        if uses_fsdp():
            self._move_whole_model(torch.device("cpu"))

    def _move_whole_model(self, device: torch.device) -> None:
        self.whole_model.to(device)  # type: ignore[arg-type]  # the decorator of transformers hides `self`

    def _build_accelerator_args(self, **kwargs: Any) -> dict[str, Any]:
        """Trainer's hook: precision as everywhere else, float32 weights and gradients under autocast.

        Left alone, Accelerate has FSDP and DeepSpeed compute in bfloat16 throughout and add up gradients
        in it; DeepSpeed's model would even keep its weights in it.
        """
        arguments: dict[str, Any] = super()._build_accelerator_args(**kwargs)
        if uses_fsdp():
            policy = MixedPrecisionPolicy()
            arguments["fsdp_plugin"] = FullyShardedDataParallelPlugin(mixed_precision_policy=policy)
        elif uses_deepspeed():
            arguments |= {"deepspeed_plugin": self._build_deepspeed_plugin(), "mixed_precision": "no"}
        return arguments

    def _build_deepspeed_plugin(self) -> DeepSpeedPlugin:
        plugin = DeepSpeedPlugin()
        autocast: dict[str, Any] = {
            "enabled": self.args.bf16 or self.args.fp16,
            "dtype": "float16" if self.args.fp16 else "bfloat16",
            "lower_precision_safe_modules": [],  # whose gradients would travel in low precision
        }
        config = HfTrainerDeepSpeedConfig(plugin.deepspeed_config | {"torch_autocast": autocast})
        config.trainer_config_process(self.args)
        plugin.hf_ds_config, plugin.deepspeed_config = config, config.config
        self.args.hf_deepspeed_config = config  # or Trainer would ask for DeepSpeed's own bfloat16
        return plugin


def _shard_without_gpus() -> None:
    """Let processes without GPUs share out weights too.

    Accelerate hands processes on GPUs to FSDP and lets others train without it, silently, although torch
    shards over gloo as well.
    """
    state = PartialState()
    if state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU
