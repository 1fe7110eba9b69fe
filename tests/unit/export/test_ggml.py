"""whisper.cpp reads the ggml file, whose content is the model's."""

import struct

import numpy as np
import pytest
import torch

from recipe.audio.mel import log_mel
from recipe.export.ggml import FLOAT16, MAGIC, write_ggml
from recipe.export.openai_names import rename_weights


class GgmlReader:
    """What whisper.cpp's loader reads, in its order."""

    def __init__(self, path):
        self._data, self._place = path.read_bytes(), 0
        magic, *self.sizes, ftype = self.integers(12)
        assert (magic, ftype) == (MAGIC, FLOAT16)
        num_mels, num_bins = self.integers(2)
        self.filters = self.array("<f4", num_mels * num_bins).reshape(num_mels, num_bins)
        self.tokens = [self.take(*self.integers(1)) for _ in range(*self.integers(1))]
        self.tensors = {}
        while self._place < len(self._data):
            num_axes, num_letters, kind = self.integers(3)
            shape = self.integers(num_axes)[::-1]
            name = self.take(num_letters).decode()
            self.tensors[name] = self.array(("<f4", "<f2")[kind], int(np.prod(shape))).reshape(shape)

    def take(self, num_bytes):
        self._place += num_bytes
        return self._data[self._place - num_bytes : self._place]

    def integers(self, count):
        return struct.unpack(f"<{count}i", self.take(4 * count))

    def array(self, dtype, count):
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)


@pytest.fixture(scope="module")
def path(whisper, tmp_path_factory):
    path = tmp_path_factory.mktemp("ggml") / "ggml-model-f16.bin"
    write_ggml(whisper, path)
    return path


def test_the_file_holds_the_model(whisper, path):
    file = GgmlReader(path)
    config = whisper.model.config
    assert file.sizes[0] == config.vocab_size
    assert file.sizes[4] == config.encoder_layers
    assert file.sizes[8:] == [config.decoder_layers, config.num_mel_bins]
    assert file.filters.shape == (config.num_mel_bins, 201)
    assert file.tokens[:2] == [b"!", b'"']
    expected = dict(rename_weights(whisper.model))
    assert file.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        found = file.tensors[name]
        np.testing.assert_array_equal(found.squeeze(), tensor.numpy().squeeze().astype(np.float16), name)
        is_large = found.squeeze().ndim > 1 and not name.endswith("positional_embedding")
        assert found.dtype == (np.float16 if is_large else np.float32), name


@pytest.mark.slow
@torch.inference_mode()
def test_whisper_cpp_computes_with_it_what_transformers_computes(whisper, path, window):
    runtime = pytest.importorskip("pywhispercpp.model", reason="requirements-export.txt is not installed")
    model = runtime.Model(str(path), redirect_whispercpp_logs_to=None, print_progress=False)
    assert model.transcribe(window.read(), n_threads=1, language="en", temperature_inc=0.0)
    if not whisper.is_multilingual:
        return  # whisper.cpp tells numbers of languages alone
    _, found = model.auto_detect_language(window.read(), n_threads=1)
    features = torch.from_numpy(log_mel(whisper.processor.feature_extractor, window.read()))[None]
    start = torch.tensor([[whisper.generation_config.decoder_start_token_id]])
    logits = whisper.model(features, decoder_input_ids=start).logits[0, 0]
    tokens = whisper.generation_config.lang_to_id
    codes = [code for code in found if f"<|{code}|>" in tokens]  # older models have one language less
    expected = logits[[tokens[f"<|{code}|>"] for code in codes]].log_softmax(-1).numpy()
    logs = np.log([found[code] for code in codes])
    assert len(codes) >= 99
    assert expected.std() > 20 * abs((expected - logs) - (expected - logs).mean()).max()
