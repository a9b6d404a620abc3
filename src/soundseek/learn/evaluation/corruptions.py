"""What happens to sounds on their way to a library: pure functions of a waveform, its rate and a generator, and files.

They are written apart from `soundseek.learn.data.mixing.degrade`, which a recipe may train with, so that a mistake
there does not hide itself here. Codecs are measured through real files: WAV in 32-bit floats, and mp3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from soundseek._typing import FloatArray
from soundseek.errors import UsageError

MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

# libsndfile maps its "compression level" 0 ... 1 linearly to kbit/s between these, by the rate (MPEG-1, -2, -2.5).
_KBPS = {32000: (320, 32), 16000: (160, 8), 8000: (64, 8)}
_MOST_COMPRESSION = 0.999  # it refuses 1.0


def write_wav(path: Path, waveform: FloatArray, sample_rate_hz: int) -> None:
    """Write `(samples,)` as 32-bit floats: nothing is rounded, and nothing above full scale is cut."""
    soundfile.write(path, waveform.astype(np.float32), sample_rate_hz, format="WAV", subtype="FLOAT")


def write_mp3(path: Path, waveform: FloatArray, sample_rate_hz: int, *, kbps: int) -> None:
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


Change: TypeAlias = Callable[[FloatArray, int, np.random.Generator], "tuple[FloatArray, int]"]
"""`(samples,)` and its rate in Hz -> the changed `(samples,)` and the rate it is to be played at."""
Write: TypeAlias = Callable[[Path, FloatArray, int], None]

REVERBERATION_S = 0.8  # a hall or a tiled staircase; a furnished room has 0.3 to 0.5
MP3_KBPS = 32


@dataclass(frozen=True)
class Degradation:
    """One column of what may happen to a sound.

    Attributes:
        name: What the table calls it.
        says: What is done, for the reader of the table.
        change: The waveform's change.
        write: How the changed waveform becomes a file.
        suffix: Of that file.
    """

    name: str
    says: str
    change: Change
    write: Write = write_wav
    suffix: str = ".wav"


def quieter(level_db: float) -> Change:
    """Every sample by `level_db`."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        return waveform * np.float32(10 ** (level_db / 20)), rate_hz

    return change


def band_limited(cutoff_hz: float) -> Change:
    """Nothing above `cutoff_hz`: a brick wall in the spectrum of the whole clip."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        size = _fft_size(len(waveform))
        spectrum = np.fft.rfft(waveform, size)
        spectrum[np.fft.rfftfreq(size, 1 / rate_hz) > cutoff_hz] = 0
        return np.fft.irfft(spectrum, size)[: len(waveform)].astype(np.float32), rate_hz

    return change


def noisy(snr_db: float) -> Change:
    """White noise, its power `snr_db` below the clip's mean power."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        level = _rms(waveform) * 10 ** (-snr_db / 20)
        noise = generator.standard_normal(len(waveform), np.float32)
        return waveform + noise * np.float32(level / max(_rms(noise), 1e-12)), rate_hz

    return change


def clipped(over_db: float) -> Change:
    """Recorded `over_db` too hot: what is more than that below the peak's level is cut off; the peak stays."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        peak = float(np.abs(waveform).max(initial=0))
        driven = waveform * np.float32(10 ** (over_db / 20))
        return np.clip(driven, -peak, peak), rate_hz

    return change


def reverberated(decay_s: float) -> Change:
    """In a room: the sound and, as strong in all, noise that falls by 60 dB in `decay_s`; it rings on at the end."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        response = impulse_response(decay_s, rate_hz, generator)
        length = len(waveform) + len(response) - 1
        size = _fft_size(length)
        wet = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[:length]
        return (wet * (_rms(waveform) / max(_rms(wet[: len(waveform)]), 1e-12))).astype(np.float32), rate_hz

    return change


def impulse_response(decay_s: float, rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """`(samples,)`: 1, then Gaussian noise under an exponential that falls by 60 dB in `decay_s`, of energy 1."""
    length = max(2, round(decay_s * rate_hz))
    tail = generator.standard_normal(length - 1) * 10 ** (-3 * np.arange(1, length) / length)
    return np.concatenate([[1.0], tail / np.sqrt(np.sum(tail**2))]).astype(np.float32)


def first_seconds(seconds: float) -> Change:
    """Only the beginning; a shorter clip is whole."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        return waveform[: round(seconds * rate_hz)], rate_hz

    return change


def last_seconds(seconds: float) -> Change:
    """Only the end; a shorter clip is whole."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        return waveform[-round(seconds * rate_hz) :], rate_hz

    return change


def played_at(speed: float) -> Change:
    """As a tape at another speed, pitch and all: the same samples, said to be of another rate."""

    def change(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
        return waveform, round(rate_hz * speed)

    return change


def unchanged(waveform: FloatArray, rate_hz: int, generator: np.random.Generator) -> tuple[FloatArray, int]:
    """As it is."""
    return waveform, rate_hz


def _mp3(path: Path, waveform: FloatArray, rate_hz: int) -> None:
    write_mp3(path, waveform, rate_hz, kbps=MP3_KBPS)


DEGRADATIONS = (
    Degradation("-30 dB", "every sample 30 dB quieter", quieter(-30)),
    Degradation("up to 8 kHz", "nothing above 8 kHz", band_limited(8000)),
    Degradation("up to 4 kHz", "nothing above 4 kHz, as on a telephone", band_limited(4000)),
    Degradation(f"mp3, {MP3_KBPS} kbit/s", "encoded by LAME, constant bit rate", unchanged, _mp3, ".mp3"),
    Degradation("noise, 10 dB SNR", "white noise, its power 10 dB below the clip's", noisy(10)),
    Degradation("clipped by 12 dB", "12 dB too hot, cut off at its old peak", clipped(12)),
    Degradation(
        "reverberated",
        f"convolved with an impulse and, of the same energy, noise that falls by 60 dB in {REVERBERATION_S} s; "
        "another one for each clip",
        reverberated(REVERBERATION_S),
    ),
    Degradation("first 2 s", "the first two seconds only", first_seconds(2)),
    Degradation("last 2 s", "the last two seconds only", last_seconds(2)),
    Degradation("speed 0.9", "played slower, and so lower", played_at(0.9)),
    Degradation("speed 1.1", "played faster, and so higher", played_at(1.1)),
)


def _rms(waveform: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) if len(waveform) else 0.0


def _fft_size(length: int) -> int:
    return 1 << max(0, length - 1).bit_length()
