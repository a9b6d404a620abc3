"""Cut the power of a process that fills a library, at every one of its system calls, and look what is left.

    python benchmarks/power_cuts.py [--cuts 5000] [--seed 0] [--json docs/results/steel.json]

Its calls are recorded once (by strace), and replayed with what was not synced lost, reordered or torn. What had been
acknowledged must be there; otherwise it ends with an error that says what is lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from machine import keep_result
from steel.killing import folder_in_memory
from steel.power_loss import replay


def main() -> None:
    """Record, cut, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder_in_memory()) as folder:
        calls = replay(Path(folder), Path(folder) / "left", cuts=options.cuts, seed=options.seed)
    result = {
        "seed": options.seed, "calls": calls, "cuts": options.cuts, "lost": 0,
        "elapsed_s": round(time.monotonic() - began, 1),
    }  # fmt: skip
    keep_result(options.json, "power_cuts", result)


if __name__ == "__main__":
    main()
