"""Sounds for tests: 16 kHz tones as WAV files."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np

SAMPLE_RATE_HZ = 16_000


def write_tone(path: Path, *, frequency_hz: float, duration_s: float = 2.0) -> None:
    """A tone with a little noise; the file name need not be UTF-8."""
    time_s = np.arange(int(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    samples = 8000 * np.sin(2 * np.pi * frequency_hz * time_s)
    samples += 300 * np.random.default_rng(0).normal(size=len(time_s))
    raw = io.BytesIO()
    with wave.open(raw, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())
    path.write_bytes(raw.getvalue())


def write_tones(folder: Path) -> Path:
    """Six short sounds, an octave apart, and one of 22 s, which has several segments; the folder."""
    for number in range(6):
        write_tone(folder / f"tone{number}.wav", frequency_hz=150.0 * 2**number)
    write_tone(folder / "long.wav", frequency_hz=440.0, duration_s=22.0)
    return folder
