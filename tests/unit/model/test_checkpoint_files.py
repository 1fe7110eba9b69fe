"""Checkpoints of strangers: nothing in them runs, none takes long, and each ends in one sentence."""

import ast
import json
import pickle
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from recipe.arguments import ModelArguments
from recipe.errors import TrainingError
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import load_whisper

PROJECT = Path(__file__).parents[3]
HAS_RUN = []


@pytest.fixture
def folder(tmp_path) -> Path:
    return build_tiny_whisper(tmp_path / "model")


def refusal(folder: Path | str) -> str:
    started = time.process_time()
    with pytest.raises(TrainingError) as caught:
        load_whisper(ModelArguments(str(folder)))
    assert time.process_time() - started < 10
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder_layers", 1_000_000),
        ("decoder_layers", 10**30),
        ("d_model", 2**40),
        ("d_model", -16),
        ("d_model", 16.0),
        ("d_model", True),
        ("d_model", None),
        ("encoder_attention_heads", 0),
        ("decoder_attention_heads", "2"),
        ("encoder_ffn_dim", 10**9),
        ("vocab_size", 10**9),
        ("vocab_size", [1]),
        ("num_mel_bins", 10**9),
        ("max_source_positions", 10**9),
        ("max_target_positions", 10**9),
    ],
)
def test_a_size_out_of_bounds_is_refused_before_it_is_built(folder, name, value):
    change(folder / "config.json", **{name: value})
    assert f"config.json says {name}" in refusal(folder)


def test_sizes_that_are_in_bounds_alone_but_not_together_are_refused(folder):
    change(folder / "config.json", encoder_layers=128, d_model=8192)
    assert "billion parameters" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "values", "sentence"),
    [
        ("config.json", {"model_type": "bert"}, "of the type 'bert', not whisper"),
        ("config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised"),
        ("config.json", {"transformers_weights": "../../w.safetensors"}, "transformers_weights"),
        ("config.json", {"encoder_attention_heads": 3}, "cannot be loaded"),  # 16 is no multiple of it
        ("config.json", {"activation_function": "none"}, "cannot be loaded"),
        ("config.json", {"pad_token_id": 10**6}, "cannot be loaded"),
        ("preprocessor_config.json", {"n_fft": 10**9}, "preprocessor_config.json says n_fft"),
        ("preprocessor_config.json", {"hop_length": 0}, "says hop_length"),
        ("processor_config.json", {"feature_extractor": {"chunk_length": 10**9}}, "says chunk_length"),
        ("processor_config.json", {"feature_extractor": 3}, "no object"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, "is not that of its weights"),
        ("tokenizer_config.json", {"tokenizer_class": "MyTokenizer"}, "expected a WhisperTokenizer"),
        ("processor_config.json", {"feature_extractor": {"feature_size": 128}}, "128 x 3000, its weights"),
        ("processor_config.json", {"feature_extractor": {"chunk_length": 10}}, "80 x 1000, its weights"),
        (
            "processor_config.json",
            {"feature_extractor": {"feature_extractor_type": "Wav2Vec2FeatureExtractor"}},
            "expected a WhisperFeatureExtractor",
        ),
        ("generation_config.json", {"no_timestamps_token_id": None}, "no_timestamps_token_id"),
        ("generation_config.json", {"no_timestamps_token_id": 5}, "is not that of its weights"),
        ("config.json", {"decoder_start_token_id": 5}, "is not that of its weights"),
    ],
)
def test_an_odd_setting_is_one_sentence(folder, file, values, sentence):
    change(folder / file, **values)
    assert sentence in refusal(folder)


@pytest.mark.parametrize(
    "file", ["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"]
)
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"3", b"[" * 100_000, b"{", b"\0" * 100], ids=lambda c: ascii(c[:3])
)
def test_a_file_that_is_no_object_is_one_sentence(folder, file, content):
    (folder / file).write_bytes(content)
    refusal(folder)


class Payload:
    def __reduce__(self):
        return HAS_RUN.append, ("payload",)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "../w.safetensors", "/w.safetensors", "sub/w.safetensors", "w.pt", 3, ""]
)
def test_an_index_that_names_anything_but_safetensors_beside_it_is_refused(folder, name):
    for file in ("pytorch_model.bin", "w.pt"):
        (folder / file).write_bytes(pickle.dumps(Payload()))
    weights = folder / "model.safetensors"
    index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(weights), name)}
    weights.unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "expected *.safetensors beside it" in refusal(folder)
    assert HAS_RUN == []


