"""The vectors that a search looks for: words, turned towards the sounds that the model remembers.

A sentence that names several sounds is looked for as it is: turned, it would be one of them. Its parts are turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from soundseek._typing import AnyFloatArray, FloatArray
from soundseek.model.memory import SoundMemory
from soundseek.query.parts import sentence_parts


class WordEmbedder(Protocol):
    """Sentences to vectors; a `Model` has a `memory`, too."""

    def embed_text(self, texts: Sequence[str], /) -> AnyFloatArray:
        """`(len(texts), dim)`, unit norm."""
        ...


def embed_query(
    model: WordEmbedder, texts: Sequence[str], *, as_one: bool | Sequence[bool] | None = None
) -> FloatArray:
    """`(len(texts), dim)` unit vectors of what to look for, as they are where the model remembers no sounds.

    Args:
        model: Embeds them.
        texts: In words.
        as_one: Whether they are looked for as one sound each, all or each of them; if None, each by what it names.
    """
    embedded: FloatArray = np.asarray(model.embed_text(texts), np.float32)
    memory: SoundMemory | None = getattr(model, "memory", None)
    if as_one is None:
        as_one = [not sentence_parts(text) for text in texts]
    is_one = np.broadcast_to(np.asarray(as_one, np.bool_), (len(texts),))
    if memory is None or not is_one.any():
        return embedded
    looked_for: FloatArray = embedded.copy()
    looked_for[is_one] = memory.turned(looked_for[is_one])
    return looked_for


def sentence_queries(model: WordEmbedder, texts: Sequence[str]) -> list[FloatArray]:
    """Of each text `(1 + parts, dim)` unit vectors: the whole, and the sounds that it names where these are several."""
    parts = [sentence_parts(text) for text in texts]
    distinct = list(dict.fromkeys([*texts, *(part for own in parts for part in own)]))
    embedded = dict(zip(distinct, embed_query(model, distinct), strict=True))
    return [
        np.stack([embedded[each] for each in (text, *own)]) for text, own in zip(texts, parts, strict=True)
    ]
