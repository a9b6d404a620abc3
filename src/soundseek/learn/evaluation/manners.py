"""Fitting the directions of how sounds sound (`model/manners.py`) on sounds that are changed for it.

Clips are made muffled, distant, reverberant ... (`learn/data/how_it_sounds.py`). The mean way from the clips to their
copies says where a manner lies, but other sounds lie there, too. So it is divided by the covariance of varied sounds,
as in a linear discriminant analysis: along what is left, manners differ and sounds hardly do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from soundseek._typing import AnyFloatArray, FloatArray
from soundseek.audio.decode import read_audio
from soundseek.learn.data.how_it_sounds import LONGEST_EVENT_CLIP_S, MANNERS, manners_for
from soundseek.learn.datasets.layout import read_split
from soundseek.model.manners import MannerDirection, manner_among

NUM_SHORT, NUM_LONG = 180, 90  # clips; of short ones every manner is made
LEAST_CLIPS = 24  # that a manner needs
_LONGEST_S = 10.0
_RATE_HZ = 32_000
# Added to the covariance, of its mean variance; chosen on pairs of `validation` (scripts/how_it_sounds.py).
_RIDGE = 0.5


class WaveformEmbedder(Protocol):
    """Waveforms to vectors: a model directory's `Model`."""

    def embed_audio(self, sounds: Sequence[tuple[FloatArray, int]]) -> FloatArray:
        """`(len(sounds), dim)`, unit norm, of waveforms and their rates in Hz."""
        ...


def fit_manners(
    model: WaveformEmbedder, data: Path, *, split: str, reference: AnyFloatArray, seed: int = 0
) -> dict[str, MannerDirection]:
    """Each manner by its name; those are left out for which the split has too few (short) clips.

    Args:
        model: A model directory's `Model`.
        data: A directory in Clotho's layout.
        split: The split whose clips are changed.
        reference: `(sounds, dim)` unit vectors of varied sounds, as those of `match.npz`.
        seed: Of the draws.
    """
    varied = np.asarray(reference, np.float64)
    covariance = np.atleast_2d(np.cov(varied.T))
    ridge = _RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    found = {}
    for name, ways in _ways(model, data, split, seed).items():
        if len(ways) >= LEAST_CLIPS:
            direction = np.linalg.solve(covariance + ridge, np.mean(ways, axis=0, dtype=np.float64))
            found[name] = manner_among(direction, varied)
    return found


def _ways(model: WaveformEmbedder, data: Path, split: str, seed: int) -> dict[str, list[FloatArray]]:
    """Of each manner the ways `(dim,)` from clips to their copies."""
    ways: dict[str, list[FloatArray]] = defaultdict(list)
    wanted = {True: NUM_SHORT, False: NUM_LONG}
    clips = read_split(data, split)
    generator = np.random.default_rng(seed)
    for number in generator.permutation(len(clips)).tolist():
        if not any(wanted.values()):
            break
        waveform = read_audio(clips[number].path, sample_rate_hz=_RATE_HZ)
        duration_s = len(waveform) / _RATE_HZ
        is_short = duration_s <= LONGEST_EVENT_CLIP_S
        if not wanted[is_short]:
            continue
        wanted[is_short] -= 1
        waveform = waveform[: round(_LONGEST_S * _RATE_HZ)]
        names = manners_for(duration_s)
        changed = [MANNERS[name].change(waveform, _RATE_HZ, generator) for name in names]
        vectors = model.embed_audio([(each, _RATE_HZ) for each in [waveform, *changed]])
        for name, vector in zip(names, vectors[1:], strict=True):
            ways[name].append(vector - vectors[0])
    return ways
