"""Numbers over time as a chart of a few lines, drawn with letters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from soundseek.cli.output import BARS, clock


def chart(values: Sequence[float], start_s: float, end_s: float, *, width: int, height: int = 6) -> list[str]:
    """Lines of a chart: bars from the lowest value (or 0) up, the scale on the left, the time below.

    Args:
        values: In the order of time; more than there are columns are averaged, fewer are drawn wider.
        start_s: When the first begins.
        end_s: When the last one ends.
        width: Columns that the chart may take, with its scale.
        height: Lines of bars.

    Example:
        >>> for line in chart([0.0, 0.5, 1.0], 0, 3, width=17, height=2):
        ...     print(line)
         1.000 ┤      ███
         0.000 ┤   ██████
                0:00 0:03
    """
    low, high = min(0.0, *values), max(0.0, *values)
    labels = [f"{high:6.3f} ┤", *["       │"] * (height - 2), f"{low:6.3f} ┤"][-height:]
    columns = spread(values, max(1, width - len(labels[0])))
    span = (high - low) or 1.0
    eighths = [round((value - low) / span * height * len(BARS)) for value in columns]
    lines = []
    for row, label in zip(range(height - 1, -1, -1), labels, strict=True):
        filled = [min(len(BARS), max(0, each - row * len(BARS))) for each in eighths]
        lines.append((label + "".join(BARS[each - 1] if each else " " for each in filled)).rstrip())
    first, last = clock(round(start_s, 1)), clock(round(end_s, 1))
    gap = max(1, len(columns) - len(first) - len(last))
    return [*lines, " " * len(labels[0]) + first + " " * gap + last]


def spread(values: Sequence[float], columns: int) -> list[float]:
    """The values on at most so many columns: averaged if there are more, each as wide as the others if fewer.

    Example:
        >>> spread([1.0, 3.0, 5.0, 7.0], 2), spread([1.0, 2.0], 5)
        ([2.0, 6.0], [1.0, 1.0, 2.0, 2.0])
    """
    if len(values) <= columns:
        return [value for value in values for _ in range(columns // len(values))]
    bounds = [column * len(values) // columns for column in range(columns + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(bounds)]
