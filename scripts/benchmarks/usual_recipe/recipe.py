"""The usual way to fine-tune Whisper, to compare with: one cue a window, features mapped ahead into Arrow.

As the tutorials have it: each cue is cut out, padded to 30 s and turned into log-mel features by
`datasets.map`; a collator pads the labels; a plain `Seq2SeqTrainer` minimises Whisper's own loss. What is
known to go wrong there is done right, so that it loses nothing by mistakes: labels are masked by length and
start once, the text follows a space as Whisper writes it, captions are read as ours are, cues over 30 s are
left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback, WhisperProcessor

from recipe.audio.decoding import decode_audio, slice_samples
from recipe.audio.mel import log_mel
from recipe.captions.reader import read_captions
from recipe.data.manifest import Recording
from recipe.data.windows import WINDOW_MS
from recipe.model.inference import IGNORED
from recipe.model.whisper import Whisper

ROWS_PER_WRITE = 100
"""Rows that `map` holds before it writes them; its default of 1000 would take a gigabyte."""


def map_features(recordings: Sequence[Recording], whisper: Whisper, path: Path) -> Dataset:
    """Each cue's features, labels and recording, mapped into one Arrow file.

    Args:
        recordings: Audio with captions, all in one language.
        whisper: Its tokenizer is told the language here.
        path: The Arrow file to write.
    """
    extractor, tokenizer = whisper.processor.feature_extractor, whisper.processor.tokenizer
    language = recordings[0].language if whisper.is_multilingual else None
    tokenizer.set_prefix_tokens(language=language, task=whisper.task)

    def prepare(cue: Mapping[str, Any]) -> dict[str, Any]:
        sound = slice_samples(read_samples(cue["audio"]), cue["start_ms"], cue["end_ms"])
        return {
            "input_features": log_mel(extractor, sound.astype(np.float32) / np.float32(32768)),
            "labels": tokenizer(f" {cue['text']}").input_ids,
        }

    return list_cues(recordings).map(
        prepare, cache_file_name=str(path), writer_batch_size=ROWS_PER_WRITE, remove_columns=["audio"]
    )


def list_cues(recordings: Sequence[Recording]) -> Dataset:
    """A row for each cue that fits the model's input."""
    return Dataset.from_list(
        [
            {
                "recording": recording.name,
                "audio": str(recording.audio.path),
                "start_ms": cue.start_ms,
                "end_ms": cue.end_ms,
                "text": cue.text,
            }
            for recording in recordings
            if recording.audio.path and recording.transcript.path
            for cue in read_captions(recording.transcript.path).cues
            if cue.end_ms - cue.start_ms <= WINDOW_MS
        ]
    )


@lru_cache(maxsize=1)
def read_samples(path: str) -> NDArray[np.int16]:
    """The samples of a recording; kept while its cues are cut out one after the other."""
    return decode_audio(Path(path)).samples


@dataclass(frozen=True)
class Collator:
    """Pads features and labels to a batch; the model shifts the labels to the right itself.

    Attributes:
        processor: The model's.
        start_id: Token that the model puts before the labels, so that they must not hold it.
    """

    processor: WhisperProcessor
    start_id: int

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """`input_features` float32 (B, M, 3000) and `labels` int64 (B, T)."""
        features = [{"input_features": row["input_features"]} for row in rows]
        ids = [{"input_ids": row["labels"]} for row in rows]
        padded = self.processor.tokenizer.pad(ids, return_tensors="pt")
        labels = padded["input_ids"].masked_fill(padded["attention_mask"].ne(1), IGNORED)
        assert (labels[:, 0] == self.start_id).all()
        batch = self.processor.feature_extractor.pad(features, return_tensors="pt")
        return {"input_features": batch["input_features"], "labels": labels[:, 1:]}


def build_usual_trainer(
    whisper: Whisper, arguments: Seq2SeqTrainingArguments, cues: Dataset, callback: TrainerCallback
) -> Seq2SeqTrainer:
    """The plain trainer over mapped cues."""
    return Seq2SeqTrainer(
        model=whisper.model,
        args=arguments,
        train_dataset=cues,
        data_collator=Collator(whisper.processor, whisper.model.config.decoder_start_token_id),
        callbacks=[callback],
    )
