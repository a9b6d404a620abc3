"""Sound embedded in a second by a Ray cluster of this machine beside plain worker processes, in turns.

    python benchmarks/on_ray.py FOLDER [--workers 2] [--rounds 2] [--json docs/results/ray.json]

Whole runs of `soundseek index` into a new library each, with the start of workers and cluster; the libraries are
compared. Processor time is that of all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import keep_result

from soundseek.library.copy import digest_of_sound
from soundseek.library.ray_workers import CPUS_VARIABLE
from soundseek.library.store.sqlite import SqliteStore


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    how = {"plain": ["--workers", str(args.workers)], "ray": ["--ray", "local"]}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in how}
    digests = set()
    for _ in range(args.rounds):
        for name, options in how.items():
            with tempfile.TemporaryDirectory() as folder:
                runs[name].append(timed(args.folder, Path(folder) / "library", options, args.workers))
                digests.add(digest_of(Path(folder) / "library"))
    if len(digests) != 1:
        raise SystemExit("the libraries are not the same")
    result = {
        name: {key: round(statistics.median(run[key] for run in each), 2) for key in each[0]}
        for name, each in runs.items()
    }
    keep_result(args.json, "ray", {"workers": args.workers, "rounds": args.rounds, **result})


def timed(folder: Path, library: Path, options: list[str], workers: int) -> dict[str, float]:
    """One run: seconds of sound, seconds of it in a second by the clock, and its whole time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "soundseek", "index", folder, "--library", library, "--quiet", "--json", *options],
        env=os.environ | {CPUS_VARIABLE: str(workers)}, capture_output=True, check=True,
    )  # fmt: skip
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(done.stdout.splitlines()[0])
    return {
        "audio_s": report["audio_s"],
        "run_s": report["elapsed_s"],
        "x_realtime": report["audio_s"] / report["elapsed_s"],
        "wall_s": wall_s,
        "own_cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def digest_of(library: Path) -> bytes:
    """Of all sounds in a library."""
    store = SqliteStore.open(library)
    try:
        sounds = [store.read(path) for path in sorted(store.states("/"))]
        return b"".join(digest_of_sound(sound) for sound in sounds if sound is not None)
    finally:
        store.close()


if __name__ == "__main__":
    main()
