"""What a search looks for: words turned towards remembered sounds, but not a sentence that names several."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from soundseek.model.memory import SoundMemory
from soundseek.query.looked_up import embed_query


class Words:
    """A text is a direction of its own."""

    def __init__(self, memory: SoundMemory | None) -> None:
        self.memory = memory

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(6) for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), 6)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


SOUNDS = SoundMemory(np.eye(6, dtype=np.float32))


def test_one_sound_is_turned_and_a_sentence_of_several_is_not() -> None:
    texts = ["a dog barks", "a dog barks while rain falls", "rain falls"]
    plain = Words(None).embed_text(texts)
    found = embed_query(Words(SOUNDS), texts)
    np.testing.assert_array_equal(found[1], plain[1])
    np.testing.assert_allclose(found[[0, 2]], SOUNDS.turned(plain[[0, 2]]), atol=1e-6)
    assert np.abs(found[[0, 2]] - plain[[0, 2]]).max() > 0.05


def test_texts_are_turned_alike_where_that_is_asked_for() -> None:
    texts = ["a dog barks while rain falls", "rain falls"]
    plain = Words(None).embed_text(texts)
    np.testing.assert_array_equal(embed_query(Words(SOUNDS), texts, as_one=False), plain)
    np.testing.assert_allclose(
        embed_query(Words(SOUNDS), texts, as_one=True), SOUNDS.turned(plain), atol=1e-6
    )


def test_a_model_that_remembers_nothing_and_a_search_for_nothing_stay_as_they_are() -> None:
    texts = ["a dog barks"]
    np.testing.assert_array_equal(embed_query(Words(None), texts), Words(None).embed_text(texts))

    class Without:
        embed_text = Words(None).embed_text

    np.testing.assert_array_equal(embed_query(Without(), texts), Words(None).embed_text(texts))
    assert embed_query(Words(SOUNDS), []).shape == (0, 6)
