"""From an example of the Arrow dataset to the model's input, when the example is trained.

Legend of shapes: B batch, M mel bins (80, or 128 for large-v3), F 3000 frames, T decoder positions (<= 448),
N labels (<= T: a prompt has none).

How a window is seen (with timestamps or without, with the text before it or without, whole or cut down
to one cue) and how its sound is altered is drawn anew each epoch from (seed, epoch, index) alone: first the
view, then the alteration, then noise and echoes; the terms in its prompt by themselves. Any layout of
processes and workers and any resume therefore sees the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from datasets import Dataset as ArrowDataset
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import WhisperFeatureExtractor

from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.windows import MAX_LABEL_TOKENS, Segment, end_of_words, segments_of
from recipe.model.augmentation import Augmentation
from recipe.model.glossary import TermPrompts
from recipe.model.inference import IGNORED
from recipe.model.labels import LabelEncoder, View
from recipe.model.whisper import Whisper

MIN_SILENCE_MS = 1_000
"""Shortest part of a window without words that is shown."""

PADDING = -1
"""Index of an example that fills up the last batch and counts for nothing."""


class Views(Protocol):
    """Chooses how windows are shown."""

    def draw(self, example: Mapping[str, Any], random: np.random.Generator) -> View:
        """How an example is shown; uses the same number of random draws for every example."""
        ...


class WholePhrases:
    """Shows windows as they are transcribed: whole phrases with their times, and no audio beyond them."""

    def draw(self, example: Mapping[str, Any], random: np.random.Generator) -> View:  # noqa: ARG002
        """The example's phrases that end in the window; the same each time."""
        segments = tuple(Segment(**segment) for segment in example["segments"])
        whole = tuple(segment for segment in segments if segment.end_ms is not None)
        end_ms = end_of_words(segments, example["end_ms"] - example["start_ms"])
        return View(whole, 0, end_ms, has_timestamps=True)


@dataclass(frozen=True)
class ViewProbabilities:
    """How probable each way of showing a window is; see `DataArguments`.

    Most with timestamps, since long-form decoders write them, and some without keep the model at ease with
    both (docs/options.md); half with a prompt likewise. A tenth of single cues among packed windows gave
    15.6 % WER against 16.2 % without them at equal compute (held-out French prompts, whisper-base).
    """

    timestamps: float = 0.0
    prompts: float = 0.0
    single_cues: float = 0.0

    def draw(self, example: Mapping[str, Any], random: np.random.Generator) -> View:
        """Choose how to show an example; uses the same number of random draws for every example."""
        timestamps, prompts, single_cues, position = random.random(4)
        segments, prompt = segments_of(example), segments_of(example, "prompt")
        view = View(segments, 0, example["end_ms"] - example["start_ms"], prompt)
        whole = [i for i, segment in enumerate(segments) if segment.end_ms is not None]
        if not segments:
            view = _show_silence(view, fraction=single_cues, position=position)
        elif len(whole) > 1 and single_cues < self.single_cues:
            view = _show_one_cue(view, whole[int(position * len(whole))])
        has_timestamps = bool(timestamps < self.timestamps)
        return View(
            segments=view.segments
            if has_timestamps
            else tuple(s for s in view.segments if s.end_ms is not None),
            start_ms=view.start_ms,
            end_ms=view.end_ms if has_timestamps else end_of_words(view.segments, view.end_ms),
            prompt=view.prompt if prompts < self.prompts else (),
            has_timestamps=has_timestamps,
        )


def _show_silence(view: View, fraction: float, position: float) -> View:
    """A part of a window without words, as silence comes in any length: `fraction` of it."""
    length_ms = max(min(MIN_SILENCE_MS, view.end_ms), round(fraction * view.end_ms))
    start_ms = round(position * (view.end_ms - length_ms))
    return View((), start_ms, start_ms + length_ms, view.prompt)


def _show_one_cue(view: View, index: int) -> View:
    """The cue alone, with the audio up to the next one and the text said before it."""
    segment, following = view.segments[index], view.segments[index + 1 : index + 2]
    assert segment.end_ms is not None
    end_ms = min([view.end_ms, *(next_segment.start_ms for next_segment in following)])
    prompt = (*view.prompt, *view.segments[:index])
    alone = Segment(0, segment.end_ms - segment.start_ms, segment.text)
    return View((alone,), segment.start_ms, end_ms, prompt)


