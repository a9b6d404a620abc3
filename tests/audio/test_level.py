"""Every recording is brought to one level, however it comes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from soundseek.audio.level import Leveller
from soundseek.audio.logmel import FrontEndConfig, LogMel

RATE = 100  # samples a second: ten minutes are quick
Float = npt.NDArray[np.float32]


def levelled(waveform: Float, peak_dbfs: float = -20.0, size: int = 10**9) -> Float:
    level = Leveller(peak_dbfs, RATE)
    pushed = [level.push(waveform[start : start + size]) for start in range(0, len(waveform), size)]
    return np.concatenate([level.push(waveform[:0]), *pushed, *level.flush()])


def test_a_short_waveform_has_one_gain_by_its_peak() -> None:
    waveform = np.array([0.1, -0.5, 0.25], np.float32)
    np.testing.assert_allclose(levelled(waveform), [0.02, -0.1, 0.05], rtol=1e-6)
    np.testing.assert_allclose(levelled(waveform / 50), levelled(waveform), rtol=1e-6)


def test_the_gain_falls_a_minute_before_the_sound_that_makes_it_fall_and_never_rises() -> None:
    waveform = np.full(200 * RATE, 0.01, np.float32)
    waveform[125 * RATE : 126 * RATE] = 0.1
    gains = levelled(waveform) / waveform
    falls = 60 * RATE  # the block of the sound begins at 120 s
    np.testing.assert_allclose(gains[:falls], 10, rtol=1e-5)
    np.testing.assert_allclose(gains[falls:], 1, rtol=1e-5)


def test_a_minute_has_one_gain() -> None:
    waveform = np.full(60 * RATE, 0.01, np.float32)
    waveform[-1] = 0.1
    np.testing.assert_allclose(levelled(waveform) / waveform, 1, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 777, 1000, 6001])
def test_pieces_of_any_size_give_what_the_whole_gives(size: int) -> None:
    chance = np.random.default_rng(0)
    waveform = (chance.standard_normal(9_500) * np.geomspace(1e-3, 1, 9_500)).astype(np.float32)
    np.testing.assert_array_equal(levelled(waveform, size=size), levelled(waveform))


def test_silence_and_nothing_stay_what_they_are() -> None:
    assert levelled(np.zeros(5, np.float32)).tolist() == [0.0] * 5
    assert len(levelled(np.empty(0, np.float32))) == 0


def test_a_gain_is_forty_decibels_at_most() -> None:
    assert levelled(np.array([1e-6], np.float32))[0] == pytest.approx(1e-4)


def test_log_mels_are_those_of_the_loud_recording() -> None:
    loud = (0.5 * np.random.default_rng(0).standard_normal(70_000)).clip(-1, 1).astype(np.float32)
    log_mel = LogMel(FrontEndConfig(peak_dbfs=-6.0))
    expected = LogMel(FrontEndConfig())(loud / np.abs(loud).max() * np.float32(10 ** (-6 / 20)))
    np.testing.assert_allclose(log_mel(loud * np.float32(0.03)), expected, atol=1e-4)
    stream = log_mel.stream()
    pieces = [stream.push(loud[:100]), stream.push(loud[100:50_000]), stream.push(loud[50_000:])]
    np.testing.assert_allclose(np.concatenate([*pieces, stream.flush()]), expected, atol=1e-4)
