import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_trainers import (
    StopAfterSave,
    build_trainer,
    copy_of,
    curve,
    make_example,
    make_examples,
    make_windows,
    resume,
    stopped,
    trained,
    weights,
)

from recipe.model.encoder_states import EncoderStates, identify_encoder, is_deterministic
from recipe.model.inputs import ViewProbabilities, WindowDataset, collate
from recipe.model.sampling import PADDING
from recipe.model.whisper import Whisper
from recipe.training.trainer import WhisperTrainer

SHAPE = (6, 4)
KEY = "ab" + 62 * "0"

# Entries


@pytest.fixture
def states(tmp_path: Path) -> EncoderStates:
    return EncoderStates(tmp_path / "states", SHAPE, "encoder", num_epochs=3)


@pytest.fixture
def numbers() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)


def entry(states: EncoderStates) -> Path:
    return next(path for path in states.folder.rglob("*") if path.is_file())


def test_what_is_kept_is_found_as_it_was(states, numbers):
    assert states.load(KEY) is None
    states.save(KEY, numbers)
    loaded = states.load(KEY)
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded, numbers)
    assert entry(states).stat().st_size == states.num_bytes


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-1], id="shorter"),
        pytest.param(lambda content: content + b"x", id="longer"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: bytes([content[0] ^ 1]) + content[1:], id="flipped bit"),
        pytest.param(lambda content: bytes(len(content)), id="zeros, as a power cut leaves"),
    ],
)
def test_what_is_damaged_counts_as_missing(states, numbers, damage: Callable[[bytes], bytes]):
    states.save(KEY, numbers)
    entry(states).write_bytes(damage(entry(states).read_bytes()))
    assert states.load(KEY) is None
    states.save(KEY, numbers)
    assert torch.equal(states.load(KEY), numbers)


def test_keys_tell_sounds_parts_and_encoders_apart(states, tmp_path):
    other = EncoderStates(tmp_path, SHAPE, "another", num_epochs=3)
    sound = [b"flac", b"FLAC"]
    keys = {
        s.key(audio, *part) for s in (states, other) for audio in sound for part in ((0, 9), (0, 8), (1, 9))
    }
    assert len(keys) == 12


def test_where_room_is_left_for_others_nothing_is_written(tmp_path, numbers):
    states = EncoderStates(tmp_path / "states", SHAPE, "encoder", 3, min_free_bytes=1 << 60)
    with pytest.raises(OSError, match=r"MiB are free, of which checkpoints may need"):
        states.save(KEY, numbers)
    assert [path for path in states.folder.rglob("*") if path.is_file()] == []


def test_another_encoder_or_precision_is_another(whisper):
    model = copy.deepcopy(whisper.model)
    first = identify_encoder(model, None)
    assert first == identify_encoder(whisper.model, None)
    assert first != identify_encoder(model, torch.bfloat16)
    with torch.no_grad():
        model.model.decoder.layer_norm.bias += 1.0
    assert first == identify_encoder(model, None)
    with torch.no_grad():
        model.model.encoder.layer_norm.bias[0] += 1e-3
    assert first != identify_encoder(model, None)


@pytest.mark.parametrize(
    "name", ["dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop"]
)
def test_an_encoder_that_drops_at_random_is_not_deterministic(whisper, name: str):
    config = copy.deepcopy(whisper.model.config)
    assert is_deterministic(config)
    setattr(config, name, 0.1)
    assert is_deterministic(config) == name.startswith("decoder")


# Windows


def states_for(whisper: Whisper, folder: Path, num_epochs: int = 2, **options: int) -> EncoderStates:
    config = whisper.model.config
    shape = config.max_source_positions, config.d_model
    return EncoderStates(folder, shape, identify_encoder(whisper.model, None), num_epochs, **options)


def test_only_audio_that_a_later_epoch_shows_is_to_be_kept(whisper: Whisper, tmp_path: Path):
    num_epochs = 4
    cues = [{"start_ms": 900 * n, "end_ms": 900 * n + 800, "text": f"cue {n}"} for n in range(5)]
    examples = make_examples([make_example(language="en", end_ms=4_500, segments=cues)])
    windows = WindowDataset(
        examples,
        whisper,
        ViewProbabilities(0.5, 0.5, 0.4),
        seed=5,
        states=states_for(whisper, tmp_path, num_epochs),
    )
    plain = WindowDataset(examples, whisper, ViewProbabilities(0.5, 0.5, 0.4), seed=5)
    sounds = [plain[epoch, 0]["input_features"].tobytes() for epoch in range(num_epochs)]
    items = [windows[epoch, 0] for epoch in range(num_epochs)]
    assert [bool(item["states_key"]) for item in items] == [
        sound in sounds[epoch + 1 :] for epoch, sound in enumerate(sounds)
    ]
    assert {True, False} == {bool(item["states_key"]) for item in items}
    keys = [item["states_key"] for item in items if item["states_key"]]
    assert len(set(keys)) == len({s for e, s in enumerate(sounds) if s in sounds[e + 1 :]})


def test_a_batch_tells_which_windows_have_states(whisper: Whisper, tmp_path: Path):
    states = states_for(whisper, tmp_path)
    windows, plain = make_windows(whisper, states=states), make_windows(whisper)
    kept = torch.ones(states.shape, dtype=torch.bfloat16)
    states.save(windows[0, 1]["states_key"], kept)
    batch = collate([windows[0, index] for index in (0, 1, PADDING)], 0)
    assert batch["input_features"].shape[0] == 2
    assert [found is not None for found in batch["encoder_states"]] == [False, True, False]
    assert [bool(key) for key in batch["states_keys"]] == [True, False, True]
    same = collate([plain[0, index] for index in (0, 1, PADDING)], 0)
    assert all(torch.equal(batch[name], same[name]) for name in ("decoder_input_ids", "labels"))
    assert "input_features" not in collate([windows[0, 1]], 0)


