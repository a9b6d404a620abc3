"""Vectors of norm 1, in which a dot product is a cosine."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from soundseek._typing import AnyFloatArray

Vectors = TypeVar("Vectors", bound=AnyFloatArray)


def unit_rows(vectors: Vectors) -> Vectors:
    """Rows `(n, dim)` scaled to norm 1, in their own precision; a row of zeros stays zero.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (vectors / norms).astype(vectors.dtype)  # type: ignore[no-any-return]
