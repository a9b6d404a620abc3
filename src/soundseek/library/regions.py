"""The vector of any part of a sound, out of the frames that its segments have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from soundseek._typing import AnyFloatArray, AnyIntArray, FloatArray
from soundseek.errors import QueryError

if TYPE_CHECKING:
    from soundseek.library.store.base import EmbeddedSound


@dataclass(frozen=True, eq=False)
class Embedded:
    """All that a model made of one sound: of a file of the library, or of an upload.

    Attributes:
        times_s: `(segments, 2)`.
        frames: `(frames, dim)`, not normalised.
        spans: `(segments, 2)` the frames of each segment.
        frame_s: Seconds from one frame to the next.
        duration_s: Length of the sound.
    """

    times_s: AnyFloatArray
    frames: AnyFloatArray
    spans: AnyIntArray
    frame_s: float
    duration_s: float

    @classmethod
    def of(cls, sound: EmbeddedSound) -> Embedded:
        """The same of a sound as a store has it."""
        return cls(sound.times_s, sound.frames, sound.spans, sound.file.frame_s, sound.file.duration_s)

    def vector(self, start_s: float | None, end_s: float | None) -> FloatArray:
        """The unit vector `(dim,)` of a region: the mean of the frames that lie in it for the most part.

        Raises:
            QueryError: It begins behind the end of the sound.
        """
        if start_s is None and end_s is None:
            return _unit(self.frames.mean(axis=0, dtype=np.float32))
        low, high = start_s or 0.0, self.duration_s if end_s is None else end_s
        if low >= self.duration_s:
            raise QueryError(
                f"a region that begins at {low:g} s lies behind the end of the sound ({self.duration_s:.3f} s)"
            )
        chosen: list[AnyIntArray] = []
        for (segment_start_s, _), (first, last) in zip(self.times_s, self.spans, strict=True):
            middles_s = segment_start_s + (np.arange(first, last) - first + 0.5) * self.frame_s
            inside = np.flatnonzero((middles_s >= low) & (middles_s < high)) + first
            if not len(inside) and segment_start_s <= low < segment_start_s + (last - first) * self.frame_s:
                inside = np.array([first + int((low - segment_start_s) / self.frame_s)])
            chosen.append(inside)
        rows = np.unique(np.concatenate(chosen))
        if not len(rows):
            rows = np.array([len(self.frames) - 1])
        return _unit(self.frames[rows].mean(axis=0, dtype=np.float32))


def _unit(vector: FloatArray) -> FloatArray:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
