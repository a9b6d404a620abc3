"""Words, example sounds and negatives -> one unit vector."""

from __future__ import annotations

import numpy as np

from soundseek.errors import QueryError
from soundseek.library.store.base import FloatArray

# How much a negative counts. Below 1, so that a sound which has what was asked for and a little of what was
# not still beats one that has neither; at 0.5 the query always keeps most of its own direction.
NEGATIVE_WEIGHT = 0.5


def combine(positives: FloatArray, negatives: FloatArray) -> FloatArray:
    """The direction that a query looks in: `unit(unit(sum(positives)) - 0.5 * unit(sum(negatives)))`.

    It stays one vector, so the score of a segment stays the mean of its frames' scores, with negatives too:
    for a unit vector x the score is `(p·x - 0.5 n·x) / |p - 0.5 n|`, p and n being the two unit sums.

    Args:
        positives: `(n, dim)` unit vectors of words and example sounds; each counts the same.
        negatives: `(m, dim)` unit vectors of what the sounds should not be like; m may be 0.

    Returns:
        `(dim,)` float32, unit norm.

    Raises:
        QueryError: There is no positive, or they cancel each other out.

    Example:
        >>> [f"{x:.3f}" for x in combine(np.eye(3)[:1], np.eye(3)[1:2])]
        ['0.894', '-0.447', '0.000']
    """
    if not len(positives):
        raise QueryError("nothing to look for; say it in words or give an example sound (--like FILE)")
    wanted = _unit(positives.sum(axis=0))
    if wanted is None:
        raise QueryError(
            "the words and examples of this query cancel each other out; ask for them one by one"
        )
    unwanted = _unit(negatives.sum(axis=0)) if len(negatives) else None
    if unwanted is None:
        return wanted
    # |p| = 1 and |0.5 n| = 0.5, so the difference is never shorter than 0.5.
    difference = wanted - NEGATIVE_WEIGHT * unwanted
    combined: FloatArray = (difference / np.linalg.norm(difference)).astype(np.float32)
    return combined


def _unit(vector: FloatArray) -> FloatArray | None:
    norm = float(np.linalg.norm(vector))
    if norm < 1e-6:
        return None
    scaled: FloatArray = (vector / norm).astype(np.float32)
    return scaled
