"""ResNet38 (PANNs; Kong et al., 2020): a residual network between two PANNs blocks, 74 M parameters, 320 ms frames."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from soundseek.learn.models.audio.panns import (
    ConvBlock,
    PannsConfig,
    PannsTrunk,
    average_pool,
    silence_padding,
)
from soundseek.learn.models.audio.spec_augment import SpecAugment


class ResNet38Config(PannsConfig):
    """The shape of a ResNet38.

    Attributes:
        widths: Channels of the four layers; the block before them has those of the first.
        depths: Residual blocks of each layer.
        width: Channels of the block behind them, and of the frames.
    """

    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 2048


class ResNet38Trunk(PannsTrunk):
    """Log-mel `(batch, time, 64)` -> frames `(batch, time // 32, 2048)`; see `PannsTrunk`."""

    config: ResNet38Config
    config_type = ResNet38Config
    published_file = "ResNet38_mAP=0.434.pth"

    def __init__(self, config: ResNet38Config | None = None, spec_augment: SpecAugment | None = None) -> None:
        config = config or ResNet38Config()
        hops = (
            1,
            *(2 * 2**layer for layer in range(4)),
            32,
        )  # inside the first block, each layer, the last block
        depths = (1, *config.depths, 1)
        super().__init__(
            config,
            maps_width=config.width,
            frame_hop=32,
            reach=2 * sum(hop * depth for hop, depth in zip(hops, depths, strict=True)),
            spec_augment=spec_augment,
        )
        self.conv_block1 = ConvBlock(1, config.widths[0], pool=2)
        self.resnet = _Layers(config)
        self.conv_block_after1 = ConvBlock(config.widths[-1], config.width, pool=1)

    def maps(self, x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The map `(batch, channels, frames, band)` behind the last block, and its mask."""
        x, frame_mask = self.conv_block1(x, frame_mask)
        x, frame_mask = self.resnet(functional.dropout(x, 0.2, self.training), frame_mask)
        x, frame_mask = average_pool(x, frame_mask, 2)
        x, frame_mask = self.conv_block_after1(functional.dropout(x, 0.2, self.training), frame_mask)
        return functional.dropout(x, 0.2, self.training), frame_mask


class _Layers(nn.Module):
    """Four layers of residual blocks, named `layer1` to `layer4` as in the published file."""

    def __init__(self, config: ResNet38Config) -> None:
        super().__init__()
        inputs = config.widths[0]
        for layer, (outputs, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            blocks = [_ResidualBlock(inputs, outputs, pool=1 if layer == 1 else 2)]
            blocks += [_ResidualBlock(outputs, outputs, pool=1) for _ in range(depth - 1)]
            self.add_module(f"layer{layer}", nn.ModuleList(blocks))
            inputs = outputs

    def forward(self, x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for layer in self.children():
            assert isinstance(layer, nn.ModuleList)
            for block in layer:
                x, frame_mask = block(x, frame_mask)
        return x, frame_mask


class _ResidualBlock(ConvBlock):
    """The layers of a PANNs block beside a shortcut; both pool first where the layer halves its map."""

    def __init__(self, inputs: int, outputs: int, *, pool: int) -> None:
        super().__init__(inputs, outputs, pool=pool)
        nn.init.zeros_(self.bn2.weight)  # a new block begins as its shortcut
        # Position 0 holds the pooling, which has no tensors, in the published file.
        self.downsample = (
            nn.Sequential(
                nn.AvgPool2d(pool), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )
            if pool > 1
            else None
        )

    def forward(self, x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        shortcut = x if self.downsample is None else self.downsample(x)
        x, frame_mask = average_pool(x, frame_mask, self.pool)
        x = functional.relu(self.bn1(self.conv1(silence_padding(x, frame_mask))))
        x = functional.dropout(x, 0.1, self.training)
        x = self.bn2(self.conv2(silence_padding(x, frame_mask)))
        return functional.relu(x + shortcut), frame_mask
