"""Every kind of Whisper checkpoint is trained in float32 and published as what it was."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_trainers import build_trainer, make_windows, tiny_whisper
from transformers import WhisperForConditionalGeneration
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.arguments import ModelArguments
from recipe.errors import TrainingError
from recipe.model.adapters import add_adapters, merge_adapters
from recipe.model.checkpoint import load_outline
from recipe.model.whisper import load_whisper
from recipe.publish.metadata import ReleaseMetadata
from recipe.publish.staging import stage_model
from recipe.publish.verification import verify_release

V2_LANGUAGES = {"languages": tuple(LANGUAGES)[:99]}
TURBO = {"num_mel_bins": 128, "num_layers": 3, "num_decoder_layers": 1}
RECOMPUTED = {"activation_checkpointing": True}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "v2": (V2_LANGUAGES, {}, {}),
    "v2, LoRA": (V2_LANGUAGES, {"lora_rank": 2}, {}),
    "large-v3, activations recomputed": ({"num_mel_bins": 128}, {}, RECOMPUTED),
    "turbo, encoder frozen, activations recomputed": (TURBO, {"freeze_encoder": True}, RECOMPUTED),
    "turbo, LoRA": (TURBO, {"lora_rank": 2, "freeze_encoder": True}, RECOMPUTED),
    "English only": (V2_LANGUAGES | {"is_multilingual": False}, {}, {}),
}
"""Shape of the checkpoint, our options, Trainer's arguments."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_checkpoint_of_any_kind_trains_and_is_published(name: str, tmp_path: Path):
    shape, options, settings = VARIANTS[name]
    folder = tmp_path / "base"
    tiny_whisper(folder, **shape).model.half().save_pretrained(folder)  # as large-v3 is
    arguments = ModelArguments(str(folder), **options)
    whisper = load_whisper(arguments)
    assert whisper.is_multilingual == shape.get("is_multilingual", True) == bool(whisper.task)
    base = whisper.model.state_dict()
    assert {weight.dtype for weight in whisper.model.parameters()} == {torch.float32}

    # Smaller than half of the space between float16 numbers: it would vanish there.
    settings = {"max_steps": 1, "save_strategy": "no", "learning_rate": 1e-6} | settings
    trainer = build_trainer(whisper, make_windows(whisper), tmp_path / "run", **settings)
    model = trainer.whisper.model
    add_adapters(model, arguments, seed=1)
    trainer.train()
    merge_adapters(model)
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, base[name])}
    assert any(name.startswith("model.encoder.layers") for name in changed) != arguments.freeze_encoder
    assert any(name.startswith("model.decoder.layers") for name in changed)

    metadata = ReleaseMetadata(
        str(folder),
        ("fr",) if whisper.task else (),
        "transcribe",
        "job-1",
        num_steps=1,
        max_steps=1,
        epochs=1.0,
    )
    staging = stage_model(trainer.whisper, metadata, tmp_path / "staging")
    verify_release(staging, model)
    published = WhisperForConditionalGeneration.from_pretrained(staging)
    torch.testing.assert_close(published.state_dict(), model.state_dict(), rtol=0, atol=0)
    before, after = (json.loads((path / "config.json").read_text()) for path in (folder, staging))
    same = ("num_mel_bins", "encoder_layers", "decoder_layers", "vocab_size", "use_cache")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert after["use_cache"], "Trainer turns it off"
    preprocessor = json.loads((staging / "preprocessor_config.json").read_text())
    assert preprocessor["feature_size"] == shape.get("num_mel_bins", 80)
    assert load_whisper(ModelArguments(str(staging))).is_multilingual == whisper.is_multilingual


@pytest.mark.parametrize("shape", [V2_LANGUAGES, TURBO, {"is_multilingual": False}], ids=str)
def test_the_files_say_the_same_without_the_weights(shape: dict[str, Any], tmp_path: Path):
    whisper = tiny_whisper(tmp_path / "base", **shape)
    outline = load_outline(ModelArguments(str(tmp_path / "base")))
    assert outline.is_multilingual == whisper.is_multilingual
    assert outline.num_layers == whisper.num_layers
    assert outline.suppressed_symbols() == whisper.suppressed_symbols() != frozenset()
    assert [outline.has_language(code) for code in ("fr", "yue", "xx")] == [
        whisper.has_language(code) for code in ("fr", "yue", "xx")
    ]
    tokenizers = [one.save_tokenizer(tmp_path / str(number)) for number, one in enumerate((outline, whisper))]
    assert tokenizers[0].read_bytes() == tokenizers[1].read_bytes()


def test_a_folder_that_is_no_checkpoint_is_refused_without_the_weights_too(tmp_path: Path):
    tiny_whisper(tmp_path / "base")
    settings = json.loads((tmp_path / "base" / "generation_config.json").read_text())
    settings["no_timestamps_token_id"] += 1
    (tmp_path / "base" / "generation_config.json").write_text(json.dumps(settings))
    with pytest.raises(TrainingError, match="tokens, is not that of its weights"):
        load_outline(ModelArguments(str(tmp_path / "base")))
