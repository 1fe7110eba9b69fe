"""From an example of the Arrow dataset to the model's input, when the example is trained.

Legend of shapes: B batch, M mel bins (80, or 128 for large-v3), F 3000 frames, T decoder positions (<= 448),
N labels (<= T: a prompt has none).

How a window is seen (with timestamps or without, with the text before it or without, whole or cut down
to one cue) and how its sound is altered is drawn anew each epoch from (seed, epoch, index) alone: first the
view, then the alteration, then noise and echoes; the terms in its prompt by themselves. Any layout of
processes and workers and any resume therefore sees the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import torch
from datasets import Dataset as ArrowDataset
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from transformers import WhisperFeatureExtractor

from recipe.audio.decoding import decode_flac
from recipe.audio.mel import log_mel
from recipe.audio.resampling import SAMPLES_PER_MS
from recipe.data.sounds import read_flacs
from recipe.data.windows import MAX_LABEL_TOKENS, Segment, end_of_words, segments_of
from recipe.model.augmentation import Alteration, Augmentation
from recipe.model.encoder_states import EncoderStates
from recipe.model.glossary import TermPrompts
from recipe.model.inference import IGNORED
from recipe.model.labels import LabelEncoder, View
from recipe.model.sampling import PADDING, RowSize, measure_rows
from recipe.model.whisper import Whisper

MIN_SILENCE_MS = 1_000
"""Shortest part of a window without words that is shown."""


class Views(Protocol):
    """Chooses how windows are shown."""

    def draw(self, example: Mapping[str, Any], random: np.random.Generator) -> View:
        """How an example is shown; uses the same number of random draws for every example."""
        ...

    def estimate_length(self, size: RowSize, random: np.random.Generator) -> int:
        """About as many positions of the decoder as what `draw` chooses from the same numbers takes."""
        ...


class WholePhrases:
    """Shows windows as they are transcribed: whole phrases with their times, and no audio beyond them."""

    def draw(self, example: Mapping[str, Any], random: np.random.Generator) -> View:  # noqa: ARG002
        """The example's phrases that end in the window; the same each time."""
        segments = tuple(Segment(**segment) for segment in example["segments"])
        whole = tuple(segment for segment in segments if segment.end_ms is not None)
        end_ms = end_of_words(segments, example["end_ms"] - example["start_ms"])
        return View(whole, 0, end_ms, has_timestamps=True)

    def estimate_length(self, size: RowSize, random: np.random.Generator) -> int:  # noqa: ARG002
        """The tokens of the label."""
        return size.num_tokens


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

    def estimate_length(self, size: RowSize, random: np.random.Generator) -> int:
        """About as many positions of the decoder as what `draw` chooses from the same numbers takes.

        To encode the text would tell exactly, and take fifty times as long.
        """
        timestamps, prompts, single_cues, _ = random.random(4)
        num_tokens = size.num_tokens if timestamps < self.timestamps else size.num_tokens - 2 * size.num_cues
        if size.num_cues > 1 and single_cues < self.single_cues:
            num_tokens //= size.num_cues
        return num_tokens + (size.num_prompt_tokens if prompts < self.prompts else 0)


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

    Where states of the encoder are kept, an item has them as `encoder_states` in place of the features, and
    `states_key`, the name under which those that are missing are to be kept; "" for none.

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
        states: EncoderStates | None = None,
    ) -> None:
        """Keep what is needed to show `examples`; nothing is read yet, and the model is not kept."""
        self._examples = examples
        self._extractor: WhisperFeatureExtractor = whisper.processor.feature_extractor
        self._encoder = LabelEncoder(whisper.processor.tokenizer, whisper.task)
        self._views = views
        self._seed = seed
        self._augmentation = augmentation
        self._term_prompts = term_prompts
        self.states = states

    def __len__(self) -> int:
        return len(self._examples)

    def estimate_length(self, epoch: int, index: int) -> int:
        """About how many positions of the decoder a window takes in an epoch; 20 microseconds."""
        return self._views.estimate_length(self._sizes[index], self._start_draws(epoch, index))

    @cached_property
    def _sizes(self) -> list[RowSize]:
        return measure_rows(self._examples)

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Any]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int] | int]) -> list[dict[str, Any]]:
        """Items as `__getitem__` gives each; DataLoader asks for those of a batch at once.

        Their sounds are read together, so that a batch waits for a bucket once.
        """
        pairs = [key if isinstance(key, tuple) else (0, key) for key in keys]
        examples = [self._examples[max(index, 0)] for _, index in pairs]
        sounds = read_flacs([example["audio"] for example in examples])
        return [
            self._make_item(example, sound, epoch, index)
            for example, sound, (epoch, index) in zip(examples, sounds, pairs, strict=True)
        ]

    def _make_item(self, example: Mapping[str, Any], flac: bytes, epoch: int, index: int) -> dict[str, Any]:
        random = self._start_draws(epoch, max(index, 0))
        view, alteration = self._views.draw(example, random), self._augmentation.draw(random)
        sound = self._find_states(example, flac, view, epoch, max(index, 0)) if self.states else {}
        if "encoder_states" not in sound:
            sound["input_features"], view = self._make_features(flac, view, alteration, random)
        if self._term_prompts:
            view = self._term_prompts.add_terms(view, [self._seed, epoch, max(index, 0)], self._encoder)
        ids, num_ignored = self._encoder.encode(view, example["language"])
        labels = ids[num_ignored + 1 :]
        item = {
            **sound,
            "decoder_input_ids": ids[:-1],
            "labels": labels if index != PADDING else [IGNORED] * len(labels),
        }
        if self._term_prompts and self._term_prompts.weight != 1.0:
            item["label_weights"] = self._term_prompts.weigh_labels(view, example["language"], self._encoder)
        return item

    def _make_features(
        self, flac: bytes, view: View, alteration: Alteration, random: np.random.Generator
    ) -> tuple[NDArray[np.float32], View]:
        """Log-mel of the audio as it is shown, and the view with the times that its segments then have."""
        samples = decode_flac(flac)
        samples = samples[view.start_ms * SAMPLES_PER_MS : view.end_ms * SAMPLES_PER_MS]
        samples, segments = alteration.change_speed(samples, view.segments)
        samples = alteration.send(alteration.add_noise(samples, random), random)
        features = log_mel(self._extractor, samples)
        alteration.mask(features, len(samples))
        return features, replace(view, segments=segments)

    def _find_states(
        self, example: Mapping[str, Any], flac: bytes, view: View, epoch: int, index: int
    ) -> dict[str, Any]:
        """The states of what is shown, if they are kept, and where they go if they are to be."""
        assert self.states
        key = self.states.key(flac, view.start_ms, view.end_ms)
        states = self.states.load(key)
        if states is not None:
            return {"encoder_states": states, "states_key": ""}
        later_epochs = range(epoch + 1, self.states.num_epochs)
        later = (self._views.draw(example, self._start_draws(epoch, index)) for epoch in later_epochs)
        comes_again = any((other.start_ms, other.end_ms) == (view.start_ms, view.end_ms) for other in later)
        return {"states_key": key if comes_again else ""}

    def _start_draws(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, epoch, index])


