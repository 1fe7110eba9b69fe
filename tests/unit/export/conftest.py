"""Tiny checkpoints whose tokens have their real numbers, as other runtimes take for granted."""

from itertools import islice

import numpy as np
import pytest
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from recipe.arguments import ModelArguments
from recipe.audio.decoding import encode_flac
from recipe.export.proof import Window
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import load_whisper

V2 = {"languages": tuple(islice(LANGUAGES, 99)), "num_text_tokens": 50_257}
SHAPES = {
    "base": V2,
    "tiny.en": V2 | {"num_text_tokens": 50_256, "is_multilingual": False},
    "large-v3": {"num_text_tokens": 50_257, "num_mel_bins": 128},
    "turbo": {"num_text_tokens": 50_257, "num_mel_bins": 128, "num_layers": 2, "num_decoder_layers": 1},
}
SIZES = {"base": 51_865, "tiny.en": 51_864, "large-v3": 51_866, "turbo": 51_866}


@pytest.fixture(scope="session", params=SHAPES)
def shape(request):
    return request.param


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Builds the checkpoint of a shape once."""
    built = {}

    def build(name):
        if name not in built:
            built[name] = build_tiny_whisper(tmp_path_factory.mktemp(name), **SHAPES[name])
        return built[name]

    return build


@pytest.fixture(scope="session")
def whisper(folders, shape):
    whisper = load_whisper(ModelArguments(str(folders(shape))))
    assert whisper.model.config.vocab_size == SIZES[shape]
    return whisper


@pytest.fixture(scope="session")
def window():
    samples = np.random.default_rng(0).integers(-3000, 3000, 48_000).astype(np.int16)
    return Window(encode_flac(samples), 3_000, "en", "three words here")
