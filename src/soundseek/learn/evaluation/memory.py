"""The sounds that a model remembers (`model/memory.py`): of each kind of captioned sound the mean of its clips."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundseek._typing import FloatArray
from soundseek._vectors import unit_rows
from soundseek.errors import DataError
from soundseek.learn.datasets.layout import kinds_of_clips, read_split
from soundseek.learn.evaluation.match import FrameEmbedder
from soundseek.model.memory import SoundMemory
from soundseek.model.model import AudioEmbedding

MOST_KINDS = 1500
"""A byte for each component: three quarters of a megabyte at 512 dimensions."""


@dataclass(frozen=True)
class Remembering:
    """A model that remembers other sounds than its directory says.

    Attributes:
        model: Embeds.
        memory: What it remembers; None if nothing.
    """

    model: FrameEmbedder
    memory: SoundMemory | None

    def embed_file(self, path: Path) -> AudioEmbedding:
        """See `FrameEmbedder`."""
        return self.model.embed_file(path)

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """See `FrameEmbedder`."""
        return self.model.embed_text(texts)


def remember(
    model: FrameEmbedder, data: Path, *, split: str, leave_out: Set[str] = frozenset()
) -> SoundMemory:
    """The kinds of sound of a split: of each label in `metadata.csv`, or else of each clip, the mean vector.

    Of more than `MOST_KINDS` those are remembered that have most clips.

    Args:
        model: A model directory's `Model`.
        data: A directory in Clotho's layout.
        split: Of the data.
        leave_out: Names of clips that are not remembered.

    Raises:
        DataError: No clip is left.
    """
    clips = [clip for clip in read_split(data, split) if clip.path.name not in leave_out]
    if not clips:
        raise DataError(f"{data}: the split {split} has no clip to remember; take another --reference")
    names, numbers, counts = np.unique(kinds_of_clips(data, clips), return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_KINDS])
    row_of = np.full(len(names), -1)
    row_of[kept] = np.arange(len(kept))
    sums: FloatArray | None = None
    for clip, row in zip(clips, row_of[numbers].tolist(), strict=True):
        if row < 0:
            continue
        vector = unit_rows(model.embed_file(clip.path).frames.mean(axis=0, dtype=np.float32)[None])[0]
        if sums is None:
            sums = np.zeros((len(kept), len(vector)), np.float32)
        sums[row] += vector
    assert sums is not None
    return SoundMemory(unit_rows(sums), getattr(model, "hears_like", ""))
