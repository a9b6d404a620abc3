"""What a question in words costs, by the number of segments: a process that has asked before, and a new one.

    python benchmarks/text_queries.py [--segments 10000 100000 1000000] [--json docs/results/text-queries.json]

Libraries of random vectors in the width of the bundled model, four segments a file; each question is a new one, so the
words are read and embedded anew. Up to 100,000 segments a file has its 80 frames, above one for each segment.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import keep_result
from searching import timed
from serving import WORDS
from synthetic_library import SEGMENTS_PER_FILE, full_sound, lean_sound

from soundseek.library import Library
from soundseek.library.store.base import Changes
from soundseek.model.registry import load_model

SEED = 0
ALL_FRAMES_UP_TO = 100_000
# In these a process makes what it scans from then on.
WARM_UP, MEASURED = 40, 100
COLD = 7
FILES_A_COMMIT = 2_500


def main() -> None:
    """Print and keep a row for each size."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--segments", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    for segments in asked.segments:
        with tempfile.TemporaryDirectory() as folder:
            keep_result(asked.json, f"{segments} segments", measure(Path(folder) / "library", segments))
        sys.stdout.flush()


def measure(directory: Path, segments: int) -> dict[str, float]:
    """Of `Library.search` with a text, all threads together, and of the command `soundseek search`."""
    with Library.create(directory, model=load_model()) as library:
        fill(library, segments)
        texts = (f"{words} {number}" for number, words in enumerate(itertools.cycle(WORDS)))
        took = []
        for text in itertools.islice(texts, WARM_UP + MEASURED):
            began = time.process_time()
            library.search(text, missing="show")
            took.append(1000 * (time.process_time() - began))
    took = sorted(took[WARM_UP:])
    command = ["search", WORDS[0], "--library", str(directory), "--missing", "show", "--json"]
    cold = [timed(command) for _ in range(COLD)]
    return {
        "cold search: s (wall), median": round(statistics.median(wall for wall, _ in cold), 2),
        "cold search: CPU s, median": round(statistics.median(cpu for _, cpu in cold), 2),
        "text query: CPU ms, p50": round(statistics.median(took), 1),
        "text query: CPU ms, p95": round(took[int(0.95 * len(took))], 1),
        "seed": SEED,
    }


def fill(library: Library, segments: int) -> None:
    """Random sounds, none of which is on the disk."""
    generator = np.random.default_rng(SEED)
    make = full_sound if segments <= ALL_FRAMES_UP_TO else lean_sound
    num_files = segments // SEGMENTS_PER_FILE
    with library.store.writing():
        for first in range(0, num_files, FILES_A_COMMIT):
            made = [
                make(number, library.model.dim, generator)
                for number in range(first, min(first + FILES_A_COMMIT, num_files))
            ]
            library.store.commit(Changes(sounds=made))


if __name__ == "__main__":
    main()
