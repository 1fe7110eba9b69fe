import pytest
from transformers import WhisperConfig

from recipe.arguments import ModelArguments
from recipe.training import estimate as estimate_module
from recipe.training.estimate import Work, estimate

BASE = WhisperConfig(
    vocab_size=51_866,
    d_model=512,
    encoder_layers=6,
    decoder_layers=6,
    encoder_attention_heads=8,
    decoder_attention_heads=8,
    encoder_ffn_dim=2048,
    decoder_ffn_dim=2048,
)
GIB = 2**30


def work(
    num_windows: int = 1000,
    arguments: ModelArguments | None = None,
    batch_size: int = 8,
    num_encoded: int | None = None,
) -> Work:
    if num_encoded is None:
        num_encoded = num_windows
    return Work(BASE, arguments or ModelArguments(), num_windows, num_encoded, 128, batch_size)


@pytest.fixture
def h100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "find_gpus", lambda: [("NVIDIA H100 80GB HBM3", 80 * GIB)])


def test_time_is_that_of_the_flops_at_the_part_of_the_rate_that_is_reached(h100: None) -> None:
    needs = estimate(work())
    assert needs.device == "NVIDIA H100 80GB HBM3"
    assert needs.num_bytes_there == 80 * GIB
    # By hand: 72 million weights; an encoder of 1500 positions and a decoder of 128, forward and backward.
    assert needs.seconds == pytest.approx(1000 * 0.335e12 / (0.34 * 989e12), rel=0.05)
    assert estimate(work(2000)).seconds == pytest.approx(2 * needs.seconds)


def test_less_is_needed_where_less_is_trained(h100: None) -> None:
    whole, frozen, adapters, dora = (
        estimate(work(arguments=arguments))
        for arguments in (
            None,
            ModelArguments(freeze_encoder=True),
            ModelArguments(lora_rank=8),
            ModelArguments(lora_rank=8, lora_dora=True),
        )
    )
    assert frozen.seconds < whole.seconds
    assert adapters.num_bytes < min(whole.num_bytes, dora.num_bytes)
    assert estimate(work(batch_size=4)).num_bytes < whole.num_bytes


def test_epochs_that_find_the_encoder_s_states_cost_the_decoder_alone(h100: None) -> None:
    frozen = ModelArguments(freeze_encoder=True)
    one, three, kept = (
        estimate(work(*given, 8, num_encoded)).seconds
        for *given, num_encoded in ((1000, frozen, None), (3000, frozen, None), (3000, frozen, 1000))
    )
    assert one < kept < three
    # By hand: 1500 positions by 18.9 million weights, attention of all to all in six layers, convolutions.
    encoder = 2 * 1500 * 18.9e6 + 4 * 6 * 1500**2 * 512 + 3.1e9
    assert three - kept == pytest.approx(2000 * encoder / (0.34 * 989e12), rel=0.03)


def test_a_gpu_that_is_not_known_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "find_gpus", lambda: [("Matrix 3000", 8 * GIB)] * 2)
    needs = estimate(work())
    assert needs.device == "2 x Matrix 3000"
    assert needs.seconds is None


def test_a_processor_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "find_gpus", list)
    needs = estimate(work(1))
    assert needs.device == "this processor"
    assert needs.seconds is not None
    assert 0.01 < needs.seconds < 100
