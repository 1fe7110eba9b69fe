from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recipe.audio.codecs import MU_LAW
from recipe.model.channel import CODECS, NUM_DRAWS, TELEPHONE_CODECS, Channel, draw_channel

SECOND = 16_000
TELEPHONE = Channel(band=(300.0, 3_400.0))
ROOM = Channel(reverberation_s=0.5, direct_db=6.0)


def noise(seconds: float = 3) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(scale=0.1, size=round(seconds * SECOND)).astype(np.float32)


def send(channel: Channel, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return channel.send(samples, np.random.default_rng(1))


def level_db(samples: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def delay(sound: NDArray[np.float32], heard: NDArray[np.float32]) -> int:
    """By how many samples the one comes after the other, by the peak of their cross-correlation."""
    length = 2 * len(sound)
    product = np.fft.rfft(heard, length) * np.conj(np.fft.rfft(sound, length))
    peak = int(np.fft.irfft(product, length).argmax())
    return peak if peak < len(sound) else peak - length


@pytest.mark.parametrize(
    "channel",
    [TELEPHONE, ROOM, replace(ROOM, direct_db=-3.0), Channel(clipped_fraction=0.05), Channel(MU_LAW)],
    ids=["telephone", "room", "far in a room", "clipped", "mu-law"],
)
def test_a_channel_keeps_times_and_length(channel):
    heard = send(channel, noise())
    assert heard.dtype == np.float32
    assert heard.shape == noise().shape
    assert delay(noise(), heard) == 0
    assert np.abs(heard - noise()).max() > 0.01


@pytest.mark.parametrize("channel", [TELEPHONE, ROOM], ids=["telephone", "room"])
def test_a_filter_keeps_the_level(channel):
    assert level_db(send(channel, noise())) == pytest.approx(level_db(noise()), abs=0.2)


def test_a_telephone_has_a_band():
    power = np.abs(np.fft.rfft(send(TELEPHONE, noise()))) ** 2
    hertz = np.fft.rfftfreq(3 * SECOND, 1 / SECOND)
    inside = power[(hertz > 500) & (hertz < 3_000)].mean()
    assert power[hertz < 100].mean() < 1e-3 * inside
    assert power[hertz > 5_000].mean() < 1e-1 * inside
    assert power[hertz > 7_000].mean() < 1e-2 * inside


@pytest.mark.parametrize("direct_db", [-3.0, 12.0])
@pytest.mark.parametrize("reverberation_s", [0.2, 0.8])
def test_the_sound_of_a_room_falls_by_60_db_in_its_time(reverberation_s, direct_db):
    click = np.zeros(2 * SECOND, np.float32)
    click[100] = 0.9
    heard = send(Channel(reverberation_s=reverberation_s, direct_db=direct_db), click)
    assert np.argmax(np.abs(heard)) == 100
    assert np.abs(heard[:100]).max() < 1e-6, "nothing is heard before it is said"
    echoes = heard[101:]
    assert level_db(heard[100:101]) - 10 * np.log10(np.square(echoes).sum()) == pytest.approx(
        direct_db, abs=0.2
    )
    early, late = echoes[320:960], echoes[320 + 1_600 : 960 + 1_600]
    assert level_db(early) - level_db(late) == pytest.approx(60 * 0.1 / reverberation_s, abs=1.5)


def test_another_room_is_drawn_each_time():
    random = np.random.default_rng(0)
    first, second = (ROOM.send(noise(), random) for _ in range(2))
    assert np.abs(first - second).max() > 0.01


def test_the_fraction_that_is_clipped_is_that_drawn():
    heard = send(Channel(clipped_fraction=0.05), noise())
    assert np.mean(np.abs(heard) > 0.999 * np.abs(heard).max()) == pytest.approx(0.05, abs=0.002)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(SECOND, np.float32), np.zeros(0, np.float32), noise(0.09)],
    ids=["0", "none", "short"],
)
def test_what_is_no_sound_stays_as_it_is(samples):
    channel = replace(ROOM, codec=MU_LAW, band=TELEPHONE.band, clipped_fraction=0.1)
    assert send(channel, samples) is samples


def test_loud_sound_through_everything_stays_in_range():
    channel = replace(ROOM, codec=MU_LAW, band=TELEPHONE.band, clipped_fraction=0.01)
    heard = send(channel, np.clip(20 * noise(), -1, 1))
    assert 0.5 < np.abs(heard).max() <= 1


def test_every_kind_of_channel_is_drawn():
    random = np.random.default_rng(0)
    drawn = [draw_channel(random.random(NUM_DRAWS)) for _ in range(2_000)]
    for codec in CODECS:
        of_codec = [channel for channel in drawn if channel.codec == codec]
        assert len(of_codec) == pytest.approx(400, abs=80)
        assert {channel.bit_rate for channel in of_codec} == set((codec and codec.bit_rates) or (0,))
        assert all((channel.band is not None) == (codec in TELEPHONE_CODECS) for channel in of_codec)
    assert sum(channel.reverberation_s is not None for channel in drawn) == pytest.approx(1_000, abs=100)
    assert sum(channel.clipped_fraction > 0 for channel in drawn) == pytest.approx(500, abs=80)
