"""The paper's attention modules (eqs. 1-4) and the pooling behind them, for clips of different lengths.

Everywhere `frames` is `(batch, time, width)` and `frame_mask` `(batch, time)`, bool, True = real. Padded
frames take part neither in a softmax nor in a mean, whatever they hold, so a clip's output is the same alone
and in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from soundseek.errors import RecipeError

AttentionKind = Literal["none", "graph", "self"]
PoolingKind = Literal["mean", "max-mean", "length-aware-max-mean"]
ActivationKind = Literal["relu", "gelu", "hardswish", "tanh"]

# Numbers of a relation between frames that are in memory at once, 64 MB; what ordinary batches need fits.
_MOST_RELATIONS = 1 << 24

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "tanh": nn.Tanh,
}


def build_attention(kind: AttentionKind, width: int, **options: Any) -> nn.Module:
    """The attention module of a recipe: `forward(frames, frame_mask) -> frames`, all `(batch, time, width)`.

    Args:
        kind: "none" (the paper's ablation), "graph" (eqs. 1-2) or "self" (eqs. 3-4).
        width: D_A, the width of a frame.
        options: "graph": `slope`, `gain`; "self": `hidden_width`, `activation`.

    Raises:
        RecipeError: No such kind, or an option that the kind does not have.
    """
    classes: dict[str, type[nn.Module]] = {
        "none": NoAttention,
        "graph": GraphAttention,
        "self": SelfAttention,
    }
    if kind not in classes:
        raise RecipeError(f"no attention {kind!r}; choose one of {', '.join(get_args(AttentionKind))}")
    try:
        return classes[kind](width, **options)
    except TypeError as error:
        raise RecipeError(f"attention {kind!r} cannot be built from {options}: {error}") from error


class NoAttention(nn.Module):
    """The frames as they are: "CNN14 based" in Table I."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """`frames`, untouched."""
        return frames


class GraphAttention(nn.Module):
    """Every frame a neighbour of every frame, one head: `F + softmax(R) F W1^T`.

    Args:
        width: D_A.
        slope: Of the leaky ReLU for negative relations.
        gain: Of the Xavier-uniform weights.

    Note:
        Slope and gain are open in the paper; these are those of graph attention networks (its reference 17).
        `W2 [W1 f_i ; W1 f_j]` is `left . W1 f_i + right . W1 f_j` with the two halves of W2, so R is one
        broadcast sum of two `(batch, time)` vectors and no `(time, time, 2 width)` tensor is ever built.
    """

    def __init__(self, width: int, *, slope: float = 0.2, gain: float = math.sqrt(2.0)) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, width, bias=False)
        self.w2 = nn.Linear(2 * width, 1, bias=False)
        self.leaky_relu = nn.LeakyReLU(slope)
        for layer in (self.w1, self.w2):
            nn.init.xavier_uniform_(layer.weight, gain=gain)

    def forward(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """`(batch, time, width)`: each real frame plus what it takes from the clip's other real frames."""
        frames = _without_padding(frames, frame_mask)
        mapped = self.w1(frames)  # F W1^T
        left, right = self.w2.weight[0].chunk(2)
        left_of, right_of = mapped @ left, mapped @ right  # (batch, time)

        def relation(rows: slice) -> Tensor:
            # eq. 1: R
            return cast("Tensor", self.leaky_relu(left_of[:, rows].unsqueeze(2) + right_of.unsqueeze(1)))

        # eq. 2: F + softmax(R) F W1^T
        return frames + _attend(relation, mapped, frame_mask)


class SelfAttention(nn.Module):
    """One head without output projection, then a two-layer perceptron, both with a residual.

    Args:
        width: D_A.
        hidden_width: Of the perceptron; None takes `width`.
        activation: Of the perceptron.

    Note:
        Width and activation of the perceptron are open in the paper; as wide as the frames and ReLU are the
        plainest reading of "a multi-layer perceptron with a depth of two".
    """

    def __init__(
        self, width: int, *, hidden_width: int | None = None, activation: ActivationKind = "relu"
    ) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise RecipeError(f"no activation {activation!r}; choose one of {', '.join(_ACTIVATIONS)}")
        hidden_width = hidden_width or width
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.phi = nn.Sequential(
            nn.Linear(width, hidden_width), _ACTIVATIONS[activation](), nn.Linear(hidden_width, width)
        )
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """`(batch, time, width)`: `phi(F^) + F^` with `F^` the frames plus what they attend to."""
        frames = _without_padding(frames, frame_mask)
        query, key = self.query(frames), self.key(frames).transpose(1, 2)

        def relation(rows: slice) -> Tensor:
            return cast("Tensor", query[:, rows] @ key / math.sqrt(frames.shape[-1]))

        # eq. 3: F^ = F + softmax(Q K^T / sqrt(D_A)) V
        attended = frames + _attend(relation, self.value(frames), frame_mask)
        # eq. 4: phi(F^) + F^
        return self.phi(attended) + attended  # type: ignore[no-any-return]


def build_pooling(kind: PoolingKind) -> nn.Module:
    """The pooling over a clip's real frames: `forward(frames, frame_mask) -> (batch, width)`.

    Args:
        kind: "mean" (the paper's), "max-mean" (maximum plus mean, as the PANNs head does) or
            "length-aware-max-mean" (the same over real frames only, in training, too).

    Raises:
        RecipeError: No such kind.
    """
    if kind not in get_args(PoolingKind):
        raise RecipeError(f"no pooling {kind!r}; choose one of {', '.join(get_args(PoolingKind))}")
    return MeanPooling() if kind == "mean" else MaxMeanPooling(is_length_aware=kind != "max-mean")


class MeanPooling(nn.Module):
    """Mean over the real frames: MeanPooling[.] of eqs. 2 and 4."""

    def forward(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """`(batch, width)`."""
        return masked_mean(frames, frame_mask)


class MaxMeanPooling(nn.Module):
    """Maximum over a clip's frames plus their mean.

    Args:
        is_length_aware: Whether training, too, leaves out the padding behind clips that are shorter than the longest
            of their batch. Without it padding counts as zeros there, as in the systems that pad all clips alike; in
            evaluation it never counts, so that an embedding does not depend on its batch.
    """

    def __init__(self, *, is_length_aware: bool = True) -> None:
        super().__init__()
        self.is_length_aware = is_length_aware

    def forward(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """`(batch, width)`."""
        if self.training and not self.is_length_aware:
            frames = _without_padding(frames, frame_mask)
            return frames.amax(dim=1) + frames.mean(dim=1)
        return masked_max(frames, frame_mask) + masked_mean(frames, frame_mask)


def masked_mean(frames: Tensor, frame_mask: Tensor) -> Tensor:
    """`(batch, width)`: mean over the real frames; zeros for a clip without any.

    >>> frames = torch.tensor([[[1.0], [3.0], [99.0]]])
    >>> masked_mean(frames, torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    num_frames = frame_mask.sum(dim=1, keepdim=True).clamp(min=1)
    return _without_padding(frames, frame_mask).sum(dim=1) / num_frames.to(frames.dtype)


def masked_max(frames: Tensor, frame_mask: Tensor) -> Tensor:
    """`(batch, width)`: maximum over the real frames; zeros for a clip without any."""
    lowest = torch.finfo(frames.dtype).min
    highest = frames.masked_fill(~frame_mask.unsqueeze(-1), lowest).amax(dim=1)
    return highest.masked_fill(~frame_mask.any(dim=1, keepdim=True), 0.0)


def _without_padding(frames: Tensor, frame_mask: Tensor) -> Tensor:
    """The frames with padding set to zero: a weight of zero alone would let a NaN or an infinity through."""
    return frames.masked_fill(~frame_mask.unsqueeze(-1), 0.0)


def _attend(relation: Callable[[slice], Tensor], values: Tensor, frame_mask: Tensor) -> Tensor:
    """softmax(R) V, `(batch, time, width)`: of long clips a few rows of R at a time, in training, too.

    Args:
        relation: Rows of R: from their numbers to `(batch, rows, time)`.
        values: `(batch, time, width)`.
        frame_mask: `(batch, time)` bool, True = real.

    Note:
        R has time x time numbers: half a gigabyte for an hour of sound, several times over in a backward pass.
    """

    def attended(first: int, last: int) -> Tensor:
        return _softmax_over_real(relation(slice(first, last)), frame_mask) @ values

    batch, time = frame_mask.shape
    if (
        torch.compiler.is_compiling()
        or torch.onnx.is_in_onnx_export()
        or batch * time * time <= _MOST_RELATIONS
    ):
        return _softmax_over_real(relation(slice(None)), frame_mask) @ values
    rows = max(1, _MOST_RELATIONS // (batch * time))
    # Computed again in the backward pass: kept, the blocks would be as large as the whole.
    parts: list[Tensor] = [
        checkpoint(attended, first, min(time, first + rows), use_reentrant=False)
        for first in range(0, time, rows)
    ]
    return torch.cat(parts, dim=1)


def _softmax_over_real(relation: Tensor, frame_mask: Tensor) -> Tensor:
    """sigma(.) of eqs. 2 and 3, over the last axis of `(batch, time, time)`; padded columns weigh exactly 0.

    The fill is the lowest finite number, not -inf: a clip without a real frame gives finite weights, not NaN.
    """
    lowest = torch.finfo(relation.dtype).min
    return relation.masked_fill(~frame_mask.unsqueeze(1), lowest).softmax(dim=-1)
