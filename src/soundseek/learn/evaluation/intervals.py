"""How sure a mean over queries is: jackknife, bootstrap, and the paired bootstrap between two systems."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._typing import DoubleArray
from soundseek.errors import UsageError

_Z95 = 1.959963984540054  # the normal distribution's 97.5 % point
_BLOCK_DRAWS = 1 << 20


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval `[low, high]`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """System a minus system b on the same queries.

    Attributes:
        difference: Mean difference with its 95 % interval.
        p_value: How often chance alone would give a difference at least this large, two-sided.
    """

    difference: Interval
    p_value: float

    @property
    def significant(self) -> bool:
        """True where `p_value` lies below 5 %."""
        return self.p_value < 0.05


def jackknife_interval(per_query: npt.ArrayLike) -> Interval:
    """Mean of `(queries,)` values in [0, 1] with the jackknife's interval, as the DCASE challenge reports it.

    With the leave-one-out means `m_i` and their mean `m`: `SE = sqrt((n - 1) / n * sum((m_i - m)^2))` and the
    interval is `mean -+ 1.95996 SE`; as in the challenge it is not cut at 0 and 1. One query alone says
    nothing: `[0, 1]`.

    >>> jackknife_interval([0.0, 1.0, 1.0, 0.0]).value
    0.5
    """
    values = _checked(per_query)
    num = len(values)
    mean = float(values.mean())
    if num == 1:
        return Interval(mean, 0.0, 1.0)
    left_out = (values.sum() - values) / (num - 1)
    error = math.sqrt((num - 1) / num * float(np.square(left_out - left_out.mean()).sum()))
    return Interval(mean, mean - _Z95 * error, mean + _Z95 * error)


def median_interval(values: npt.ArrayLike) -> Interval:
    """Median of `(queries,)` values with the order statistics that hold it in 95 % of samples.

    The jackknife fails for a median; the places `n/2 -+ 1.95996 sqrt(n)/2` of the sorted values do not.
    """
    ordered = np.sort(_checked(values))
    half_width = _Z95 * math.sqrt(len(ordered)) / 2
    low = max(0, math.floor(len(ordered) / 2 - half_width) - 1)
    high = min(len(ordered) - 1, math.ceil(len(ordered) / 2 + half_width))
    return Interval(float(np.median(ordered)), float(ordered[low]), float(ordered[high]))


def bootstrap_interval(
    per_query: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    groups: npt.ArrayLike | None = None,
    num_resamples: int = 2000,
) -> Interval:
    """Mean of `(queries,)` values with the percentile bootstrap's interval.

    Args:
        per_query: One value a query.
        generator: Where the draws come from.
        groups: `(queries,)` labels of what is drawn together, such as the clip of a caption: five captions of
            one clip are not five independent queries, and drawing them alone makes the interval too narrow.
            None draws queries.
        num_resamples: Draws.
    """
    values = _checked(per_query)
    means = _resampled_means(values, generator, groups, num_resamples)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(
    per_query_a: npt.ArrayLike,
    per_query_b: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    groups: npt.ArrayLike | None = None,
    num_resamples: int = 2000,
) -> PairedDifference:
    """Whether system a differs from system b, from their `(queries,)` values on the same queries.

    The p-value is the share of draws whose difference, shifted to mean 0, is at least as large as the one
    seen (with one draw added to both counts, so that it is never 0).

    Raises:
        UsageError: Different numbers of queries.
    """
    a, b = _checked(per_query_a), _checked(per_query_b)
    if len(a) != len(b):
        raise UsageError(f"two systems are compared on the same queries, got {len(a)} and {len(b)}")
    seen = float((a - b).mean())
    means = _resampled_means(a - b, generator, groups, num_resamples)
    low, high = np.quantile(means, [0.025, 0.975])
    as_large = int(np.count_nonzero(np.abs(means - seen) >= abs(seen) - 1e-12))
    return PairedDifference(Interval(seen, float(low), float(high)), (1 + as_large) / (1 + num_resamples))


def _resampled_means(
    values: DoubleArray, generator: np.random.Generator, groups: npt.ArrayLike | None, num_resamples: int
) -> DoubleArray:
    """`(num_resamples,)` means of draws with replacement, of whole groups."""
    labels = np.arange(len(values)) if groups is None else np.asarray(groups)
    if labels.shape != values.shape:
        raise UsageError(f"groups need one label a query: {values.shape}, got {labels.shape}")
    _, group = np.unique(labels, return_inverse=True)
    sums, sizes = np.bincount(group, weights=values), np.bincount(group)
    means: list[npt.NDArray[Any]] = []
    block = max(1, _BLOCK_DRAWS // len(sums))
    for start in range(0, num_resamples, block):
        draw = generator.integers(len(sums), size=(min(block, num_resamples - start), len(sums)))
        means.append(sums[draw].sum(axis=1) / sizes[draw].sum(axis=1))
    return np.concatenate(means)


def _checked(per_query: npt.ArrayLike) -> DoubleArray:
    values = np.asarray(per_query, np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise UsageError(f"an interval needs finite values, one a query, got the shape {values.shape}")
    return values