def test_pickles_alone_are_no_checkpoint(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "convert it to safetensors" in refusal(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\0" * 100, (10**15).to_bytes(8, "little") + b"{}", pickle.dumps(Payload())],
    ids=["empty", "endless_header", "no_header", "long_header", "pickle"],
)
def test_weights_that_are_no_safetensors_are_one_sentence(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    refusal(folder)
    assert HAS_RUN == []


def test_weights_in_several_files_are_loaded(folder, tmp_path):
    whole = load_whisper(ModelArguments(str(folder))).model
    whole.save_pretrained(tmp_path / "shards", max_shard_size="50KB")
    for file in folder.glob("*.json"):
        if not (tmp_path / "shards" / file.name).exists():
            (tmp_path / "shards" / file.name).write_bytes(file.read_bytes())
    shards = sorted((tmp_path / "shards").glob("*.safetensors"))
    assert len(shards) > 1
    loaded = load_whisper(ModelArguments(str(tmp_path / "shards"))).model
    torch.testing.assert_close(loaded.state_dict(), whole.state_dict(), rtol=0, atol=0)
    shards[0].unlink()
    assert f"there is no file {shards[0].name}" in refusal(tmp_path / "shards")


@pytest.mark.parametrize(
    ("alter", "sentence"),
    [
        pytest.param(lambda tensors: dict(list(tensors.items())[::2]), "tensors are missing", id="half"),
        pytest.param(lambda _: {}, "cannot be loaded", id="none"),
        pytest.param(
            lambda tensors: tensors | {"model.extra": torch.zeros(2)},
            "1 tensors are unexpected",
            id="one_more",
        ),
        pytest.param(
            lambda tensors: tensors | {"model.decoder.layer_norm.weight": torch.zeros(3)},
            "cannot be loaded",
            id="another_shape",
        ),
    ],
)
def test_weights_that_are_not_those_of_the_config_are_refused(folder, alter, sentence):
    path = folder / "model.safetensors"
    save_file(alter(load_file(path)), path, {"format": "pt"})
    assert sentence in refusal(folder)


def test_code_beside_the_weights_is_never_run(folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # whatever a user answers
    (folder / "evil.py").write_text("raise SystemExit('the code of a stranger has run')\n")
    classes = ("AutoConfig", "AutoModelForSpeechSeq2Seq", "AutoProcessor", "AutoFeatureExtractor")
    auto_map = dict.fromkeys(classes, "evil.Evil") | {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    for file in ("config.json", "preprocessor_config.json", "processor_config.json", "tokenizer_config.json"):
        change(folder / file, auto_map=auto_map)
    stranger = {"feature_extractor_type": "Evil", "auto_map": auto_map}  # a class of its own is asked for
    change(folder / "preprocessor_config.json", **stranger)
    change(folder / "processor_config.json", feature_extractor=stranger)
    with suppress(TrainingError):
        load_whisper(ModelArguments(str(folder)))


def test_an_adapter_is_refused(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/model"}')
    assert "merge it into its base model" in refusal(folder)


def test_a_hub_without_the_model_is_said_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    assert "HF_HUB_OFFLINE is set" in refusal("openai/whisper-of-nobody")
    assert "no folder of this name" in refusal("no such folder")


def test_every_loading_call_says_that_remote_code_is_not_trusted():
    """GenerationConfig is data alone, and would take the argument for one of its settings."""
    files = [PROJECT / "train.py", *PROJECT.glob("recipe/**/*.py"), *PROJECT.glob("scripts/**/*.py")]
    calls = [
        (f"{file.relative_to(PROJECT)}:{node.lineno}", ast.unparse(node.func), node.keywords)
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
    ]
    loading = [
        (place, {keyword.arg: ast.unparse(keyword.value) for keyword in keywords})
        for place, function, keywords in calls
        if function == "pipeline" or function.endswith(".from_pretrained")
        if not function.startswith("GenerationConfig")
    ]
    assert len(loading) >= 3
    assert [place for place, keywords in loading if keywords.get("trust_remote_code") != "False"] == []
