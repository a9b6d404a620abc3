"""PyTorch's checkpoints, whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from soundseek._files import replacing


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint beside its place, bring it to the disk and put it there.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to; the old checkpoint stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # A stop or a full disk on the way: PyTorch finishes its archive none the less, and fails over that.
            if isinstance(error.__context__, KeyboardInterrupt | OSError):
                raise error.__context__ from None
            raise
