from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from recipe.training.averaging import list_averaged, read_ends
from recipe.training.blending import Blender, average_weights, copy_weights, measure_loss
from safetensors.torch import save_file
from tiny_trainers import make_examples
from torch import nn
from transformers import WhisperProcessor

from recipe.evaluation.transcription import Decoding, Listener
from recipe.model.tiny import build_tiny_whisper
from recipe.model.whisper import WhisperForConditionalGeneration
from recipe.training.checkpoints import complete_checkpoint


@pytest.fixture(scope="module")
def listener(tmp_path_factory) -> Listener:
    torch.set_num_threads(1)
    folder = build_tiny_whisper(tmp_path_factory.mktemp("tiny"))
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    return Listener(model, WhisperProcessor.from_pretrained(folder), Decoding())


@pytest.fixture(scope="module")
def examples() -> Dataset:
    return make_examples(["bonjour", "", "une phrase bien plus longue que les autres"])


def test_the_ends_of_the_line_are_exact_and_between_them_it_is_straight(listener):
    model = listener.model
    base = copy_weights(model)
    trained = {name: weight + 0.1 * torch.randn_like(weight) for name, weight in base.items()}
    blender = Blender(model, base, {"trained": trained})
    for alpha, expected in ((1.0, trained), (0.0, base)):
        blender.take("trained", alpha)
        assert all(torch.equal(weight, expected[name]) for name, weight in copy_weights(model).items())
    blender.take("trained", 0.7)
    for name, weight in copy_weights(model).items():
        torch.testing.assert_close(weight, 0.3 * base[name] + 0.7 * trained[name])
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight
    blender.take("trained", 0.0)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_loss_is_per_token_whatever_the_batch(listener, examples, batch_size: int):
    decoding = Decoding(batch_size=batch_size)
    together = measure_loss(Listener(listener.model, listener.processor, decoding), examples)
    assert together == pytest.approx(measure_loss(listener, examples), abs=1e-6)
    # Of byte tokens: the words and a space, their two times, the end, and language and task before them.
    lengths = [
        len(words.encode()) for words in (" bonjour", "", " une phrase bien plus longue que les autres")
    ]
    counts = [length + (5 if length else 4) for length in lengths]
    alone = [measure_loss(listener, examples.select([index])) for index in range(3)]
    assert together == pytest.approx(np.average(alone, weights=counts), abs=1e-6)


def test_weights_that_find_the_words_less_likely_have_a_higher_loss(listener, examples):
    before = measure_loss(listener, examples)
    base = copy_weights(listener.model)
    noise = {name: weight + torch.randn_like(weight) for name, weight in base.items()}
    blender = Blender(listener.model, base, {"trained": noise})
    blender.take("trained", 1.0)
    assert measure_loss(listener, examples) > before
    blender.take("trained", 0.0)
    assert measure_loss(listener, examples) == before


@pytest.mark.parametrize(
    ("num_updates", "num_averaged", "expected"),
    [
        (32, 4, [26, 28, 30, 32]),
        (100, 2, [88, 100]),
        (3, 4, [3]),
        (1, 2, [1]),
        (1000, 5, [800, 850, 900, 950, 1000]),
    ],
)
def test_checkpoints_are_averaged_over_the_last_quarter(num_updates, num_averaged, expected):
    assert list(list_averaged(Path("run"), num_updates, num_averaged)) == expected


def save(folder: Path, values: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True)
    save_file(values, folder / "model.safetensors")
    complete_checkpoint(folder, {})
    return folder


def test_the_mean_is_exact_and_does_not_depend_on_the_order(tmp_path):
    weights = nn.Linear(4, 4).state_dict()
    folders = [save(tmp_path / str(k), {n: w * k + 1e-3 for n, w in weights.items()}) for k in (1, 2, 6)]
    mean, reversed_mean = average_weights(folders), average_weights(folders[::-1])
    for name, weight in weights.items():
        torch.testing.assert_close(mean[name], weight * 3 + 1e-3)
        assert torch.equal(mean[name], reversed_mean[name])
        assert mean[name].dtype == torch.float32


def test_a_damaged_checkpoint_leaves_the_mean_untried(tmp_path):
    for update, folder in list_averaged(tmp_path, 8, 2).items():
        save(folder, {"weight": torch.full((2,), float(update))})
    model = nn.ParameterDict({"weight": torch.zeros(2)})
    ends, remark = read_ends(model, tmp_path, 8, 2)
    assert {name: weights["weight"].tolist() for name, weights in ends.items()} == {
        "trained": [0.0, 0.0],
        "average": [7.5, 7.5],
    }
    assert remark == ""
    (tmp_path / "averaged/checkpoint-7/model.safetensors").write_bytes(b"torn")
    ends, remark = read_ends(model, tmp_path, 8, 2)
    assert list(ends) == ["trained"]
    assert "checkpoint-7: model.safetensors has 4 bytes" in remark
