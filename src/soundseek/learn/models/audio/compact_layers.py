"""The layers of `compact`, and how maps, masks and tags pass through them; none looks at the whole clip."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from soundseek.learn.models.audio.tags import NUM_CLASSES


class ConvNormAct(nn.Module):
    """Convolution, batch norm, hardswish."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.stride = self.band_stride = stride
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.hardswish(self.norm(self.conv(x)))


class FoldBands(ConvNormAct):
    """One vector a frame: the mean over bands of a 1x1 layer, and a convolution that tells the bands apart."""

    def __init__(self, inputs: int, outputs: int, bands: int) -> None:
        super().__init__(inputs, outputs, 1, 1)
        self.fold = nn.Conv2d(inputs, outputs, (1, bands), bias=False)
        self.fold_norm = nn.BatchNorm2d(outputs)
        nn.init.zeros_(self.fold_norm.weight)  # starts as the mean alone

    def forward(self, x: Tensor) -> Tensor:
        folded: Tensor = self.fold_norm(self.fold(x))
        return super().forward(x).mean(dim=3, keepdim=True) + folded


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; a residual where the shapes allow.

    Args:
        inputs: Channels that enter.
        outputs: Channels that leave.
        expansion: Channels of the depthwise convolution, as a multiple of `inputs`.
        kernel: Side of the depthwise kernel, or its two sides (time, band).
        stride: On both axes, or of the two (time, band).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        expansion: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2)
        hidden = inputs * expansion
        self.inputs = inputs
        self.stride, self.band_stride = (stride, stride) if isinstance(stride, int) else stride
        self.residual = self.stride == self.band_stride == 1 and inputs == outputs
        self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(
            hidden, hidden, sides, (self.stride, self.band_stride), padding, groups=hidden, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(outputs)
        if self.residual:
            nn.init.zeros_(self.project_norm.weight)  # starts as the identity (Goyal et al., 2017)

    def forward(self, x: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """`x` is `(batch, channels, time, band)`; `frame_mask` `(batch, time)` silences padding before it can mix."""
        hidden = nn.functional.hardswish(self.expand_norm(self.expand(x)))
        if frame_mask is not None:
            hidden = hidden * frame_mask[:, None, :, None]
        hidden = nn.functional.hardswish(self.depthwise_norm(self.depthwise(hidden)))
        out: Tensor = self.project_norm(self.project(hidden))
        return x + out if self.residual else out


class TagsConfig(BaseModel):
    """A tagger on the trunk's frames, whose opinion travels with them.

    What a published tagger calls a sound needs no captions to be learnt, so it holds for sounds that no caption named.

    Attributes:
        num_tags: AudioSet's classes.
        hidden: Width of the tagger's layer.
        window_frames: Frames around each that it hears; odd. It was taught on the mean over whole crops.
        gain: Of a tag's amplitude, the square root of its probability: beside the other features a tag of .01
            still counts a tenth of a certain one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_tags: int = NUM_CLASSES
    hidden: int = 512
    window_frames: int = 9
    gain: float = 3.0


class LocalTags(nn.Module):
    """Features `(batch, frames, width)` and mask -> amplitudes of tags `(batch, frames, num_tags)`.

    Each frame is judged by the mean of those around it, so tags stay local as everything else here.
    """

    def __init__(self, width: int, config: TagsConfig) -> None:
        super().__init__()
        self.window_frames, self.gain = config.window_frames, config.gain
        self.classifier = nn.Sequential(
            nn.Linear(width, config.hidden), nn.Hardswish(), nn.Linear(config.hidden, config.num_tags)
        )

    def forward(self, features: Tensor, frame_mask: Tensor) -> Tensor:
        """`gain * sqrt(probability)`; a window at an end of the clip holds the frames that there are."""
        real = frame_mask.unsqueeze(1).to(features.dtype)  # (batch, 1, frames)
        window, reach = self.window_frames, self.window_frames // 2
        sums = nn.functional.avg_pool1d(
            features.transpose(1, 2) * real, window, 1, reach
        )  # over width, zeros beyond
        counts = nn.functional.avg_pool1d(real, window, 1, reach).clamp(min=1e-6)
        logits = self.classifier((sums / counts).transpose(1, 2))
        return self.gain * (0.5 * nn.functional.logsigmoid(logits)).exp()


def with_tags(features: Tensor, frame_mask: Tensor, tags: LocalTags | None) -> Tensor:
    """Features, and behind them the amplitudes of the tags if the trunk gives any."""
    return features if tags is None else torch.cat([features, tags(features, frame_mask)], dim=2)


def through(layers: Iterable[nn.Module], x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """`x` `(batch, channels, time, band)` and its mask after some layers; without a mask nothing is padding."""
    masked = frame_mask is not None
    if frame_mask is None:
        frame_mask = x.new_ones((x.shape[0], x.shape[2]), dtype=torch.bool)
    for layer in layers:
        if masked:
            x = x * frame_mask[:, None, :, None]
            x = layer(x, frame_mask) if isinstance(layer, InvertedResidual) else layer(x)
        else:
            x = layer(x)
        frame_mask = frame_mask[:, :: int(layer.stride)]  # type: ignore[arg-type]
    return x, frame_mask


def count_bands(num_mels: int, layers: Iterable[nn.Module]) -> int:
    """Bands that some layers leave of the log-mel's."""
    bands = num_mels
    for layer in layers:
        bands = 1 if isinstance(layer, FoldBands) else -(-bands // int(layer.band_stride))  # type: ignore[arg-type]
    return bands
