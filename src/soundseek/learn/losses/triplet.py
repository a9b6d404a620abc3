"""Triplet losses: a pair that belongs together beats an impostor by a margin, in both directions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from soundseek.errors import RecipeError
from soundseek.learn.losses.contrastive import RetrievalLoss
from soundseek.learn.losses.negatives import drawn_negatives, hardest_negatives, own_pairs

Impostors = Literal["random", "hardest"]


def triplet_margin(
    scores: Tensor,
    positives: Tensor,
    *,
    margin: float,
    impostors: Impostors = "random",
    generator: torch.Generator | None = None,
) -> Tensor:
    """The mean over m of `[margin - s_mm + s_mn]+ + [margin - s_mm + s_km]+`, a scalar.

    n is the negative clip of caption m, k the negative caption of clip m. Neither stems from the same clip or
    carries the same words; a row without any such negative adds nothing.

    Args:
        scores: `(caption, clip)` cosines; column m is row m's clip.
        positives: `(caption, clip)` bool, True where they match; see `match_matrix`.
        margin: How much higher the pair's own cosine has to be.
        impostors: "random": one is drawn for every caption and every clip, as in the DCASE baseline of 2022;
            "hardest": the one with the highest score in the batch (VSE++, Faghri et al. 2018, eq. 6).
        generator: Draws the random negatives, on the CPU; None is torch's own. Of several processes the first one's
            draws, for all.
    """
    taken = positives | own_pairs(scores, positives)
    own = scores.diagonal()
    if impostors == "hardest":
        clip, caption = hardest_negatives(scores, taken), hardest_negatives(scores.T, taken.T)
    else:
        clip = drawn_negatives(scores, taken, generator=generator)
        caption = drawn_negatives(scores.T, taken.T, generator=generator)
    # Without a negative the score is -inf, and the hinge 0 with gradient 0.
    return (functional.relu(margin + clip - own) + functional.relu(margin + caption - own)).mean()


class Triplet(RetrievalLoss):
    """`triplet_margin` as a module; captions' similarity plays no part.

    Args:
        margin: 1.0 in the DCASE baseline, 0.4 in PaSST-MPnet.
        impostors: See `triplet_margin`.
        generator: See `triplet_margin`. Training seeds torch's own anew in every epoch, so that a resumed run
            draws the same negatives.
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        impostors: Impostors = "random",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 < margin <= 2:
            raise RecipeError(f"margin {margin} must lie in (0, 2], for cosines differ by 2 at most")
        if impostors not in ("random", "hardest"):
            raise RecipeError(f"no impostors {impostors!r}; choose random or hardest")
        self.margin = margin
        self.impostors = impostors
        self.generator = generator

    def forward(self, scores: Tensor, positives: Tensor, similarity: Tensor | None = None) -> Tensor:
        """See `triplet_margin`."""
        return triplet_margin(
            scores, positives, margin=self.margin, impostors=self.impostors, generator=self.generator
        )
