"""What `soundseek duplicates` and the map cost in a library of many files.

    python benchmarks/duplicates.py [--segments 20000 100000] [--compare-s 240] [--json docs/results/steel.json]

Files have two to six segments. Families of twenty have vectors that are near each other, as sounds of one kind have, so
that each file has as many candidates as it can; the last of each family is a copy of the first, at half the level.
Behind the paths are links to noises of 16 kHz, all of one family different. The comparison of waveforms stops after
`--compare-s` seconds; where it has been through, what it found is held against what was planted. Each size runs in a
process of its own, on one thread. 100,000 segments take 3 GB on the disk, removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soundfile
from machine import keep_result
from synthetic_library import FRAME_S, full_sound

from soundseek import Library, load_model
from soundseek.library import duplicates
from soundseek.library.store.base import Changes, EmbeddedSound
from soundseek.server.sound_map import make_map

FAMILY, NOISES, RATE_HZ = 20, 100, 16_000
MEAN_SEGMENTS = 4
BATCH_FILES = 500


class Enough(Exception):
    """The time for the comparison is over."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--segments", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--compare-s", type=float, default=240)
    parser.add_argument("--folder", type=Path, help="where the libraries are made; removed at the end")
    parser.add_argument("--only", choices=["duplicates", "map"], help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.only == "duplicates":
        print(json.dumps(look(options.folder, options.compare_s)))
    elif options.only == "map":
        print(json.dumps(lay_out(options.folder)))
    else:
        sizes = [measured(segments, options) for segments in options.segments]
        keep_result(options.json, "duplicates", {"seed": 0, "sizes": sizes})


def measured(segments: int, options: argparse.Namespace) -> dict[str, Any]:
    """A library of one size: its duplicates, then its map."""
    found: dict[str, Any] = {"segments": segments}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        fill(Path(folder), segments // MEAN_SEGMENTS)
        for step in ("duplicates", "map"):
            command = [sys.executable, __file__, "--only", step, "--folder", folder]
            command += ["--compare-s", str(options.compare_s)]
            found |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(found, flush=True)
    return found


def fill(folder: Path, num_files: int) -> None:
    """The library `library` and its sounds, of which every twentieth is a copy."""
    generator, model = np.random.default_rng(0), load_model()
    noises = [make_noise(folder, number, generator) for number in range(NOISES)]
    (folder / "sounds").mkdir()
    Library.create(folder / "library", model=model).close()
    made: list[EmbeddedSound] = []
    middle = first = np.zeros(model.dim)
    with Library.open(folder / "library", model=model) as library, library.store.writing():
        for number in range(num_files):
            place = number % FAMILY
            is_copy = place == FAMILY - 1
            original = number - place if is_copy else number
            path = folder / "sounds" / f"{number:07}.wav"
            path.hardlink_to(noises[original % NOISES][is_copy])
            if place == 0:
                middle = unit(generator.standard_normal(model.dim))
            vector = first if is_copy else unit(middle + unit(generator.standard_normal(model.dim)))
            if place == 0:
                first = vector
            made.append(sound(number, path, segments_of(original % NOISES), vector, generator))
            if len(made) == BATCH_FILES or number == num_files - 1:
                library.store.commit(Changes(sounds=made))
                made = []


def make_noise(folder: Path, number: int, generator: np.random.Generator) -> tuple[Path, Path]:
    """A noise that gets louder and softer, and its copy."""
    num_samples = int(duration_s(segments_of(number)) * RATE_HZ)
    level = np.interp(np.arange(num_samples), np.arange(0, num_samples + RATE_HZ, RATE_HZ // 2)[
        : 2 * num_samples // RATE_HZ + 2], generator.uniform(0.02, 0.2, 2 * num_samples // RATE_HZ + 2))  # fmt: skip
    samples = level * generator.standard_normal(num_samples)
    paths = folder / f"noise-{number}.wav", folder / f"copy-{number}.wav"
    for path, gain in zip(paths, (1.0, 0.5), strict=True):
        soundfile.write(path, gain * samples, RATE_HZ)
    return paths


def segments_of(number: int) -> int:
    """Two to six."""
    return 2 + number % 5


def duration_s(segments: int) -> float:
    """Of a file with so many segments."""
    return 5.0 + 5.0 * segments


def sound(
    number: int, path: Path, segments: int, vector: np.ndarray, generator: np.random.Generator
) -> EmbeddedSound:
    """A sound around a vector, whose frames and segments differ from it at random."""
    plain = full_sound(number, 2, np.random.default_rng(number))
    status, length_s = path.stat(), duration_s(segments)
    file = replace(
        plain.file, path=str(path), size_bytes=status.st_size, mtime_ns=status.st_mtime_ns,
        sample_rate_hz=RATE_HZ, channels=1, duration_s=length_s,
    )  # fmt: skip
    num_frames = round(length_s / FRAME_S)
    frames = vector + generator.standard_normal((num_frames, len(vector))) / len(vector) ** 0.5
    starts_s = 5.0 * np.arange(segments)
    first = np.rint(starts_s / FRAME_S).astype(np.int64)
    spans = np.stack([first, np.minimum(first + round(10.0 / FRAME_S), num_frames)], axis=1)
    vectors = np.stack([unit(frames[low:high].mean(axis=0)) for low, high in spans.tolist()])
    return EmbeddedSound(
        file=file,
        times_s=np.stack([starts_s, starts_s + 10.0], axis=1),
        vectors=vectors.astype(np.float32),
        frames=frames.astype(np.float16),
        spans=spans,
    )


def unit(vector: np.ndarray) -> np.ndarray:
    """At unit norm."""
    return vector / np.linalg.norm(vector)


def look(folder: Path, compare_s: float) -> dict[str, Any]:
    """The search for duplicates: both stages, and what was found once it is through."""
    took: dict[str, float] = {}
    pairs = 0
    propose, compare = duplicates.propose, duplicates.compare_waveforms

    def timed_propose(*arguments: Any) -> duplicates.Candidates:
        began = time.process_time()
        found = propose(*arguments)
        took["propose_cpu_s"] = round(time.process_time() - began, 1)
        took["propose_peak_mb"] = peak_mb()
        took["began_wall"], took["began_cpu"] = time.monotonic(), time.process_time()
        return found

    def counted_compare(*arguments: Any, **named: Any) -> tuple[float, float]:
        nonlocal pairs
        pairs += 1
        return compare(*arguments, **named)

    def told(done: int, total: int) -> None:
        took["files_compared"], took["files"] = done, total
        if done < total and time.monotonic() - took["began_wall"] > compare_s:
            raise Enough

    duplicates.propose, duplicates.compare_waveforms = timed_propose, counted_compare
    result: dict[str, Any] = {}
    with Library.open(folder / "library", model=load_model()) as library:
        try:
            groups = duplicates.find_duplicates(library.store, progress=told)
        except Enough:
            pass
        else:
            names = [sorted(int(Path(file.path).stem) for file in group.files) for group in groups]
            planted = [[first, first + FAMILY - 1] for first in range(0, int(took["files"]), FAMILY)]
            result["planted"], result["found"] = len(planted), sum(pair in names for pair in planted)
            result["others"] = len(names) - result["found"]
    cpu_s = time.process_time() - took.pop("began_cpu")
    took.pop("began_wall")
    return {**took, "pairs": pairs, "compare_cpu_s": round(cpu_s, 1), "peak_mb": peak_mb(), **result}


def lay_out(folder: Path) -> dict[str, float]:
    """The map of the library."""
    began = time.process_time()
    make_map(str(folder / "library"))
    return {"map_cpu_s": round(time.process_time() - began, 1), "map_peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most that this process has held, with the parts of the library's files that were mapped into it."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
