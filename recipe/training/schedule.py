"""What a run trains with where nobody named it: learning rate, windows of an update, epochs.

The rate goes by the width of the model, the others by the amount of speech. What is named is kept.
docs/schedule.md has the measurements.
"""

import logging
import math

from recipe.model.whisper import Whisper
from recipe.training.arguments import Arguments

logger = logging.getLogger(__name__)

PRETRAINING_RATES = {384: 1.5e-3, 512: 1e-3, 768: 5e-4, 1024: 2.5e-4, 1280: 1.75e-4}
"""Peak learning rates by width of the states, of tiny, base, small, medium and large (Radford et al. 2022,
table 17)."""

RATE_FRACTION = 1 / 40
"""Of the rate of pretraining: what public runs of all sizes come to. Twice as much gained nothing, and four
times as much lost all (docs/schedule.md)."""

ADAPTER_FACTOR = 20
"""Adapters want so many times the rate of the weights themselves (docs/options.md)."""

FEW_WINDOWS = 60
"""Half an hour of speech, for which the epochs were measured."""

EPOCHS_OF_FEW = 3

MAX_EPOCHS, MIN_EPOCHS = 8, 2
MAX_WINDOWS_PER_UPDATE, MIN_WINDOWS_PER_UPDATE = 16, 2

SETTLED = ("learning_rate", "per_device_train_batch_size", "num_train_epochs", "patience")

PATIENCE = 3
"""Evaluations without a better one after which training ends, where the epochs were chosen here."""


def settle_schedule(arguments: Arguments, whisper: Whisper, num_windows: int) -> None:
    """Fill in what nobody named, in place; the same for the same data, so that a run can resume.

    Args:
        arguments: Of the run.
        whisper: The base model.
        num_windows: To train on.
    """
    training, width = arguments.training, whisper.model.config.d_model
    unnamed = {name for name in SETTLED if getattr(training, name) is None}
    if "learning_rate" in unnamed:
        training.learning_rate = choose_rate(width, has_adapters=bool(arguments.model.lora_rank))
    if "per_device_train_batch_size" in unnamed:
        num_parts = training.world_size * training.gradient_accumulation_steps
        training.per_device_train_batch_size = max(1, choose_windows_per_update(num_windows) // num_parts)
    if "patience" in unnamed:
        training.patience = PATIENCE if "num_train_epochs" in unnamed else 0
    if "num_train_epochs" in unnamed:
        training.num_train_epochs = 1.0 if training.max_steps > 0 else choose_epochs(num_windows)
    logger.info(
        "Learning rate %.3g, %s windows an update, %g epochs.",
        training.learning_rate,
        training.windows_per_update,
        training.num_train_epochs,
    )


def choose_rate(width: int, *, has_adapters: bool = False) -> float:
    """The peak learning rate for a model whose states are so wide: that of the nearest of Whisper's sizes."""
    nearest = min(PRETRAINING_RATES, key=lambda known: abs(math.log(known / width)))
    rate = PRETRAINING_RATES[nearest] * RATE_FRACTION
    return float(f"{rate * (ADAPTER_FACTOR if has_adapters else 1):.3g}")


def choose_windows_per_update(num_windows: int) -> int:
    """The windows of an update: a power of two that grows with the root of the number of windows."""
    wanted = math.sqrt(num_windows / (FEW_WINDOWS / MIN_WINDOWS_PER_UPDATE))
    power = 1 << int(math.log2(max(1.0, wanted)))
    return min(MAX_WINDOWS_PER_UPDATE, max(MIN_WINDOWS_PER_UPDATE, power))


def choose_epochs(num_windows: int) -> float:
    """The passes over so many windows: more the fewer there are, since updates teach, not passes."""
    wanted = EPOCHS_OF_FEW * (FEW_WINDOWS / max(1, num_windows)) ** (1 / 3)
    return float(min(MAX_EPOCHS, max(MIN_EPOCHS, round(wanted))))
