"""How fast and how light: indexing from mp3 files, a three-hour file, a cold question and a warm one.

    python benchmarks/searching.py [--json docs/results/speed.json] [--minutes 180]

Whole processes are measured from outside, as a user meets them. The ratio against PyTorch needs the `learn` extra;
without it those rows are left out. Quiet the machine first: figures are those of the moment.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soundfile
from machine import commit, machine
from synthetic_library import filled_store

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import LogMel
from soundseek.model.model import Model
from soundseek.model.registry import load_model

SAMPLES = Path(__file__).parents[1] / "samples"
RATE = 44_100
QUERY = "a dog barks while it rains"


def main() -> None:
    """Run every measurement and print a table; `--json` keeps the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--minutes", type=float, default=180.0, help="sound to index")
    parser.add_argument("--hours", type=float, default=3.0, help="length of the one long file")
    options = parser.parse_args()
    where = {
        "machine": machine(),
        "commit": commit(),
        "model": load_model().config.name,
        "sounds": f"indexed are {max(1, round(options.minutes))} mp3 files of a minute, stereo at {RATE / 1000:g} kHz; "
        f"the {options.hours:g}-hour file is mono mp3 at {RATE / 1000:g} kHz",
    }
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sounds = make_mp3_files(folder / "sounds", options.minutes)
        # First, because the peak of all children so far is what the system reports.
        results |= long_file(folder, options.hours)
        results |= indexing(folder, sounds, options.minutes * 60)
        results |= cold_search(folder)
    results |= warm_query()
    results |= against_pytorch()
    for name, value in (where | results).items():
        print(f"{name:50} {value}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(where | {"rows": results}, indent=2) + "\n", encoding="utf-8")


def make_mp3_files(folder: Path, minutes: float) -> Path:
    """One-minute mp3 files, stereo at 44.1 kHz, of the samples one after another."""
    folder.mkdir(parents=True)
    waveform = sample_sounds()
    for number in range(max(1, round(minutes))):
        minute = np.roll(waveform, -number * 7 * RATE)[: 60 * RATE]
        soundfile.write(folder / f"{number:04}.mp3", np.stack([minute, minute], axis=1), RATE)
    return folder


def sample_sounds() -> np.ndarray:
    """Every sample in one waveform, at least a minute long."""
    joined = np.concatenate(
        [read_audio(file, sample_rate_hz=RATE) for file in sorted(SAMPLES.rglob("*.ogg"))]
    )
    return np.tile(joined, -(-60 * RATE // len(joined)))


def indexing(folder: Path, sounds: Path, audio_s: float) -> dict[str, Any]:
    """× real time of the whole command with one worker and with two, and an unchanged folder once more."""
    walls, processor_s = {}, {}
    for workers in (1, 2):
        library = folder / f"library-{workers}"
        command = ["index", str(sounds), "--library", str(library), "--workers", str(workers)]
        walls[workers], processor_s[workers] = timed(command)
    again, _ = timed(["index", str(sounds), "--library", str(folder / "library-1")])
    return {
        "index, one worker: x real time (wall)": round(audio_s / walls[1], 1),
        "index, one worker: x real time per CPU second": round(audio_s / processor_s[1], 1),
        "index, two workers: x real time (wall)": round(audio_s / walls[2], 1),
        "index, two workers over one (wall)": round(walls[1] / walls[2], 2),
        "index, unchanged folder again: s": round(again, 2),
    }


def long_file(folder: Path, hours: float) -> dict[str, Any]:
    """Peak memory of the process that indexes one long mp3 file."""
    path = folder / "long" / "long.mp3"
    path.parent.mkdir()
    minute = sample_sounds()[: 60 * RATE]
    with soundfile.SoundFile(path, "w", RATE, 1, format="MP3") as file:
        for _ in range(round(hours * 60)):
            file.write(minute)
    library = folder / "library-long"
    limit_s = str(round(hours * 3600) + 60)
    wall, _ = timed(["index", str(path.parent), "--library", str(library), "--max-duration", limit_s])
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        f"{hours:g}-hour file: peak memory, MB": round(peak_kb / 1024),
        f"{hours:g}-hour file: x real time (wall)": round(hours * 3600 / wall, 1),
    }


def cold_search(folder: Path) -> dict[str, Any]:
    """Seconds of `soundseek search` as a new process, median of seven."""
    command = ["search", QUERY, "--library", str(folder / "library-1"), "--json"]
    return {"cold search: s (wall)": round(statistics.median(timed(command)[0] for _ in range(7)), 2)}


def warm_query(rows: int = 100_000, dim: int = 512) -> dict[str, Any]:
    """CPU milliseconds of one question against many segments, in a process that has asked before."""
    generator = np.random.default_rng(1)
    queries = generator.standard_normal((22, dim)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    with (
        tempfile.TemporaryDirectory() as temporary,
        filled_store(Path(temporary) / "library", rows, dim) as ask,
    ):
        times = []
        for query in queries:
            start = time.process_time()
            ask(query)
            times.append((time.process_time() - start) * 1000)
    return {f"warm query, {rows:,} x {dim} segments: CPU ms": round(statistics.median(times[2:]), 1)}


def against_pytorch() -> dict[str, Any]:
    """The same trunk and front end for 10 s of sound, ours beside plain PyTorch, one thread, in this process."""
    model = load_model()
    waveform = sample_sounds()[: 10 * model.front_end.sample_rate_hz].astype(np.float32)
    log_mel = LogMel(model.front_end)
    features = log_mel(waveform)
    ours = {
        "front end": median_ms(lambda: log_mel(waveform)),
        "trunk": median_ms(lambda: model._run_audio(features)),
    }
    rows: dict[str, Any] = {f"10 s of sound, {part}: ms": round(value, 1) for part, value in ours.items()}
    try:
        theirs = pytorch_ms(model, waveform, features)
    except ImportError:
        return rows
    rows |= {f"10 s of sound, {part} in PyTorch: ms": round(value, 1) for part, value in theirs.items()}
    rows["PyTorch over soundseek"] = round(sum(theirs.values()) / sum(ours.values()), 2)
    return rows


def pytorch_ms(model: Model, waveform: np.ndarray, features: np.ndarray) -> dict[str, float]:
    """Milliseconds of torch.stft with a mel matrix, and of the eager trunk with the model's own weights."""
    import torch
    from safetensors.torch import load_file

    from soundseek.audio.logmel import mel_matrix
    from soundseek.learn.distill import DistillConfig
    from soundseek.learn.models.audio.compact import CompactTrunk

    torch.set_num_threads(1)
    config = model.front_end
    trunk = CompactTrunk(DistillConfig().trunk).eval()
    weights = load_file(model.directory / "model.safetensors")
    own = {key.removeprefix("trunk."): value for key, value in weights.items() if key.startswith("trunk.")}
    trunk.load_state_dict(own)
    window = torch.hann_window(config.win_length, periodic=config.window_periodic)
    mel = torch.from_numpy(mel_matrix(config))
    sound, batch = torch.from_numpy(waveform), torch.from_numpy(features)[None]

    def front_end() -> None:
        emphasised = sound[1:] - config.pre_emphasis * sound[:-1]
        spectrum = torch.stft(
            emphasised, config.n_fft, config.hop_length, config.win_length, window, return_complex=True
        )
        torch.log(spectrum.abs().square().T @ mel + config.floor)

    with torch.inference_mode():
        return {"front end": median_ms(front_end), "trunk": median_ms(lambda: trunk(batch))}


def timed(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one soundseek command, which must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "soundseek", *arguments], capture_output=True, text=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"soundseek {' '.join(arguments)} failed:\n{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def median_ms(function: Callable[[], object], repeats: int = 15) -> float:
    """Median CPU milliseconds of a call, over all threads, after two to warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.process_time()
        function()
        times.append((time.process_time() - start) * 1000)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
