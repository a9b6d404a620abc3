"""A query as vectors: the sounds that it names, where they were given one by one, stand below the whole."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from soundseek.library.query_vectors import combine, query_vectors
from soundseek.model.memory import SoundMemory
from soundseek.query import Reading, all_of

STORE: Any = SimpleNamespace(identity=SimpleNamespace(dim=6))


class Words:
    """A text is a direction of its own."""

    memory = SoundMemory(np.eye(6, dtype=np.float32))

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(6) for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), 6)
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def test_descriptions_that_no_grammar_takes_apart_are_looked_for_one_by_one() -> None:
    model: Any = Words()
    reading = all_of([Reading("walking", (("walking",),), ("music",)), Reading("thunder", (("thunder",),))])
    (found,) = query_vectors(STORE, lambda: model, reading, [], [])
    whole, walking, thunder, music = model.embed_text(["walking and thunder", "walking", "thunder", "music"])
    turned = model.memory.turned(np.stack([walking, thunder]))
    wanted = [combine(each[None], music[None]) for each in (whole, *turned)]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    (as_said,) = query_vectors(
        STORE, lambda: model, Reading("x", (("walking and thunder",),), ("music",)), [], []
    )
    assert len(np.atleast_2d(as_said)) == 1
    assert not np.allclose(np.atleast_2d(as_said)[0], found[0], atol=1e-3)
