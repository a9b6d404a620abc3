"""Clips that are too short for a trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from soundseek.errors import ModelError

if TYPE_CHECKING:
    from soundseek.learn.encoders import Trunk


def refuse_short_clips(trunk: Trunk, log_mel: Tensor, frame_mask: Tensor | None) -> None:
    """Raise a ModelError if a clip is shorter than `trunk.min_frames`.

    A graph that is being traced has no branches; who runs it pads.

    Args:
        trunk: What shall hear them.
        log_mel: `(batch, time, mel)`.
        frame_mask: `(batch, time)` bool, True = real; None = all real.
    """
    if frame_mask is not None:
        shortest = int(frame_mask.sum(dim=1).min())
    elif torch.compiler.is_compiling():
        return
    else:
        shortest = log_mel.shape[1]
    if shortest < trunk.min_frames:
        name, fewest = type(trunk).__name__, trunk.min_frames
        raise ModelError(f"a clip has {shortest} log-mel frames, {name} needs {fewest}; pad it with silence")
