"""Mono is the mean of the channels, but for channels that would cancel each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio.bad_files import RATE_HZ, tone

from soundseek.audio.decode import open_audio, read_audio
from soundseek.audio.downmix import HIDING_SHARE, Downmix

NOISE = np.random.default_rng(0).standard_normal((RATE_HZ, 4)).astype(np.float32) * 0.1


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform.astype(np.float64) ** 2)))


@pytest.mark.parametrize(
    "gains", [[1, -1], [1, -0.9], [0.5, -1], [1, -0.5, -0.5], [1, -1, 1, -1], [1, -1] * 32]
)
def test_channels_that_cancel_are_turned(gains: list[float]) -> None:
    piece = NOISE[:, :1] * np.float32(gains)
    mono = Downmix(RATE_HZ)(piece)
    assert rms(mono[RATE_HZ // 100 :]) == pytest.approx(rms(NOISE[:, 0]) * np.mean(np.abs(gains)), rel=1e-4)


def test_two_pairs_that_cancel_keep_both_sounds() -> None:
    left, right = NOISE[:, 0], NOISE[:, 1]
    mono = Downmix(RATE_HZ)(np.stack([left, -left, right, -right], axis=1))[RATE_HZ // 100 :]
    for sound in (left, right):
        assert abs(np.corrcoef(mono, sound[RATE_HZ // 100 :])[0, 1]) > 0.6


@pytest.mark.parametrize("correlation", [1.0, 0.8, 0.6])
def test_ordinary_stereo_is_the_mean_to_the_bit(correlation: float) -> None:
    other = correlation * NOISE[:, 0] + np.sqrt(1 - correlation**2) * NOISE[:, 1]
    piece = np.stack([NOISE[:, 0], other], axis=1).astype(np.float32)
    np.testing.assert_array_equal(Downmix(RATE_HZ)(piece), (piece[:, 0] + piece[:, 1]) * np.float32(0.5))


def test_a_sound_in_antiphase_is_heard_beside_one_as_loud_in_phase() -> None:
    """In the mean of the channels nothing is left of it; added 90 degrees apart, one is as loud as the other."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    inside, across = (0.3 * np.sin(2 * np.pi * hertz * time_s) for hertz in (440, 1000))
    wave = np.stack([inside + across, inside - across], axis=1).astype(np.float32)
    downmix = Downmix(RATE_HZ)
    mono = np.concatenate([downmix(piece) for piece in np.array_split(wave, 7)])
    amplitudes = np.abs(np.fft.rfft(mono))[[440, 1000]] * 2 / RATE_HZ
    assert amplitudes == pytest.approx([0.3 * np.sqrt(HIDING_SHARE / 2)] * 2, rel=0.02)


def test_channels_that_are_added_apart_do_not_depend_on_where_pieces_end() -> None:
    wave = NOISE[:, :2] * np.float32([1, 0.7])
    whole = Downmix(RATE_HZ)(wave)
    downmix = Downmix(RATE_HZ)
    pieces = [downmix(piece) for piece in np.split(wave, [9_000, 10_000, 12_000, 30_000])]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=2e-4)
    assert np.sqrt(np.mean(whole**2)) == pytest.approx(np.sqrt(np.mean(wave**2) * HIDING_SHARE / 2), rel=0.02)


@pytest.mark.parametrize("quiet", [0.0, 1e-4])
@pytest.mark.parametrize("channel", [0, 1])
def test_beside_a_silent_channel_the_other_is_as_loud_as_90_degrees_apart_and_not_filtered(
    channel: int, quiet: float
) -> None:
    wave = NOISE[:, :2] * np.float32(quiet)
    wave[:, channel] = NOISE[:, channel]
    mono = Downmix(RATE_HZ)(wave)
    gain = np.float32(np.sqrt(HIDING_SHARE) / 2)
    np.testing.assert_allclose(mono, gain * wave.sum(axis=1), rtol=1e-5, atol=1e-9)


def test_a_channel_that_falls_silent_makes_no_step() -> None:
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    wave = np.stack([0.3 * np.sin(2 * np.pi * hertz * time_s) for hertz in (50, 70)], axis=1).astype(
        np.float32
    )
    wave[RATE_HZ : 2 * RATE_HZ, 1] = 0
    downmix = Downmix(RATE_HZ)
    mono = np.concatenate([downmix(piece) for piece in np.split(wave, 3)])
    assert rms(mono[RATE_HZ + 2000 : 2 * RATE_HZ]) == pytest.approx(
        0.3 * np.sqrt(HIDING_SHARE) / 2 / 2**0.5, rel=0.01
    )
    assert np.abs(np.diff(mono)).max() < 3 * np.abs(np.diff(wave.sum(axis=1)[:RATE_HZ])).max()


def test_a_click_of_opposite_channels_is_heard_from_its_first_sample() -> None:
    click = NOISE[:880, :1] * np.float32([1, -1])
    np.testing.assert_allclose(Downmix(RATE_HZ)(click), click[:, 0], atol=1e-6)


def test_a_channel_is_turned_only_where_it_cancels_and_without_a_step() -> None:
    sound = (0.3 * np.sin(2 * np.pi * 50 * np.arange(3 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    sign = np.repeat(np.float32([1, -1, 1]), RATE_HZ)
    wave = np.stack([sound, sound * sign], axis=1)
    downmix = Downmix(RATE_HZ)
    mono = np.concatenate([downmix(piece) for piece in np.split(wave, 3)])
    for second in range(3):
        assert rms(mono[second * RATE_HZ + 500 : (second + 1) * RATE_HZ]) == pytest.approx(
            0.3 / 2**0.5, rel=0.01
        )
    steps = np.abs(np.diff(mono))
    assert steps.max() < 3 * np.abs(np.diff(sound)).max()


def test_a_silent_piece_changes_no_sign_and_stays_silent() -> None:
    downmix = Downmix(RATE_HZ)
    opposite = NOISE[:, :1] * np.float32([1, -1])
    downmix(opposite)
    assert not downmix(np.zeros_like(opposite)).any()
    # No fade: the channel is still turned.
    assert rms(downmix(opposite)[:100]) == pytest.approx(rms(NOISE[:100, 0]), rel=1e-4)


def test_a_file_of_opposite_channels_sounds_as_either_of_them(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", tone(2, channels=2) * np.float32([1, -1]), RATE_HZ, subtype="FLOAT")
    with open_audio(tmp_path / "x.wav", sample_rate_hz=RATE_HZ) as stream:
        mono = np.concatenate(list(stream))
    assert stream.info.channels == 2
    np.testing.assert_allclose(mono[RATE_HZ // 100 :], tone(2)[RATE_HZ // 100 :, 0], atol=1e-6)


def test_channels_that_cancel_for_a_while_are_heard_throughout(tmp_path: Path) -> None:
    wave = tone(3, channels=2)
    wave[RATE_HZ : 2 * RATE_HZ, 1] *= -1
    soundfile.write(tmp_path / "x.flac", wave, RATE_HZ)
    mono = read_audio(tmp_path / "x.flac", sample_rate_hz=RATE_HZ)
    for second in range(3):
        assert rms(mono[second * RATE_HZ + 500 : (second + 1) * RATE_HZ]) > 0.9 * 0.3 / 2**0.5
