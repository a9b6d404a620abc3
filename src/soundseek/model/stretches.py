"""The score of a segment: what the whole says of a query, and for the larger part what its best two seconds say.

The mean over ten seconds buries a bark that lasts one. The best of many stretches is high by chance, though, so the
more there are, the more is taken off; with that, whole clips of all lengths are found as well as by their mean alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from soundseek._typing import AnyFloatArray, FloatArray
from soundseek._vectors import unit_rows

STRETCH_S, STRETCH_HOP_S = 2.0, 1.0
CONTEXT_S = 10.0  # as long as a segment
STRETCH_WEIGHT = 0.6
# Off the score of the best stretch for each factor e in their number; chosen on validation, as the weight is.
STRETCH_COST = 0.05
# How much the parts of a sentence count, and how softly the least of them is taken; chosen on validation too.
PARTS_WEIGHT, PARTS_SOFTNESS = 0.6, 0.03
_AT_ONCE = 64  # segments: four megabytes of frames


def blended(means: AnyFloatArray, stretches: AnyFloatArray, num_stretches: int) -> AnyFloatArray:
    """Cosines of whole segments and of the best of their stretches -> the segments' scores."""
    fair = stretches - STRETCH_COST * np.log(num_stretches)
    mixed: AnyFloatArray = (1 - STRETCH_WEIGHT) * means + STRETCH_WEIGHT * fair
    return mixed


def segment_scores(
    segments: Sequence[AnyFloatArray], queries: AnyFloatArray, *, frame_s: Sequence[float]
) -> FloatArray:
    """`(segments, queries)` scores, -1 to 1.

    Args:
        segments: `(frames, dim)` of each segment, projected and not normalised.
        queries: `(queries, dim)`, unit norm.
        frame_s: Seconds from one frame to the next, of each segment.

    Example:
        >>> bark = np.repeat([[0.0, 1.0], [3.0, 0.0], [0.0, 1.0]], (4, 2, 4), axis=0)
        >>> round(float(segment_scores([bark], np.eye(2)[:1], frame_s=[1.0])[0, 0]), 2)
        0.77
    """
    scores = np.empty((len(segments), len(queries)), np.float32)
    alike: dict[tuple[int, float], list[int]] = defaultdict(list)
    for number, (frames, step_s) in enumerate(zip(segments, frame_s, strict=True)):
        alike[len(frames), step_s].append(number)
    wanted = np.ascontiguousarray(np.asarray(queries, np.float32).T)
    for (length, step_s), numbers in alike.items():
        pooling = _pooling(length, step_s)
        for at in range(0, len(numbers), _AT_ONCE):
            some = numbers[at : at + _AT_ONCE]
            rows = np.empty((len(some), *segments[some[0]].shape), np.float32)
            for row, number in zip(rows, some, strict=True):
                row[...] = segments[number]  # read from the disk and widened at once
            cosines = _cosines(pooling @ rows, wanted)  # (some, 1 + stretches, queries)
            scores[some] = blended(cosines[:, 0], cosines[:, 1:].max(axis=1), len(pooling) - 1)
    return scores


def best_stretches(
    segments: Sequence[AnyFloatArray], query: AnyFloatArray, *, frame_s: Sequence[float]
) -> FloatArray:
    """`(segments, dim)` the unit vector of each segment's best stretch for a query `(dim,)`.

    Args:
        segments: `(frames, dim)` of each segment, projected and not normalised.
        query: Unit norm.
        frame_s: Seconds from one frame to the next, of each segment.

    Example:
        >>> bark = np.repeat([[0.0, 1.0], [3.0, 0.0], [0.0, 1.0]], (4, 2, 4), axis=0)
        >>> best_stretches([bark, bark[:1]], np.eye(2)[0], frame_s=[1.0, 1.0]).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    best = np.empty((len(segments), len(query)), np.float32)
    for row, frames, step_s in zip(best, segments, frame_s, strict=True):
        # Sums up to each frame: an event may last for hours, and have thousands of stretches.
        sums = np.zeros((len(frames) + 1, len(query)))
        np.cumsum(frames, axis=0, dtype=np.float64, out=sums[1:])
        width = min(stretch_frames(step_s), len(frames))
        stretches = unit_rows((sums[width:] - sums[:-width]).astype(np.float32))
        row[...] = stretches[(stretches @ np.asarray(query, np.float32)).argmax()]
    return best


def scores_of_sentences(scores: FloatArray) -> FloatArray:
    """`(n,)` of the scores `(n, 1 + parts)` of a sentence and of the sounds that it names.

    Less than half counts what the sentence scores, the rest, about, the part that is least to be heard.

    Example:
        >>> scores_of_sentences(np.float32([[0.5], [0.4]])).tolist() == np.float32([0.5, 0.4]).tolist()
        True
        >>> both, one = scores_of_sentences(np.float32([[0.5, 0.4, 0.4], [0.5, 0.6, 0.1]]))
        >>> bool(both > one)
        True
    """
    whole = scores[:, 0]
    if scores.shape[1] == 1:
        return whole
    least = -PARTS_SOFTNESS * np.log(np.exp(-scores[:, 1:] / PARTS_SOFTNESS).mean(axis=1))
    joined: FloatArray = ((1 - PARTS_WEIGHT) * whole + PARTS_WEIGHT * least).astype(np.float32)
    return joined


def num_stretches(length: int, frame_s: float) -> int:
    """Stretches of so many frames, one beginning each second."""
    return len(_pooling(length, frame_s)) - 1


def stretch_frames(frame_s: float) -> int:
    """Frames of a stretch."""
    return max(1, round(STRETCH_S / frame_s))


def _pooling(length: int, frame_s: float) -> FloatArray:
    """`(1 + stretches, length)`: what turns frames into the mean of all, and into the means of the stretches."""
    width = min(stretch_frames(frame_s), length)
    hop = max(1, round(STRETCH_HOP_S / frame_s))
    starts = [*range(0, length - width, hop), length - width]
    pooling = np.zeros((1 + len(starts), length), np.float32)
    pooling[0] = 1 / length
    for row, start in enumerate(starts, 1):
        pooling[row, start : start + width] = 1 / width
    return pooling


def _cosines(vectors: FloatArray, wanted: FloatArray) -> FloatArray:
    """`(..., queries)` of vectors `(..., dim)` and unit queries `(dim, queries)`."""
    norms = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))[..., None]
    cosines: FloatArray = np.clip(vectors @ wanted / np.maximum(norms, 1e-12), -1.0, 1.0)
    return cosines
