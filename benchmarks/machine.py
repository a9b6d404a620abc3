"""Where and at what state of the code a figure was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


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


def keep_result(path: Path | None, name: str, result: dict[str, Any]) -> None:
    """Print a result with machine and commit; with a path, let it take its place among those of a JSON file."""
    result = {"machine": machine(), "commit": commit(), **result}
    print(json.dumps({name: result}, indent=1, ensure_ascii=False))
    if path is not None:
        results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        results[name] = result
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
