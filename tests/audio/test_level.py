"""Every recording is brought to one level, however it comes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from soundseek.audio.level import PeakNormaliser
from soundseek.audio.logmel import FrontEndConfig, LogMel

RATE = 100  # samples a second: ten minutes are quick
Float = npt.NDArray[np.float32]


def levelled(waveform: Float, peak_dbfs: float = -20.0, size: int = 10**9) -> Float:
    level = PeakNormaliser(peak_dbfs, RATE)
    pushed = [level.push(waveform[start : start + size]) for start in range(0, len(waveform), size)]
    return np.concatenate([level.push(waveform[:0]), *pushed, *level.flush()])


def test_a_short_waveform_has_one_gain_by_its_peak() -> None:
    waveform = np.array([0.1, -0.5, 0.25], np.float32)
    np.testing.assert_allclose(levelled(waveform), [0.02, -0.1, 0.05], rtol=1e-6)
    np.testing.assert_allclose(levelled(waveform / 50), levelled(waveform), rtol=1e-6)


def test_a_bang_lowers_a_minute_before_and_behind_it_and_no_more() -> None:
    waveform = np.full(300 * RATE, 0.01, np.float32)
    waveform[125 * RATE : 126 * RATE] = 0.1
    gains = levelled(waveform) / waveform
    # The block of the bang is 120 to 130 s; half a block leads to and from the lower gain.
    np.testing.assert_allclose(gains[: 55 * RATE], 10, rtol=1e-5)
    np.testing.assert_allclose(gains[60 * RATE : 190 * RATE], 1, rtol=1e-5)
    np.testing.assert_allclose(gains[195 * RATE :], 10, rtol=1e-5)


def test_a_gain_moves_without_steps_and_never_above_the_peak() -> None:
    chance = np.random.default_rng(0)
    level = np.repeat(10 ** (chance.uniform(-60, 0, 60) / 20), 10 * RATE)
    waveform = (chance.uniform(0.5, 1, len(level)) * level).astype(np.float32)
    normalised = levelled(waveform)
    assert np.abs(normalised).max() <= 0.1 * (1 + 1e-5)
    steps_db = np.abs(np.diff(20 * np.log10(normalised / waveform)))
    assert steps_db.max() < 40 / (5 * RATE) + 1e-3


def test_a_quiet_hour_behind_a_bang_is_as_loud_as_one_without_it() -> None:
    quiet = (1e-3 * np.random.default_rng(0).standard_normal(600 * RATE)).astype(np.float32)
    bang = quiet.copy()
    bang[50 * RATE] = 1.0
    for wave, alone in ((bang, quiet), (bang[::-1].copy(), quiet[::-1].copy())):
        far = slice(140 * RATE, None) if wave is bang else slice(None, -140 * RATE)
        np.testing.assert_array_equal(levelled(wave)[far], levelled(alone)[far])


@pytest.mark.parametrize("loud_at", [0, 30 * RATE, -1])
def test_a_minute_has_one_gain(loud_at: int) -> None:
    waveform = np.full(60 * RATE, 0.01, np.float32)
    waveform[loud_at] = 0.1
    np.testing.assert_array_equal(levelled(waveform), waveform * np.float32(0.1 / np.float32(0.1)))


@pytest.mark.parametrize("size", [7, 777, 1000, 6001])
def test_pieces_of_any_size_give_what_the_whole_gives(size: int) -> None:
    chance = np.random.default_rng(0)
    loudness = np.concatenate([np.geomspace(1e-3, 1, 9_500), np.geomspace(1, 1e-3, 9_500)])
    waveform = (chance.standard_normal(19_000) * loudness).astype(np.float32)
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


def test_a_block_that_its_owner_fills_anew_changes_nothing_of_before() -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, 2_000).astype(np.float32)
    level, block, pushed = PeakNormaliser(-20.0, RATE), np.empty(500, np.float32), []
    for start in range(0, len(waveform), len(block)):
        block[:] = waveform[start : start + len(block)]
        pushed.append(level.push(block))
    block[:] = 1.0
    assert np.array_equal(np.concatenate([*pushed, *level.flush()]), levelled(waveform))
