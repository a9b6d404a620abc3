"""Which rows the last filters let pass, kept for as long as the library does not change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import numpy as np
import numpy.typing as npt

from soundseek._typing import BoolArray

MOST_BYTES = 16 << 20
"""A million segments are an eighth of a megabyte."""
MOST_MASKS = 64


class KeptMasks:
    """Masks of one version of a library by what they were made for, a bit a row; the last ones that were asked for.

    Threads may share it.

    Args:
        most_bytes: Of all masks together; one alone may be larger, and is then not kept.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: dict[Hashable, npt.NDArray[np.uint8]] = {}
        self._num_bytes = 0
        self._mutex = threading.Lock()

    def mask(self, key: Hashable, num_rows: int, make: Callable[[], BoolArray]) -> BoolArray:
        """`(num_rows,)` what `make` gives for a key, which is asked once; the caller may change it.

        >>> masks = KeptMasks()
        >>> masks.mask("even", 4, lambda: np.array([True, False, True, False])).tolist()
        [True, False, True, False]
        >>> masks.mask("even", 4, lambda: 1 / 0).tolist()
        [True, False, True, False]
        """
        with self._mutex:
            bits = self._kept.pop(key, None)
            if bits is not None:
                self._kept[key] = bits  # the last one asked for stands last
        if bits is not None:
            return np.unpackbits(bits, count=num_rows).view(np.bool_)
        made = make()
        self._keep(key, np.packbits(made))
        return made

    def _keep(self, key: Hashable, bits: npt.NDArray[np.uint8]) -> None:
        if bits.nbytes > self._most_bytes:
            return
        with self._mutex:
            before = self._kept.pop(key, None)  # another thread was faster
            self._num_bytes += bits.nbytes - (before.nbytes if before is not None else 0)
            self._kept[key] = bits
            while self._num_bytes > self._most_bytes or len(self._kept) > MOST_MASKS:
                self._num_bytes -= self._kept.pop(next(iter(self._kept))).nbytes
