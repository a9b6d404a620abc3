"""The towers that a recipe names."""

from __future__ import annotations

from torch import nn

from soundseek.learn.encoders import build_text, build_trunk
from soundseek.learn.encoders.text import TextTower
from soundseek.learn.recipe import Recipe


def build_recipe_trunk(recipe: Recipe) -> nn.Module:
    """The recipe's audio trunk in evaluation mode; it takes gradients where the whole trunk is trained.

    Raises:
        RecipeError: No such trunk, options that it does not have, or weights that are missing.
        ModelError: The weights are not this trunk's.
    """
    audio = recipe.audio
    return build_trunk(
        audio.trunk,
        audio.weights,
        audio.trunk_options,
        trained=audio.is_live,
        spec_augment=audio.spec_augment,
        seed=recipe.seed,
    )


def feature_width(trunk: nn.Module, tag_share: float) -> int:
    """Width of the frames that reach the attention module.

    With a tag share the tags that the frames carry go their own way; else they are features like the others.
    """
    whole = int(trunk.width)  # type: ignore[arg-type]
    return int(getattr(trunk, "num_features", whole)) if tag_share else whole


def build_recipe_text(recipe: Recipe) -> TextTower:
    """The recipe's text tower, frozen and in evaluation mode.

    Raises:
        RecipeError: The tower is neither here nor to be had.
    """
    text = recipe.text
    return build_text(text.tower, pooling=text.pooling, max_tokens=text.max_tokens, weights=text.weights)