def collate(items: Sequence[Mapping[str, Any]], pad_token_id: int, multiple_of: int = 1) -> dict[str, Any]:
    """A batch: `input_features` float32 (B, M, F), `decoder_input_ids` int64 (B, T), `labels` int64 (B, N).

    `label_positions`, int64 (B, N), are the decoder's positions that the labels follow; those of padding are
    any. `label_weights`, float32 (B, N), are there if items have them. T and N are the longest of the batch,
    rounded up to a multiple of `multiple_of`.

    Where states of the encoder are kept, `input_features` are those of the windows without, absent if all
    have them; `encoder_states` and `states_keys` are lists of what each window's item has, None or "".
    """

    def pad(rows: Sequence[Sequence[float]], value: float) -> torch.Tensor:
        longest = max(len(row) for row in rows)
        length = min(-(-longest // multiple_of) * multiple_of, MAX_LABEL_TOKENS)
        return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])

    ids, labels = ([item[name] for item in items] for name in ("decoder_input_ids", "labels"))
    positions = [range(len(row) - len(label), len(row)) for row, label in zip(ids, labels, strict=True)]
    features = [item["input_features"] for item in items if "input_features" in item]
    batch: dict[str, Any] = {"input_features": torch.from_numpy(np.stack(features))} if features else {}
    if "states_key" in items[0]:
        batch["encoder_states"] = [item.get("encoder_states") for item in items]
        batch["states_keys"] = [item["states_key"] for item in items]
    batch |= {
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
