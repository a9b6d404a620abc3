"""`compact`: soundseek's own audio trunk, made to be shipped: about 1 M parameters, one frame every 320 ms.

Depthwise-separable inverted residuals (Sandler et al., 2018) with hardswish and batch norm after a 7x7 stem that
strides by four at once. There is no squeeze-and-excitation and nothing else that looks at the whole clip: a frame
depends on its neighbourhood alone, so long files stream in one pass, padding never leaks and moments are exact.

The early stride is a decision for slow machines: on one core a training step costs 3.7 ms per second of sound against
7.1 ms for MobileNetV3 at width 0.4, although it multiplies twice as much, because the memory-bound layers at full
resolution are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError, RecipeError


class StageConfig(BaseModel):
    """Blocks of one width; the first of them strides.

    Attributes:
        width: Channels after each block.
        expansion: Channels inside a block, as a multiple of its input's.
        kernel: Side of the depthwise kernel.
        stride: Stride of the first block, on both axes.
        blocks: Number of blocks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int
    expansion: int
    kernel: int
    stride: int
    blocks: int


class TemporalConfig(BaseModel):
    """Blocks over time alone, after the bands of a frame were folded into one vector.

    At one vector a frame a million weights cost as much as ten thousand at the stem, and each block widens what a
    frame knows of its surroundings. Fold and blocks start as nothing added to the mean over bands, so a trunk that
    was taught without them can grow them.

    Attributes:
        expansion: Channels inside a block, as a multiple of its input's.
        kernel: Frames that a block's depthwise convolution sees.
        blocks: Number of blocks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    expansion: int = 2
    kernel: int = 5
    blocks: int = 2


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

    num_tags: int = 527
    hidden: int = 512
    window_frames: int = 9
    gain: float = 3.0


class CompactConfig(BaseModel):
    """The shape of a compact trunk; the defaults are soundseek-small's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stem_width: int = 24
    stem_kernel: int = 7
    stem_stride: int = 4
    stages: tuple[StageConfig, ...] = (
        StageConfig(width=24, expansion=2, kernel=3, stride=1, blocks=1),  # 32 bands, 40 ms
        StageConfig(width=48, expansion=3, kernel=3, stride=2, blocks=2),  # 16 bands, 80 ms
        StageConfig(width=96, expansion=3, kernel=5, stride=2, blocks=4),  # 8 bands, 160 ms
        StageConfig(width=160, expansion=3, kernel=3, stride=2, blocks=4),  # 4 bands, 320 ms
    )
    temporal: TemporalConfig | None = None
    width: int = 512
    tags: TagsConfig | None = None
    front_end: FrontEndConfig = FrontEndConfig()


