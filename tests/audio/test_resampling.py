"""From one rate to another: what stays, what goes, and that it does not matter how a stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from soundseek._typing import FloatArray
from soundseek.audio.resampling import PASSED_SHARE, resampler

CD_HZ, MODEL_HZ = 44_100, 32_000
EDGE = 2_000  # samples at either end that a tone's beginning and end reach


def resampled(samples: FloatArray, from_hz: int, to_hz: int, piece: int) -> FloatArray:
    stream = resampler(from_hz, to_hz)
    pieces = [stream.push(samples[start : start + piece]) for start in range(0, len(samples), piece)]
    return np.concatenate([*pieces, stream.flush()])


def tone(frequency_hz: float, rate_hz: int, num_samples: int) -> FloatArray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / rate_hz).astype(np.float32)


def noise(num_samples: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal(num_samples).astype(np.float32) / 10


@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [
        (44_100, 32_000),
        (22_050, 32_000),
        (44_100, 48_000),
        (32_000, 44_100),
        (48_000, 32_000),
        (96_000, 32_000),
    ],
)
def test_a_tone_below_the_slope_comes_out_as_it_was(from_hz: int, to_hz: int) -> None:
    for share in (0.05, 0.5, 0.85):
        frequency_hz = share * min(from_hz, to_hz) / 2
        found = resampled(tone(frequency_hz, from_hz, from_hz), from_hz, to_hz, 7_000)
        assert len(found) == to_hz
        expected = tone(frequency_hz, to_hz, to_hz)
        assert np.abs(found - expected)[EDGE:-EDGE].max() < 2e-5


def test_a_tone_above_the_lower_nyquist_frequency_is_gone() -> None:
    found = resampled(tone(1.01 * MODEL_HZ / 2, CD_HZ, CD_HZ), CD_HZ, MODEL_HZ, CD_HZ)
    assert np.abs(found[EDGE:-EDGE]).max() < 3e-6  # -110 dB


def test_below_the_slope_it_is_what_soxr_gives() -> None:
    sound = noise(2 * CD_HZ)
    spectrum = np.fft.rfft(sound)
    spectrum[int(0.8 * PASSED_SHARE * MODEL_HZ / CD_HZ * len(spectrum)) :] = 0
    sound = np.fft.irfft(spectrum, len(sound)).astype(np.float32)
    expected = soxr.resample(sound, CD_HZ, MODEL_HZ, quality="VHQ")
    found = resampled(sound, CD_HZ, MODEL_HZ, CD_HZ)
    assert len(found) == len(expected)
    assert np.abs(found - expected)[EDGE:-EDGE].max() < 1e-4 * np.abs(expected).max()


def test_however_a_stream_is_cut_it_is_the_same_to_the_bit() -> None:
    sound = noise(3 * CD_HZ + 17)
    whole = resampled(sound, CD_HZ, MODEL_HZ, len(sound))
    assert len(whole) == round(len(sound) * MODEL_HZ / CD_HZ)
    for piece in (1_000, 12_348, CD_HZ):
        assert np.array_equal(resampled(sound, CD_HZ, MODEL_HZ, piece), whole)


@pytest.mark.parametrize("num_samples", [0, 1, 2, 440, 441, 442, 5_000])
def test_of_a_short_sound_it_gives_as_many_samples_as_last_as_long(num_samples: int) -> None:
    found = resampled(np.ones(num_samples, np.float32), CD_HZ, MODEL_HZ, 100)
    assert len(found) == int(num_samples * MODEL_HZ / CD_HZ + 0.5)


def test_a_constant_stays_what_it_is() -> None:
    found = resampled(np.full(CD_HZ, 0.5, np.float32), CD_HZ, MODEL_HZ, CD_HZ)
    assert np.abs(found[EDGE:-EDGE] - 0.5).max() < 1e-6


def test_an_uncommon_ratio_is_resampled_too() -> None:
    found = resampled(tone(1_000, 44_101, 44_101), 44_101, MODEL_HZ, 10_000)
    assert np.abs(found - tone(1_000, MODEL_HZ, len(found)))[EDGE:-EDGE].max() < 1e-4


def test_both_ends_are_treated_alike() -> None:
    samples = noise(441 * 20 + 1)  # its last sample falls on one of those that come out
    forward, backward = (resampled(each, CD_HZ, MODEL_HZ, len(each)) for each in (samples, samples[::-1]))
    assert len(forward) == 320 * 20 + 1
    np.testing.assert_allclose(backward[::-1], forward, atol=1e-6)
