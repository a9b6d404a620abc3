"""Each degradation's level, spectrum and length, on tones and clicks that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from soundseek.learn.evaluation.corruptions import (
    DEGRADATIONS,
    band_limited,
    clipped,
    first_seconds,
    impulse_response,
    last_seconds,
    noisy,
    played_at,
    quieter,
    reverberated,
)

Float = npt.NDArray[np.float32]
RATE_HZ = 32_000


def tone(*frequencies_hz: float, seconds: float = 1.0) -> Float:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return sum(0.2 * np.sin(2 * np.pi * each * time_s) for each in frequencies_hz).astype(np.float32)


def rms(waveform: Float) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def level_at(waveform: Float, frequency_hz: float) -> float:
    return float(np.abs(np.fft.rfft(waveform))[round(frequency_hz * len(waveform) / RATE_HZ)] / len(waveform))


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda each: each.name)
def test_every_degradation_is_pure_seeded_and_finite(degradation) -> None:
    sound = tone(500, 6000, seconds=3)
    before = sound.copy()
    first, rate_hz = degradation.change(sound, RATE_HZ, generator())
    again, _ = degradation.change(sound, RATE_HZ, generator())
    assert np.array_equal(sound, before) and np.array_equal(first, again)
    assert first.dtype == np.float32 and np.isfinite(first).all() and rate_hz > 0
    for odd in (np.zeros(1000, np.float32), np.ones(1, np.float32)):
        assert np.isfinite(degradation.change(odd, RATE_HZ, generator())[0]).all()


def test_thirty_decibels_are_a_factor_of_0_0316() -> None:
    assert rms(quieter(-30)(tone(500), RATE_HZ, generator())[0]) == pytest.approx(
        0.0316228 * rms(tone(500)), rel=1e-4
    )


def test_a_band_limit_takes_what_is_above_and_leaves_what_is_below() -> None:
    heard, _ = band_limited(4000)(tone(500, 6000), RATE_HZ, generator())
    assert level_at(heard, 500) == pytest.approx(level_at(tone(500), 500), rel=0.02)
    assert level_at(heard, 6000) < 1e-3 * level_at(tone(6000), 6000) + 1e-4
    assert len(heard) == RATE_HZ


def test_noise_is_ten_decibels_below_the_sound() -> None:
    sound = tone(500)
    noise = noisy(10)(sound, RATE_HZ, generator())[0] - sound
    assert 20 * np.log10(rms(sound) / rms(noise)) == pytest.approx(10, abs=0.01)
    halves = np.split(np.abs(np.fft.rfft(noise))[: RATE_HZ // 2] ** 2, 2)
    assert halves[0].mean() == pytest.approx(halves[1].mean(), rel=0.1)  # white


def test_clipping_keeps_the_peak_and_flattens_what_is_within_twelve_decibels_of_it() -> None:
    ramp = np.linspace(-1, 1, 2001, dtype=np.float32)
    heard, _ = clipped(12)(ramp, RATE_HZ, generator())
    assert np.abs(heard).max() == 1
    assert np.mean(np.abs(heard) == 1) == pytest.approx(1 - 10 ** (-12 / 20), abs=1e-3)


def test_a_room_answers_with_as_much_energy_as_the_sound_and_decays_by_sixty_decibels() -> None:
    response = impulse_response(0.8, RATE_HZ, generator())
    assert len(response) == round(0.8 * RATE_HZ) and response[0] == 1
    assert np.sum(response[1:] ** 2) == pytest.approx(1, rel=1e-4)
    tenths = [rms(each) for each in np.array_split(response[1:], 10)]
    assert 20 * np.log10(tenths[0] / tenths[-1]) == pytest.approx(54, abs=1.5)  # 0.9 of 60 dB


def test_a_reverberated_click_rings_on_and_keeps_its_level() -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[-1] = 1
    heard, _ = reverberated(0.8)(click, RATE_HZ, generator())
    assert len(heard) == RATE_HZ + round(0.8 * RATE_HZ) - 1
    assert rms(heard[:RATE_HZ]) == pytest.approx(rms(click), rel=1e-3)
    assert rms(heard[RATE_HZ:]) > 0


def test_the_first_and_the_last_seconds() -> None:
    sound = np.arange(3 * RATE_HZ, dtype=np.float32)
    assert np.array_equal(first_seconds(2)(sound, RATE_HZ, generator())[0], sound[: 2 * RATE_HZ])
    assert np.array_equal(last_seconds(2)(sound, RATE_HZ, generator())[0], sound[RATE_HZ:])
    short = sound[:10]
    for change in (first_seconds(2), last_seconds(2)):
        assert np.array_equal(change(short, RATE_HZ, generator())[0], short)


def test_another_speed_is_another_rate_of_the_same_samples() -> None:
    sound = tone(500)
    for speed, rate_hz in ((0.9, 28_800), (1.1, 35_200)):
        heard, played_hz = played_at(speed)(sound, RATE_HZ, generator())
        assert np.array_equal(heard, sound) and played_hz == rate_hz
