"""`compact`: soundseek's own audio trunk, made to be shipped: one frame every 320 ms, one to four million parameters.

Depthwise-separable inverted residuals (Sandler et al., 2018) with hardswish and batch norm after a 7x7 stem that
strides by four at once. There is no squeeze-and-excitation and nothing else that looks at the whole clip: a frame
depends on its neighbourhood alone, so long files stream in one pass, padding never leaks and moments are exact.

The early stride is a decision for slow machines: on one core a training step costs 3.7 ms per second of sound against
7.1 ms for MobileNetV3 at width 0.4, although it multiplies twice as much, because the memory-bound layers at full
resolution are gone.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError, RecipeError
from soundseek.learn.models.audio.compact_layers import (
    ConvNormAct,
    FoldBands,
    InvertedResidual,
    LocalTags,
    TagsConfig,
    count_bands,
    through,
    with_tags,
)
from soundseek.learn.models.audio.weights_file import read_weights, save_weights, saved_config


class BlocksConfig(BaseModel):
    """Blocks of one width; the first of them strides.

    Attributes:
        width: Channels after each block.
        expansion: Channels inside a block, as a multiple of its input's.
        kernel: Side of the depthwise kernel.
        stride: Stride of the first block, on both axes.
        time_stride: Its stride over time where that is another.
        blocks: Number of blocks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int
    expansion: int
    kernel: int
    stride: int
    blocks: int
    time_stride: int | None = None


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


