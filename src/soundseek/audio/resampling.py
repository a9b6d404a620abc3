"""Mono samples at one rate -> samples at another, by a low-pass filter that is a product of small matrices.

From 44,100 to 32,000 Hz 441 samples become 320. All that a resampler does with such a stretch and its neighbours is one
matrix, the same for each stretch. As products of matrices that takes 1.7 ms for ten seconds, where soxr takes 2.9 for
the same filter. Ratios as simple as 2 to 3 soxr computes as quickly, and others need matrices that are too large.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import soxr

from soundseek._typing import DoubleArray, FloatArray

# What soxr's "HQ" does: all that lies below this share of the lower Nyquist frequency stays, nothing above it does.
PASSED_SHARE = 0.913
_STOPPED_DB = 120.0
_GROUP = 32  # samples that come out of one product
# Multiplications in a product that OpenBLAS computes on one thread, whatever their number (see `LogMel`).
_ONE_THREAD = 1 << 18
# Elsewhere soxr is as quick: at simple ratios, where a sample depends on many, and where matrices leave the L2 cache.
_FEWEST_OUT, _MOST_INPUTS, _MOST_WEIGHTS = 64, 300, 1 << 17


class Resampler(Protocol):
    """A resampler of samples that come in pieces."""

    def push(self, samples: FloatArray) -> FloatArray:
        """What is ready of all samples `(samples,)` so far; may be none."""

    def flush(self) -> FloatArray:
        """The rest, at the end."""


def resampler(from_hz: int, to_hz: int) -> Resampler:
    """A resampler of one stream of mono samples.

    Args:
        from_hz: The rate of what is pushed.
        to_hz: The rate of what comes out: as many samples as last as long, rounded.
    """
    stretch = _stretch(from_hz, to_hz)
    return _BySoxr(from_hz, to_hz) if stretch is None else _ByMatrices(stretch)


class _BySoxr:
    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")

    def push(self, samples: FloatArray) -> FloatArray:
        ready: FloatArray = self._stream.resample_chunk(samples)
        return ready

    def flush(self) -> FloatArray:
        rest: FloatArray = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
        return rest


class _Stretch(NamedTuple):
    """A stretch of samples and what becomes of it.

    Attributes:
        num_in: Samples of a stretch.
        num_out: Samples that it becomes.
        reach: Samples before and behind a stretch that it depends on.
        groups: For each group of samples that come out their places, the first sample that they depend on, counted
            from `reach` samples before the stretch on, and the weights `(in, out)`.
        rows: Stretches in one product.
    """

    num_in: int
    num_out: int
    reach: int
    groups: list[tuple[slice, int, FloatArray]]
    rows: int


class _ByMatrices:
    """Products of whole numbers of stretches, from the beginning on: however a stream is cut, the same to the bit."""

    def __init__(self, stretch: _Stretch) -> None:
        self._stretch = stretch
        self._samples = np.zeros(stretch.reach, np.float32)  # from `reach` before the next stretch on
        self._num_in = self._num_out = 0

    def push(self, samples: FloatArray) -> FloatArray:
        self._num_in += len(samples)
        self._samples = np.concatenate([self._samples, samples])
        stretch = self._stretch
        whole = (len(self._samples) - 2 * stretch.reach) // stretch.num_in
        return self._resampled(max(0, whole) // stretch.rows)

    def flush(self) -> FloatArray:
        stretch = self._stretch
        left = math.floor(self._num_in * stretch.num_out / stretch.num_in + 0.5) - self._num_out
        products = -(-left // (stretch.num_out * stretch.rows))
        needed = products * stretch.rows * stretch.num_in + 2 * stretch.reach
        self._samples = np.pad(self._samples, (0, max(0, needed - len(self._samples))))
        return self._resampled(products)[:left]

    def _resampled(self, products: int) -> FloatArray:
        """What becomes of so many times `rows` stretches, which are then done with."""
        num_in, num_out, _, groups, rows = self._stretch
        out = np.empty((products, rows, num_out), np.float32)
        samples, size = self._samples, self._samples.itemsize
        strides = (rows * num_in * size, num_in * size, size)
        for places, first, weights in groups if products else ():
            # Neighbours share samples; BLAS reads them where they are.
            shape = (products, rows, len(weights))
            inputs: FloatArray = np.ndarray(shape, samples.dtype, samples, first * size, strides)
            np.matmul(inputs, weights, out=out[:, :, places])
        self._samples = samples[products * rows * num_in :].copy()  # the rest alone, which is short
        self._num_out += out.size
        return out.reshape(-1)


@lru_cache(maxsize=8)
def _stretch(from_hz: int, to_hz: int) -> _Stretch | None:
    """The matrices from one rate to another; None where soxr has less to do."""
    common = math.gcd(from_hz, to_hz)
    num_in, num_out = from_hz // common, to_hz // common
    lower_hz = min(from_hz, to_hz) / 2
    # Kaiser's formulae: from the width of the slope to the length of the window, from the depth to its shape.
    slope = (1 - PASSED_SHARE) * lower_hz * 2 * np.pi / from_hz
    reach = math.ceil((_STOPPED_DB - 8) / (2.285 * slope) / 2)
    inputs = math.ceil((_GROUP - 1) * from_hz / to_hz) + 2 * reach
    if num_out < _FEWEST_OUT or inputs > _MOST_INPUTS or inputs * num_out > _MOST_WEIGHTS:
        return None
    cutoff = (1 + PASSED_SHARE) / 2 * lower_hz * 2 / from_hz
    groups = []
    for start in range(0, num_out, _GROUP):
        end = min(num_out, start + _GROUP)
        at = np.arange(start, end) * (num_in / num_out)
        first, behind = math.floor(at[0]) - reach + 1, math.floor(at[-1]) + reach + 1
        away = np.arange(first, behind)[:, None] - at
        weights = cutoff * np.sinc(cutoff * away) * _kaiser(away / reach)
        weights /= weights.sum(axis=0)  # a constant stays what it is
        groups.append((slice(start, end), first + reach, weights.astype(np.float32)))
    most = max(weights.size for _, _, weights in groups)
    return _Stretch(num_in, num_out, reach, groups, max(1, _ONE_THREAD // most))


def _kaiser(at: DoubleArray) -> DoubleArray:
    """Kaiser's window, from -1 to 1; 0 beyond."""
    shape = 0.1102 * (_STOPPED_DB - 8.7)
    inside = np.sqrt(np.maximum(0, 1 - at**2))
    window: DoubleArray = np.where(np.abs(at) <= 1, np.i0(shape * inside) / np.i0(shape), 0)
    return window
