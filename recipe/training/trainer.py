"""The trainer: `Seq2SeqTrainer` with an exact loss, whole checkpoints and room to breathe.

One update is one update: whatever the batch, the accumulation and the number of processes, the gradient
is that of the mean loss over all label tokens of the update.
"""

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from torch import Tensor, nn
from transformers.trainer_callback import TrainerCallback
from transformers.trainer_utils import EvalLoopOutput

from recipe.errors import CheckpointError, TrainingError
from recipe.evaluation.report import Evaluation
from recipe.model.adapters import merged
from recipe.model.encoder_states import FrozenEncoder
from recipe.model.inference import IGNORED, label_nll
from recipe.model.inputs import WindowDataset, collate
from recipe.model.sampling import EpochSampler
from recipe.model.whisper import Whisper, WhisperForConditionalGeneration
from recipe.run.folder import RunFolder
from recipe.run.launch import uses_deepspeed, uses_fsdp
from recipe.training.arguments import RecipeTrainingArguments
from recipe.training.callbacks import has_run_out_of_patience
from recipe.training.checkpoints import complete_checkpoint, rotate_checkpoints, verify_checkpoint
from recipe.training.engine import EngineTrainer
from recipe.training.memory import largest_micro_batch, reserve_moments, same_randomness

logger = logging.getLogger(__name__)

TOO_LITTLE_MEMORY = (
    "Out of memory with one window at a time. Use a smaller model, activation_checkpointing or "
    "a larger device."
)


