"""How sounds sound, as directions in the space of a model's vectors: muffled, in a hall, three times.

The words of a model tell what sounds far better than how. Its vectors of sounds tell both: the same change, made to
many sounds, moves their vectors the same way. So a model directory may hold `manners.npz`: for each manner the
direction, and how far varied sounds reach along it. `soundseek calibrate` fits it (`learn/evaluation/manners.py`).

A search for "muffled dog barking" looks for dog barking, and adds to a hit what it is muffled beyond other sounds.
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
# From how many standard deviations above the mean of varied sounds on a sound is in a manner, and what each further one
# adds to its score. Chosen on pairs of `validation` that differ in just that (scripts/how_it_sounds.py) and on labelled
# clips (benchmarks/words_of_manner.py), so that the first ten hits stay what should sound. Few sounds repeat one event,
# so that those who do are told by the far end; treble is a matter of degree.
_COUNTS: dict[str, tuple[float, float]] = {
    "bright": (-3.0, 0.04),
    "dark": (-3.0, 0.04),
    "distant": (1.0, 0.06),
    "fast": (3.0, 0.08),
    "muffled": (3.0, 0.1),
    "reverberant": (0.5, 0.05),
    "single": (2.0, 0.05),
    "slow": (3.0, 0.08),
    "three times": (2.0, 0.06),
}
_OTHERS_COUNT = (2.0, 0.06)
_MOST = 6.0  # standard deviations that count
# How long the directions are beside the unit vector of words where a store proposes the hits that are looked at.
_PROPOSING_LENGTH = 0.8


class MannerDirection(NamedTuple):
    """A way to sound.

    Attributes:
        direction: `(dim,)`, of unit norm.
        mean: Of the products of varied sounds' unit vectors with the direction.
        spread: Their standard deviation.
    """

    direction: FloatArray
    mean: float
    spread: float


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
        for name, (direction, mean, spread) in self.manners.items():
            least, weight = _COUNTS.get(name, _OTHERS_COUNT)
            standing = (vectors @ direction - mean) / max(spread, 1e-6) - least
            added += weight * np.clip(standing, 0, _MOST)
        return added


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
            # A file of before has none: unit vectors that lie in no direction more than in others reach that far.
            means = (
                stored["means"].astype(np.float32) if "means" in stored else np.zeros(len(names), np.float32)
            )
            spreads = (
                stored["spreads"].astype(np.float32)
                if "spreads" in stored
                else np.full(len(names), dim**-0.5, np.float32)
            )
    except (OSError, ValueError, TypeError, KeyError, BadZipFile, EOFError) as error:
        raise ModelError(f"{path} is damaged: {error}; make it anew: soundseek calibrate") from error
    if names == []:  # none of them is told apart by its vectors
        return {}
    if (
        directions.shape != (len(names), dim)
        or means.shape != spreads.shape
        or means.shape != (len(names),)
        or not all(isinstance(name, str) for name in names)
        or not all(np.isfinite(each).all() for each in (directions, means, spreads))
    ):
        raise ModelError(
            f"{path} is of another model (shape {directions.shape}); make it anew: soundseek calibrate"
        )
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    return {
        name: MannerDirection(direction, mean, spread)
        for name, direction, mean, spread in zip(
            names, directions, means.tolist(), spreads.tolist(), strict=True
        )
    }
