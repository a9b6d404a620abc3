"""The contrastive ranking loss, relaxed: a caption that says nearly the same is no full mismatch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from soundseek.errors import RecipeError, UsageError
from soundseek.learn.losses.contrastive import TEMPERATURE, ContrastiveLoss
from soundseek.learn.losses.negatives import own_pairs

# As CIDEr-D / 10 has it: two captions of one clip score .1 on average, and the 59 others of a batch of 60 take
# .09 of a target beside 1 for the match (15,350 captions made from labels).
SIMILARITY_WEIGHT = 1.0


def relaxed_contrastive(
    scores: Tensor,
    positives: Tensor,
    similarity: Tensor,
    *,
    similarity_weight: float = SIMILARITY_WEIGHT,
    temperature: float | Tensor = TEMPERATURE,
) -> Tensor:
    """The cross-entropy, in both directions, of the batch's softmax to softened targets; a scalar.

    The target of caption m and clip n is 1 where they match, else `similarity_weight` times how alike m and
    n's captions are; each caption's targets over the clips, and each clip's over the captions, are divided by
    their sum. With weight 0 these are the hard 0/1 targets.

    Args:
        scores: `(caption, clip)` cosines; column m is row m's clip.
        positives: `(caption, clip)` bool, True where they match; the diagonal always counts.
        similarity: `(caption, caption)` in [0, 1], of caption m as judged by n; RELAX takes CIDEr
            (`soundseek.learn.losses.cider`).
        similarity_weight: Target of a pair of similarity 1 beside 1 for a match.
        temperature: Divides the cosines.

    Note:
        Public material on RELAX (Lamort de Gail and Kicinski, DCASE 2022) says that a caption similarity prior
        from CIDEr relaxes the loss, and no more; the form above, and so the weight, are choices made here.
    """
    if similarity.shape != scores.shape:
        raise UsageError(
            f"similarity needs the shape of the scores, {tuple(scores.shape)}, got {tuple(similarity.shape)}"
        )
    hard = (positives | own_pairs(scores, positives)).to(scores.dtype)
    targets = hard.maximum(similarity_weight * similarity.to(scores.dtype))
    logits = scores / temperature
    over_clips = targets / targets.sum(dim=1, keepdim=True)
    over_captions = targets / targets.sum(dim=0, keepdim=True)
    text_to_audio = (over_clips * logits.log_softmax(dim=1)).sum(dim=1)
    audio_to_text = (over_captions * logits.log_softmax(dim=0)).sum(dim=0)
    return -(text_to_audio + audio_to_text).mean()


class Relaxed(ContrastiveLoss):
    """`relaxed_contrastive` as a module; `forward` needs the captions' similarity.

    Args:
        similarity_weight: See `relaxed_contrastive`.
        options: Those of `ContrastiveLoss`.
    """

    def __init__(self, *, similarity_weight: float = SIMILARITY_WEIGHT, **options: Any) -> None:
        super().__init__(**options)
        if not 0.0 < similarity_weight <= 1.0:
            raise RecipeError(
                f"similarity_weight {similarity_weight} must lie in (0, 1]; without one take nt-xent"
            )
        self.similarity_weight = similarity_weight

    def forward(self, scores: Tensor, positives: Tensor, similarity: Tensor | None = None) -> Tensor:
        """See `relaxed_contrastive`."""
        if similarity is None:
            raise UsageError(
                "the relaxed loss needs the captions' similarity; see soundseek.learn.losses.cider"
            )
        return relaxed_contrastive(
            scores,
            positives,
            similarity,
            similarity_weight=self.similarity_weight,
            temperature=self.temperature,
        )
