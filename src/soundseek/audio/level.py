"""Waveform -> the same at one level, in pieces: how loud a recording was made says little of what it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from soundseek._typing import FloatArray

# What is heard depends on these: whoever changes one gives LEVEL_REVISION the next number.
BLOCK_S = 10
AHEAD_BLOCKS = 6
MAX_GAIN_DB = 40.0  # with 60 the dither of a silent recording is found as "loud white noise"
LEVEL_REVISION = 1


class Leveller:
    """Push blocks of waveform `(samples,)`, get what is ready, raised or lowered to a peak; `flush` gives the rest.

    Up to a minute, which is nearly every sound effect, the whole waveform has one gain, by its peak. A longer one is
    cut into blocks of ten seconds; the gain of a block is that of the loudest sample from the start to a minute ahead,
    so that it only ever falls, and falls long before the sound that makes it fall; where it falls, between two blocks,
    is a step, which one or two frames hear. Nothing depends on how the waveform is cut when it is pushed.

    Args:
        peak_dbfs: The peak that is aimed at, in dB of full scale.
        sample_rate_hz: Of the waveform.
    """

    def __init__(self, peak_dbfs: float, sample_rate_hz: int) -> None:
        self._target = 10 ** (peak_dbfs / 20)
        self._length = BLOCK_S * sample_rate_hz
        self._waiting: deque[FloatArray] = deque()
        self._rest: FloatArray = np.empty(0, np.float32)
        self._peak = 0.0

    def push(self, block: FloatArray) -> FloatArray:
        """The blocks that a minute is known behind; may be none."""
        self._rest = np.concatenate([self._rest, np.asarray(block, np.float32)])
        ready = [np.empty(0, np.float32)]
        while len(self._rest) >= self._length:
            self._take(self._rest[: self._length])
            self._rest = self._rest[self._length :]
            if len(self._waiting) > AHEAD_BLOCKS:
                ready.append(self._levelled(self._waiting.popleft()))
        return np.concatenate(ready)

    def flush(self) -> Iterator[FloatArray]:
        """All that is left, by the peak of the whole waveform; in blocks, as a minute at once would take memory."""
        if len(self._rest):
            self._take(self._rest)
            self._rest = self._rest[:0]
        while self._waiting:
            yield self._levelled(self._waiting.popleft())

    def _take(self, block: FloatArray) -> None:
        self._peak = max(self._peak, float(block.max()), -float(block.min()))
        self._waiting.append(block)

    def _levelled(self, block: FloatArray) -> FloatArray:
        if not self._peak:
            return block
        gain = min(self._target / self._peak, 10 ** (MAX_GAIN_DB / 20))
        levelled: FloatArray = block * np.float32(gain)
        return levelled
