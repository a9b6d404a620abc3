"""Index some hundred hostile sound files and judge what becomes of each.

    python benchmarks/hostile.py [--seed 0] [--json docs/results/steel.json] [--keep FOLDER]

Every file has to be in the library or named with a reason that is true of it; none may end, hang or fill the indexer.
Exits with 1, and names the files, otherwise. The limits of a file are set tighter than a user's, so that they are seen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil
from machine import keep_result
from steel.hostile import INDEXED, kinds_of, verdict, write_hostile_files

from soundseek import Library
from soundseek.library import workers
from soundseek.library.index import Progress

STALL_S, MEMORY_BYTES = 60.0, 3_000_000_000


def main() -> int:
    """Write the files, index them, print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="only each so-manyth file of a kind")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="write the files here, and leave them")
    options = parser.parse_args()
    workers.STALL_S, workers.MEMORY_SHARE, workers.LEAST_MEMORY_BYTES = STALL_S, 0.0, MEMORY_BYTES
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "hostile"
        folder.mkdir(parents=True, exist_ok=True)
        files = write_hostile_files(folder, seed=options.seed, every=options.every)
        took_s: dict[str, float] = {}
        with Library.open(Path(temporary) / "library", create=True) as library, PeakMemory() as memory:
            last = began = time.monotonic()

            def note(progress: Progress) -> None:
                nonlocal last
                at = time.monotonic()
                took_s[progress.current] = took_s.get(progress.current, 0.0) + at - last
                last = at

            library.index(folder, workers=options.workers, progress=note)
            elapsed_s = time.monotonic() - began
            lengths = {Path(file.path).name: file.duration_s for file in library.store.files()}
            reasons = {Path(each.path).name: each.reason for each in library.store.failures()}
            damages = library.store.check()
        wrong = {
            file.name: what
            for file in files
            if (what := verdict(file, lengths.get(file.name), reasons.get(file.name)))
        }
    for name, what in wrong.items():
        print(f"{name!r} {what}")
    slowest = sorted(((seconds, Path(path).name) for path, seconds in took_s.items()), reverse=True)[:5]
    counted = Counter(
        INDEXED if file.name in lengths else min(kinds_of(reasons.get(file.name, "")), default="no reason")
        for file in files
    )
    result = {
        "seed": options.seed, "files": len(files), "wrong": len(wrong), "damages": len(damages),
        "outcomes": dict(counted.most_common()), "elapsed_s": round(elapsed_s, 1),
        "slowest_s": {name: round(seconds, 1) for seconds, name in slowest},
        "peak_worker_gb": round(memory.peak_bytes / 1e9, 2),
    }  # fmt: skip
    keep_result(options.json, "hostile", result)
    return 1 if wrong or damages else 0


class PeakMemory:
    """The most that any child process held, looked at every tenth of a second."""

    def __enter__(self) -> PeakMemory:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.1):
            for child in psutil.Process().children():
                try:
                    self.peak_bytes = max(self.peak_bytes, child.memory_info().rss)
                except psutil.Error:
                    continue


if __name__ == "__main__":
    raise SystemExit(main())
