"""A library with an approximate index from 200 segments on, and sounds to fill it with."""

from __future__ import annotations

import numpy as np
from library.stores import IDENTITY, sound_of_vectors, unit_rows

from soundseek.library.store.base import ModelIdentity

DIM = 32
WIDE = ModelIdentity("wide", IDENTITY.fingerprint, DIM)
FILES = 1000
FROM = 200


def numbered_sounds(first: int, last: int, *, segments: int = 2) -> list:
    """Sounds of some segments around points in a few directions, as recorded ones have neighbours; every tenth FLAC."""
    centres = np.random.default_rng(1).standard_normal((12, DIM)).astype(np.float32)
    made = []
    for number in range(first, last):
        generator = np.random.default_rng(number)
        rows = centres[number % 12] + 0.7 * generator.standard_normal((segments, DIM)).astype(np.float32)
        kind = "FLAC" if number % 10 == 0 else "WAV"
        made.append(
            sound_of_vectors(
                f"/{number:05}.wav", rows, format=kind, duration_s=float(number), size_bytes=number
            )
        )
    return made


def queries(count: int = 8) -> np.ndarray:
    return unit_rows(np.random.default_rng(9), count, DIM)
