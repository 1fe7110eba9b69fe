import pytest
import torch
from torch import nn
from torch.nn.functional import log_softmax

from recipe.model.inference import (
    IGNORED,
    autocast,
    device_of,
    has_bfloat16,
    label_nll,
    map_batches,
    move_batch,
    split_into_batches,
)

CPU = torch.device("cpu")


@pytest.fixture
def model() -> nn.Module:
    return nn.Linear(3, 2).train()


@pytest.mark.parametrize(
    ("num_windows", "batch_size", "sizes"),
    [
        pytest.param(7, 3, [3, 3, 1], id="a short last batch"),
        pytest.param(6, 3, [3, 3], id="even"),
        pytest.param(2, 5, [2], id="less than a batch"),
        pytest.param(0, 5, [], id="nothing"),
    ],
)
def test_batches_hold_all_windows_in_order(num_windows: int, batch_size: int, sizes: list[int]):
    indices = list(range(num_windows))[::-1]
    batches = split_into_batches(indices, batch_size)
    assert [len(batch) for batch in batches] == sizes
    assert [index for batch in batches for index in batch] == indices


def test_each_batch_is_loaded_and_run_once_and_results_keep_its_order(model):
    loaded, counts = [], []

    def load(batches):
        loaded.append(list(batches))
        return (sum(batch) for batch in batches)

    batches = [[4, 1], [0, 3], [2]]
    assert map_batches(model, batches, load, lambda total: total * 10, counts.append) == [50, 30, 20]
    assert loaded == [batches], "as one stream, so that features can be made ahead"
    assert counts == [2, 2, 1]
    assert map_batches(model, [], load, lambda total: total) == []


@pytest.mark.parametrize("is_training", [True, False])
def test_a_model_is_run_in_evaluation_mode_without_gradients_and_left_as_it_was(model, is_training: bool):
    model.train(is_training)

    def run(batch: torch.Tensor) -> tuple[bool, bool]:
        return model.training, model(batch).requires_grad

    (seen,) = map_batches(model, [[0]], lambda batches: [torch.ones(1, 3) for _ in batches], run)
    assert seen == (False, False)
    assert model.training == is_training


def test_a_loader_that_gives_too_few_batches_is_noticed(model):
    with pytest.raises(ValueError, match="shorter"):
        map_batches(model, [[0], [1]], lambda batches: ["one"], len)


def test_the_cpu_has_no_bfloat16_of_its_own_and_is_measured_in_float32(model):
    assert not has_bfloat16(CPU)
    with autocast(CPU):
        assert model(torch.ones(1, 3)).dtype == torch.float32


def test_a_batch_is_moved_to_the_models_device():
    model = nn.Linear(3, 2, device="meta")
    assert device_of(model).type == "meta"
    assert move_batch({"labels": torch.zeros(2)}, model)["labels"].device.type == "meta"


LABELS = torch.tensor([[1, 2, IGNORED], [IGNORED, 4, IGNORED]])


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))


def test_the_nll_of_each_label_is_that_of_its_own_position(logits):
    nll = label_nll(logits, LABELS, reduction="none")
    assert nll.shape == LABELS.shape
    for row, place in (LABELS != IGNORED).nonzero().tolist():
        expected = -log_softmax(logits[row, place], dim=-1)[LABELS[row, place]]
        assert nll[row, place].item() == pytest.approx(expected.item(), rel=1e-6)
    assert not nll[LABELS == IGNORED].any()
    assert label_nll(logits, LABELS).item() == pytest.approx(nll.sum().item(), rel=1e-6)


def test_the_nll_of_low_precision_logits_is_computed_in_float32(logits):
    low = logits.to(torch.bfloat16)
    nll = label_nll(low, LABELS, reduction="none")
    assert nll.dtype == torch.float32
    assert torch.equal(nll, label_nll(low.float(), LABELS, reduction="none"))
