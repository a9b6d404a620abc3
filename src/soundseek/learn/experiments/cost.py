"""What a stretch of work costs: wall time and the most memory it held."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Cost:
    """Wall time and peaks of memory.

    Attributes:
        wall_s: Seconds.
        peak_bytes: Resident memory of this process at its most, memory-mapped files included. Where the
            system cannot forget an earlier peak (it is not Linux), the peak since the process began.
        peak_gpu_bytes: The same of the GPU's tensors; None without a GPU.
    """

    wall_s: float
    peak_bytes: int
    peak_gpu_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class CostMeter:
    """Measures the `with` block; `cost` is there afterwards."""

    cost: Cost

    def __enter__(self) -> CostMeter:
        if _CLEAR.exists():
            _CLEAR.write_text("5")  # proc(5): resets the peak of the resident set
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._began = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
        self.cost = Cost(time.monotonic() - self._began, _peak_bytes(), gpu)


def machine() -> dict[str, Any]:
    """What a time and a size were measured on: processor, cores, memory, GPU, system. No host name."""
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    page_bytes = os.sysconf("SC_PAGE_SIZE") if pages else 0
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(pages * page_bytes / 1e9, 1) or None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _peak_bytes() -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, kilobytes elsewhere


def _processor() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
