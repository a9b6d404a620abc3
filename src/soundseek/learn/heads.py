"""What brings a tower's features into the shared space: the paper's linear projector, and those of other systems.

Only a linear head keeps a clip's score the mean of its frames' scores: Head(mean(x)) = mean(Head(x)).
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from soundseek.errors import RecipeError

HeadKind = Literal["linear", "mlp", "norm-linear", "identity"]


def build_head(kind: HeadKind, width: int, dim: int, *, hidden_width: int | None = None) -> nn.Module:
    """The head of a recipe: `(..., width) -> (..., dim)`, not normalised.

    Args:
        kind: "linear" (the paper), "mlp" (linear, ReLU, linear: Mei et al., 2022), "norm-linear" (layer norm, linear:
            PaSST-MPnet) or "identity" (the features as they are).
        width: Of the features.
        dim: Of the shared space.
        hidden_width: Of the layer inside "mlp"; None takes `dim`.

    Raises:
        RecipeError: No such kind, or features that are not as wide as the space for "identity".

    Example:
        >>> build_head("mlp", 8, 4, hidden_width=16)
        Sequential(
          (0): Linear(in_features=8, out_features=16, bias=True)
          (1): ReLU()
          (2): Linear(in_features=16, out_features=4, bias=True)
        )
    """
    if kind == "linear":
        return nn.Linear(width, dim)
    if kind == "mlp":
        hidden_width = hidden_width or dim
        return nn.Sequential(nn.Linear(width, hidden_width), nn.ReLU(), nn.Linear(hidden_width, dim))
    if kind == "norm-linear":
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
    if kind != "identity":
        raise RecipeError(f"no head {kind!r}; choose one of {', '.join(get_args(HeadKind))}")
    if width != dim:
        raise RecipeError(
            f"head = identity takes features as they are, but these are {width} wide and the space is {dim}; "
            f"set dim = {width}, or another head"
        )
    return nn.Identity()
