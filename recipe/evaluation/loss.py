"""How well a model expects the words of windows: their loss, over the audio that it transcribes."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from recipe.data.windows import segments_of, text_of
from recipe.model.inference import (
    IGNORED,
    encode,
    label_nll,
    map_batches,
    move_batch,
    split_into_batches,
)
from recipe.model.inputs import WholePhrases, load_captions
from recipe.model.whisper import Whisper

Nll = tuple[float, int]
"""The NLL of label tokens in nats, added up, and their number."""


def sort_into_batches(examples: Dataset, batch_size: int) -> list[Sequence[int]]:
    """Windows with about as many words together, most first, so that processes and rows end together.

    The order is that of the windows themselves, not that of the dataset or of the processes: a window is
    always measured beside the same others, which decide its rounding.
    """

    def key(index: int) -> tuple[int, str, int]:
        example = rows[index]
        return -len(text_of(segments_of(example))), example["recording"], example["start_ms"]

    rows = list(examples.remove_columns("audio"))
    return split_into_batches(sorted(range(len(rows)), key=key), batch_size)


def load_phrases(
    whisper: Whisper, examples: Dataset, num_workers: int, batches: Iterable[Sequence[int]]
) -> DataLoader[dict[str, Tensor]]:
    """Batches of windows as they are transcribed: whole phrases with their times; see `load_captions`."""
    return load_captions(whisper, examples, num_workers, batches, WholePhrases())


def measure_loss(
    whisper: Whisper,
    examples: Dataset,
    batch_size: int,
    num_workers: int = 0,
    on_batch: Callable[[int], object] = lambda _: None,
) -> float:
    """Mean NLL of a label token in nats, times included (teacher forced); the same in any layout.

    It is infinite if the weights are of no use.

    Args:
        whisper: The model, on its device.
        examples: Windows with their words; at least one.
        batch_size: Windows at once.
        num_workers: Processes that make features.
        on_batch: Called with the number of windows just run.
    """

    def run(batch: Mapping[str, Tensor]) -> Nll:
        inputs = move_batch(batch, whisper.model)
        return sum_nll(whisper.model, encode(whisper.model, inputs["input_features"]), inputs)

    batches = sort_into_batches(examples, batch_size)
    load = partial(load_phrases, whisper, examples, num_workers)
    return mean_nll(map_batches(whisper.model, batches, load, run, on_batch))


def sum_nll(model: WhisperForConditionalGeneration, states: Tensor, inputs: Mapping[str, Tensor]) -> Nll:
    """The NLL of a batch's label tokens over its encoded audio, and their number."""
    labels = inputs["labels"]
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        decoder_input_ids=inputs["decoder_input_ids"],
        label_positions=inputs["label_positions"],
        use_cache=False,
    ).logits
    return label_nll(logits, labels).item(), int((labels != IGNORED).sum())


def mean_nll(sums: Sequence[Nll]) -> float:
    """The mean over all batches; infinite where it is no number."""
    nll, counts = zip(*sums, strict=True)
    mean = float(sum(nll) / sum(counts))
    return mean if math.isfinite(mean) else math.inf