# Training


Build = Callable[..., WhisperTrainer]


@pytest.fixture(scope="module")
def frozen(whisper: Whisper) -> Whisper:
    whisper = copy_of(whisper)
    whisper.model.freeze_encoder()
    return whisper


@pytest.fixture(scope="module")
def build_kept(frozen: Whisper) -> Build:
    """A trainer of two epochs of two updates whose states are kept in a folder."""

    def build(
        folder: Path, num_epochs: int = 2, min_free_bytes: int = 0, **options: object
    ) -> WhisperTrainer:
        states = states_for(frozen, folder / "states", num_epochs, min_free_bytes=min_free_bytes)
        return build_trainer(frozen, make_windows(frozen, states=states), folder / "run", **options)

    return build


@pytest.fixture(scope="module")
def kept(build_kept: Build, tmp_path_factory: pytest.TempPathFactory) -> WhisperTrainer:
    return trained(build_kept(tmp_path_factory.mktemp("kept")))


def assert_same_bits(first: WhisperTrainer, second: WhisperTrainer) -> None:
    assert curve(first) == curve(second)
    torch.testing.assert_close(weights(first), weights(second), rtol=0, atol=0)


def test_the_second_epoch_computes_no_states(kept):
    assert kept.frozen_encoder.num_windows == 16
    assert 7 <= kept.frozen_encoder.num_encoded <= 8, "a window that fills up is the first one"
    assert kept.frozen_encoder.warnings == []


def test_kept_states_are_those_of_an_encoder_that_computes_all_of_them_each_time(kept, build_kept, tmp_path):
    computing = trained(build_kept(tmp_path, num_epochs=1))  # as if none came again
    assert computing.frozen_encoder.num_encoded == computing.frozen_encoder.num_windows == 16
    assert_same_bits(kept, computing)


def test_where_the_disk_is_full_the_result_is_the_same_and_one_warning_says_so(kept, build_kept, tmp_path):
    full = trained(build_kept(tmp_path, min_free_bytes=1 << 60))
    assert full.frozen_encoder.num_encoded == 16
    assert len(full.frozen_encoder.warnings) == 1
    assert "the result is the same" in full.frozen_encoder.warnings[0]
    assert_same_bits(kept, full)


def test_the_weights_are_those_without_kept_states_but_for_the_rounding(kept, frozen, tmp_path):
    """The norm of the difference, against that of what training changed; bfloat16 rounds to 1/256."""
    plain, before = trained(build_trainer(frozen, make_windows(frozen), tmp_path)), frozen.model.state_dict()
    assert curve(kept) == [pytest.approx(figures, rel=1e-3) for figures in curve(plain)]

    def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
        return float(torch.cat([(one[name] - other[name]).flatten() for name in one]).norm())

    assert distance(weights(kept), weights(plain)) < 0.05 * distance(weights(plain), before)


@pytest.mark.parametrize(
    "layout",
    [
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "dataloader_num_workers": 1},
    ],
    ids=["one at a time", "a worker"],
)
def test_the_layout_does_not_change_the_update(kept, build_kept, tmp_path, layout):
    other = trained(build_kept(tmp_path, **layout))
    assert curve(other) == [pytest.approx(figures, rel=1e-5) for figures in curve(kept)]
    torch.testing.assert_close(weights(other), weights(kept), rtol=0, atol=1e-6)
    assert other.frozen_encoder.num_encoded <= 8


@pytest.mark.parametrize(
    ("step", "is_lost"),
    [
        pytest.param(1, False, id="in the first epoch"),
        pytest.param(3, False, id="in the second epoch"),
        pytest.param(3, True, id="in the second epoch, states lost"),
    ],
)
def test_a_run_that_is_stopped_ends_like_one_that_is_not(kept, build_kept, tmp_path, step, is_lost):
    first = build_kept(tmp_path, callbacks=(StopAfterSave(step),))
    stopped(first)
    if is_lost:
        first.frozen_encoder.states.forget()
    assert_same_bits(resume(build_kept(tmp_path)), kept)


def test_memory_that_runs_out_does_not_change_the_update(kept, build_kept, tmp_path):
    trainer = build_kept(tmp_path)

    def refuse(_: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if len(kwargs["encoder_states"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")

    trainer.model.register_forward_pre_hook(refuse, with_kwargs=True)
    small = trained(trainer)
    assert small.num_splits == 2
    torch.testing.assert_close(weights(small), weights(kept), rtol=0, atol=1e-6)


def test_nothing_stays_on_the_disk_after_the_last_update(build_kept, tmp_path):
    trainer = build_kept(tmp_path)
    trainer.train_to_the_end(None)
    assert not trainer.frozen_encoder.states.folder.exists()


def test_low_precision_takes_the_states_as_they_are(frozen, build_kept, tmp_path):
    """bfloat16 multiplies rounded states in any case, so keeping them rounds nothing more."""
    plain = build_trainer(frozen, make_windows(frozen), tmp_path / "plain", bf16=True)
    kept = build_kept(tmp_path, bf16=True)
    assert curve(trained(kept)) == [pytest.approx(figures, rel=1e-3) for figures in curve(trained(plain))]
