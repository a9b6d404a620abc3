"""SpecAugment: time and frequency masks on a log-mel while training (Park et al., Interspeech 2019).

All randomness comes from the generator that is passed in; nothing here acts in evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SpecAugmentConfig:
    """How much of a log-mel is taken out.

    Attributes:
        num_time_masks: Masks across time; 2 in every system derived from PANNs, as the next three.
        max_time_frames: Widest one, log-mel frames (64 of 10 ms are 0.64 s).
        num_mel_masks: Masks across the mel bands.
        max_mel_bands: Widest one, of 64 bands.
        max_time_share: Widest time mask as a share of the clip. The published systems train on 10 s and
            more; in a clip of half a second 64 frames would be all there is to hear.
    """

    num_time_masks: int = 2
    max_time_frames: int = 64
    num_mel_masks: int = 2
    max_mel_bands: int = 8
    max_time_share: float = 0.2


class SpecAugment(nn.Module):
    """`spec_augment` as a layer behind `bn0`; in evaluation it passes the log-mel on untouched.

    Args:
        generator: Where the masks come from, on the CPU.
        config: How much is taken out.
    """

    def __init__(self, generator: torch.Generator, config: SpecAugmentConfig | None = None) -> None:
        super().__init__()
        self.generator = generator
        self.config = config or SpecAugmentConfig()

    def forward(self, log_mel: Tensor, frame_mask: Tensor) -> Tensor:
        """`(batch, time, mel)`."""
        return spec_augment(log_mel, frame_mask, self.generator, self.config) if self.training else log_mel

    def reseed(self, *parts: int) -> None:
        """Let the next masks depend on these numbers alone, whatever was drawn before; see `reseed`."""
        self.generator.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1))


def reseed(module: nn.Module, *parts: int) -> list[torch.Generator]:
    """Give every `SpecAugment` inside a module masks that depend on these numbers alone.

    Called before each training step with (seed, epoch, step, rank), so that a resumed run takes out the same masks
    as one that never stopped, to the last bit, and every process other ones.

    Args:
        module: Such as a trunk or a whole dual encoder.
        parts: Numbers of at least 0.

    Returns:
        The generators: `chunked_backward(..., generators=reseed(...))` draws the same masks in both of its passes.
    """
    layers = [each for each in module.modules() if isinstance(each, SpecAugment)]
    for place, layer in enumerate(layers):
        layer.reseed(*parts, place)
    return [layer.generator for layer in layers]


def spec_augment(
    log_mel: Tensor, frame_mask: Tensor, generator: torch.Generator, config: SpecAugmentConfig | None = None
) -> Tensor:
    """`(batch, time, mel)` with masks set to 0, other ones in every clip.

    Args:
        log_mel: `(batch, time, mel)` behind `bn0`, whose mean is 0: a mask there says nothing, while a 0 in
            decibels would be a loud sound.
        frame_mask: `(batch, time)` bool, True = real; masks start in a clip's real part.
        generator: On the CPU, so that a seed gives the same masks on every device.
        config: How much is taken out.
    """
    config = config or SpecAugmentConfig()
    lengths = frame_mask.sum(dim=1).cpu()
    widest = (lengths * config.max_time_share).long().clamp(max=config.max_time_frames)
    bands = torch.full_like(lengths, log_mel.shape[2])
    in_time = _masks(lengths, widest, config.num_time_masks, log_mel.shape[1], generator)
    in_mel = _masks(
        bands, bands.clamp(max=config.max_mel_bands), config.num_mel_masks, log_mel.shape[2], generator
    )
    taken = in_time.unsqueeze(2) | in_mel.unsqueeze(1)  # (batch, time, mel)
    return log_mel.masked_fill(taken.to(log_mel.device), 0.0)


def _masks(lengths: Tensor, widest: Tensor, num_masks: int, size: int, generator: torch.Generator) -> Tensor:
    """`(batch, size)` bool, True in the random masks of a row: inside `[0, length)`, 0 to `widest` wide."""
    shape = (len(lengths), num_masks)
    width = (torch.rand(shape, generator=generator) * (widest.unsqueeze(1) + 1)).long()
    start = (torch.rand(shape, generator=generator) * (lengths.unsqueeze(1) - width + 1)).long()
    place = torch.arange(size)
    inside = (place >= start.unsqueeze(2)) & (place < (start + width).unsqueeze(2))  # (batch, mask, size)
    return inside.any(dim=1)
