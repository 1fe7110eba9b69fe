import numpy as np
from voices import make_noise, make_voice

from recipe.audio.levels import is_silent, quiet_fraction


def test_silence_is_quiet_and_hardly_interrupted():
    noise = make_noise(10, level=20)
    assert is_silent(noise)
    noise[8_000:40_000] *= 200
    assert not is_silent(noise)
    assert is_silent(np.zeros(0, np.int16))


def test_a_voice_over_a_faint_noise_is_quiet_where_it_pauses_and_after_it():
    samples = np.concatenate([make_voice(2), make_noise(13, level=30)])
    assert quiet_fraction(samples, [(0, 2_000)]) < 0.3
    assert quiet_fraction(samples, [(2_000, 15_000)]) == 1
