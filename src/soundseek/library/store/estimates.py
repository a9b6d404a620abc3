"""What the inner products of a query with all vectors are about, quickly, each with a bound on its error.

A process that searches once reads the vectors as they lie on the disk. One that searches again makes a copy of them in
8 bits, in memory, which is read at a fourth of the cost. `exact.py` multiplies again what may be among the best.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._typing import AnyFloatArray, FloatArray

CODED_ROWS = 1 << 21
"""A library of more rows has no copy: it would take a gigabyte and more."""

_ASKED_BEFORE = 6  # a search asks more than once where a query has several meanings
_ROWS_A_CHUNK = 1 << 14
_ROWS_AT_ONCE = 256  # half a megabyte in float32, which the processor keeps near
_LEVELS = 127
_LONGEST = 1.001  # a unit vector in float16
# Rounding in float32 of a sum of products, which are at most 1 together.
_SLACK = 5e-6


@dataclass(frozen=True, eq=False)
class Estimates:
    """What the inner products of all rows with a query are about.

    Attributes:
        products: `(rows,)` float32.
        margins: `(rows,)` float32, or one number: no product is farther from its estimate.
    """

    products: FloatArray
    margins: FloatArray | float


def half_estimates(vectors: AnyFloatArray, query: AnyFloatArray) -> Estimates:
    """Estimates from the vectors themselves, which see the query in float16.

    Args:
        vectors: `(rows, dim)` float16; may be a memory map, which is not copied.
        query: `(dim,)`.
    """
    import numkong

    half = query.astype(np.float16)
    products = np.asarray(numkong.cdist(vectors, half[None], "dot")).reshape(-1)
    left = float(np.linalg.norm(query - half.astype(np.float32)))
    return Estimates(products.astype(np.float32), left * _LONGEST + _SLACK)


@dataclass(frozen=True, eq=False)
class CodedQuery:
    """A query in two steps of 8 bits, which cost no more than one: what is left is near nothing.

    Attributes:
        packed: numkong's, of `(2, dim)`.
        steps: `(2,)` what one step of each stands for.
        known: `(dim,)` what both mean.
    """

    packed: Any
    steps: FloatArray
    known: FloatArray

    @classmethod
    def of(cls, query: FloatArray) -> CodedQuery:
        """A query `(dim,)` float32."""
        import numkong

        coarse, coarse_step = _coded(query)
        fine, fine_step = _coded(query - coarse * coarse_step)
        known = np.asarray(coarse * coarse_step + fine * fine_step, np.float32)
        steps = np.array([coarse_step, fine_step], np.float32)
        return cls(numkong.dots_pack(np.stack([coarse, fine])), steps, known)

    def products(self, codes: npt.NDArray[np.int8]) -> FloatArray:
        """`(rows,)` inner products with codes `(rows, dim)`."""
        import numkong

        # (rows, 2) whole numbers, which float32 holds exactly up to a width of 1040.
        whole = np.asarray(numkong.dots_packed(codes, self.packed))
        products: FloatArray = whole.astype(np.float32) @ self.steps
        return products


class VectorCodes:
    """A copy in 8 bits of a generation's vectors; threads may share one.

    Each row keeps how far its codes are from it. Rows are appended only, so codes stay true while a library grows.

    Attributes:
        num_rows: So many of the first rows have codes.
    """

    def __init__(self) -> None:
        self._growing = threading.Lock()
        self._chunks: list[_Chunk] = []
        self._num_asked = 0
        self.num_rows = 0

    def are_of(self, vectors: AnyFloatArray) -> bool:
        """Whether these rows have codes; if not, they get them in a thread, while the search goes on without.

        A process that searches only a few times is done before they were made, so the first searches do not begin it.

        Args:
            vectors: `(rows, dim)` float16: those that were given before, and more.
        """
        if len(vectors) > CODED_ROWS:
            return False
        self._num_asked += 1
        if self.num_rows < len(vectors) and self._num_asked > _ASKED_BEFORE:
            threading.Thread(target=self.make, args=[vectors], daemon=True).start()
        return self.num_rows >= len(vectors)

    def make(self, vectors: AnyFloatArray) -> None:
        """Make the codes of those rows that have none, unless another thread does."""
        if not self._growing.acquire(blocking=False):
            return
        try:
            while self.num_rows < len(vectors):
                at = self.num_rows % _ROWS_A_CHUNK
                if at == 0:
                    self._chunks.append(_Chunk(vectors.shape[1]))
                count = min(_ROWS_AT_ONCE, _ROWS_A_CHUNK - at, len(vectors) - self.num_rows)
                self._chunks[-1].put(at, vectors[self.num_rows : self.num_rows + count])
                self.num_rows += count
        finally:
            self._growing.release()

    def estimates(self, query: AnyFloatArray, num_rows: int) -> Estimates:
        """Estimates of the first rows.

        Args:
            query: `(dim,)`.
            num_rows: At most as many as have codes.
        """
        wide = query.astype(np.float32)
        coded = CodedQuery.of(wide)
        length, left = float(np.linalg.norm(coded.known)), float(np.linalg.norm(wide - coded.known))
        products, margins = np.empty(num_rows, np.float32), np.empty(num_rows, np.float32)
        for chunk, at in zip(self._chunks, range(0, num_rows, _ROWS_A_CHUNK), strict=False):
            here = slice(at, min(at + _ROWS_A_CHUNK, num_rows))
            some = slice(0, here.stop - at)
            np.multiply(coded.products(chunk.codes[some]), chunk.steps[some], out=products[here])
            # |q·x - k·y| <= |k| |x - y| + |q - k| |x|, k and y being what the codes of query and row mean.
            np.multiply(chunk.errors[some], length, out=margins[here])
        margins += left * _LONGEST + _SLACK
        return Estimates(products, margins)


class _Chunk:
    """Room for the codes of `_ROWS_A_CHUNK` rows: those that are put there behind others change none of these.

    Attributes:
        codes: `(rows, dim)`.
        steps: `(rows,)` what one step of a row's codes stands for.
        errors: `(rows,)` the length of the difference between a row and what its codes mean.
    """

    def __init__(self, dim: int) -> None:
        self.codes = np.empty((_ROWS_A_CHUNK, dim), np.int8)
        self.steps = np.empty(_ROWS_A_CHUNK, np.float32)
        self.errors = np.empty(_ROWS_A_CHUNK, np.float32)

    def put(self, at: int, vectors: AnyFloatArray) -> None:
        some = slice(at, at + len(vectors))
        rows = vectors.astype(np.float32)
        steps = np.maximum(np.maximum(rows.max(axis=1), -rows.min(axis=1)) / _LEVELS, np.float32(1e-12))
        codes = np.rint(rows / steps[:, None])
        self.codes[some] = codes
        codes *= steps[:, None]
        codes -= rows
        self.errors[some] = np.sqrt(np.einsum("rd,rd->r", codes, codes))
        self.steps[some] = steps


def _coded(query: FloatArray) -> tuple[npt.NDArray[np.int8], np.float32]:
    """A query `(dim,)` in 8 bits, and what one step stands for."""
    step = np.float32(max(float(np.abs(query).max()) / _LEVELS, 1e-12))
    return np.rint(query / step).astype(np.int8), step
