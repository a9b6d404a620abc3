"""The dual encoder: audio tower and text tower, each ending in a head into one space (Fig. 1).

A head is the paper's linear projector, or that of another system. A clip's score is the mean of its frames' scores
where the head is linear, Head(mean(x)) = mean(Head(x)), or stands on the frames, before the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundseek.errors import RecipeError
from soundseek.learn.models.attention import AttentionKind, PoolingKind, build_attention, build_pooling

if TYPE_CHECKING:
    from soundseek.learn.models.audio.tags import TagNames
    from soundseek.learn.models.text.tower import TextTower


HeadKind = Literal["linear", "mlp", "residual-mlp", "norm-linear", "identity"]
HeadPlace = Literal["clip", "frames"]


def build_head(kind: HeadKind, width: int, dim: int, *, hidden_width: int | None = None) -> nn.Module:
    """The head of a recipe: `(..., width) -> (..., dim)`, not normalised.

    Args:
        kind: "linear" (the paper), "mlp" (linear, ReLU, linear: Mei et al., 2022), "residual-mlp" (the two added up),
            "norm-linear" (layer norm, linear: PaSST-MPnet) or "identity" (the features as they are).
        width: Of the features.
        dim: Of the shared space.
        hidden_width: Of the layer inside "mlp" and "residual-mlp"; None takes `dim`.

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
    if kind == "residual-mlp":
        return ResidualMLP(width, hidden_width or dim, dim)
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


