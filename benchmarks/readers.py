"""One process writes to a library, eight read it, for ten minutes: none fails, and none sees a part of a commit.

python benchmarks/readers.py [--minutes 10] [--readers 8] [--json docs/results/steel.json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from machine import keep_result
from steel.readers import one_writer_many_readers


def main() -> int:
    """Let them run, and say what each has seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        writer, readers = one_writer_many_readers(
            Path(folder) / "library", readers=options.readers, seconds=60 * options.minutes
        )
    wrong = [each.wrong for each in (writer, *readers) if each.wrong]
    for each in wrong:
        print(each)
    result = {
        "minutes": options.minutes, "readers": options.readers, "commits": writer.steps,
        "looks": sum(reader.steps for reader in readers), "commits_seen": [reader.versions for reader in readers],
        "wrong": len(wrong),
    }  # fmt: skip
    keep_result(options.json, "readers", result)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
