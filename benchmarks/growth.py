"""What grows with a library, and what must not: time to fill and to search, memory, a rescan, a cold search.

    python benchmarks/growth.py [--most 1000000] [--rescan 100000] [--json FILE] [--plot docs/images/growth.png]

Vectors are random. Every size is filled and searched in processes of its own, which tell their memory at the end; the
rescan is `soundseek index` over unchanged files, measured from outside. Quiet the machine first.
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
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from machine import keep_result
from synthetic_library import IDENTITY_OF_RANDOM, fill_library, lean_sound

from soundseek.library.search import SearchOptions, find_matches
from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore

DIM, SEGMENTS_PER_FILE, BATCH_FILES, QUERIES = 512, 4, 500, 15
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SEARCH = ["soundseek", "search", "a dog barks while it rains"]


def main() -> None:
    """Measure every size, the rescan and the cold search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument(
        "--rescan", type=int, default=100_000, help="files; 0 leaves rescan and cold search out"
    )
    parser.add_argument("--only", choices=["fill", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.only:
        print(json.dumps({"fill": fill, "search": search}[options.only](options.at, options.most)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = [each for each in SIZES if each <= options.most]
        if sizes:
            grown = [measured(folder / str(size), size) for size in sizes]
            keep_result(options.json, "growth", {"dim": DIM, "sizes": grown})
            if options.plot:
                draw(grown, options.plot)
        if options.rescan:
            keep_result(options.json, "rescan", rescan(folder, options.rescan))
            keep_result(options.json, "cold_search", cold_search(folder))


def measured(at: Path, size: int) -> dict[str, Any]:
    """One size, filled and searched."""
    found: dict[str, Any] = {"segments": size}
    for step in ("fill", "search"):
        command = [sys.executable, __file__, "--only", step, "--at", str(at), "--most", str(size)]
        found |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def fill(at: Path, size: int) -> dict[str, float]:
    """Fill a store by commits of 500 files; processor seconds, and what the process held at most."""
    generator = np.random.default_rng(0)
    store = SqliteStore.open(at, identity=IDENTITY_OF_RANDOM)
    began = time.process_time()
    with store.writing():
        for first in range(0, size // SEGMENTS_PER_FILE, BATCH_FILES):
            last = min(first + BATCH_FILES, size // SEGMENTS_PER_FILE)
            store.commit(
                Changes(sounds=[lean_sound(number, DIM, generator) for number in range(first, last)])
            )
    return {"fill_cpu_s": round(time.process_time() - began, 2), "fill_peak_mb": peak_mb()}


def search(at: Path, size: int) -> dict[str, float]:
    """Open a store and search it; the median of some queries, and what the process held of its own at most."""
    store = SqliteStore.open(at, create=False)
    generator, took = np.random.default_rng(1), []
    for _ in range(QUERIES):
        query = generator.standard_normal(DIM).astype(np.float32)
        query /= np.linalg.norm(query)
        began = time.process_time()
        find_matches(store, query, SearchOptions(k=10))
        took.append(time.process_time() - began)
    return {"query_cpu_ms": round(1000 * statistics.median(took), 2), "search_own_mb": own_mb()}


def peak_mb() -> float:
    """The most that this process has held."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def own_mb() -> float:
    """What this process holds, without the files that are mapped into it."""
    status = Path("/proc/self/status").read_text()
    return round(next(int(line.split()[1]) for line in status.splitlines() if "RssAnon" in line) / 1024, 1)


def rescan(folder: Path, num_files: int) -> dict[str, Any]:
    """Index unchanged files again, three times: the whole command, from outside."""
    fill_library(folder / "unchanged", folder / "sounds", num_files)
    command = [
        sys.executable,
        "-m",
        "soundseek",
        "index",
        str(folder / "sounds"),
        "--library",
        str(folder / "unchanged"),
    ]
    took = [timed(command, says=f'"unchanged": {num_files}') for _ in range(3)]
    return {"files": num_files, "wall_s": [wall for wall, _ in took], "cpu_s": [cpu for _, cpu in took]}


def cold_search(folder: Path) -> dict[str, Any]:
    """A search from the start of the process, in 10,000 segments, eleven times."""
    fill_library(folder / "small", folder / "small-sounds", 10_000 // SEGMENTS_PER_FILE)
    command = [sys.executable, "-m", *SEARCH, "--library", str(folder / "small")]
    took = [timed(command, says='"score"') for _ in range(11)]
    walls, cpus = [wall for wall, _ in took], [cpu for _, cpu in took]
    return {
        "segments": 10_000,
        "wall_s": statistics.median(walls),
        "wall_s_best": min(walls),
        "cpu_s": statistics.median(cpus),
    }


def timed(command: list[str], *, says: str = "") -> tuple[float, float]:
    """Wall and processor seconds of a command, whose output must hold a text."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    if says not in done.stdout:
        raise SystemExit(f"{' '.join(command)} does not say {says}: {done.stdout}")
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(wall_s, 3), round(cpu_s, 3)


def draw(grown: list[dict[str, Any]], path: Path) -> None:
    """Time and memory over the number of segments, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    times, memory = figure.subplots(1, 2)
    segments = [each["segments"] for each in grown]
    times.loglog(segments, [each["fill_cpu_s"] for each in grown], "o-", label="to fill (s)")
    times.loglog(segments, [each["query_cpu_ms"] / 1000 for each in grown], "s-", label="a query (s)")
    memory.semilogx(segments, [each["fill_peak_mb"] for each in grown], "o-", label="filling, at most")
    memory.semilogx(segments, [each["search_own_mb"] for each in grown], "s-", label="searching, own")
    for axes, title in ((times, "processor time"), (memory, "memory (MB)")):
        axes.set(xlabel="segments", title=title)
        axes.legend()
        axes.grid(alpha=0.3)
    memory.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
