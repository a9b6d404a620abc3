"""CNN14 (PANNs; Kong et al., 2020), the paper's audio trunk: 80 M parameters, one frame every 320 ms.

The paper gives its frames the width D_A = 1024 although the trunk is 2048 wide; how is open, so it is a choice here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from soundseek.learn.models.audio.panns import ConvBlock, PannsConfig, PannsTrunk
from soundseek.learn.models.audio.spec_augment import SpecAugment

if TYPE_CHECKING:
    from typing_extensions import Self

NUM_BLOCKS = 6


class CNN14Config(PannsConfig):
    """The shape of a CNN14; the defaults are the paper's, as far as it tells.

    Attributes:
        widths: Channels of the six blocks.
        block6_pool: Side of block 6's pooling: 1 in the published tagger, 2 in the systems that pool every block,
            whose frames are 640 ms long.
        reduction: From 2048 to D_A: "linear" puts a linear layer and ReLU behind every frame, as the same authors'
            related systems do; "block5" ends behind block 5, which is 1024 wide; "none" keeps 2048.
        reduced_width: D_A for "linear".
    """

    widths: tuple[int, int, int, int, int, int] = (64, 128, 256, 512, 1024, 2048)
    block6_pool: Literal[1, 2] = 1
    reduction: Literal["linear", "block5", "none"] = "linear"
    reduced_width: int = Field(default=1024, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.reduction == "block5" and self.block6_pool == 2:
            raise ValueError("block6_pool = 2 has no effect with reduction = 'block5': there is no block 6")
        if self.reduction != "none" and self.head == "tagger":
            raise ValueError(
                "head = 'tagger' makes its tags of unreduced frames; it needs reduction = 'none'"
            )
        return self


class CNN14Trunk(PannsTrunk):
    """Log-mel `(batch, time, 64)` -> frames `(batch, time // 32, D_A)`; see `PannsTrunk`.

    Example:
        >>> trunk = CNN14Trunk(CNN14Config(widths=(2, 2, 2, 2, 4, 8), reduction="block5")).eval()
        >>> trunk(torch.zeros(1, 100, 64))[0].shape
        torch.Size([1, 3, 4])
    """

    config: CNN14Config
    config_type = CNN14Config
    published_file = "Cnn14_mAP=0.431.pth"

    def __init__(self, config: CNN14Config | None = None, spec_augment: SpecAugment | None = None) -> None:
        config = config or CNN14Config()
        num_blocks = NUM_BLOCKS - 1 if config.reduction == "block5" else NUM_BLOCKS
        pools = (2, 2, 2, 2, 2, config.block6_pool)[:num_blocks]
        hops = [2**block for block in range(num_blocks)]  # log-mel frames per frame inside each block
        super().__init__(
            config,
            maps_width=config.widths[num_blocks - 1],
            frame_hop=hops[-1] * pools[-1],
            reach=2 * sum(hops),  # two 3x3 convolutions a block
            spec_augment=spec_augment,
        )
        self._num_blocks = num_blocks
        for block, (outputs, pool) in enumerate(zip(config.widths, pools, strict=False)):
            inputs = config.widths[block - 1] if block else 1
            self.add_module(f"conv_block{block + 1}", ConvBlock(inputs, outputs, pool=pool))
        if config.reduction == "linear":
            self.reduction = nn.Linear(self.width, config.reduced_width)
            self.width = config.reduced_width

    def maps(self, x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The map `(batch, channels, frames, band)` behind the last block, and its mask."""
        for block in range(1, self._num_blocks + 1):
            x, frame_mask = self.get_submodule(f"conv_block{block}")(x, frame_mask)
            x = functional.dropout(x, 0.2, self.training)
        return x, frame_mask

    def reduce(self, frames: Tensor) -> Tensor:
        """Frames `(batch, frames, D_A)` of frames as wide as the last block."""
        return torch.relu(self.reduction(frames)) if self.config.reduction == "linear" else frames

    @classmethod
    def _published(cls, config: PannsConfig) -> CNN14Config:
        assert isinstance(config, CNN14Config)
        return CNN14Config(widths=config.widths, front_end=config.front_end, reduction="none", head="tagger")
