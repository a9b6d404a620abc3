"""Losses over a batch of captions and clips, each equation in the file of its name.

`contrastive` holds the paper's eqs. 5-7, `negatives` what a batch sets against each other, `triplet` the margin losses,
`relaxed` the targets softened by captions that say the same, `soft_targets` what is learned from other models' scores.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from soundseek.errors import RecipeError
from soundseek.learn.losses.contrastive import (
    MIN_TEMPERATURE,
    TEMPERATURE,
    ContrastiveLoss,
    NTXent,
    RetrievalLoss,
    SupervisedContrastive,
    copy_order,
    cosine_scores,
    nt_xent,
    supervised_contrastive,
)
from soundseek.learn.losses.negatives import match_matrix, own_pairs, with_origins
from soundseek.learn.losses.relaxed import Relaxed, relaxed_contrastive
from soundseek.learn.losses.soft_targets import WithTeacherScores, distillation
from soundseek.learn.losses.triplet import Triplet, triplet_margin
from soundseek.learn.recipe.keys import LossConfig

__all__ = [
    "LOSSES",
    "MIN_TEMPERATURE",
    "TEMPERATURE",
    "ContrastiveLoss",
    "NTXent",
    "Relaxed",
    "RetrievalLoss",
    "SupervisedContrastive",
    "Triplet",
    "WithTeacherScores",
    "build_loss",
    "copy_order",
    "cosine_scores",
    "distillation",
    "loss_of",
    "loss_options",
    "match_matrix",
    "nt_xent",
    "own_pairs",
    "relaxed_contrastive",
    "supervised_contrastive",
    "triplet_margin",
    "with_origins",
]

LOSSES: dict[str, type[RetrievalLoss]] = {
    "nt-xent": NTXent,
    "supervised-contrastive": SupervisedContrastive,
    "triplet": Triplet,
    "relaxed": Relaxed,
}


def build_loss(
    name: str, *, soft_targets: Mapping[str, float] | None = None, **options: Any
) -> RetrievalLoss:
    """The loss of a recipe, by its name in `LOSSES`.

    Args:
        name: Which.
        soft_targets: `weight` and `temperature` of `WithTeacherScores`, which then stands around the loss.
        options: Those that the loss has; see `loss_options`.

    Raises:
        RecipeError: No such loss, an option that it does not have, or a value that it cannot have.
    """
    if name not in LOSSES:
        raise RecipeError(f"no loss {name!r}; choose one of {', '.join(LOSSES)}")
    unknown = sorted(set(options) - set(loss_options(name)))
    if unknown:
        raise RecipeError(
            f"loss {name!r} has no option {unknown[0]!r}; it has {', '.join(loss_options(name))}"
        )
    loss = LOSSES[name](**options)
    return loss if soft_targets is None else WithTeacherScores(loss, **soft_targets)


def loss_of(config: LossConfig) -> RetrievalLoss:
    """The loss that a recipe asks for: of its values, those that this loss has.

    >>> loss_of(LossConfig(name="triplet", margin=0.4)).margin
    0.4
    """
    values = config.model_dump() | {"similarity_weight": config.caption_similarity}
    options = {name: values[name] for name in loss_options(config.name) if name in values}
    soft = config.soft_targets
    targets = None if soft is None else {"weight": soft.weight, "temperature": soft.temperature}
    return build_loss(config.name, soft_targets=targets, **options)


def loss_options(name: str) -> tuple[str, ...]:
    """The options of a loss of `LOSSES`.

    >>> loss_options("triplet")
    ('margin', 'impostors', 'generator')
    """
    return tuple(
        parameter.name
        for kind in LOSSES[name].__mro__[:-1]
        if "__init__" in vars(kind) and issubclass(kind, RetrievalLoss)
        for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if parameter.kind is parameter.KEYWORD_ONLY
    )
