"""Samples that are in memory already, as a stream like a file's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek.audio.decode import AudioStream
from soundseek.errors import UsageError

_PIECE_S = 1.0


def open_array(
    waveform: npt.ArrayLike, rate_hz: int, *, sample_rate_hz: int, name: str = "array"
) -> AudioStream:
    """A stream of mono blocks of a waveform; the same checks as for a file.

    Args:
        waveform: `(samples,)` or `(samples, channels)`, floats in [-1, 1] or integers of full scale.
        rate_hz: Its sample rate.
        sample_rate_hz: Rate of the blocks.
        name: What messages call it.

    Raises:
        UsageError: Not one or two dimensions, no numbers, more channels than samples, or no positive whole rate.
    """
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, int | np.integer) or rate_hz <= 0:
        raise UsageError(f"{name}: a sample rate in Hz is a whole number above 0, not {rate_hz!r}")
    samples = np.asarray(waveform)
    if samples.dtype.kind not in "fiu":
        raise UsageError(f"{name}: samples are floats or integers, not {samples.dtype}")
    if samples.ndim in (1, 2) and not samples.size:
        raise UsageError(f"{name}: no samples, {samples.shape}; give at least 10 ms")
    if samples.ndim not in (1, 2):
        raise UsageError(f"{name}: give samples as (samples,) or (samples, channels), not {samples.shape}")
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        raise UsageError(
            f"{name}: {samples.shape} would be {samples.shape[1]} channels of {samples.shape[0]} samples; "
            "give (samples, channels), such as waveform.T"
        )
    return AudioStream(name, ArraySource(_full_scale(samples), int(rate_hz)), sample_rate_hz, float("inf"))


class ArraySource:
    """Pieces of samples `(frames, channels)` float32."""

    format = "ARRAY"

    def __init__(self, samples: FloatArray, rate_hz: int) -> None:
        self.sample_rate_hz, self.channels = rate_hz, samples.shape[1]
        self.declared_s: float | None = len(samples) / rate_hz
        self._samples = samples
        self._piece, self._at = max(1, round(_PIECE_S * rate_hz)), 0

    def read(self) -> FloatArray:
        """The next piece; an empty one at the end."""
        piece = self._samples[self._at : self._at + self._piece]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Nothing is open."""


def _full_scale(samples: npt.NDArray[np.generic]) -> FloatArray:
    """`(frames, channels)` float32; integers of any width become [-1, 1], unsigned ones around their middle."""
    wide = samples.reshape(len(samples), -1)
    if wide.dtype.kind == "f":
        return wide.astype(np.float32)
    half = 2.0 ** (8 * wide.dtype.itemsize - 1)
    middle = half if wide.dtype.kind == "u" else 0.0
    return ((wide.astype(np.float64) - middle) / half).astype(np.float32)
