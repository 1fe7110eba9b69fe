"""Training on the console: one bar with the loss, and a sentence for each evaluation."""

from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ProgressCallback


class ConsoleCallback(ProgressCallback):
    """Trainer's bar; what is logged is told in words."""

    training_bar: Any

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar."""
        super().on_train_begin(args, state, control, **kwargs)  # type: ignore[no-untyped-call]
        if self.training_bar is not None:
            self.training_bar.set_description("train")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """The loss beside the bar, an evaluation above it."""
        if self.training_bar is None or not logs:
            return
        if "loss" in logs:
            self.training_bar.set_postfix_str(f"loss {logs['loss']:.3f}")
        if "eval_wer_normalized" in logs:
            figures = f"{logs['eval_wer_normalized']:.1%} of the words wrong, loss {logs['eval_loss']:.3f}"
            self.training_bar.write(f"Validation part after update {state.global_step}: {figures}")
