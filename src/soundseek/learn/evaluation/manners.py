"""Fitting the directions of how sounds sound (`model/manners.py`) on sounds that are changed for it.

Clips are made muffled, distant, reverberant ... (`learn/data/how_it_sounds.py`). The mean way from the clips to their
copies says where a manner lies, but other sounds lie there, too. So it is divided by the covariance of varied sounds
and of copies, as in a linear discriminant analysis: along what is left, manners differ and sounds hardly do.

A copy is less of what it is a copy of: its caption scores lower. How much lower, for each standard deviation that it
stands further out, says what the manner is worth in a search. What repeats an event is compared with what repeats it in
other manners: slow footsteps are looked for among footsteps, and not beside one step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from soundseek._typing import AnyFloatArray, FloatArray
from soundseek.audio.decode import read_audio
from soundseek.learn.data.how_it_sounds import LONGEST_EVENT_CLIP_S, MANNERS, manners_for
from soundseek.learn.datasets.layout import read_split
from soundseek.model.manners import MannerDirection, manner_among
from soundseek.model.memory import SoundMemory

NUM_SHORT, NUM_LONG = 180, 90  # clips; of short ones every manner is made
LEAST_CLIPS = 24  # that a manner needs
_LONGEST_S = 10.0
_RATE_HZ = 32_000
# Added to the covariance, of its mean variance, and the part of the copies in it; chosen on pairs of `validation`
# (scripts/how_it_sounds.py).
_RIDGE, _OF_COPIES = 0.5, 0.4
# So many copies stand above what they are compared with by what a manner is worth, and so many are within its reach.
_ABOVE_OTHERS, _WITHIN_REACH = 0.97, 0.9
_LEAST_DIFFERENCE = 0.3  # standard deviations between a copy and that


class SoundAndTextEmbedder(Protocol):
    """Waveforms and sentences to vectors of one space: a model directory's `Model`."""

    def embed_audio(self, sounds: Sequence[tuple[FloatArray, int]]) -> FloatArray:
        """`(len(sounds), dim)`, unit norm, of waveforms and their rates in Hz."""
        ...

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(len(texts), dim)`, unit norm."""
        ...


@dataclass
class _Copies:
    """Vectors `(dim,)` of clips, of their copies in a manner, of sounds that they are compared with, and of queries."""

    clips: list[FloatArray] = field(default_factory=list)
    copies: list[FloatArray] = field(default_factory=list)
    others: list[FloatArray] = field(default_factory=list)
    queries: list[FloatArray] = field(default_factory=list)


def fit_manners(
    model: SoundAndTextEmbedder,
    data: Path,
    *,
    split: str,
    reference: AnyFloatArray,
    memory: SoundMemory | None = None,
    seed: int = 0,
) -> dict[str, MannerDirection]:
    """Each manner by its name; those are left out for which the split has too few (short) clips.

    Args:
        model: A model directory's `Model`.
        data: A directory in Clotho's layout.
        split: The split whose clips are changed.
        reference: `(sounds, dim)` unit vectors of varied sounds, as those of `match.npz`.
        memory: What the words of a search are looked up among.
        seed: Of the draws.
    """
    made = _made(model, data, split, memory, seed)
    return {
        name: _fitted(each, np.asarray(reference, np.float64))
        for name, each in made.items()
        if len(each.clips) >= LEAST_CLIPS
    }


def _fitted(made: _Copies, varied: AnyFloatArray) -> MannerDirection:
    clips, copies, others, queries = (
        np.asarray(rows, np.float64) for rows in (made.clips, made.copies, made.others, made.queries)
    )
    covariance = (1 - _OF_COPIES) * np.atleast_2d(np.cov(varied.T)) + _OF_COPIES * np.cov(copies.T)
    ridge = _RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    found = manner_among(np.linalg.solve(covariance + ridge, (copies - clips).mean(axis=0)), varied)
    reached = found.standings(copies)
    further = np.maximum(reached - found.standings(others), _LEAST_DIFFERENCE)
    lost = np.einsum("nd,nd->n", others - copies, queries)
    return found._replace(
        worth=max(0.0, float(np.quantile(lost / further, _ABOVE_OTHERS))),
        reach=float(np.quantile(reached, _WITHIN_REACH)),
    )


def _made(
    model: SoundAndTextEmbedder, data: Path, split: str, memory: SoundMemory | None, seed: int
) -> dict[str, _Copies]:
    """The copies of each manner."""
    made: dict[str, _Copies] = defaultdict(_Copies)
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
        query = model.embed_text(clips[number].captions[:1])
        if memory is not None:
            query = memory.turned(query)
        of_name = dict(zip(names, vectors[1:], strict=True))
        for name, vector in of_name.items():
            repeated = [of_name[other] for other in names if other != name and MANNERS[other].repeats]
            made[name].clips.append(vectors[0])
            made[name].copies.append(vector)
            made[name].others.append(np.mean(repeated, axis=0) if MANNERS[name].repeats else vectors[0])
            made[name].queries.append(query[0])
    return made
