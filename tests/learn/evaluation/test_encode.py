"""What is written is what is read: floats bit for bit, mp3 at its bit rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundseek.audio.decode import probe, read_audio
from soundseek.errors import UsageError
from soundseek.learn.evaluation.corruptions import MP3_RATES_HZ, write_mp3, write_wav


def test_a_wav_keeps_every_bit_and_what_is_above_full_scale(tmp_path: Path) -> None:
    waveform = np.tile(np.array([0.0, 1e-7, -1.5, 2.0], np.float32), 200)
    write_wav(tmp_path / "x.wav", waveform, 8000)
    assert np.array_equal(read_audio(tmp_path / "x.wav", sample_rate_hz=8000), waveform)


@pytest.mark.parametrize("rate_hz", MP3_RATES_HZ)
def test_an_mp3_has_its_bit_rate_and_sounds_alike(rate_hz: int, tmp_path: Path) -> None:
    time_s = np.arange(4 * rate_hz) / rate_hz
    tone = (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    path = tmp_path / "x.mp3"
    write_mp3(path, tone, rate_hz, kbps=32)
    assert path.stat().st_size * 8 / 4 == pytest.approx(32_000, rel=0.07)
    assert (probe(path).format, probe(path).sample_rate_hz) == ("MP3", rate_hz)
    heard = read_audio(path, sample_rate_hz=rate_hz)
    strongest_hz = np.abs(np.fft.rfft(heard)).argmax() / (len(heard) / rate_hz)
    assert strongest_hz == pytest.approx(440, abs=1)
    assert not np.array_equal(heard[: len(tone)], tone)


def test_rates_that_mp3_does_not_have_are_named(tmp_path: Path) -> None:
    silence = np.zeros(100, np.float32)
    with pytest.raises(UsageError, match="no sample rate of 96000"):
        write_mp3(tmp_path / "x.mp3", silence, 96_000, kbps=32)
    with pytest.raises(UsageError, match="8 to 64 kbit/s, not 128"):
        write_mp3(tmp_path / "x.mp3", silence, 8000, kbps=128)