class CompactTrunk(nn.Module):
    """Log-mel `(batch, time, mel)` -> frames `(batch, ceil(time / frame_hop), width)`."""

    scope: Literal["local", "clip"] = "local"

    def __init__(self, config: CompactConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CompactConfig()
        self.front_end = config.front_end
        self.tags = LocalTags(config.width, config.tags) if config.tags else None
        self.width = config.width + (config.tags.num_tags if config.tags else 0)
        kernel, stride = config.stem_kernel, config.stem_stride
        layers: list[nn.Module] = [_ConvNormAct(1, config.stem_width, kernel, stride)]
        channels = config.stem_width
        self.frame_hop, reach = stride, kernel // 2
        for stage in config.stages:
            for block in range(stage.blocks):
                step = stage.stride if block == 0 else 1
                layers.append(InvertedResidual(channels, stage.width, stage.expansion, stage.kernel, step))
                channels = stage.width
                reach += stage.kernel // 2 * self.frame_hop
                self.frame_hop *= step
        if config.temporal is None:
            layers.append(_ConvNormAct(channels, config.width, 1, 1))
        else:
            layers.append(_FoldBands(channels, config.width, _bands(config.front_end.num_mels, layers)))
            kernel = config.temporal.kernel
            for _ in range(config.temporal.blocks):
                expansion = config.temporal.expansion
                layers.append(InvertedResidual(config.width, config.width, expansion, (kernel, 1), 1))
                reach += kernel // 2 * self.frame_hop
        self.layers = nn.ModuleList(layers)
        if config.tags:
            reach += config.tags.window_frames // 2 * self.frame_hop
        # Rounded up to whole frames, so that a streamed chunk stays on the frame grid.
        self.context_frames = -(-reach // self.frame_hop) * self.frame_hop
        self.min_frames = self.frame_hop

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames of a batch of clips.

        Args:
            log_mel: `(batch, time, mel)`.
            frame_mask: `(batch, time)` bool, True = real; None = all real. Padded log-mel frames are taken as the
                zeros that a convolution sees beyond the end, so padding never changes a real frame.

        Returns:
            Frames `(batch, frames, width)`, features first and then the tags' amplitudes if there are any, and their
            mask `(batch, frames)`.
        """
        features, frame_mask = self.features(log_mel, frame_mask)
        return _with_tags(features, frame_mask, self.tags), frame_mask

    def features(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The frames without the tags, `(batch, frames, config.width)`, and their mask."""
        x, frame_mask = _through(self.layers, log_mel.unsqueeze(1), frame_mask)  # x: (batch, 1, time, mel)
        return x.mean(dim=3).transpose(1, 2), frame_mask  # mean over bands: (batch, frames, width)

    def split(self, num_layers: int) -> tuple[CompactBody, CompactTail]:
        """The trunk before its last layers, and these layers; both share their weights with the trunk.

        Args:
            num_layers: How many layers the tail has. None of them strides, so a map that enters the tail has
                as many frames as leave the trunk.

        Raises:
            RecipeError: More layers than follow the last one that strides, or less than one.
        """
        most = sum(1 for _ in takewhile(lambda layer: layer.stride == 1, reversed(self.layers)))
        if not 1 <= num_layers <= most:
            raise RecipeError(
                f"audio.trained_blocks = {num_layers}, but at most {most} layers of this trunk follow the last "
                "one that strides"
            )
        return CompactBody(self, num_layers), CompactTail(self, num_layers)

    def tag_probabilities(self, frames: Tensor) -> Tensor:
        """The tags' columns of frames `(…, width)` as probabilities `(…, num_tags)`.

        Raises:
            ModelError: A trunk without tags.
        """
        if self.tags is None:
            raise ModelError("this compact trunk gives no tags; soundseek distill makes one that does")
        return (frames[..., self.config.width :] / self.tags.gain).square()

    def grow_from(self, smaller: CompactTrunk) -> None:
        """Take the weights of a trunk of the same widths with fewer blocks; what it lacks starts as the identity.

        Raises:
            ValueError: A layer of the smaller trunk has no place here.
        """
        places = dict(zip(_places(self.config), self.layers, strict=True))
        for place, layer in zip(_places(smaller.config), smaller.layers, strict=True):
            if place not in places:
                raise ValueError(f"layer {place} of the smaller trunk has no place in {self.config}")
            state = places[place].state_dict()
            places[place].load_state_dict(state | layer.state_dict())
        if self.tags is not None and smaller.tags is not None:
            self.tags.load_state_dict(smaller.tags.state_dict())

    def save(self, path: Path, **facts: str) -> None:
        """Write weights and config to one safetensors file; `facts` (strings) go into its metadata."""
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, path, metadata={"compact": self.config.model_dump_json(), **facts})

    @classmethod
    def load(cls, path: str | Path) -> CompactTrunk:
        """A trunk as `save` wrote it, in eval mode.

        Raises:
            ModelError: No such file, or not a compact trunk.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(f"no trunk at {path}; make one with: soundseek distill")
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        if "compact" not in metadata:
            raise ModelError(f"{path} holds no compact trunk (its metadata lacks the key 'compact')")
        trunk = cls(CompactConfig.model_validate_json(metadata["compact"]))
        trunk.load_state_dict(load_file(path))
        return trunk.eval()


class CompactBody(nn.Module):
    """A compact trunk before its last layers: log-mel `(batch, time, mel)` -> maps `(batch, frames, width)`.

    A map's width is channels times bands, so maps are stored and padded as frames are.
    """

    scope: Literal["local", "clip"] = "local"

    def __init__(self, trunk: CompactTrunk, num_layers: int) -> None:
        super().__init__()
        self.layers = trunk.layers[: len(trunk.layers) - num_layers]
        self.front_end = trunk.front_end
        self.frame_hop = trunk.frame_hop
        self.context_frames = trunk.context_frames
        self.min_frames = trunk.min_frames
        bands = _bands(trunk.front_end.num_mels, self.layers)
        self.width = int(trunk.layers[-num_layers].inputs) * bands  # type: ignore[arg-type]

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Maps `(batch, frames, width)` and their mask `(batch, frames)`, as `CompactTrunk` gives frames."""
        x, frame_mask = _through(self.layers, log_mel.unsqueeze(1), frame_mask)
        return x.transpose(1, 2).flatten(2), frame_mask  # (batch, frames, channel and band)


class CompactTail(nn.Module):
    """A compact trunk's last layers: maps `(batch, frames, width)` of its body -> the trunk's frames.

    Batch norm keeps the statistics that the trunk was trained with, in training too: the tail computes in every
    batch what the trunk will compute, and padding cannot reach a real frame.
    """

    def __init__(self, trunk: CompactTrunk, num_layers: int) -> None:
        super().__init__()
        self.layers = trunk.layers[-num_layers:]
        self.tags = trunk.tags
        self.width = trunk.width
        self.bands = _bands(trunk.front_end.num_mels, trunk.layers[:-num_layers])
        self.eval()

    def train(self, mode: bool = True) -> CompactTail:
        """Stay in evaluation mode, for batch norm's sake; nothing else here knows the difference."""
        return super().train(False)

    def forward(self, maps: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Frames `(batch, frames, width)` and their mask.

        Args:
            maps: What `CompactBody` gives.
            frame_mask: `(batch, frames)` bool, True = real.
        """
        x = maps.reshape(*maps.shape[:2], -1, self.bands)  # (batch, frames, channel, band)
        x = x.transpose(1, 2).contiguous()  # as the trunk's own layers pass it on
        x, frame_mask = _through(self.layers, x, frame_mask)
        return _with_tags(x.mean(dim=3).transpose(1, 2), frame_mask, self.tags), frame_mask


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


def _with_tags(features: Tensor, frame_mask: Tensor, tags: LocalTags | None) -> Tensor:
    """Features, and behind them the amplitudes of the tags if the trunk gives any."""
    return features if tags is None else torch.cat([features, tags(features, frame_mask)], dim=2)


def _through(layers: Iterable[nn.Module], x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor]:
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


def _places(config: CompactConfig) -> list[tuple[int, int]]:
    """Stage and block of each layer: (-1, 0) is the stem, stage 100 what comes after the stages."""
    blocks = [(stage, block) for stage, each in enumerate(config.stages) for block in range(each.blocks)]
    after = 1 + (config.temporal.blocks if config.temporal else 0)
    return [(-1, 0), *blocks, *((100, block) for block in range(after))]


def _bands(num_mels: int, layers: Iterable[nn.Module]) -> int:
    """Bands that some layers leave of the log-mel's."""
    bands = num_mels
    for layer in layers:
        bands = 1 if isinstance(layer, _FoldBands) else -(-bands // int(layer.stride))  # type: ignore[arg-type]
    return bands


class _ConvNormAct(nn.Module):
    """Convolution, batch norm, hardswish."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.stride = stride
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.hardswish(self.norm(self.conv(x)))


class _FoldBands(_ConvNormAct):
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
        stride: On both axes.
    """

    def __init__(
        self, inputs: int, outputs: int, expansion: int, kernel: int | tuple[int, int], stride: int
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2)
        hidden = inputs * expansion
        self.inputs = inputs
        self.stride = stride
        self.residual = stride == 1 and inputs == outputs
        self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, sides, stride, padding, groups=hidden, bias=False)
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
