"""A Whisper checkpoint: loaded in float32 whatever its file holds, and what its files say of it."""

from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer
from transformers.modeling_outputs import Seq2SeqLMOutput

from recipe.arguments import ModelArguments
from recipe.errors import TrainingError
from recipe.model.checkpoint import Checkpoint, check_vocabulary, explaining_failure
from recipe.model.checkpoint_files import find_checkpoint_folder
from recipe.run.files import hash_once


class WhisperForConditionalGeneration(transformers.WhisperForConditionalGeneration):
    """Whisper that can leave out the logits which no label asks for: those of a prompt of up to 224 tokens.

    For a token of the decoder, the projection onto the vocabulary is about half of the arithmetic of tiny and
    base and a fourteenth of large-v3's, and its logits are the largest tensor of a batch. The class is named
    as its parent, since checkpoints and published models carry the name.
    """

    @wraps(transformers.WhisperForConditionalGeneration.forward)  # generation looks at the signature
    def forward(  # type: ignore[override]  # the parent's is untyped to mypy
        self,
        *args: Any,
        label_positions: Tensor | None = None,
        encoder_states: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """As the parent's; with `label_positions`, int64 (B, N), only their logits, of shape (B, N, V).

        With `encoder_states` (B, S, W), of any precision, the encoder is not asked.
        """
        if encoder_states is not None:
            lowers_itself = torch.is_autocast_enabled(encoder_states.device.type)
            kwargs["encoder_outputs"] = (encoder_states if lowers_itself else encoder_states.to(self.dtype),)
        if label_positions is None:
            return super().forward(*args, **kwargs)
        states = self.model(*args, **kwargs).last_hidden_state
        index = label_positions.unsqueeze(-1).expand(-1, -1, states.shape[-1])
        return Seq2SeqLMOutput(logits=self.proj_out(states.gather(1, index)))


@dataclass(frozen=True)
class Whisper(Checkpoint):
    """A model with all that using it takes.

    Attributes:
        model: Whatever weights it has now.
        processor: Its feature extractor and tokenizer.
        task: "transcribe" or "translate"; None for an English-only checkpoint, which knows neither tasks nor
            languages.
    """

    model: transformers.WhisperForConditionalGeneration
    processor: WhisperProcessor
    task: str | None = "transcribe"

    @property
    def tokenizer(self) -> Any:
        """The processor's."""
        return self.processor.tokenizer

    @property
    def generation_config(self) -> Any:
        """The model's."""
        return self.model.generation_config

    @property
    def num_layers(self) -> tuple[int, int]:
        """The model's."""
        return self.model.config.encoder_layers, self.model.config.decoder_layers

    @property
    def first_timestamp(self) -> int:
        """Token of 0.00 s; the later times follow it, 20 ms apart."""
        return int(self.generation_config.no_timestamps_token_id) + 1

    @property
    def spellings(self) -> dict[str, str]:
        """British to American spellings that came with the checkpoint; empty where it has none."""
        return dict(getattr(self.tokenizer, "english_spelling_normalizer", None) or {})

    def move_to(self, device: torch.device) -> None:
        """Move the model to a device."""
        self.model.to(device)  # type: ignore[arg-type]  # the decorator of transformers hides `self`


def load_whisper(arguments: ModelArguments) -> Whisper:
    """Model and processor of a Whisper checkpoint.

    Weights are float32 even where the file is float16 (large-v3-turbo): an update of 1e-5 would vanish in
    half precision; autocast lowers the precision of the arithmetic instead.

    Raises:
        TrainingError: if it cannot be had or is no Whisper checkpoint.
    """
    with explaining_failure(arguments.model_name_or_path):
        folder = find_checkpoint_folder(arguments.model_name_or_path, arguments.model_revision or "main")
        processor = WhisperProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = _load_model(folder)
        _check_parts(processor, model)
        check_vocabulary(
            processor.tokenizer,
            model.config.vocab_size,
            model.config.decoder_start_token_id,
            model.generation_config,
        )
    # Its masks hide padding too, hold no silence, and differ between layouts; the recipe makes its own.
    model.config.apply_spec_augment = False
    if arguments.freeze_encoder:
        model.freeze_encoder()  # type: ignore[no-untyped-call]
    whisper = Whisper(model, processor, arguments.task)
    return whisper if whisper.is_multilingual else Whisper(model, processor, task=None)


def _load_model(folder: Path) -> WhisperForConditionalGeneration:
    """The model with all of its weights from the folder's files, and nothing else in them."""
    loaded: Any = WhisperForConditionalGeneration.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    model, found = loaded  # a pair, with output_loading_info
    for problem in ("missing", "unexpected"):
        names = sorted(found[f"{problem}_keys"])
        if names:
            raise TrainingError(f"{len(names)} tensors are {problem} in its weights, the first is {names[0]}")
    assert isinstance(model, WhisperForConditionalGeneration)
    return model


def identify_weights(arguments: ModelArguments) -> str:
    """A name of a checkpoint's weights that changes with them."""
    folder = find_checkpoint_folder(arguments.model_name_or_path, arguments.model_revision or "main")
    return " ".join(hash_once(path) for path in sorted(folder.glob("*.safetensors")))


def _check_parts(processor: WhisperProcessor, model: WhisperForConditionalGeneration) -> None:
    """Refuse a processor that is none for this model, before a training finds out."""
    extractor, config = processor.feature_extractor, model.config
    for part, expected in ((processor.tokenizer, WhisperTokenizer), (extractor, WhisperFeatureExtractor)):
        if not isinstance(part, expected):
            raise TrainingError(f"it has a {type(part).__name__}, expected a {expected.__name__}")
    given = f"{extractor.feature_size} x {extractor.nb_max_frames}"
    wanted = f"{config.num_mel_bins} x {2 * config.max_source_positions}"
    if given != wanted:
        raise TrainingError(f"its feature extractor makes spectrograms of {given}, its weights take {wanted}")
