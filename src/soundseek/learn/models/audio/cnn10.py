"""CNN10 (PANNs; Kong et al., 2020): CNN14's first four blocks, 5 M parameters, one frame every 160 ms."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from soundseek.learn.models.audio.panns import ConvBlock, PannsConfig, PannsTrunk
from soundseek.learn.models.audio.spec_augment import SpecAugment


class CNN10Config(PannsConfig):
    """The shape of a CNN10.

    Attributes:
        widths: Channels of the four blocks; each ends in a 2x2 pooling.
    """

    widths: tuple[int, int, int, int] = (64, 128, 256, 512)


class CNN10Trunk(PannsTrunk):
    """Log-mel `(batch, time, 64)` -> frames `(batch, time // 16, 512)`; see `PannsTrunk`."""

    config: CNN10Config
    config_type = CNN10Config
    published_file = "Cnn10_mAP=0.380.pth"

    def __init__(self, config: CNN10Config | None = None, spec_augment: SpecAugment | None = None) -> None:
        config = config or CNN10Config()
        super().__init__(
            config,
            maps_width=config.widths[-1],
            frame_hop=16,
            reach=2 * (1 + 2 + 4 + 8),  # two 3x3 convolutions a block
            spec_augment=spec_augment,
        )
        for block, (inputs, outputs) in enumerate(
            zip((1, *config.widths), config.widths, strict=False), start=1
        ):
            self.add_module(f"conv_block{block}", ConvBlock(inputs, outputs, pool=2))

    def maps(self, x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The map `(batch, channels, frames, band)` behind the last block, and its mask."""
        for block in range(1, len(self.config.widths) + 1):
            x, frame_mask = self.get_submodule(f"conv_block{block}")(x, frame_mask)
            x = functional.dropout(x, 0.2, self.training)
        return x, frame_mask