def token_loss(
    outputs: Mapping[str, Tensor],
    labels: Tensor,
    num_items_in_batch: Tensor | int | None = None,
    *,
    label_smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """This batch's part of the mean NLL over all label tokens of the update.

    Whisper's own loss is a mean over the batch, which weighs a short label's tokens more than a long
    one's and makes the gradient grow with accumulation and processes.

    Args:
        outputs: With `logits`, shape (B, N, V).
        labels: int64, shape (B, N); `IGNORED` positions do not count.
        num_items_in_batch: Label tokens of the whole update, over all processes; this batch's if None.
        label_smoothing: Fraction of the target spread evenly over the vocabulary.
        weights: How much each label counts, float32, shape (B, N); 1 if None. The sum is still divided by the
            number of tokens, which every process knows: so a token of weight 1 has the gradient that it would
            have without weights, whatever its neighbours weigh.
    """
    if weights is None:
        total = label_nll(outputs["logits"], labels, label_smoothing=label_smoothing)
    else:
        nll = label_nll(outputs["logits"], labels, reduction="none", label_smoothing=label_smoothing)
        total = (nll * weights).sum()
    return total / (num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum())


class WhisperTrainer(EngineTrainer):
    """Trains Whisper on windows.

    Args:
        whisper: As `load_whisper` gives it, in float32; autocast lowers the precision of what gains by it.
        args: Arguments of the run.
        train_dataset: Windows to train on.
        eval_dataset: Held-out windows, or None; without them Trainer would never evaluate.
        fingerprint: What a run must have in common with this one to resume from its checkpoints.
        measure: Has the model transcribe held-out windows, and measures its loss there.
        callbacks: As in Trainer.

    Attributes:
        whisper: As given; its model is `whole_model`.
        frozen_encoder: Fills in the encoder's states, where the windows' are kept.
        warnings: Sentences for the user.
        evaluations: What `measure` found, by update.
    """

    args: RecipeTrainingArguments
    train_dataset: WindowDataset

    def __init__(
        self,
        whisper: Whisper,
        args: RecipeTrainingArguments,
        train_dataset: WindowDataset,
        eval_dataset: WindowDataset | None,
        *,
        fingerprint: Mapping[str, Any],
        measure: Callable[[], Evaluation],
        callbacks: list[TrainerCallback],
    ) -> None:
        model, end_of_text = whisper.model, whisper.processor.tokenizer.eos_token_id
        assert isinstance(model, WhisperForConditionalGeneration), "transformers' own ignores label_positions"
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            data_collator=partial(collate, pad_token_id=end_of_text, multiple_of=args.label_multiple),
            compute_loss_func=token_loss,
            callbacks=callbacks,
        )
        self.whisper = whisper
        self.fingerprint = fingerprint
        states = train_dataset.states
        self.frozen_encoder = FrozenEncoder(model, states, args.autocast_dtype) if states else None
        self.num_splits = 1
        self.warnings: list[str] = []
        self.evaluations: dict[int, Evaluation] = {}
        self._measure = measure
        self._micro_batches: list[dict[str, Tensor]] = []

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:  # noqa: ARG002 - Trainer's hook
        return EpochSampler(
            len(self.train_dataset),
            self.args.windows_per_update,
            self.args.seed,
            lambda: int(self.state.epoch or 0),
            self.train_dataset.estimate_length,
        )

    @property
    def num_updates(self) -> int:
        """Updates that the run will make."""
        if self.args.max_steps > 0:
            return self.args.max_steps
        updates_per_epoch = len(self._get_train_sampler()) // self.args.windows_per_update
        return math.ceil(self.args.num_train_epochs * updates_per_epoch)

    @property
    def last_update(self) -> int:
        """The update that training ends with: the last one planned, or that at which patience ran out."""
        state = self.state
        return state.global_step if has_run_out_of_patience(self.args, state) else state.max_steps

    @property
    def mean_loss(self) -> float | None:
        """Mean of the logged losses over the whole run, before a resume too; None without any."""
        losses = [entry["loss"] for entry in self.state.log_history if "loss" in entry]
        return sum(losses) / len(losses) if losses else None

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as Trainer does; the last checkpoint is whole on return, also if something was raised."""
        try:
            outcome = super().train(*args, **kwargs)
            self.writer.wait()
        finally:
            self.writer.close()
        self.accelerator.wait_for_everyone()
        return outcome

    def train_to_the_end(self, checkpoint: Path | None) -> dict[str, Any]:
        """Train, from a checkpoint if there is one, and take up the best weights; Trainer's own metrics.

        Raises:
            TrainingError: if training ended before the last update.
            CheckpointError: if the best checkpoint is damaged or gone.
        """
        outcome = self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self.state.global_step < self.last_update:
            raise TrainingError(
                f"Training ended at update {self.state.global_step} of {self.state.max_steps}; "
                "run the same command again to go on."
            )
        if self.state.global_step < self.state.max_steps:
            self.warnings.append(
                f"Training ended after {self.state.epoch:g} of {self.args.num_train_epochs:g} epochs: for "
                f"{self.args.patience} evaluations the WER on the validation part was no lower (patience)."
            )
        self.take_best_weights()
        self._forget_states()
        return dict(outcome.metrics)

    def _forget_states(self) -> None:
        """Remove the encoder's states, which no epoch needs any more."""
        if not self.frozen_encoder:
            return
        self.warnings += self.frozen_encoder.warnings
        logger.info(
            "The encoder computed the states of %s windows of %s; those of the others were kept.",
            self.frozen_encoder.num_encoded,
            self.frozen_encoder.num_windows,
        )
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_local_main_process:
            self.frozen_encoder.states.forget()

    @property
    def best_evaluation(self) -> Evaluation | None:
        """What was measured on the best weights, if that was in this process."""
        best = self.state.best_global_step
        return None if best is None else self.evaluations.get(best)

    def take_best_weights(self) -> None:
        """Load the checkpoint with the lowest error rate, unless the model has its weights already.

        Raises:
            CheckpointError: if it is damaged or gone.
        """
        self.drop_autocast()
        if self.state.best_global_step in {None, self.state.global_step}:
            self.gather_weights()
            return
        # Not state.best_model_checkpoint: Trainer forgets it in silence when the folder is gone.
        best = RunFolder(Path(self.args.output_dir)).checkpoint(self.state.best_global_step)
        problem = verify_checkpoint(best)
        if problem:
            raise CheckpointError(
                f"The best checkpoint {best} cannot be used: {problem}. Run the same command again: it goes "
                "on from the whole checkpoint before it, or from the start."
            )
        self.load_weights(best)
        logger.info("Took the weights of %s, which have the lowest WER.", best.name)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any
    ) -> Tensor | tuple[Tensor, Any]:
        """Trainer's hook: the weights of labels are the loss's, not the model's."""
        self.compute_loss_func = partial(
            token_loss,
            label_smoothing=self.args.label_smoothing_factor,
            weights=inputs.pop("label_weights", None),
        )
        loss: Tensor | tuple[Tensor, Any] = super().compute_loss(model, inputs, *args, **kwargs)
        return loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:  # noqa: ARG002 - Trainer's hook
        """Loss, and error rates of what the model writes; Trainer's own loop would encode once more."""
        self.writer.wait()  # a stop during the evaluation is immediate
        with self.whole_weights(), merged(self.whole_model):
            evaluation = self._measure()
        self.evaluations[self.state.global_step] = evaluation
        metrics = {f"eval_{name}": float(value) for name, value in evaluation.scores.as_dict().items()}
        metrics["eval_loss"] = math.inf if evaluation.loss is None else evaluation.loss
        no_predictions: Any = None
        return EvalLoopOutput(no_predictions, None, metrics, len(evaluation.transcripts))

    def _init_training_state(
        self, max_steps: int, num_updates_per_epoch: int, num_epochs: int, checkpoint: str | None, trial: Any
    ) -> tuple[int, int]:
        """The number of epochs to skip on a resume, and of batches in the next one.

        Trainer never comes back to an epoch's end: its evaluation would be lost if the run was stopped
        between the last update and that; and a run at `max_steps` would make one update more.
        """
        skipped = super()._init_training_state(
            max_steps, num_updates_per_epoch, num_epochs, checkpoint, trial
        )
        if has_run_out_of_patience(self.args, self.state):
            return num_epochs, 0
        step = self.state.global_step
        if step == 0 or (step % num_updates_per_epoch and step < max_steps):
            return int(skipped[0]), int(skipped[1])
        num_ended = math.ceil(step / num_updates_per_epoch)
        if any(entry["step"] == step and "eval_loss" in entry for entry in self.state.log_history):
            return num_ended, 0
        self._load_rng_state(checkpoint)
        return num_ended - 1, num_updates_per_epoch * self.args.gradient_accumulation_steps

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # Trainer's rotation goes by the clock, which may be set back, by the path that the run's folder had
        # when the best was saved, and comes before the new checkpoint is whole.
        self.writer.wait()
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()  # each has written its small files
        checkpoint, best_step = self.last_checkpoint, self.state.best_global_step

        def complete() -> None:
            records = self.finish_shards()
            if self.args.should_save:
                complete_checkpoint(checkpoint, self.fingerprint, records)
                rotate_checkpoints(checkpoint.parent, limit, best_step)

        self.writer.start(complete)
        # The platform is told of an epoch's checkpoint before the next epoch, and at the end nothing goes on.
        if self.control.should_training_stop or float(self.state.epoch or 0).is_integer():
            self.writer.wait()
            self.accelerator.wait_for_everyone()

    @property
    def last_checkpoint(self) -> Path:
        """Folder of the checkpoint of the current step."""
        return RunFolder(Path(self.args.output_dir)).checkpoint(self.state.global_step)

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> tuple[nn.Module, Any]:
        model, train_dataloader = super()._prepare_for_training(
            max_steps, train_dataloader, resume_from_checkpoint
        )
        if self.must_try_memory:
            self._agree_on_splits(model)
        return model, train_dataloader

    @property
    def must_try_memory(self) -> bool:
        """Whether a micro-batch that does not fit would end the run: several processes, each with a GPU.

        Sharded models (FSDP, DeepSpeed) talk to one another inside a step, so none can try alone.
        """
        return (
            self.accelerator.distributed_type == DistributedType.MULTI_GPU and self.args.device.type != "cpu"
        )

    def _agree_on_splits(self, model: nn.Module) -> None:
        """Split micro-batches as the process with the least memory must.

        A process that runs out of memory within a step leaves the others waiting for its gradients. So each
        tries the largest micro-batch on its own before the first step. It costs about two steps, and
        changes neither weights nor random numbers.

        Raises:
            TrainingError: if one of them has no room for a single window; on all processes.
        """
        num_splits = torch.tensor(self._try_largest(model), device=self.args.device)
        torch.distributed.all_reduce(num_splits, op=torch.distributed.ReduceOp.MAX)
        self.num_splits = int(num_splits)
        if self.num_splits > self.args.train_batch_size:
            raise TrainingError(TOO_LITTLE_MEMORY)
        if self.num_splits > 1:
            self._warn_of_splits("The largest micro-batch does not fit into memory: all")

    def _try_largest(self, model: nn.Module) -> int:
        """The least number of parts that fit here; more than there are windows if not even one fits."""
        assert self.optimizer
        batch_size = self.args.train_batch_size
        try:
            moments = reserve_moments(model, self.optimizer, self.args.optim)
        except torch.OutOfMemoryError:
            return 2 * batch_size
        micro_batch = largest_micro_batch(self.whole_model.config, batch_size)
        # With accumulation the second micro-batch meets the gradients of the first.
        micro_batches = [micro_batch] * min(2, self.args.gradient_accumulation_steps)
        with same_randomness(self.args.device), self.accelerator.no_sync(model):
            while self._try_steps(model, micro_batches, micro_batch["labels"].numel()) is None:
                self._forget_gradients(model)
                self.num_splits *= 2
                if self.num_splits > batch_size:
                    break
        del moments
        model.zero_grad()
        return self.num_splits

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Forward and backward of one micro-batch; in parts, once memory has run out.

        The loss is a sum over tokens divided by the update's number of tokens, so the parts add up to
        the same gradient: halving the micro-batch and doubling the accumulation, without a restart.
        """
        self.writer.raise_failure()
        if self.frozen_encoder:
            inputs = self.frozen_encoder.fill_in(inputs)
        self._micro_batches.append(inputs)
        losses = self._try_steps(model, [inputs], num_items_in_batch)
        while losses is None:
            self._split_further(model)  # gradients so far may be half written: the update starts anew
            losses = self._try_steps(model, self._micro_batches, num_items_in_batch)
        if self.accelerator.gradient_state.sync_gradients:  # the update's last micro-batch
            self._micro_batches = []
        return losses[-1]

    def _try_steps(
        self,
        model: nn.Module,
        micro_batches: list[dict[str, Tensor]],
        num_items_in_batch: Tensor | int | None,
    ) -> list[Tensor] | None:
        """The losses, or None if memory ran out."""
        try:
            return [self._step_in_parts(model, inputs, num_items_in_batch) for inputs in micro_batches]
        except torch.OutOfMemoryError:
            return None  # the exception holds the failed attempt's tensors: nothing is tried while it lives

    def _step_in_parts(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None
    ) -> Tensor:
        batch_size = len(inputs["labels"])
        part_size = max(1, batch_size // self.num_splits)
        parts = [
            {name: tensor[first : first + part_size] for name, tensor in inputs.items()}
            for first in range(0, batch_size, part_size)
        ]
        losses = []
        for number, part in enumerate(parts, start=1):
            # Processes exchange gradients once a micro-batch, as they would without parts.
            with nullcontext() if number == len(parts) else self.accelerator.no_sync(model):
                losses.append(super().training_step(model, part, num_items_in_batch))
        return torch.stack(losses).sum()

    def _split_further(self, model: nn.Module) -> None:
        """Halve the parts of a micro-batch, and forget the update so far.

        Raises:
            TrainingError: if they cannot be halved.
        """
        if self.args.world_size > 1 or uses_fsdp() or uses_deepspeed():
            raise TrainingError(
                f"Out of memory on process {self.args.process_index}. Halve per_device_train_batch_size "
                "and double gradient_accumulation_steps: the result stays the same."
            )
        if self.num_splits >= self.args.train_batch_size:
            raise TrainingError(TOO_LITTLE_MEMORY)
        self.num_splits *= 2
        self._warn_of_splits(f"Out of memory at update {self.state.global_step + 1}: from there on")
        self._forget_gradients(model)

    def _warn_of_splits(self, why: str) -> None:
        self.warnings.append(
            f"{why} micro-batches are processed in {self.num_splits} parts; the result is the same."
        )
        logger.warning("%s", self.warnings[-1])

    def _forget_gradients(self, model: nn.Module) -> None:
        model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
