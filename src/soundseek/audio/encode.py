"""waveform -> file, for measurements that must go through a real file: WAV in 32-bit floats, and mp3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from soundseek.errors import UsageError

Float = npt.NDArray[np.float32]

MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

# libsndfile maps its "compression level" 0 ... 1 linearly to kbit/s between these, by the rate (MPEG-1, -2, -2.5).
_KBPS = {32000: (320, 32), 16000: (160, 8), 8000: (64, 8)}
_MOST_COMPRESSION = 0.999  # it refuses 1.0


def write_wav(path: Path, waveform: Float, sample_rate_hz: int) -> None:
    """Write `(samples,)` as 32-bit floats: nothing is rounded, and nothing above full scale is cut."""
    soundfile.write(path, waveform.astype(np.float32), sample_rate_hz, format="WAV", subtype="FLOAT")


def write_mp3(path: Path, waveform: Float, sample_rate_hz: int, *, kbps: int) -> None:
    """Write `(samples,)` as mp3 of a constant bit rate, by LAME inside libsndfile.

    Raises:
        UsageError: A sample rate or a bit rate that mp3 does not have, or a libsndfile without mp3.
    """
    if sample_rate_hz not in MP3_RATES_HZ:
        rates = ", ".join(map(str, MP3_RATES_HZ))
        raise UsageError(f"mp3 has no sample rate of {sample_rate_hz} Hz; it has {rates}")
    most, least = _KBPS[max(rate for rate in _KBPS if rate <= sample_rate_hz)]
    if not least <= kbps <= most:
        raise UsageError(f"mp3 at {sample_rate_hz} Hz has {least} to {most} kbit/s, not {kbps}")
    if "MP3" not in soundfile.available_formats():
        raise UsageError(
            "this libsndfile cannot write mp3; install soundfile's own wheel: pip install soundfile"
        )
    with soundfile.SoundFile(
        path,
        "w",
        samplerate=sample_rate_hz,
        channels=1,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=min(_MOST_COMPRESSION, (most - kbps) / (most - least)),
        bitrate_mode="CONSTANT",
    ) as file:
        file.write(waveform.astype(np.float32))
