"""What a model writes of windows: greedy, the same on any number of processes.

Timestamps are decoded too, and left out of the text, as every long-form decoder does: without them an
untrained model tends to stop after the first sentences of a full window, and training would seem to gain
more than it does (whisper-base on two French recordings: 46 to 57 % without, 22 to 24 % with them).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from datasets import Dataset
from torch import Tensor

from recipe.data.windows import TIMESTAMP_MS, WINDOW_MS
from recipe.evaluation.ctranslate import Ctranslate2Engine
from recipe.evaluation.decoding import Engine, TransformersEngine, decode_windows
from recipe.evaluation.long_form_scores import Decoded
from recipe.evaluation.loss import Nll, load_phrases, mean_nll, sort_into_batches, sum_nll
from recipe.model.inference import encode, map_batches, move_batch
from recipe.model.labels import LabelEncoder
from recipe.model.whisper import Whisper


@dataclass(frozen=True)
class Decoding:
    """How windows are transcribed.

    Attributes:
        batch_size: Windows at once; part of the exact result, since batches differ in rounding.
        engine: "transformers" or "ctranslate2"; part of the exact result too.
    """

    batch_size: int = 8
    engine: str = "transformers"


@dataclass(frozen=True)
class Transcription:
    """What a model makes of windows.

    Attributes:
        texts: The transcript of each window, in order.
        loss: Mean NLL of a label token, as `measure_loss` has it; None where it was not asked for.
    """

    texts: list[str]
    loss: float | None


def transcribe_examples(
    whisper: Whisper,
    examples: Dataset,
    decoding: Decoding,
    on_batch: Callable[[int], object] = lambda _: None,
    *,
    terms: Sequence[str] = (),
    with_loss: bool = False,
    num_workers: int = 0,
) -> Transcription:
    """The transcript of each example, in order; every process gets the whole list.

    Args:
        whisper: The model, on its device.
        examples: Windows, as `recipe.data.shards` makes them.
        decoding: How they are transcribed.
        on_batch: Called with the number of windows just transcribed.
        terms: In the prompt of every window, as many as fit (`recipe.model.glossary.choose_fitting`).
        with_loss: Whether the loss is measured too: the encoder runs once for both, a batch at a time.
        num_workers: Processes that make features.
    """
    tokens, loss = _decode_examples(
        whisper, examples, decoding, on_batch, terms=terms, with_loss=with_loss, num_workers=num_workers
    )
    texts: list[str] = whisper.processor.batch_decode(tokens, skip_special_tokens=True)
    return Transcription([text.strip() for text in texts], loss)


def transcribe_segments(
    whisper: Whisper,
    examples: Dataset,
    decoding: Decoding,
    on_batch: Callable[[int], object] = lambda _: None,
) -> list[list[Decoded]]:
    """The segments that the model writes of each example, with times in its recording.

    For the arguments see `transcribe_examples`.
    """
    tokens, _ = _decode_examples(whisper, examples, decoding, on_batch)
    starts_ms = examples["start_ms"]
    return [list(_read_segments(whisper, *window)) for window in zip(tokens, starts_ms, strict=True)]


def _read_segments(whisper: Whisper, tokens: Sequence[int], start_ms: int) -> Iterator[Decoded]:
    """What is written between two times; without the second one it goes on to the window's end."""
    begins_ms, text = 0, list[int]()
    for token in [*tokens, whisper.first_timestamp + WINDOW_MS // TIMESTAMP_MS]:
        if token < whisper.first_timestamp:
            text.append(token)
            continue
        time_ms = (token - whisper.first_timestamp) * TIMESTAMP_MS
        if words := whisper.processor.decode(text, skip_special_tokens=True).strip():
            yield Decoded(start_ms + begins_ms, start_ms + time_ms, words)
        begins_ms, text = time_ms, []


def _decode_examples(
    whisper: Whisper,
    examples: Dataset,
    decoding: Decoding,
    on_batch: Callable[[int], object],
    *,
    terms: Sequence[str] = (),
    with_loss: bool = False,
    num_workers: int = 0,
) -> tuple[list[list[int]], float | None]:
    """The tokens that the model writes of each example, and its loss; see `transcribe_examples`."""
    batches = sort_into_batches(examples, decoding.batch_size)
    engine = _start_engine(whisper, decoding)
    encoder = LabelEncoder(whisper.processor.tokenizer, whisper.task)
    prompt, num_start = encoder.start_prompt(terms), len(encoder.start_tokens(examples[0]["language"]))

    def decode(batch: Mapping[str, Tensor]) -> tuple[list[list[int]], Nll | None]:
        prompts = [[*prompt, *row] for row in batch["decoder_input_ids"][:, :num_start].tolist()]
        states = nll = None
        if with_loss:
            inputs = move_batch(batch, whisper.model)
            states = encode(whisper.model, inputs["input_features"])
            nll = sum_nll(whisper.model, states, inputs)
        features = batch["input_features"]
        return decode_windows(engine, features, prompts, whisper.first_timestamp, states), nll

    load = partial(load_phrases, whisper, examples, num_workers)
    decoded = map_batches(whisper.model, batches, load, decode, on_batch)
    by_index = dict(zip(chain(*batches), chain(*(tokens for tokens, _ in decoded)), strict=True))
    loss = mean_nll([nll for _, nll in decoded if nll]) if with_loss else None
    return [by_index[index] for index in range(len(examples))], loss


def _start_engine(whisper: Whisper, decoding: Decoding) -> Engine:
    if decoding.engine == "ctranslate2":
        return Ctranslate2Engine(whisper.model, whisper.processor)
    return TransformersEngine(whisper.model)