class CompactConfig(BaseModel):
    """The shape of a compact trunk.

    The defaults are the small student of docs/distillation.md: 884,048 parameters, 512 features a frame. What
    soundseek-small hears with grew from it and is `SOUNDSEEK_SMALL`, with 512 features and the amplitudes of 527 tags a
    frame.

    Attributes:
        stem_width: Channels of the first layer.
        stem_kernel: Side of its kernel.
        stem_stride: Its stride, on both axes.
        stages: What follows it.
        temporal: Blocks over time alone, before the frames; None takes the mean over bands.
        width: Features of a frame.
        tags: A tagger, whose amplitudes stand behind the features; None has none.
        front_end: Of the log-mel.
        margin_frames: Log-mel frames of silence that are heard before and after every clip, whole frames of the trunk.
            Without them a convolution sees zeros there, which are no silence but a sound of middling level: the frames
            at the ends answered to every question.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stem_width: int = 24
    stem_kernel: int = 7
    stem_stride: int = 4
    stages: tuple[BlocksConfig, ...] = (
        BlocksConfig(width=24, expansion=2, kernel=3, stride=1, blocks=1),  # 32 bands, 40 ms
        BlocksConfig(width=48, expansion=3, kernel=3, stride=2, blocks=2),  # 16 bands, 80 ms
        BlocksConfig(width=96, expansion=3, kernel=5, stride=2, blocks=4),  # 8 bands, 160 ms
        BlocksConfig(width=160, expansion=3, kernel=3, stride=2, blocks=4),  # 4 bands, 320 ms
    )
    temporal: TemporalConfig | None = None
    width: int = 512
    tags: TagsConfig | None = None
    front_end: FrontEndConfig = FrontEndConfig()
    margin_frames: int = Field(default=0, ge=0)


SOUNDSEEK_SMALL = CompactConfig(
    stages=(
        *CompactConfig().stages[:3],
        BlocksConfig(width=160, expansion=3, kernel=3, stride=2, blocks=6),
    ),
    temporal=TemporalConfig(),
    tags=TagsConfig(),
    margin_frames=128,  # as it hears every file
)
"""The trunk of soundseek-small: 3,650,704 parameters and 533,007 of its tagger."""

SOUNDSEEK_TINY = CompactConfig(
    stages=(
        BlocksConfig(width=24, expansion=2, kernel=3, stride=1, blocks=1),  # 32 bands, 80 ms
        BlocksConfig(width=48, expansion=2, kernel=3, stride=2, blocks=2),  # 16 bands, 160 ms
        BlocksConfig(width=96, expansion=2, kernel=5, stride=2, blocks=4),  # 8 bands, 320 ms
        BlocksConfig(width=160, expansion=2, kernel=3, stride=2, time_stride=1, blocks=4),  # 4 bands, 320 ms
    ),
    temporal=TemporalConfig(blocks=1),
    tags=TagsConfig(hidden=256),
    front_end=FrontEndConfig(hop_length=640),
    margin_frames=32,  # half as long as that of soundseek-small
)
"""The trunk of soundseek-tiny: half the log-mel frames, two thirds of the channels inside its blocks, fewer blocks."""


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
        layers: list[nn.Module] = [ConvNormAct(1, config.stem_width, kernel, stride)]
        channels = config.stem_width
        self.frame_hop, reach = stride, kernel // 2
        for stage in config.stages:
            for block in range(stage.blocks):
                band_step = stage.stride if block == 0 else 1
                step = band_step if stage.time_stride is None or block else stage.time_stride
                strides = (step, band_step)
                layers.append(InvertedResidual(channels, stage.width, stage.expansion, stage.kernel, strides))
                channels = stage.width
                reach += stage.kernel // 2 * self.frame_hop
                self.frame_hop *= step
        if config.temporal is None:
            layers.append(ConvNormAct(channels, config.width, 1, 1))
        else:
            layers.append(FoldBands(channels, config.width, count_bands(config.front_end.num_mels, layers)))
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
        features, frame_mask = self.features_with_margins(log_mel, frame_mask)
        return within(with_tags(features, frame_mask, self.tags), frame_mask, self.margin)

    @property
    def margin(self) -> int:
        """Frames that the silence on either side of a clip makes."""
        if self.config.margin_frames % self.frame_hop:
            raise RecipeError(
                f"audio.trunk_options.margin_frames = {self.config.margin_frames}: a multiple of {self.frame_hop}, the "
                "log-mel frames of one of the trunk's frames, is needed"
            )
        return self.config.margin_frames // self.frame_hop

    def surrounded(self, log_mel: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Log-mels `(batch, time, mel)` and their mask with the margins, `(batch, time + 2 margins, …)`."""
        width = self.margin * self.frame_hop
        if not width:
            return log_mel, frame_mask
        silence = log_mel.new_full((log_mel.shape[0], width, log_mel.shape[2]), self.front_end.silence)
        if frame_mask is not None:  # so that a shorter clip's silence begins at its own end
            log_mel = log_mel.masked_fill(~frame_mask.unsqueeze(2), self.front_end.silence)
            frame_mask = torch.cat([frame_mask.new_ones(len(frame_mask), 2 * width), frame_mask], dim=1)
        return torch.cat([silence, log_mel, silence], dim=1), frame_mask

    def features(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The frames without the tags and without the margins, `(batch, frames, config.width)`, and their mask."""
        return within(*self.features_with_margins(log_mel, frame_mask), self.margin)

    def features_with_margins(self, log_mel: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The frames without the tags, those of the margins among them, and their mask."""
        log_mel, frame_mask = self.surrounded(log_mel, frame_mask)
        x, frame_mask = through(self.layers, log_mel.unsqueeze(1), frame_mask)  # x: (batch, 1, time, mel)
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

    def with_probabilities(self, frames: Tensor, probabilities: Tensor) -> Tensor:
        """Frames `(…, width)` with the tags of these probabilities `(…, num_tags)`: undoes `tag_probabilities`.

        Raises:
            ModelError: A trunk without tags.
        """
        if self.tags is None:
            raise ModelError("this compact trunk gives no tags; soundseek distill makes one that does")
        return torch.cat([frames[..., : self.config.width], self.tags.gain * probabilities.sqrt()], dim=-1)

    def grow_from(self, smaller: CompactTrunk) -> None:
        """Take the weights of a trunk of the same widths with fewer blocks; what it lacks starts as the identity.

        Raises:
            ValueError: A layer of the smaller trunk has no place here.
        """
        places = dict(zip(place_of_layers(self.config), self.layers, strict=True))
        for place, layer in zip(place_of_layers(smaller.config), smaller.layers, strict=True):
            if place not in places:
                raise ValueError(f"layer {place} of the smaller trunk has no place in {self.config}")
            state = places[place].state_dict()
            places[place].load_state_dict(state | layer.state_dict())
        if self.tags is not None and smaller.tags is not None:
            self.tags.load_state_dict(smaller.tags.state_dict())

    def save(self, path: Path, **facts: str) -> None:
        """Write weights and config to one safetensors file; `facts` (strings) go into its metadata."""
        save_weights(self, path, compact=self.config.model_dump_json(), **facts)

    @classmethod
    def load(cls, path: str | Path) -> CompactTrunk:
        """A trunk as `save` wrote it, in eval mode.

        Raises:
            ModelError: No such file, or not a compact trunk.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(f"no trunk at {path}; make one with: soundseek distill")
        advice = "; if it is of another trunk, say so: --set audio.trunk=efficientat+amplitudes"
        trunk = cls(saved_config(path, "compact", CompactConfig, advice))
        trunk.load_state_dict(read_weights(path))
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
        bands = count_bands(trunk.front_end.num_mels, self.layers)
        self.width = int(trunk.layers[-num_layers].inputs) * bands  # type: ignore[arg-type]
        self.surrounded = trunk.surrounded

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Maps `(batch, frames, width)` and their mask `(batch, frames)`, as `CompactTrunk` gives frames.

        The margins are among them, for the tail hears them, too.
        """
        log_mel, frame_mask = self.surrounded(log_mel, frame_mask)
        x, frame_mask = through(self.layers, log_mel.unsqueeze(1), frame_mask)
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
        self.margin = trunk.margin
        self.bands = count_bands(trunk.front_end.num_mels, trunk.layers[:-num_layers])
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
        x, frame_mask = through(self.layers, x, frame_mask)
        return within(
            with_tags(x.mean(dim=3).transpose(1, 2), frame_mask, self.tags), frame_mask, self.margin
        )


def within(frames: Tensor, frame_mask: Tensor, margin: int) -> tuple[Tensor, Tensor]:
    """Frames `(batch, margin + frames + margin, width)` and their mask, real frames first, without the margins."""
    if not margin:
        return frames, frame_mask
    return frames[:, margin:-margin], frame_mask[:, 2 * margin :]


def place_of_layers(config: CompactConfig) -> list[tuple[int, int]]:
    """Stage and block of each layer: (-1, 0) is the stem, stage 100 what comes after the stages."""
    blocks = [(stage, block) for stage, each in enumerate(config.stages) for block in range(each.blocks)]
    after = 1 + (config.temporal.blocks if config.temporal else 0)
    return [(-1, 0), *blocks, *((100, block) for block in range(after))]
