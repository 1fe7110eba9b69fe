"""A Whisper checkpoint: loaded in float32 whatever its file holds, and what its files say of it."""

from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer
from transformers.modeling_outputs import Seq2SeqLMOutput

from recipe.arguments import ModelArguments
from recipe.errors import TrainingError
from recipe.model.checkpoint_files import find_checkpoint_folder
from recipe.run.files import hash_once, replacing, this_writer


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
class Whisper:
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
    def generation_config(self) -> Any:
        """The model's; Whisper's fields are not in the type that transformers gives it."""
        return self.model.generation_config

    @property
    def is_multilingual(self) -> bool:
        """Whether the checkpoint knows languages and tasks; `.en` checkpoints do not."""
        return bool(getattr(self.generation_config, "is_multilingual", True))

    @property
    def first_timestamp(self) -> int:
        """Token of 0.00 s; the later times follow it, 20 ms apart."""
        return int(self.generation_config.no_timestamps_token_id) + 1

    @property
    def spellings(self) -> dict[str, str]:
        """British to American spellings that came with the checkpoint; empty where it has none."""
        return dict(getattr(self.processor.tokenizer, "english_spelling_normalizer", None) or {})

    def has_language(self, code: str) -> bool:
        """Whether the vocabulary has a token for the language."""
        return f"<|{code}|>" in self.processor.tokenizer.get_vocab()

    def move_to(self, device: torch.device) -> None:
        """Move the model to a device."""
        self.model.to(device)  # type: ignore[arg-type]  # the decorator of transformers hides `self`

    def suppressed_symbols(self) -> frozenset[str]:
        """Symbols that generation never writes (`suppress_tokens`), such as brackets and music notes.

        A label that holds one would teach what can never be written. Tokens with a space before the symbol
        are left out: Whisper suppresses hyphens and apostrophes at the start of a word only.
        """
        token_ids = [i for i in self.generation_config.suppress_tokens or [] if i >= 0]
        special = set(self.processor.tokenizer.all_special_ids)
        texts = {self.processor.tokenizer.decode([i]) for i in token_ids if i not in special}
        return frozenset(text for text in texts if len(text) == 1 and not text.isalnum() and text != "\ufffd")

    def save_tokenizer(self, folder: Path) -> Path:
        """The tokenizer as one file in `folder`: the preparation counts tokens with it, without the model."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "tokenizer.json"
        with replacing(path, this_writer()) as partial:  # each machine of a training writes it
            self.processor.tokenizer.backend_tokenizer.save(str(partial))
        return path


def load_whisper(arguments: ModelArguments, *, with_weights: bool = True) -> Whisper:
    """Model and processor of a Whisper checkpoint.

    Without weights it takes no memory and runs nothing, but knows its tokens, languages and tasks.

    Weights are float32 even where the file is float16 (large-v3-turbo): an update of 1e-5 would vanish in
    half precision; autocast lowers the precision of the arithmetic instead.

    Raises:
        TrainingError: if it cannot be had or is no Whisper checkpoint.
    """
    try:
        folder = find_checkpoint_folder(arguments.model_name_or_path, arguments.model_revision or "main")
        processor = WhisperProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = _load_model(folder) if with_weights else _outline_model(folder)
        _check_parts(processor, model)
        _check_vocabulary(processor.tokenizer, model)
    except Exception as error:  # a checkpoint is a stranger's: its files may make a library raise anything
        problem = " ".join((str(error) or type(error).__name__).split())[:400].rstrip(".")
        raise TrainingError(
            f"The model {arguments.model_name_or_path!r} cannot be loaded: {problem}. Expected a Whisper "
            "checkpoint with safetensors weights, such as openai/whisper-tiny, or a folder with one."
        ) from error
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


def _outline_model(folder: Path) -> WhisperForConditionalGeneration:
    """The model as its configuration says, its weights without values."""
    config = transformers.WhisperConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
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


def _check_vocabulary(tokenizer: Any, model: WhisperForConditionalGeneration) -> None:
    """Refuse a tokenizer that is another checkpoint's: its numbers would mean other tokens."""
    size, start = model.config.vocab_size, model.config.decoder_start_token_id
    no_timestamps = model.generation_config.no_timestamps_token_id  # type: ignore[attr-defined]  # Whisper's own
    expected = {"<|startoftranscript|>": start, "<|notimestamps|>": no_timestamps}
    if len(tokenizer) > size or any(
        tokenizer.convert_tokens_to_ids(token) != number for token, number in expected.items()
    ):
        raise TrainingError(f"its tokenizer, of {len(tokenizer):,} tokens, is not that of its weights")