class ResidualMLP(nn.Module):
    """A hidden layer beside a linear head: W x + V relu(U x), `(..., width) -> (..., dim)`.

    Args:
        width: Of the features.
        hidden_width: Of the hidden layer.
        dim: Of what comes out.
    """

    def __init__(self, width: int, hidden_width: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim)
        self.inner = nn.Linear(width, hidden_width)
        self.outer = nn.Linear(hidden_width, dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """`(..., dim)`."""
        hidden: Tensor = self.outer(functional.relu(self.inner(features)))
        linear: Tensor = self.linear(features)
        return linear + hidden


class DualEncoder(nn.Module):
    """Sounds and sentences to unit vectors whose dot product says how well they match (eq. 5).

    The trunk and the text tower may be absent while the heads learn from their cached outputs: then only the
    methods that start from frames and from text features work.

    Args:
        dim: D, the width of the shared space.
        audio_width: D_A, the width of the trunk's frames.
        text_width: D_S, the width of the text tower's features.
        attention: The attention module between trunk and pooling.
        attention_options: Further arguments of `build_attention`.
        pooling: See `build_pooling`.
        audio_head: See `build_head`; the paper's is linear.
        audio_head_width: The `hidden_width` of `build_head`.
        audio_head_on: Where the head stands: on the pooled "clip", or on its "frames", which are pooled behind it.
        text_head: As `audio_head`.
        text_head_width: As `audio_head_width`.
        audio_dropout: Share of the pooled frames' features that training sets to zero.
        text_dropout: The same for the text features.
        trunk: Log-mel and mask -> frames and mask; see `soundseek.learn.models.build.Trunk`.
        tail: The trunk's last layers where they are trained: what the layers before them give, and its mask
            -> frames and mask. In a model with both, the two share these layers.
        text: Token ids and mask -> features.
        tags: The names of the tags that the frames carry, mixed into the clip's embedding.
    """

    audio_mean: Tensor
    audio_scale: Tensor

    def __init__(
        self,
        *,
        dim: int,
        audio_width: int,
        text_width: int,
        attention: AttentionKind = "none",
        attention_options: dict[str, Any] | None = None,
        pooling: PoolingKind = "mean",
        audio_head: HeadKind = "linear",
        audio_head_width: int | None = None,
        audio_head_on: HeadPlace = "clip",
        text_head: HeadKind = "linear",
        text_head_width: int | None = None,
        audio_dropout: float = 0.0,
        text_dropout: float = 0.0,
        trunk: nn.Module | None = None,
        tail: nn.Module | None = None,
        text: TextTower | None = None,
        tags: TagNames | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.tail = tail
        self.attention = build_attention(attention, audio_width, **(attention_options or {}))
        self.pooling = build_pooling(pooling)
        self.audio_dropout = nn.Dropout(audio_dropout)
        self.audio_projector = build_head(audio_head, audio_width, dim, hidden_width=audio_head_width)
        self.text = text
        self.text_dropout = nn.Dropout(text_dropout)
        self.text_projector = build_head(text_head, text_width, dim, hidden_width=text_head_width)
        self.tags = tags
        self.is_head_on_frames = audio_head_on == "frames"
        is_local = audio_head == "linear" or self.is_head_on_frames
        self.has_moments = pooling == "mean" and is_local and tags is None
        # An affine map of each feature, the identity unless `standardise` sets it.
        self.register_buffer("audio_mean", torch.zeros(audio_width))
        self.register_buffer("audio_scale", torch.ones(audio_width))

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Bring frames of this mean and standard deviation, `(width,)`, to zero mean and unit variance."""
        self.audio_mean.copy_(mean)
        self.audio_scale.copy_(1 / deviation.clamp(min=1e-4))  # a feature that never moves stays small

    def attend(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """Frames `(batch, time, width)` of the trunk, standardised and joined by the attention module."""
        attended: Tensor = self.attention((frames - self.audio_mean) * self.audio_scale, frame_mask)
        return attended

    def encode_audio(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """Audio embeddings `(batch, dim)`, unit norm, of frames `(batch, time, width)` (eqs. 2 and 4)."""
        probabilities = None
        if self.tags is not None:
            frames, probabilities = self.tags.split(frames, frame_mask)
        attended = self.attend(frames, frame_mask)
        if self.is_head_on_frames:
            projected = self.audio_projector(self.audio_dropout(attended))
            scene = functional.normalize(self.pooling(projected, frame_mask), dim=-1)
        else:
            pooled = self.pooling(attended, frame_mask)
            scene = functional.normalize(self.audio_projector(self.audio_dropout(pooled)), dim=-1)
        if self.tags is None:
            return scene
        mixed: Tensor = self.tags(scene, probabilities, self.encode_text_features(self.tags.features))
        return mixed

    def encode_audio_features(self, features: Tensor, frame_mask: Tensor) -> Tensor:
        """Audio embeddings `(batch, dim)`, unit norm, of what a frozen trunk gives.

        Args:
            features: `(batch, time, width)`: frames, or what the tail takes where there is one.
            frame_mask: `(batch, time)` bool, True = real.
        """
        if self.tail is None:
            return self.encode_audio(features, frame_mask)
        return self.encode_audio(*self.tail(features, frame_mask))

    def project_frames(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """Each frame in the shared space, `(batch, time, dim)`; the mean of a clip's real ones points where
        `encode_audio` points.

        A linear head behind the mean, or any head before it, makes that so for frames on their own, not normalised: the
        clip's score is the mean of its frames' scores, up to the clip's norm. With another pooling, or another head
        behind it, there are no frames in the shared space (`has_moments` is False), and each is given the embedding of
        its clip.
        """
        if not self.has_moments:
            return self.encode_audio(frames, frame_mask).unsqueeze(1).expand(-1, frames.shape[1], -1)
        projected: Tensor = self.audio_projector(self.attend(frames, frame_mask))
        return projected

    def encode_text_features(self, features: Tensor) -> Tensor:
        """Text embeddings `(batch, dim)`, unit norm, of the text tower's features `(batch, width)`."""
        return functional.normalize(self.text_projector(self.text_dropout(features)), dim=-1)

    def encode_text(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """Text embeddings `(batch, dim)`, unit norm, of ids and mask `(batch, token)`."""
        if self.text is None:
            raise ValueError("this DualEncoder has no text tower: give encode_text_features its features")
        return self.encode_text_features(self.text(token_ids, token_mask))
