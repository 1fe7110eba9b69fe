"""A complete Whisper checkpoint folder with tiny random weights, made without any download.

The worker's self-test, the benchmark and the tests train it through the same code as a real model. It
recognises nothing; its files, special tokens, windows and generation settings are those of a real one.
"""

from collections.abc import Sequence
from itertools import islice, product
from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS_MULTI
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.data.windows import MAX_LABEL_TOKENS

END = "<|endoftext|>"
START = "<|startoftranscript|>"
TASKS = ("translate", "transcribe")
NO_TIMESTAMPS = "<|notimestamps|>"
NUM_BYTES = 256
NUM_HEADS = 2
NUM_TIMESTAMPS = 1501  # <|0.00|>, <|0.02|> … <|30.00|>


def build_tiny_whisper(  # noqa: PLR0913 - a checkpoint is described by many numbers
    output_dir: Path,
    *,
    seed: int = 0,
    languages: Sequence[str] = tuple(LANGUAGES),
    is_multilingual: bool = True,
    num_mel_bins: int = 80,
    d_model: int = 16,
    num_layers: int = 1,
    num_decoder_layers: int | None = None,
    num_text_tokens: int = NUM_BYTES,
) -> Path:
    """Folder that `from_pretrained` and `transformers.pipeline` load like a published Whisper checkpoint.

    Args:
        output_dir: Folder to write; made when it does not exist.
        seed: Of the random weights; the same seed gives the same weights, the global generator is untouched.
        languages: Whisper language codes, in Whisper's own order (the order gives the token ids): the first
            99 make the vocabulary of v1 and v2, all 100 that of v3.
        is_multilingual: False makes the generation settings of an `.en` checkpoint (no language, no task).
        num_mel_bins: 80, or 128 as in large-v3 and turbo.
        d_model: Width, a multiple of 2.
        num_layers: Layers of the encoder.
        num_decoder_layers: Layers of the decoder; as many as the encoder's by default (turbo has fewer).
        num_text_tokens: At least the 256 bytes; with OpenAI's 50,257 (50,256 in `.en`) every special token
            has its real number, as other runtimes take for granted.

    Returns:
        `output_dir`.
    """
    assert tuple(languages) == tuple(LANGUAGES)[: len(languages)], "language ids follow Whisper's order"
    tokenizer = _build_tokenizer(languages, num_text_tokens)
    config = _build_config(tokenizer, num_mel_bins, d_model, (num_layers, num_decoder_layers or num_layers))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
    model.generation_config = _build_generation_config(
        tokenizer, languages, config, is_multilingual=is_multilingual
    )
    feature_extractor = WhisperFeatureExtractor(feature_size=num_mel_bins)
    model.save_pretrained(output_dir)
    WhisperProcessor(feature_extractor, tokenizer).save_pretrained(output_dir)
    feature_extractor.save_pretrained(output_dir)
    return output_dir


def _build_tokenizer(languages: Sequence[str], num_text_tokens: int) -> WhisperTokenizer:
    """Byte-level tokenizer without merges: 256 bytes in GPT-2's order, special tokens, timestamps.

    Without merges no text has the further tokens, which are pairs of bytes.
    """
    characters = list(bytes_to_unicode().values())
    pairs = map("".join, product(characters, repeat=2))
    texts = [*characters, *islice(pairs, num_text_tokens - NUM_BYTES)]
    special_tokens = [
        START,
        *(f"<|{language}|>" for language in languages),
        *(f"<|{task}|>" for task in TASKS),
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        NO_TIMESTAMPS,
    ]
    tokenizer = WhisperTokenizer(
        vocab={text: index for index, text in enumerate(texts)},
        merges=[],
        pad_token=END,
        extra_special_tokens=special_tokens,
        model_max_length=MAX_LABEL_TOKENS,
    )
    # Decoding times counts from the last special token, so the timestamps come last and are not special.
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>", normalized=False) for i in range(NUM_TIMESTAMPS)])
    return tokenizer


def _build_config(
    tokenizer: WhisperTokenizer, num_mel_bins: int, d_model: int, num_layers: tuple[int, int]
) -> WhisperConfig:
    """Shape of the model; its vocabulary is the tokenizer's, its windows are Whisper's 30 s."""
    num_encoder_layers, num_decoder_layers = num_layers
    return WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=num_mel_bins,
        d_model=d_model,
        encoder_layers=num_encoder_layers,
        decoder_layers=num_decoder_layers,
        encoder_attention_heads=NUM_HEADS,
        decoder_attention_heads=NUM_HEADS,
        encoder_ffn_dim=4 * d_model,
        decoder_ffn_dim=4 * d_model,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=tokenizer.encode(START, add_special_tokens=False)[0],
        begin_suppress_tokens=None,
    )


def _build_generation_config(
    tokenizer: WhisperTokenizer, languages: Sequence[str], config: WhisperConfig, *, is_multilingual: bool
) -> GenerationConfig:
    """Generation settings with the fields of a published checkpoint."""
    token_id = tokenizer.convert_tokens_to_ids
    # A real vocabulary begins with the same 256 bytes, so its list of symbols that are no speech holds here.
    symbols = [symbol for symbol in NON_SPEECH_TOKENS_MULTI if symbol < NUM_BYTES]
    controls = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>")
    multilingual = {
        "lang_to_id": {f"<|{language}|>": token_id(f"<|{language}|>") for language in languages},
        "task_to_id": {task: token_id(f"<|{task}|>") for task in TASKS},
    }
    return GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        max_length=MAX_LABEL_TOKENS,
        suppress_tokens=[*symbols, token_id(START), *(token_id(name) for name in controls)],
        begin_suppress_tokens=[*tokenizer.encode(" ", add_special_tokens=False), config.eos_token_id],
        alignment_heads=[[config.decoder_layers - 1, head] for head in range(NUM_HEADS)],
        is_multilingual=is_multilingual,
        max_initial_timestamp_index=50,
        no_timestamps_token_id=token_id(NO_TIMESTAMPS),
        prev_sot_token_id=token_id("<|startofprev|>"),
        return_timestamps=False,
        **(multilingual if is_multilingual else {}),
    )
