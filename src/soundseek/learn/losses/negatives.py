"""The negatives of a batch: which clips a caption must not find, and which of them a triplet takes.

Batches are drawn in `soundseek.learn.data.pairs`. In one, every other clip is a negative of a caption and every other
caption one of a clip, unless they match. The contrastive losses take all negatives, the triplet loss one a row: the
hardest, or one drawn at random. `scores` and `positives` are those of `contrastive`; in `taken`, True where there is no
negative.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from soundseek.errors import UsageError
from soundseek.learn.parallel import from_first


def match_matrix(clip_ids: Tensor, caption_ids: Tensor) -> Tensor:
    """`(batch, batch)` bool: True where two rows stem from one clip or carry identical captions.

    Args:
        clip_ids: `(batch,)` integers, equal for captions of one clip.
        caption_ids: `(batch,)` integers, equal for identical captions.

    >>> match_matrix(torch.tensor([7, 7, 8]), torch.tensor([0, 1, 1])).int()
    tensor([[1, 1, 0],
            [1, 1, 1],
            [0, 1, 1]], dtype=torch.int32)
    """
    same_clip = clip_ids.unsqueeze(1) == clip_ids.unsqueeze(0)
    same_caption = caption_ids.unsqueeze(1) == caption_ids.unsqueeze(0)
    return same_clip | same_caption


def with_origins(positives: Tensor, origin_ids: Tensor, says_how: Tensor) -> Tensor:
    """`(caption, clip)` bool: `positives`, and all sounds of a caption's clip unless it says how they sound.

    "A dog barks" fits the muffled copy of its clip, too; "a muffled dog barks" fits the copy alone.

    Args:
        positives: See the module.
        origin_ids: `(batch,)` integers, equal where the sounds stem from one clip.
        says_how: `(batch,)` bool, of the captions.

    >>> own = torch.eye(2, dtype=torch.bool)
    >>> with_origins(own, torch.tensor([5, 5]), torch.tensor([False, True])).int()
    tensor([[1, 1],
            [0, 1]], dtype=torch.int32)
    """
    same_origin = origin_ids.unsqueeze(1) == origin_ids.unsqueeze(0)
    return positives | (same_origin & ~says_how.unsqueeze(1))


def own_pairs(scores: Tensor, positives: Tensor) -> Tensor:
    """`(batch, batch)` bool, True on the diagonal: each caption with its own clip.

    Raises:
        UsageError: Shapes that are no batch of pairs.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or positives.shape != scores.shape:
        raise UsageError(
            f"a batch of pairs needs square scores and positives of one shape,"
            f" got {tuple(scores.shape)} and {tuple(positives.shape)}"
        )
    return torch.eye(scores.shape[0], dtype=torch.bool, device=scores.device)


def hardest_negatives(scores: Tensor, taken: Tensor) -> Tensor:
    """`(row,)` the highest score of each row that is not taken; -inf where all are."""
    return scores.masked_fill(taken, -math.inf).amax(dim=1)


def drawn_negatives(scores: Tensor, taken: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """`(row,)` scores of one column of each row, each that is not taken equally likely; -inf where all are taken.

    Processes that share a batch all compute the whole batch's loss, so all take the first one's draws.
    """
    draws = from_first(torch.rand(scores.shape, generator=generator).to(scores.device))
    choice = draws.masked_fill(taken, -1.0).argmax(dim=1, keepdim=True)
    return scores.masked_fill(taken, -math.inf).gather(1, choice).squeeze(1)
