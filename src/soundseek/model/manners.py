"""How sounds sound, as directions in the space of a model's vectors: muffled, in a hall, three times.

The words of a model tell what sounds far better than how. Its vectors of sounds tell both: the same change, made to
many sounds, moves their vectors the same way. So a model directory may hold `manners.npz`: for each manner the
direction, as long as it has to be beside the unit vector of words. `soundseek calibrate` fits it
(`learn/evaluation/manners.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from soundseek._files import replacing
from soundseek._typing import AnyFloatArray, FloatArray
from soundseek.errors import ModelError

MANNERS_FILE = "manners.npz"


def write_manners(directory: Path, manners: Mapping[str, AnyFloatArray]) -> None:
    """Write `manners.npz` into a model directory, whole or not at all.

    Args:
        directory: The model directory.
        manners: `(dim,)` of each manner, by its name.

    Raises:
        StorageError: The disk is full, or the directory cannot be written to.
    """
    names = sorted(manners)
    with replacing(directory / MANNERS_FILE) as partial, partial.open("wb") as file:
        np.savez(
            file,
            names=np.array(names, np.str_),
            directions=np.array([manners[name] for name in names], np.float16),
        )


def read_manners(directory: Path, *, dim: int) -> dict[str, FloatArray]:
    """`(dim,)` of each manner that a model directory knows, by its name; none where it has no such file.

    Raises:
        ModelError: The file is damaged, or of another model.
    """
    path = directory / MANNERS_FILE
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            names, directions = stored["names"].tolist(), stored["directions"].astype(np.float32)
    except (OSError, ValueError, TypeError, KeyError, BadZipFile, EOFError) as error:
        raise ModelError(f"{path} is damaged: {error}; make it anew: soundseek calibrate") from error
    if names == []:  # none of them is told apart by its vectors
        return {}
    if (
        directions.shape != (len(names), dim)
        or not all(isinstance(name, str) for name in names)
        or not np.isfinite(directions).all()
    ):
        raise ModelError(
            f"{path} is of another model (shape {directions.shape}); make it anew: soundseek calibrate"
        )
    return dict(zip(names, directions, strict=True))


def in_manners(
    words: AnyFloatArray, manners: Sequence[str], directions: Mapping[str, AnyFloatArray]
) -> AnyFloatArray:
    """`(dim,)` the unit vector of words, turned towards how the sound should sound.

    Args:
        words: `(dim,)` unit vector of what should sound.
        manners: How; a name that has no direction changes nothing.
        directions: `(dim,)` of each manner.

    Example:
        >>> in_manners(np.float32([1, 0]), ["muffled"], {"muffled": np.float32([0, 0.75])}).tolist()
        [0.800000011920929, 0.6000000238418579]
    """
    turned = np.asarray(words, np.float32) + sum(
        (np.asarray(directions[name], np.float32) for name in manners if name in directions),
        np.zeros(len(words), np.float32),
    )
    unit: AnyFloatArray = (turned / max(float(np.linalg.norm(turned)), 1e-12)).astype(np.float32)
    return unit
