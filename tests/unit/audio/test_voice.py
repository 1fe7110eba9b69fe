import warnings

import numpy as np
import pytest
import torch
from silero_vad import load_silero_vad
from voices import make_noise, make_voice

from recipe.audio.voice import MAX_VOICE_MS, has_voice, voice_ms, voice_probabilities


@pytest.fixture(autouse=True)
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.parametrize("num_samples", [16_000 * 5, 16_000 * 3 + 77, 513])
def test_all_steps_at_once_give_the_librarys_own_probabilities(num_samples):
    samples = np.concatenate([make_voice(3), make_noise(2)])[:num_samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = load_silero_vad().audio_forward(
            torch.from_numpy(samples.astype(np.float32) / 32768).unsqueeze(0), 16_000
        )
    np.testing.assert_allclose(voice_probabilities(samples), expected[0].numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "is_voiced"),
    [
        pytest.param(make_voice(10), True, id="voice"),
        pytest.param(make_noise(10), False, id="loud noise"),
        pytest.param(np.zeros(160_000, np.int16), False, id="digital silence"),
        pytest.param(np.zeros(0, np.int16), False, id="nothing"),
        pytest.param(np.concatenate([make_noise(35), make_voice(8)]), True, id="voice after 35 s of noise"),
    ],
)
def test_a_voice_is_told_from_noise(samples, is_voiced):
    assert has_voice(samples) == is_voiced
    assert (voice_ms(samples) >= MAX_VOICE_MS) == is_voiced


def test_the_detector_is_not_asked_where_nothing_is_audible():
    def refuse(samples):
        raise AssertionError("asked")

    assert not has_voice(make_noise(3, level=5), refuse)
    with pytest.raises(AssertionError, match="asked"):
        has_voice(make_noise(3), refuse)


def test_the_search_ends_once_the_decision_is_made():
    assert voice_ms(make_voice(90)) <= 30_000
