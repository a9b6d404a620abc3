"""A query and some marks, right or wrong -> a better query: a small linear classifier that begins at the query.

Logistic regression on the marked sounds' unit vectors, whose weights are drawn to the query instead of to zero: without
a mark it is the query, and marks turn it as far as the words fail to tell right from wrong.
Some sounds of the library count a little as wrong, so that marks which are all right do not merely find what is common.
Where all marks are wrong there is nothing to tell them from, and the query turns away from them a little.
Only a direction is learned: a score stays the mean of its frames' scores, and moments stay exact. The numbers below
are measured (benchmarks/marks.py).
"""

from __future__ import annotations

import numpy as np

from soundseek._typing import AnyFloatArray, FloatArray
from soundseek.errors import QueryError

# How far a cosine reaches on the scale of the classifier: vectors of sounds differ by some tenths.
SCALE = 16.0
# How strongly the weights are drawn to the query, for each mark: ten marks should not forget the words.
PULL = 0.01
# What all sounds of the background weigh together, in marks.
BACKGROUND_WEIGHT = 2.0
NUM_BACKGROUND = 128
# How far a query turns away from marks that are all wrong: farther, and it loses what is right beside them.
AWAY = 0.1
_MOST_STEPS = 30
_ENOUGH = 1e-6


def taught_direction(
    query: AnyFloatArray | None,
    right: AnyFloatArray,
    wrong: AnyFloatArray,
    background: AnyFloatArray,
    *,
    weight: float = 1.0,
) -> FloatArray:
    """The direction `(dim,)`, of unit norm, that a query takes after some marks.

    Of n marks it minimises `n PULL / 2 |w - SCALE q|^2 + sum_i c_i log(1 + exp(-y_i (w·x_i + b)))` over `w` and `b`,
    where `y_i` is 1 of a right mark and -1 of a wrong one. All right marks together weigh as much as all wrong ones, so
    that one right hit among nine wrong ones is heard. Where none is right it is `query - AWAY unit(sum(wrong))`.

    Args:
        query: `(dim,)` unit norm; None where there is none, so that the marks alone decide.
        right: `(n, dim)` unit vectors of what is right.
        wrong: `(m, dim)` of what is wrong.
        background: `(b, dim)` of sounds of the library, whatever they are.
        weight: How much the marks count beside the query, 0 to 4; 0 leaves the query.

    Raises:
        QueryError: There is neither a query nor a right mark.

    Example:
        >>> axes = np.eye(3)
        >>> [f"{x:.2f}" for x in taught_direction(axes[0], axes[1:2], axes[2:], axes[:0])]
        ['0.97', '0.17', '-0.17']
    """
    if query is None and not len(right):
        raise QueryError(
            "nothing to look for: only wrong marks, and no words; mark a sound that is right, or say it in words"
        )
    if query is not None and len(wrong) and not len(right):
        return _unit_direction(query - weight * AWAY * _unit_direction(wrong.sum(axis=0)))
    dim = (right if query is None else np.atleast_2d(query)).shape[1]
    start = np.zeros(dim) if query is None else SCALE * np.asarray(query, np.float64)
    sounds = np.concatenate(
        [np.asarray(each, np.float64).reshape(-1, dim) for each in (right, wrong, background)]
    )
    signs = np.concatenate([np.ones(len(right)), -np.ones(len(wrong) + len(background))])
    num = len(right) + len(wrong)
    costs = np.repeat(
        weight
        * np.array(
            [
                num / 2 / max(len(right), 1),
                num / 2 / max(len(wrong), 1),
                BACKGROUND_WEIGHT / max(len(background), 1),
            ]
        ),
        [len(right), len(wrong), len(background)],
    )
    if not weight or not num or len(np.unique(signs)) < 2:  # nothing to tell apart
        return _unit_direction(start if query is not None else right.sum(axis=0))
    return _unit_direction(start + sounds.T @ _coefficients(sounds, signs, costs, sounds @ start, num * PULL))


def _coefficients(
    sounds: AnyFloatArray, signs: AnyFloatArray, costs: AnyFloatArray, begun: AnyFloatArray, pull: float
) -> AnyFloatArray:
    """`(n,)` how much of each sound the best weights have beside their start, by Newton's method.

    The weights lie in the span of the sounds, so the unknowns are as many as the sounds are, not as the dimensions.
    """
    kernel = sounds @ sounds.T
    num = len(sounds)
    coefficients, offset = np.zeros(num), -float(np.average(begun, weights=costs))
    for _ in range(_MOST_STEPS):
        margins = signs * (begun + kernel @ coefficients + offset)
        doubt = 1.0 / (1.0 + np.exp(np.clip(margins, -30.0, 30.0)))
        pushes = costs * signs * doubt  # minus the gradient with respect to each score
        curvature = np.maximum(costs * doubt * (1.0 - doubt), 1e-9)
        # Newton's step of pull a = pushes, sum(pushes) = 0, of which the unknowns are a and b.
        system = np.zeros((num + 1, num + 1))
        system[:num, :num] = kernel + pull * np.diag(1.0 / curvature)
        system[:num, num] = system[num, :num] = 1.0
        target = np.concatenate([(pushes - pull * coefficients) / curvature, [0.0]])
        # The sum of pull a is that of the pushes, which is 0 at the optimum, for b is free.
        target[num] = -float(coefficients.sum())
        change = np.linalg.solve(system, target)
        # Both parts of the step, at most a length at which the logistic is still nearly what Newton takes it for.
        reach = max(1.0, float(np.abs(kernel @ change[:num] + change[num]).max()) / 4.0)
        coefficients = coefficients + change[:num] / reach
        offset += float(change[num]) / reach
        if float(np.abs(change[:num]).max()) < _ENOUGH:
            break
    return coefficients


def _unit_direction(vector: AnyFloatArray) -> FloatArray:
    norm = float(np.linalg.norm(vector))
    if norm < 1e-9:
        raise QueryError("the marks and the query cancel each other out; mark more sounds, or fewer")
    return (vector / norm).astype(np.float32)
