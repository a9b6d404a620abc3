"""The paper's losses over a batch of captions and clips (eqs. 5-7); pairs that match are never negatives (`negatives`).

`scores` is `(caption, clip)`, cosine similarities of B captions with their B clips: column m is row m's clip.
`positives` is `(caption, clip)`, bool, True where they match; see `match_matrix`.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundseek.errors import RecipeError, UsageError
from soundseek.learn.losses.negatives import own_pairs

TEMPERATURE = 0.07  # the paper's tau, section III-B
MIN_TEMPERATURE = 0.01  # CLIP's bound on a learned one: below it a single pair dominates the gradient


def cosine_scores(text_embedding: Tensor, audio_embedding: Tensor) -> Tensor:
    """`(query, item)` cosine similarities of `(query, dim)` and `(item, dim)` embeddings of any norm."""
    # eq. 5
    return functional.normalize(text_embedding, dim=-1) @ functional.normalize(audio_embedding, dim=-1).T


def nt_xent(scores: Tensor, positives: Tensor, *, temperature: float | Tensor = TEMPERATURE) -> Tensor:
    """The NT-Xent loss, a scalar: each caption finds its own clip and each clip its own caption.

    Note:
        The paper's eq. 6 counts every non-diagonal pair as a mismatch. Here those that match (same clip, same
        caption) are taken out of the denominators; in a batch without such pairs this is eq. 6 to the letter.
    """
    diagonal = own_pairs(scores, positives)
    logits = (scores / temperature).masked_fill(positives & ~diagonal, -math.inf)
    own = logits.diagonal()
    # eq. 6, first term: over the clips n
    text_to_audio = own - logits.logsumexp(dim=1)
    # eq. 6, second term: over the captions n
    audio_to_text = own - logits.logsumexp(dim=0)
    return -(text_to_audio + audio_to_text).mean()


def supervised_contrastive(
    scores: Tensor,
    positives: Tensor,
    *,
    temperature: float | Tensor = TEMPERATURE,
    similarity: Tensor | None = None,
    similarity_weight: float = 0.0,
) -> Tensor:
    """The supervised contrastive loss (eq. 7), a scalar; K(m) is row m of `positives`.

    Args:
        scores: See the module.
        positives: See the module; the diagonal always counts.
        temperature: tau.
        similarity: `(batch, batch)` in [0, 1], how alike captions m and n are. None leaves eq. 7 as it is.
        similarity_weight: Weight of a pair with similarity 1 that `positives` does not mark, beside 1 for one
            that it does. A row's weights are divided by their sum, where eq. 7 divides by |K(m)|.

    Raises:
        UsageError: `similarity_weight` without `similarity`, or the other way round.
    """
    if (similarity is None) != (similarity_weight == 0.0):
        raise UsageError(
            f"similarity_weight {similarity_weight} needs the captions' similarity,"
            " and a similarity needs a weight above 0; pass both or neither"
        )
    weights = (positives | own_pairs(scores, positives)).to(scores.dtype)
    if similarity is not None:
        weights = torch.maximum(weights, similarity_weight * similarity.to(scores.dtype))
    # eq. 7: 1 / |K(m)| for k in K(m), else 0
    weights = weights / weights.sum(dim=1, keepdim=True)
    logits = scores / temperature
    # eq. 7, first term: c_{m,k} over c_{m,n}
    text_to_audio = (weights * logits.log_softmax(dim=1)).sum(dim=1)
    # eq. 7, second term: c_{k,m} over c_{n,m}
    audio_to_text = (weights * logits.log_softmax(dim=0).T).sum(dim=1)
    return -(text_to_audio + audio_to_text).mean()


def copy_order(
    scores: Tensor,
    clip_ids: Tensor,
    origin_ids: Tensor,
    says_how: Tensor,
    *,
    temperature: float | Tensor = TEMPERATURE,
) -> Tensor:
    """How far captions that say how a sound sounds leave their copy behind the clip that it was made of, a scalar.

    The mean of log(1 + exp((wrong - own) / temperature)) over such captions and the other sounds of their origin; 0
    where the batch has none. Among hundreds of negatives of the contrastive losses that one is lost.

    Args:
        scores: See the module.
        clip_ids: `(batch,)` integers, equal where the sounds are one example's.
        origin_ids: See `with_origins`.
        says_how: See `with_origins`.
        temperature: Divides the differences of cosines.
    """
    same_origin = origin_ids.unsqueeze(1) == origin_ids.unsqueeze(0)
    same_sound = clip_ids.unsqueeze(1) == clip_ids.unsqueeze(0)
    captions, sounds = (same_origin & ~same_sound & says_how.unsqueeze(1)).nonzero(as_tuple=True)
    if not len(captions):
        return scores.new_zeros(())
    return functional.softplus((scores[captions, sounds] - scores[captions, captions]) / temperature).mean()


class RetrievalLoss(nn.Module):
    """What every loss is: `forward(scores, positives, similarity=None) -> scalar`; see the module."""

    @property
    def temperature(self) -> float | Tensor:
        """What divides the cosines; 1 in a loss that takes them as they are."""
        return 1.0

    def forward(self, scores: Tensor, positives: Tensor, similarity: Tensor | None = None) -> Tensor:
        """The loss of one batch; see the module for the shapes."""
        raise TypeError(
            f"{type(self).__name__} has no formula of its own: build a loss with build_loss(name)"
        )


class ContrastiveLoss(RetrievalLoss):
    """A loss with a temperature.

    Args:
        temperature: tau, or where a learned one starts.
        temperature_mode: "fixed" (the paper) or "learned": `MIN_TEMPERATURE + exp(parameter)`, which, unlike
            a clamp, never stops the gradient.
    """

    log_excess: Tensor

    def __init__(
        self, *, temperature: float = TEMPERATURE, temperature_mode: Literal["fixed", "learned"] = "fixed"
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise RecipeError(f"temperature {temperature} must be above 0; the paper takes {TEMPERATURE}")
        if temperature_mode not in ("fixed", "learned"):
            raise RecipeError(f"no temperature_mode {temperature_mode!r}; choose fixed or learned")
        self._fixed = temperature if temperature_mode == "fixed" else None
        if temperature_mode == "learned":
            if temperature <= MIN_TEMPERATURE:
                raise RecipeError(
                    f"a learned temperature starts above {MIN_TEMPERATURE}, not at {temperature}"
                )
            self.log_excess = nn.Parameter(torch.tensor(math.log(temperature - MIN_TEMPERATURE)))

    @property
    def temperature(self) -> float | Tensor:
        """tau as the loss uses it now."""
        if self._fixed is not None:
            return self._fixed
        return MIN_TEMPERATURE + self.log_excess.exp()


class NTXent(ContrastiveLoss):
    """Eq. 6 as a module; captions' similarity plays no part."""

    def forward(self, scores: Tensor, positives: Tensor, similarity: Tensor | None = None) -> Tensor:
        """See `nt_xent`."""
        return nt_xent(scores, positives, temperature=self.temperature)


class SupervisedContrastive(ContrastiveLoss):
    """Eq. 7 as a module.

    Args:
        similarity_weight: See `supervised_contrastive`; above 0, `forward` needs the captions' similarity.
        options: Those of `ContrastiveLoss`.
    """

    def __init__(self, *, similarity_weight: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        if not 0.0 <= similarity_weight <= 1.0:
            raise RecipeError(f"similarity_weight {similarity_weight} must lie in [0, 1]")
        self.similarity_weight = similarity_weight

    def forward(self, scores: Tensor, positives: Tensor, similarity: Tensor | None = None) -> Tensor:
        """See `supervised_contrastive`."""
        return supervised_contrastive(
            scores,
            positives,
            temperature=self.temperature,
            similarity=similarity if self.similarity_weight else None,
            similarity_weight=self.similarity_weight,
        )