class WindowDataset(Dataset[dict[str, Any]]):
    """Model inputs of windows, made on the fly; indexed by (epoch, index) as `EpochSampler` yields them.

    An item holds `input_features` float32 (M, F), `decoder_input_ids` and `labels`, int lists: the labels are
    the tokens that follow the last positions of the decoder. The positions before those hold the prompt.
    Where terms weigh more than other words, `label_weights` are the weights of the labels, floats.

    An item takes 17 ms of a core (6 of them FLAC, 10 log-mel): 8 workers make 470 windows a second. A window
    costs whisper-small 1.5 TFLOP to train, so one H100 at half of its 989 TFLOP/s takes 330.
    """

    def __init__(
        self,
        examples: ArrowDataset,
        whisper: Whisper,
        views: Views,
        *,
        seed: int = 0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen, so one default for all is safe
        term_prompts: TermPrompts | None = None,
    ) -> None:
        """Keep what is needed to show `examples`; nothing is read yet, and the model is not kept."""
        self._examples = examples
        self._extractor: WhisperFeatureExtractor = whisper.processor.feature_extractor
        self._encoder = LabelEncoder(whisper.processor.tokenizer, whisper.task)
        self._views = views
        self._seed = seed
        self._augmentation = augmentation
        self._term_prompts = term_prompts

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        draw = [self._seed, epoch, max(index, 0)]
        example = self._examples[max(index, 0)]
        random = np.random.default_rng(draw)
        view, alteration = self._views.draw(example, random), self._augmentation.draw(random)
        samples = decode_flac(example["audio"]["bytes"])
        samples = samples[view.start_ms * SAMPLES_PER_MS : view.end_ms * SAMPLES_PER_MS]
        samples, segments = alteration.change_speed(samples, view.segments)
        samples = alteration.send(alteration.add_noise(samples, random), random)
        features = log_mel(self._extractor, samples)
        alteration.mask(features, len(samples))
        view = replace(view, segments=segments)
        if self._term_prompts:
            view = self._term_prompts.add_terms(view, draw, self._encoder)
        ids, num_ignored = self._encoder.encode(view, example["language"])
        labels = ids[num_ignored + 1 :]
        item = {
            "input_features": features,
            "decoder_input_ids": ids[:-1],
            "labels": labels if index != PADDING else [IGNORED] * len(labels),
        }
        if self._term_prompts and self._term_prompts.weight != 1.0:
            item["label_weights"] = self._term_prompts.weigh_labels(view, example["language"], self._encoder)
        return item


def collate(
    items: Sequence[Mapping[str, Any]], pad_token_id: int, multiple_of: int = 1
) -> dict[str, torch.Tensor]:
    """A batch: `input_features` float32 (B, M, F), `decoder_input_ids` int64 (B, T), `labels` int64 (B, N).

    `label_positions`, int64 (B, N), are the decoder's positions that the labels follow; those of padding are
    any. `label_weights`, float32 (B, N), are there if items have them. T and N are the longest of the batch,
    rounded up to a multiple of `multiple_of`.
    """

    def pad(rows: Sequence[Sequence[float]], value: float) -> torch.Tensor:
        longest = max(len(row) for row in rows)
        length = min(-(-longest // multiple_of) * multiple_of, MAX_LABEL_TOKENS)
        return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])

    ids, labels = ([item[name] for item in items] for name in ("decoder_input_ids", "labels"))
    positions = [range(len(row) - len(label), len(row)) for row, label in zip(ids, labels, strict=True)]
    batch = {
        "input_features": torch.from_numpy(np.stack([item["input_features"] for item in items])),
        "decoder_input_ids": pad(ids, pad_token_id),
        "labels": pad(labels, IGNORED),
        "label_positions": pad(positions, 0),
    }
    if "label_weights" in items[0]:
        batch["label_weights"] = pad([item["label_weights"] for item in items], 0.0)
    return batch


def load_captions(
    whisper: Whisper,
    examples: ArrowDataset,
    num_workers: int,
    batches: Iterable[Sequence[int]],
    views: Views = ViewProbabilities(timestamps=1.0),
) -> DataLoader[dict[str, torch.Tensor]]:
    """Batches of windows for a model that is not trained.

    Args:
        whisper: The model that will read them.
        examples: Windows, as `recipe.data.shards` makes them.
        num_workers: Processes that make features.
        batches: Indices of the windows of each batch.
        views: How windows are shown; as their captions tell them, times included, if not given.
    """
    return DataLoader(
        WindowDataset(examples, whisper, views),
        batch_sampler=[list(batch) for batch in batches],
        num_workers=num_workers,
        collate_fn=partial(collate, pad_token_id=whisper.processor.tokenizer.eos_token_id),
        generator=torch.Generator(),  # else each pass would move the random numbers of training
    )


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index) in an order that depends on the seed and the epoch alone.

    The last batch of an epoch is filled up with `PADDING`, so that every process and every accumulation
    step has its part of every update and no window is trained twice.
    """

    def __init__(self, num_examples: int, multiple_of: int, seed: int, epoch_of: Callable[[], int]) -> None:
        """Order `num_examples`, in a number that is a `multiple_of` the windows of one update."""
        self._num_examples = num_examples
        self._length = -(-num_examples // multiple_of) * multiple_of
        self._seed = seed
        self._epoch_of = epoch_of

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self._epoch_of()
        order = np.random.default_rng([self._seed, epoch]).permutation(self._num_examples)
        for index in order.tolist():
            yield epoch, index
        for _ in range(self._length - self._num_examples):
            yield epoch, PADDING
