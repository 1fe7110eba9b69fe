import sys

import numpy as np
import pytest
import torch
from datasets import Dataset
from recipe.evaluation.greedy import TransformersEngine
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from recipe.audio.decoding import encode_flac
from recipe.data.shards import FEATURES
from recipe.errors import JobError
from recipe.evaluation.decoding import MAX_NEW_TOKENS, cut_loop
from recipe.evaluation.transcription import Decoding, Listener, _transcribe_batch, transcribe_examples
from recipe.model.tiny import build_tiny_whisper
from recipe.training.arguments import parse_arguments

MODELS = {"multilingual": {}, "English only": {"is_multilingual": False}, "128 mels": {"num_mel_bins": 128}}


@pytest.fixture(scope="module", params=MODELS)
def listener(request, tmp_path_factory) -> Listener:
    torch.set_num_threads(1)
    folder = build_tiny_whisper(
        tmp_path_factory.mktemp("tiny"), seed=3, num_layers=2, **MODELS[request.param]
    )
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    sharpen(model)
    task = None if request.param == "English only" else "transcribe"
    return Listener(model, WhisperProcessor.from_pretrained(folder), Decoding(task, batch_size=3))


def sharpen(model: WhisperForConditionalGeneration) -> None:
    """Larger weights, so that what a random model writes depends on what it hears."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "conv" not in name and "positions" not in name:
                weight.mul_(6)
            if name.endswith(("encoder_attn.v_proj.weight", "encoder_attn.out_proj.weight")):
                weight.mul_(30)


@pytest.fixture(scope="module")
def examples() -> Dataset:
    times = np.arange(30 * 16_000) / 16_000
    rows = [
        {
            "recording": "talk",
            "language": "fr",
            "start_ms": 30_000 * index,
            "end_ms": 30_000 * (index + 1),
            "audio": {
                "bytes": encode_flac((9000 * np.sin(2 * np.pi * 200 * 2**index * times)).astype(np.int16)),
                "path": None,
            },
            "segments": [{"start_ms": 0, "end_ms": 30_000, "text": "mot " * (index % 4)}],
            "prompt": "",
            "chars_per_second": 0.0,
            "compression_ratio": 0.0,
            "num_tokens": 0,
            "flags": [],
            "doubt": 0.0,
            "held_back": "",
        }
        for index in range(5)
    ]
    return Dataset.from_list(rows, features=FEATURES)


def with_engine(listener: Listener, engine: str) -> Listener:
    return Listener(listener.model, listener.processor, Decoding(listener.decoding.task, 3, engine))


def test_rows_that_leave_the_batch_early_write_what_generate_writes(listener):
    model = listener.model.eval()
    config = model.generation_config
    random = torch.Generator().manual_seed(0)
    features = torch.randn(6, model.config.num_mel_bins, 1, generator=random).expand(-1, -1, 3000)
    prompt = [config.decoder_start_token_id]
    told = {}
    if listener.decoding.task:
        prompt += [config.lang_to_id["<|fr|>"], config.task_to_id["translate"]]
        told = {"language": "fr", "task": "translate"}
    with torch.inference_mode():
        ours = TransformersEngine(model).write(features, [prompt] * 6)
        ids = model.generate(
            features,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=False,
            return_timestamps=True,
            force_unique_generate_call=True,
            **told,
        )
    written = [
        [token for token in row[len(prompt) :] if token != config.eos_token_id] for row in ids.tolist()
    ]
    assert ours == [cut_loop(tokens, config.no_timestamps_token_id + 1) for tokens in written]
    assert len(set(map(len, ours))) > 1


@pytest.mark.parametrize("listener", ["multilingual", "English only"], indirect=True)
@pytest.mark.parametrize("engine", ["transformers", "ctranslate2"])
def test_every_window_is_heard_once_and_given_back_in_the_order_of_the_dataset(listener, examples, engine):
    if engine == "ctranslate2":
        pytest.importorskip("ctranslate2")
    heard_by = with_engine(listener, engine)
    counts: list[int] = []
    texts = transcribe_examples(heard_by, examples, counts.append)
    assert counts == [3, 2]
    assert len(set(texts)) > 1
    order = [4, 0, 2, 1, 3]
    assert transcribe_examples(heard_by, examples.select(order)) == [texts[index] for index in order]


class Secretary:
    """An engine that hears nothing and notes what it was told."""

    def __init__(self) -> None:
        self.prompts: list[list[int]] = []

    def write(self, features, prompts) -> list[list[int]]:
        self.prompts += map(list, prompts)
        return [[] for _ in prompts]


@pytest.mark.parametrize("listener", ["multilingual"], indirect=True)
@pytest.mark.parametrize("task", ["transcribe", "translate", None])
def test_each_window_of_a_batch_is_heard_in_its_own_language(listener, examples, task):
    secretary = Secretary()
    rows = [{**examples[0], "language": code} for code in ("fr", "en", "fr")]
    _transcribe_batch(Listener(listener.model, listener.processor, Decoding(task)), secretary, rows)
    told = [listener.processor.tokenizer.convert_ids_to_tokens(prompt) for prompt in secretary.prompts]
    expected = [
        ["<|startoftranscript|>"] + [f"<|{code}|>", f"<|{task}|>"] * bool(task) for code in ("fr", "en", "fr")
    ]
    assert told == expected


def test_both_engines_hear_the_same(listener, examples):
    pytest.importorskip("ctranslate2")
    transformers, ctranslate2 = (
        transcribe_examples(with_engine(listener, engine), examples)
        for engine in ("transformers", "ctranslate2")
    )
    assert transformers == ctranslate2


def test_an_engine_that_is_not_installed_is_refused_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(JobError, match="ctranslate2 is not installed"):
        parse_arguments(
            ["--data_dir", str(tmp_path), "--evaluation_engine", "ctranslate2", "--use_cpu", "true"]
        )
