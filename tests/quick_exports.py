"""Exports that build PyTorch's table of ONNX operators once a process, not once a network: a tenth of a toy's export.

To import it is enough. The table is not changed by an export.
"""

from __future__ import annotations

import contextlib
import functools

with contextlib.suppress(
    ImportError, AttributeError
):  # another PyTorch may keep it elsewhere: slower, as right
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
