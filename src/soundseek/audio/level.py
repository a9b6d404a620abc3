"""Waveform -> the same at one level, in pieces: how loud a recording was made says little of what it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from soundseek._typing import FloatArray

# Vectors depend on these: whoever changes one gives LEVEL_REVISION the next number.
BLOCK_S = 10
AHEAD_BLOCKS = BEHIND_BLOCKS = 6
MAX_GAIN_DB = 40.0  # with 60 the dither of a silent recording is found as "loud white noise"
LEVEL_REVISION = 2


class PeakNormaliser:
    """Push blocks of waveform `(samples,)`, get what is ready, raised or lowered to a peak; `flush` gives the rest.

    Up to a minute, which is nearly every sound effect, the whole waveform has one gain, by its peak. A longer one is
    cut into blocks of ten seconds; the gain of a block is that of the loudest sample from a minute before it to a
    minute behind it, so that a bang dulls its own minutes and not the hours around it. Where two blocks differ, the
    gain moves in decibels through half of the block that has more: never a step, and never above the peak. Nothing
    depends on how the waveform is cut when it is pushed.

    Args:
        peak_dbfs: The peak that is aimed at, in dB of full scale.
        sample_rate_hz: Of the waveform.
    """

    def __init__(self, peak_dbfs: float, sample_rate_hz: int) -> None:
        self._target = 10 ** (peak_dbfs / 20)
        self._length = BLOCK_S * sample_rate_hz
        self._waiting: deque[FloatArray] = deque()
        self._rest: FloatArray = np.empty(0, np.float32)
        self._peaks: list[float] = []  # one a block, from the first on
        self._next = 0  # number of the first block that waits

    def push(self, block: FloatArray) -> FloatArray:
        """The blocks behind which so much is known that their gains are; may be none."""
        block = np.asarray(block, np.float32)
        self._rest = np.concatenate([self._rest, block])  # a copy: the caller may fill its block anew
        ready = [np.empty(0, np.float32)]
        while len(self._rest) >= self._length:
            self._take(self._rest[: self._length])
            self._rest = self._rest[self._length :]
            if (
                len(self._waiting) > AHEAD_BLOCKS + 1
            ):  # one more: a block's end leads to the gain of the next one
                ready.append(self._normalised())
        return np.concatenate(ready)

    def flush(self) -> Iterator[FloatArray]:
        """All that is left; in blocks, as a minute at once would take memory."""
        if len(self._rest):
            self._take(self._rest)
            self._rest = self._rest[:0]
        while self._waiting:
            yield self._normalised()

    def _take(self, block: FloatArray) -> None:
        self._peaks.append(max(float(block.max()), -float(block.min())))
        self._waiting.append(block)

    def _normalised(self) -> FloatArray:
        block, number = self._waiting.popleft(), self._next
        self._next += 1
        gain = self._gain(number)
        first, last = min(self._gain(number - 1), gain), min(gain, self._gain(number + 1))
        if first == gain == last:
            scaled: FloatArray = block * np.float32(gain)
            return scaled
        half = self._length / 2
        at = np.arange(len(block)) / half  # 0 to 1 through the first half, to 2 through the second
        decibels = np.interp(at, [0, 1, 2], 20 * np.log10([first, gain, last]))
        moved: FloatArray = block * (10 ** (decibels / 20)).astype(np.float32)
        return moved

    def _gain(self, number: int) -> float:
        """The gain of a block; of one before the first or behind the last, that of its neighbour."""
        number = min(max(number, 0), len(self._peaks) - 1)
        peak = max(self._peaks[max(0, number - BEHIND_BLOCKS) : number + AHEAD_BLOCKS + 1])
        most = 10 ** (MAX_GAIN_DB / 20)
        return min(self._target / peak, most) if peak else most
