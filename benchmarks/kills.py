"""Kill what writes to a library at random moments, some hundred times, and look what is left.

    python benchmarks/kills.py [--kills 500] [--seed 0] [--json docs/results/steel.json]
    python benchmarks/kills.py --only approximate copy_to_postgres --kills 60

After every kill the library must hold what had been committed, whole, and `library check` must find no damage.
Otherwise it ends with an error that says what is lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from machine import keep_result
from steel.killing import folder_in_memory, kill

SHARES = {
    "index": 0.3, "compact": 0.14, "copy": 0.14, "copy_to_postgres": 0.12, "approximate": 0.12, "relocate": 0.06,
    "migrate": 0.06, "collect": 0.06,
}  # fmt: skip


def main() -> None:
    """Kill, compare, say how many of the kills came within a commit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", nargs="+", choices=SHARES, help="kill these writers alone, each --kills times"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kills = {writer: max(1, round(share * options.kills)) for writer, share in SHARES.items()}
    if options.only:
        kills = dict.fromkeys(options.only, options.kills)
    began, outcomes, done = time.monotonic(), Counter[str](), 0
    with tempfile.TemporaryDirectory(dir=folder_in_memory()) as folder:
        for judge in kill(Path(folder) / "killed", kills, seed=options.seed):
            done, outcomes = done + 1, judge.outcomes
            print(f"\r{done} of {sum(kills.values())}: {judge.writer}   ", end="", file=sys.stderr)
    result = {
        "seed": options.seed, "kills": kills, "outcomes": dict(outcomes), "lost": 0,
        "elapsed_s": round(time.monotonic() - began, 1),
    }  # fmt: skip
    keep_result(
        options.json, "kills" if not options.only else f"kills of {' and '.join(options.only)}", result
    )


if __name__ == "__main__":
    main()
