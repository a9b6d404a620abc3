"""Types that pass between rooms: arrays, whose shapes are said where they are made, and reports of progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
HalfArray = npt.NDArray[np.float16]
DoubleArray = npt.NDArray[np.float64]
AnyFloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.int64]
AnyIntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
StrArray = npt.NDArray[np.str_]
AnyArray = npt.NDArray[Any]

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0 if not known)."""
