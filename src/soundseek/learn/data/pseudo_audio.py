"""Pseudo audio: for sentences without a sound, frames of an average sound in which the tags that they name sound.

A few thousand captions are little language. Listeners wrote many more sentences about sounds that are not here, and a
trunk that tags has names for what they wrote of. So a sentence s gets the frame

    nearness(s, c)    = max of cosine(s, w) over the ways w to ask for tag c
    probability(s, c) = nearness² for the nearest tag and those no further than `margin` behind it, else 0
    frame(s)          = the mean frame of the clips, its tags replaced by these

and the heads learn pairs of sentences and such frames beside the real ones. Nothing real enters a batch of imagined
pairs, so no real sound is the negative of a sentence that might describe it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from soundseek._typing import FloatArray
from soundseek._vectors import unit_rows
from soundseek.errors import RecipeError
from soundseek.learn.recipe.keys import PseudoAudioConfig

SAME_MEANING_COSINE = 0.8  # sentences this near are never each other's negatives
_CHUNK = 4096  # sentences in one product of matrices


class PseudoBatch(NamedTuple):
    """Sentences and the pseudo audio made for them.

    Attributes:
        frames: `(batch, 1, width)`.
        frame_mask: `(batch, 1)` bool, all True.
        sentences: `(batch, width)` features of the text tower.
        positives: `(batch, batch)` bool, True where two sentences mean the same.
    """

    frames: Tensor
    frame_mask: Tensor
    sentences: Tensor
    positives: Tensor


@dataclass(frozen=True)
class PseudoAudio:
    """Sentences that name tags.

    Attributes:
        trunk: Puts tags into frames: `with_probabilities`.
        mean: `(width,)` the mean frame of the clips.
        features: `(sentence, width)` of the text tower.
        meanings: `(sentence, width)` unit norm, of the judge of what means the same.
        cosines: `(sentence, tag)` float16, 0 for tags that a sentence does not name.
    """

    trunk: Any
    mean: Tensor
    features: Tensor
    meanings: Tensor
    cosines: Tensor

    def draw(self, count: int, *seed: int) -> PseudoBatch:
        """`count` sentences, the same for the same numbers of `seed`, whatever was drawn before."""
        generator = np.random.default_rng(seed)
        rows = torch.from_numpy(generator.integers(len(self.features), size=count))
        probabilities = self.cosines[rows].float().square()
        with torch.no_grad():
            frames = self.trunk.with_probabilities(self.mean.expand(count, -1), probabilities)
        meanings = self.meanings[rows]
        positives = meanings @ meanings.T >= SAME_MEANING_COSINE
        return PseudoBatch(
            frames.unsqueeze(1), torch.ones(count, 1, dtype=torch.bool), self.features[rows], positives
        )


def make_pseudo_audio(
    config: PseudoAudioConfig,
    trunk: Any,
    mean: Tensor,
    features: FloatArray,
    meanings: FloatArray,
    names: Sequence[FloatArray],
) -> PseudoAudio:
    """The sentences that name a tag, with the tags that they name.

    Args:
        config: When a sentence names a tag.
        trunk: One with `with_probabilities`.
        mean: `(width,)` the mean frame of the clips.
        features: `(sentence, width)` of the text tower.
        meanings: `(sentence, judge's width)` of any norm.
        names: For each way to ask for a tag the `(tag, judge's width)` features of all tags.

    Raises:
        RecipeError: No sentence names a tag.
    """
    meanings = unit_rows(meanings)
    cosines = np.full((len(meanings), len(names[0])), -1, np.float16)
    for way in names:
        unit = unit_rows(way)
        for start in range(0, len(meanings), _CHUNK):
            part = slice(start, start + _CHUNK)
            np.maximum(cosines[part], meanings[part] @ unit.T, out=cosines[part], casting="same_kind")
    best = cosines.max(axis=1, keepdims=True)
    named = (best[:, 0] >= config.min_cosine).nonzero()[0]
    if not len(named):
        raise RecipeError(
            f"data.imagined_sounds: no sentence of {config.path} is nearer than min_cosine = {config.min_cosine} "
            f"to the name of a tag; the nearest has {float(best.max()):.2f}: lower it, or give sentences about sounds"
        )
    near = cosines[named]
    # Never below 0, where a square would make of the farthest tag a probable one.
    near[near < np.maximum(best[named] - np.float16(config.margin), 0)] = 0
    return PseudoAudio(
        trunk,
        mean,
        torch.from_numpy(features[named]),
        torch.from_numpy(meanings[named]),
        torch.from_numpy(near),
    )
