"""Only a folder that works, and is the trained model, is sealed."""

import json

import pytest
import torch

from recipe.arguments import ModelArguments
from recipe.errors import PublishError
from recipe.model.whisper import load_whisper
from recipe.publish.release import SEAL_FILE, load_release
from recipe.publish.staging import stage_model
from recipe.publish.verification import verify_release


@pytest.fixture
def staging(whisper, make_metadata, tmp_path):
    return stage_model(whisper, make_metadata(), tmp_path / "staging")


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def lose_last_special_tokens(config):
    del config["extra_special_tokens"][-8:]


DAMAGES = {
    "weights gone": (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
    "weights cut short": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"0" * 100),
        "cannot be loaded",
    ),
    "generation config gone": (
        lambda folder: (folder / "generation_config.json").unlink(),
        "generation config",
    ),
    "tokenizer config without the last special tokens": (
        lambda folder: edit_json(folder / "tokenizer_config.json", lose_last_special_tokens),
        "decodes the timestamp",
    ),
    "tokenizer config gone": (
        lambda folder: (folder / "tokenizer_config.json").unlink(),
        r"decodes the timestamp <\|0\.00\|> as",
    ),
    "old processor form gone": (
        lambda folder: (folder / "preprocessor_config.json").unlink(),
        "mel bins|lacks",
    ),
    "other mel bins in the old form": (
        lambda folder: edit_json(
            folder / "preprocessor_config.json", lambda config: config.update(feature_size=128)
        ),
        "128 mel bins",
    ),
    "added tokens gone": (
        lambda folder: edit_json(folder / "added_tokens.json", dict.clear),
        r"added_tokens\.json together are not",
    ),
    "foreign file": (lambda folder: (folder / "optimizer.pt").write_text("x"), r"optimizer\.pt"),
    "card gone": (lambda folder: (folder / "README.md").unlink(), r"lacks README\.md"),
}


def test_a_good_folder_is_sealed(staging, whisper):
    verify_release(staging, whisper.model)
    assert load_release(staging).num_bytes == sum(
        path.stat().st_size for path in staging.iterdir() if path.name != SEAL_FILE
    )


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_folder_is_refused_and_not_sealed(damage, message, staging, whisper):
    damage(staging)
    with pytest.raises(PublishError, match=message):
        verify_release(staging, whisper.model)
    assert not (staging / SEAL_FILE).exists()


def test_one_other_weight_is_noticed(staging, whisper):
    with torch.no_grad():
        whisper.model.model.decoder.layers[0].fc2.bias[0] += 1e-7
    with pytest.raises(PublishError, match=r"decoder\.layers\.0\.fc2\.bias differ"):
        verify_release(staging, whisper.model)


def test_another_precision_is_noticed(staging, whisper):
    with pytest.raises(PublishError, match="differ"):
        verify_release(staging, whisper.model.half())


def test_a_release_in_float16_loads_as_that_and_trains_on_in_float32(whisper, make_metadata, tmp_path):
    in_float32 = {name: tensor.clone() for name, tensor in whisper.model.state_dict().items()}
    staging = stage_model(whisper, make_metadata(dtype="float16"), tmp_path / "staging")
    verify_release(staging, whisper.model)
    assert json.loads((staging / "config.json").read_text())["dtype"] == "float16"
    reloaded = load_whisper(ModelArguments(str(staging))).model.state_dict()
    for name, tensor in in_float32.items():
        assert reloaded[name].dtype == torch.float32
        assert torch.equal(reloaded[name], tensor.half().float()), name


def test_a_release_of_another_dtype_than_the_models_is_not_sealed(whisper, make_metadata, tmp_path):
    staging = stage_model(whisper, make_metadata(dtype="float16"), tmp_path / "staging")
    with pytest.raises(PublishError, match="differ from the trained ones"):
        verify_release(staging, whisper.model.float())
    assert not (staging / SEAL_FILE).exists()
