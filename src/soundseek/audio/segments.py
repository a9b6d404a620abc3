"""A duration -> the overlapping windows that a long recording is searched by."""

from __future__ import annotations

import math
from dataclasses import dataclass

from soundseek.errors import UsageError

SEGMENT_S, HOP_S = 10.0, 5.0
"""Of the segments that a library is searched by."""
WINDOW_S, WINDOW_HOP_S = 2.0, 1.0
"""Of the short windows that stand for frames where a model has none whose mean is its segment's vector."""


@dataclass(frozen=True)
class Segment:
    """A window of a recording, in seconds from its beginning."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Length of the window in seconds."""
        return self.end_s - self.start_s


def plan_segments(duration_s: float, *, length_s: float = 10.0, hop_s: float = 5.0) -> list[Segment]:
    """Windows in order of time that cover a recording from its first sample to its last.

    A recording no longer than `length_s` is one window. In a longer one every window is `length_s` long and
    starts `hop_s` after the one before, but the last: it ends where the recording ends, so its step is half a
    hop to one and a half. A smaller step would repeat nearly all of the window before it.

    Args:
        duration_s: Length of the recording.
        length_s: Length of a window.
        hop_s: Seconds from one window to the next; at most `length_s`, or sound would fall between two.

    Raises:
        UsageError: A length that is not above 0, or a hop longer than the window.

    Example:
        >>> [(s.start_s, s.end_s) for s in plan_segments(22.0)]
        [(0.0, 10.0), (5.0, 15.0), (12.0, 22.0)]
    """
    if not (0 < duration_s < math.inf and 0 < hop_s <= length_s < math.inf):
        raise UsageError(
            f"no segments for duration_s={duration_s}, length_s={length_s}, hop_s={hop_s}: "
            "all must be above 0, and hop_s at most length_s"
        )
    if duration_s <= length_s:
        return [Segment(0.0, duration_s)]
    # The last step may exceed the hop by half of it, but never leave a gap between two windows.
    slack = min(0.5, length_s / hop_s - 1)
    num_steps = max(1, math.ceil((duration_s - length_s) / hop_s - slack))
    starts = [step * hop_s for step in range(num_steps)]
    segments = [Segment(start_s, start_s + length_s) for start_s in starts]
    return [*segments, Segment(duration_s - length_s, duration_s)]


def plan_windows(duration_s: float) -> list[Segment]:
    """The short windows of a recording, `WINDOW_S` every `WINDOW_HOP_S`, in order of time; none of an empty one.

    Example:
        >>> [(w.start_s, w.end_s) for w in plan_windows(4.5)]
        [(0.0, 2.0), (1.0, 3.0), (2.5, 4.5)]
    """
    return plan_segments(duration_s, length_s=WINDOW_S, hop_s=WINDOW_HOP_S) if duration_s > 0 else []
