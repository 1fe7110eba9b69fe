from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_trainers import make_example, make_examples
from transformers import WhisperFeatureExtractor

from recipe.audio.decoding import encode_flac
from recipe.audio.mel import log_mel
from recipe.data.windows import Segment
from recipe.model.augmentation import SPEEDS, Alteration, Augmentation
from recipe.model.channel import NUM_DRAWS
from recipe.model.inputs import ViewProbabilities, WindowDataset

SECOND = 16_000
AT_MS = 10_000
"""When the click comes, and its cue begins."""


def noise_of(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * SECOND)).astype(np.float32)


def click_at(milliseconds: int, seconds: int) -> np.ndarray:
    samples = np.zeros(seconds * SECOND, np.float32)
    samples[milliseconds * 16 : milliseconds * 16 + 160] = 0.5
    return samples


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


# Drawing


def test_nothing_is_altered_unless_asked_for():
    alterations = [Augmentation().draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {replace(alteration, exponent=0.0) for alteration in alterations} == {Alteration()}


def test_the_probabilities_of_alterations_are_met():
    augmentation = Augmentation(speed=0.5, noise=0.25, channel=0.4, spec_augment=0.1)
    alterations = [augmentation.draw(np.random.default_rng([7, seed])) for seed in range(2_000)]
    speeds = [alteration.speed for alteration in alterations]
    for speed in SPEEDS:
        assert speeds.count(speed) / 2_000 == pytest.approx(0.25, abs=0.04)
    levels = [alteration.snr_db for alteration in alterations if alteration.snr_db is not None]
    assert len(levels) / 2_000 == pytest.approx(0.25, abs=0.04)
    assert 5 <= min(levels) < 10
    assert 35 < max(levels) <= 40
    for name, fraction in {"masks": 0.1, "channel": 0.4}.items():
        num_drawn = sum(getattr(alteration, name) is not None for alteration in alterations)
        assert num_drawn / 2_000 == pytest.approx(fraction, abs=0.03)


@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation(1.0, 1.0, 1.0, 1.0), Augmentation(noise=0.5)]
)
def test_every_draw_takes_as_many_random_numbers(augmentation):
    random, other = np.random.default_rng(3), np.random.default_rng(3)
    augmentation.draw(random)
    other.random(7 + 6 + NUM_DRAWS)
    assert random.random() == other.random()


# Speed


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_click_and_its_cue_move_together(speed):
    segments = (Segment(AT_MS, 20_000, "click"), Segment(24_000, None, ""))
    samples, altered = Alteration(speed=speed).change_speed(click_at(AT_MS, seconds=26), segments)
    assert len(samples) == pytest.approx(26 * SECOND / speed, abs=1)
    click_ms = int(np.argmax(np.abs(samples) > 0.1)) / 16
    assert altered[0].start_ms == pytest.approx(click_ms, abs=2)
    assert altered[0].end_ms == round(20_000 / speed)
    assert (altered[1].start_ms, altered[1].end_ms) == (round(24_000 / speed), None)


def test_faster_sound_has_a_higher_pitch_and_the_same_level():
    tone = np.sin(2 * np.pi * 1_000 * np.arange(10 * SECOND) / SECOND).astype(np.float32)
    samples, _ = Alteration(speed=1.1).change_speed(tone, ())
    peak = np.argmax(np.abs(np.fft.rfft(samples))) * SECOND / len(samples)
    assert peak == pytest.approx(1_100, abs=1)
    assert level_db(samples) == pytest.approx(level_db(tone), abs=0.1)
    assert samples.dtype == np.float32


@pytest.mark.parametrize(("seconds", "is_altered"), [(27.0, True), (27.1, False), (30.0, False)])
def test_sound_that_would_grow_over_thirty_seconds_stays_as_it_is(seconds, is_altered):
    samples, segments = noise_of(seconds), (Segment(0, round(seconds * 1000), "all"),)
    altered, altered_segments = Alteration(speed=0.9).change_speed(samples, segments)
    assert (altered is not samples) == is_altered
    assert len(altered) <= 30 * SECOND
    assert altered_segments[0].end_ms == (30_000 if is_altered else round(seconds * 1000))


# Noise


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0], ids=["white", "pink", "brown"])
@pytest.mark.parametrize("snr_db", [5.0, 40.0])
def test_noise_lies_as_far_below_the_sound_as_drawn(snr_db, exponent):
    samples = noise_of(3)
    altered = Alteration(snr_db=snr_db, exponent=exponent).add_noise(samples, np.random.default_rng(1))
    assert altered.dtype == np.float32
    assert level_db(samples) - level_db(altered - samples) == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_colour_of_noise_is_its_fall_over_frequency(exponent):
    samples = noise_of(4)
    noise = Alteration(snr_db=5.0, exponent=exponent).add_noise(samples, np.random.default_rng(1)) - samples
    power = np.abs(np.fft.rfft(noise)) ** 2
    low, high = (power[4 * hertz : 8 * hertz].mean() for hertz in (500, 4_000))
    assert np.log(low / high) / np.log(8) == pytest.approx(exponent, abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(SECOND, np.float32), np.zeros(0, np.float32)])
def test_digital_silence_gets_no_noise(samples):
    assert Alteration(snr_db=5.0).add_noise(samples, np.random.default_rng(1)) is samples


# Masks


def mask(samples: np.ndarray, masks: tuple[float, ...], num_bins: int = 80) -> np.ndarray:
    """Which features the masks changed or would have changed, shape (M, F)."""
    features = log_mel(WhisperFeatureExtractor(feature_size=num_bins), samples)
    before = features.copy()
    Alteration(masks=masks).mask(features, len(samples))
    return features != before


