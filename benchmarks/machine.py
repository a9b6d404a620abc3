"""Where and at what state of the code a figure was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def machine() -> str:
    """Processor, cores, Python."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        processor = next(
            (line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor
        )
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"


def commit() -> str:
    """The short hash of the commit, with a plus sign where files have changed since."""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, cwd=root, check=False
    )
    return done.stdout.strip() or "unknown"
