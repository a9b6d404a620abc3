"""EfficientAT's `mn04_as`: MobileNetV3-Large at width 0.4 for audio tagging (Schmid, Koutini, Widmer, ICASSP 2023).

It teaches `compact` and stands in for CNN14 (AudioSet mAP .432 beside .431, the same 320 ms frames). Its weights are
published by its authors (MIT) and are loaded from a file; soundseek carries none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError
from soundseek.learn.models.attention import masked_mean
from soundseek.learn.models.audio.tags import NUM_CLASSES
from soundseek.learn.models.audio.weights_file import check_shapes, read_weights, save_weights, shapes_of


class _Block(NamedTuple):
    """One row of MobileNetV3-Large's table (Howard et al., 2019), widths before scaling."""

    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    activation: type[nn.Module]
    stride: int


_BLOCKS = (
    _Block(3, 16, 16, False, nn.ReLU, 1),
    _Block(3, 64, 24, False, nn.ReLU, 2),
    _Block(3, 72, 24, False, nn.ReLU, 1),
    _Block(5, 72, 40, True, nn.ReLU, 2),
    _Block(5, 120, 40, True, nn.ReLU, 1),
    _Block(5, 120, 40, True, nn.ReLU, 1),
    _Block(3, 240, 80, False, nn.Hardswish, 2),
    _Block(3, 200, 80, False, nn.Hardswish, 1),
    _Block(3, 184, 80, False, nn.Hardswish, 1),
    _Block(3, 184, 80, False, nn.Hardswish, 1),
    _Block(3, 480, 112, True, nn.Hardswish, 1),
    _Block(3, 672, 112, True, nn.Hardswish, 1),
    _Block(5, 672, 160, True, nn.Hardswish, 2),
    _Block(5, 960, 160, True, nn.Hardswish, 1),
    _Block(5, 960, 160, True, nn.Hardswish, 1),
)


def _round_to_8(channels: float) -> int:
    """MobileNet's rule: the nearest multiple of 8, but never more than 10 % below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class EfficientATConfig(BaseModel):
    """The shape of an EfficientAT; its files do not say it.

    Attributes:
        width_factor: Of MobileNetV3-Large's channels: 0.4 is `mn04_as`, 1.0 `mn10_as`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width_factor: float = Field(default=0.4, gt=0)


class EfficientATTrunk(nn.Module):
    """Log-mel `(batch, time, 128)` -> frames `(batch, ceil(time / 32), width)`; `logits` gives AudioSet's 527 tags.

    Note:
        Squeeze-and-excitation averages over the whole clip, so frames depend on the clip's length and content and
        padding would leak: embed clips one at a time, or batches of one length.
    """

    scope: Literal["local", "clip"] = "clip"
    frame_hop = 32
    context_frames = 0
    min_frames = 32
    front_end = FrontEndConfig()

    def __init__(self, width_factor: float = 0.4) -> None:
        super().__init__()
        stem = _round_to_8(16 * width_factor)
        features: list[nn.Module] = [_conv_norm(1, stem, 3, 2, activation=nn.Hardswish)]
        channels = stem
        for block in _BLOCKS:
            features.append(_InvertedResidual(channels, block, width_factor))
            channels = _round_to_8(block.outputs * width_factor)
        self.width = 6 * channels
        features.append(_conv_norm(channels, self.width, 1, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*features)
        hidden = _round_to_8(1280 * width_factor)
        # Positions 2 and 5 hold the linear layers in the published file.
        self.classifier = nn.Sequential(
            nn.Identity(), nn.Identity(), nn.Linear(self.width, hidden), nn.Hardswish(),
            nn.Dropout(0.2), nn.Linear(hidden, NUM_CLASSES),
        )  # fmt: skip

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames `(batch, frames, width)`, the mean over bands of the last map, and their mask `(batch, frames)`.

        Args:
            log_mel: `(batch, time, 128)` of this trunk's front end.
            frame_mask: `(batch, time)` bool, True = real. Only carried along: see the note of the class.
        """
        maps = self.features(log_mel.transpose(1, 2).unsqueeze(1))  # (batch, width, band, frames)
        frames = maps.mean(dim=2).transpose(1, 2)
        if frame_mask is None:
            return frames, torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return frames, frame_mask[:, :: self.frame_hop]

    def logits(self, frames: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """AudioSet logits `(batch, 527)` of clips' frames `(batch, frames, width)`; None = all real."""
        pooled = frames.mean(dim=1) if frame_mask is None else masked_mean(frames, frame_mask)
        logits: Tensor = self.classifier(pooled)
        return logits

    def save(self, path: Path) -> None:
        """Write the weights, head included, to one safetensors file."""
        save_weights(self, path)

    @classmethod
    def load(cls, path: str | Path, *, width_factor: float = 0.4) -> EfficientATTrunk:
        """The published tagger, in eval mode, from `.pt` (as published) or `.safetensors`.

        Raises:
            ModelError: No such file, one that holds no tensors, or missing, surplus or misshapen tensors, which
                are listed.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(
                f"no tagger weights at {path}; see docs/distillation.md for where they are published"
            )
        state = read_weights(path)
        trunk = cls(width_factor)
        check_shapes(path, shapes_of(state), shapes_of(trunk.state_dict()))
        trunk.load_state_dict(state)
        return trunk.eval()


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, row: _Block, factor: float) -> None:
        super().__init__()
        hidden, outputs = _round_to_8(row.expanded * factor), _round_to_8(row.outputs * factor)
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(_conv_norm(inputs, hidden, 1, 1, activation=row.activation))
        layers.append(
            _conv_norm(hidden, hidden, row.kernel, row.stride, groups=hidden, activation=row.activation)
        )
        if row.squeeze:
            layers.append(_SqueezeExcitation(hidden))
        layers.append(_conv_norm(hidden, outputs, 1, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.residual = row.stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.residual else out


class _SqueezeExcitation(nn.Module):
    """Channel gates from the mean over the whole clip; nested as the published file nests it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([_Gate(channels, _round_to_8(channels / 4))])

    def forward(self, x: Tensor) -> Tensor:
        gates: Tensor = self.conc_se_layers[0](x.mean(dim=(2, 3)))
        return x * gates[:, :, None, None]


class _Gate(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x))))


def _conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    *,
    groups: int = 1,
    activation: type[nn.Module] | None,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers, activation()) if activation else nn.Sequential(*layers)