@pytest.mark.parametrize(("num_bins", "width"), [(80, 27), (128, 43)])
@pytest.mark.parametrize("position", [0.0, 0.3, 0.999_999])
def test_the_widest_masks_are_those_of_the_paper_and_lie_where_sound_is(num_bins, width, position):
    other = 1 - position if position else 0.5
    changed = mask(noise_of(20), (0.999_999, position, 0.999_999, position, 0.999_999, other), num_bins)
    frames, bins = changed.all(0), changed[:, :2_000].all(1)
    assert frames.sum() == 200
    assert bins.sum() == width
    assert not changed[:, 2_000:].any()
    for start in (int(1_901 * position), int(1_901 * other)):
        assert frames[start : start + 100].all()


def test_masks_over_time_may_overlap():
    assert mask(noise_of(20), (0.0, 0.0, 0.999_999, 0.5, 0.999_999, 0.5)).all(0).sum() == 100


def test_a_short_cue_loses_two_fifths_of_its_frames_at_most():
    changed = mask(noise_of(1), (0.0, 0.0, 0.999_999, 0.1, 0.999_999, 0.9))
    assert changed.all(0).sum() == 40
    assert not changed[:, 100:].any()


def test_the_narrowest_masks_change_nothing():
    assert not mask(noise_of(1), (0.0, 0.9, 0.0, 0.9, 0.0, 0.1)).any()


@pytest.mark.parametrize("scale", [1.0, 1e-4], ids=["loud", "hardly audible"])
def test_what_is_masked_sounds_like_the_padding(scale):
    samples = noise_of(20) * np.float32(scale)
    features = log_mel(WhisperFeatureExtractor(), samples)
    padding = features[0, -1]
    Alteration(masks=(0.999_999, 0.5, 0.999_999, 0.5, 0.0, 0.0)).mask(features, len(samples))
    assert features.min() == pytest.approx(padding, abs=1e-6)
    assert (np.isclose(features, padding).all(0)[:1_900]).sum() == 100


def test_masked_digital_silence_stays_digital_silence():
    assert not mask(np.zeros(20 * SECOND, np.float32), (0.9, 0.5, 0.9, 0.5, 0.9, 0.1)).any()


# In the dataset


@pytest.fixture(scope="module")
def examples() -> Dataset:
    """Windows of 26 s in which there is a click when the cue begins."""
    sound = (click_at(AT_MS, seconds=26) * 32767).astype(np.int16)
    sound += np.random.default_rng(0).integers(-30, 30, len(sound)).astype(np.int16)
    example = make_example(
        end_ms=26_000,
        audio={"bytes": encode_flac(sound), "path": None},
        segments=[{"start_ms": AT_MS, "end_ms": 20_000, "text": "click"}],
    )
    return make_examples([example] * 4)


@pytest.fixture(scope="module")
def augment(whisper, examples) -> Callable[..., WindowDataset]:
    """The windows with alterations of some probabilities."""
    views = ViewProbabilities(timestamps=1.0, prompts=0.5)

    def augment(**probabilities: float) -> WindowDataset:
        return WindowDataset(examples, whisper, views, seed=5, augmentation=Augmentation(**probabilities))

    return augment


def test_a_trained_time_is_that_of_the_altered_sound(whisper, augment):
    zero = whisper.first_timestamp
    starts_ms = set()
    for index in range(4):
        item = augment(speed=1.0)[0, index]
        start_ms = (next(label for label in item["labels"] if label >= zero) - zero) * 20
        click_ms = int(item["input_features"].mean(0).argmax()) * 10
        assert start_ms == pytest.approx(click_ms, abs=20)
        starts_ms.add(start_ms)
    assert starts_ms == {9_100, 11_120}, "10 s at 1.1 and 0.9, on the grid of 20 ms"


def test_a_click_stays_where_it_is_over_any_channel(augment):
    plain, sent = augment(), augment(channel=1.0)
    num_changed = 0
    for key in [(epoch, index) for epoch in range(3) for index in range(4)]:
        item = sent[key]
        assert item["labels"] == plain[key]["labels"]
        num_changed += not np.array_equal(item["input_features"], plain[key]["input_features"])
        assert int(item["input_features"].mean(0).argmax()) * 10 == pytest.approx(AT_MS, abs=20)
    assert num_changed >= 9, "one in thirteen channels does nothing"


EVERYTHING = {"speed": 0.5, "noise": 0.5, "channel": 0.8, "spec_augment": 0.5}


def test_alterations_depend_on_seed_epoch_and_index_alone(augment):
    windows = augment(**EVERYTHING)
    keys = [(epoch, index) for epoch in range(2) for index in range(4)]
    first = {key: windows[key] for key in keys}
    np.random.seed(1)
    torch.manual_seed(1)
    loader = torch.utils.data.DataLoader(
        windows, batch_size=None, sampler=keys[::-1], num_workers=2, multiprocessing_context="fork"
    )
    for key, item in zip(keys[::-1], loader, strict=True):
        assert torch.equal(item["input_features"], torch.from_numpy(first[key]["input_features"]))
        assert list(item["labels"]) == first[key]["labels"]
    assert len({item["input_features"].tobytes() for item in first.values()}) > 4


def test_views_are_the_same_with_and_without_alterations(augment):
    plain, masked = augment(), augment(spec_augment=1.0)
    for key in [(epoch, index) for epoch in range(3) for index in range(4)]:
        assert plain[key]["decoder_input_ids"] == masked[key]["decoder_input_ids"]
        assert not np.array_equal(plain[key]["input_features"], masked[key]["input_features"])
