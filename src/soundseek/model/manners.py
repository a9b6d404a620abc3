"""How sounds sound, as directions in the space of a model's vectors: muffled, in a hall, three times.

The words of a model tell what sounds far better than how. Its vectors of sounds tell both: the same change, made to
many sounds, moves their vectors the same way. So a model directory may hold `manners.npz`: for each manner the
direction, and how far varied sounds reach along it. `soundseek calibrate` fits it (`learn/evaluation/manners.py`).

A search for "muffled dog barking" looks for dog barking, and a hit that stands out by what it is muffled comes a little
further up. Then the first ten change places among themselves, and so do the next twenty, forty and so on: there a hit
counts in full for how it sounds. A muffled bark is less of a bark, which that makes up for, and what is no bark at all
but muffled does not come among the first ten by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from soundseek._files import replacing
from soundseek._typing import AnyFloatArray, FloatArray
from soundseek.errors import ModelError
from soundseek.model.heard_by import heard_by_array, read_heard_by

MANNERS_FILE = "manners.npz"
# Standard deviations above varied sounds from which on a sound comes further up for a manner, and how many count.
_STANDS_OUT_FROM, _STANDS_OUT_BY = 1.0, 6.0
# What each of them adds to the score at least; at most, for more lets too many other sounds among the first ten; and at
# most where hits change places. Chosen on pairs of `validation` that differ in just that (scripts/how_it_sounds.py) and
# on half the labels of a library (benchmarks/words_of_manner.py).
_LEAST_WORTH, _MOST_TO_COME_UP, _MOST_TO_CHANGE_PLACES = 0.05, 0.08, 0.2
_LEAST_STANDING = -3.0
# Hits that change places among each other: so many, then twice as many ...
_FIRST_PLACES = 10
# Of manners that were fitted before this was: what a deviation is worth, and how many a copy reaches.
_USUAL_WORTH, _USUAL_REACH = 0.1, 5.0
# How long the directions are beside the unit vector of words where a store proposes the hits that are looked at.
_PROPOSING_LENGTH = 0.8


class MannerDirection(NamedTuple):
    """A way to sound.

    Attributes:
        direction: `(dim,)`, of unit norm.
        mean: Of the products of varied sounds' unit vectors with the direction.
        spread: Their standard deviation.
        worth: What a standard deviation has to add to the score for nearly every copy that is made in the manner to
            stand above the sound that it is made of.
        reach: Standard deviations above the mean that hardly any copy exceeds.
    """

    direction: FloatArray
    mean: float
    spread: float
    worth: float = _USUAL_WORTH
    reach: float = _USUAL_REACH

    def standings(self, vectors: AnyFloatArray) -> FloatArray:
        """`(sounds,)` of unit vectors `(sounds, dim)`: standard deviations above the mean of varied sounds."""
        standings: FloatArray = ((vectors @ self.direction - self.mean) / max(self.spread, 1e-6)).astype(
            np.float32
        )
        return standings


@dataclass(frozen=True)
class InManners:
    """How the hits of a query should sound.

    Attributes:
        manners: By their names.
    """

    manners: Mapping[str, MannerDirection]

    def proposing(self, query: AnyFloatArray) -> FloatArray:
        """`(dim,)` the unit vector of a query, turned towards how the sound should sound.

        Example:
            >>> muffled = MannerDirection(np.float32([0, 1]), 0.0, 1.0)
            >>> [f"{x:.2f}" for x in InManners({"muffled": muffled}).proposing(np.float32([1, 0]))]
            ['0.78', '0.62']
        """
        turned = np.asarray(query, np.float32) + _PROPOSING_LENGTH * sum(
            (each.direction for each in self.manners.values()), np.zeros(len(query), np.float32)
        )
        unit: FloatArray = (turned / max(float(np.linalg.norm(turned)), 1e-12)).astype(np.float32)
        return unit

    def bonuses(self, vectors: AnyFloatArray) -> FloatArray:
        """`(sounds,)` what is added to the score of each sound.

        Args:
            vectors: `(sounds, dim)` of unit norm.

        Example:
            >>> muffled = MannerDirection(np.float32([0, 1]), 0.0, 0.1)
            >>> plain, dull = InManners({"muffled": muffled}).bonuses(np.float32([[1, 0], [0.8, 0.6]]))
            >>> bool(plain == 0 < dull)
            True
        """
        added = np.zeros(len(vectors), np.float32)
        for each in self.manners.values():
            out = np.clip(each.standings(vectors) - _STANDS_OUT_FROM, 0, _STANDS_OUT_BY)
            added += _within(each.worth, _MOST_TO_COME_UP) * out
        return added

    def strengths(self, vectors: AnyFloatArray) -> FloatArray:
        """`(sounds,)` what each sound has beside its score where hits change places; negative of what sounds otherwise.

        Args:
            vectors: `(sounds, dim)` of unit norm.
        """
        strengths = np.zeros(len(vectors), np.float32)
        for each in self.manners.values():
            counted = np.clip(each.standings(vectors), _LEAST_STANDING, max(each.reach, 0))
            strengths += _within(each.worth, _MOST_TO_CHANGE_PLACES) * counted
        return strengths


def _within(worth: float, most: float) -> float:
    return min(max(worth, _LEAST_WORTH), most)


def changed_places(strengths: Sequence[float]) -> list[int]:
    """The order of hits of one group, best first, after they have changed places by their strengths `(hits,)`.

    Example:
        >>> changed_places([0.1, 0.3, 0.2, 0.1])
        [1, 2, 0, 3]
    """
    order: list[int] = np.argsort(-np.asarray(strengths, np.float64), kind="stable").tolist()
    return order


def places_up_to(count: int) -> int:
    """The last place of the group of hits that place `count` is in, whose hits change places among each other.

    >>> [places_up_to(count) for count in (1, 10, 11, 31)]
    [10, 10, 30, 70]
    """
    end = _FIRST_PLACES
    while end < count:
        end = 2 * end + _FIRST_PLACES
    return end


def in_manners(names: Sequence[str], known: Mapping[str, MannerDirection]) -> InManners | None:
    """How the hits of a query should sound; None where it says nothing of that, or the model knows none of it."""
    found = {name: known[name] for name in names if name in known}
    return InManners(found) if found else None


def manner_among(direction: AnyFloatArray, varied: AnyFloatArray) -> MannerDirection:
    """A manner by its direction `(dim,)` and the unit vectors `(sounds, dim)` of varied sounds."""
    unit = (np.asarray(direction, np.float64) / np.linalg.norm(direction)).astype(np.float32)
    reached = np.asarray(varied, np.float32) @ unit
    return MannerDirection(unit, float(reached.mean()), float(reached.std()))


def write_manners(directory: Path, manners: Mapping[str, MannerDirection], *, heard_by: str = "") -> None:
    """Write `manners.npz` into a model directory, whole or not at all.

    Args:
        directory: The model directory.
        manners: Each by its name.
        heard_by: Fingerprint of the model whose vectors they are of; empty: not known.

    Raises:
        StorageError: The disk is full, or the directory cannot be written to.
    """
    names = sorted(manners)
    with replacing(directory / MANNERS_FILE) as partial, partial.open("wb") as file:
        np.savez(
            file,
            names=np.array(names, np.str_),
            directions=np.array([manners[name].direction for name in names], np.float16),
            means=np.array([manners[name].mean for name in names], np.float32),
            spreads=np.array([manners[name].spread for name in names], np.float32),
            worths=np.array([manners[name].worth for name in names], np.float32),
            reaches=np.array([manners[name].reach for name in names], np.float32),
            **heard_by_array(heard_by),
        )


def read_manners(directory: Path, *, dim: int, hears_like: str = "") -> dict[str, MannerDirection]:
    """Each manner that a model directory knows, by its name; none where it has no such file.

    Args:
        directory: The model directory.
        dim: Of the model.
        hears_like: Of the model (`ModelConfig.hears_like`); empty: not compared.

    Raises:
        ModelError: The file is damaged or of another model.
    """
    path = directory / MANNERS_FILE
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            read_heard_by(path, stored, hears_like)
            names, directions = stored["names"].tolist(), stored["directions"].astype(np.float32)
            # What a file of before has not; unit vectors that lie in no direction more than in others reach that far.
            usual = {"means": 0.0, "spreads": dim**-0.5, "worths": _USUAL_WORTH, "reaches": _USUAL_REACH}
            columns = [
                stored[name].astype(np.float32) if name in stored else np.full(len(names), value, np.float32)
                for name, value in usual.items()
            ]
    except (OSError, ValueError, TypeError, KeyError, BadZipFile, EOFError) as error:
        raise ModelError(f"{path} is damaged: {error}; make it anew: soundseek calibrate") from error
    if names == []:  # none of them is told apart by its vectors
        return {}
    if (
        directions.shape != (len(names), dim)
        or any(column.shape != (len(names),) for column in columns)
        or not all(isinstance(name, str) for name in names)
        or not all(np.isfinite(each).all() for each in (directions, *columns))
    ):
        raise ModelError(
            f"{path} is of another model (shape {directions.shape}); make it anew: soundseek calibrate"
        )
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    return {
        name: MannerDirection(direction, *values)
        for name, direction, *values in zip(
            names, directions, *(column.tolist() for column in columns), strict=True
        )
    }
