"""What it costs a trainer to have a clip's samples: decoded every time, or read from the memory-mapped cache.

    python benchmarks/data_loading.py DIR [--clips 100] [--workers 1 2] [--json FILE]

DIR holds captioned sounds (see `soundseek data`). Each way reads the same clips in one shuffled order, in one
process and one thread; the ways take turns, and each one's fastest pass counts. Everything lies in the page
cache, and what is compared is processor time, which other work on the machine changes little; the disk comes
on top of both.

Then the whole of `OnlineBatches`, as a trunk in the training loop is fed: crops, levels and mixtures as log-mels,
clips a second of wall time for each number of workers, from the second epoch on. What a trainer waits at the start of
each of its steps is measured with steps that take `1.25 / (clips a second)` a clip: a loader that keeps up makes it
wait for almost nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soundfile
import torch
from machine import commit, machine

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import PANNS_FRONT_END, FrontEndConfig, LogMel
from soundseek.learn.data.caption_neighbours import unique
from soundseek.learn.data.decoded_cache import WaveformCache, open_waveforms
from soundseek.learn.data.online import OnlineBatches, OnlineConfig
from soundseek.learn.data.pairs import BatchConfig, Corpus, TextInputs, plan_clips
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.recipe.keys import AudioConfig, DataConfig

RATE_HZ = 32_000  # CNN14's
CROP_S = 10.0
PASSES = 3
BATCH = 20


def main() -> None:
    """Measure, print a table; `--json` keeps the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="development")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument(
        "--workers", type=int, nargs="*", default=[1, 2], help="of OnlineBatches, one case each"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    clips = read_split(options.data, options.split)
    Random(0).shuffle(clips)
    clips = clips[: options.clips]
    with tempfile.TemporaryDirectory() as temporary:
        results = measure([clip.path for clip in clips], Path(temporary))
        results |= live(clips, options.workers, Path(temporary))
    results = {"machine": machine(), "commit": commit(), "load_1min": os.getloadavg()[0], **results}
    for name, value in results.items():
        print(f"{name:34} {value:,.3f}" if isinstance(value, float) else f"{name:34} {value}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(paths: list[Path], folder: Path) -> dict[str, Any]:
    """Milliseconds a clip for each way, and how many times as fast the cache is."""
    started = time.process_time()
    cache = WaveformCache.build(paths, folder / "cache", sample_rate_hz=RATE_HZ)
    build_s = time.process_time() - started
    by_name = {path.name: path for path in paths}
    kept = [by_name[name] for name in cache.names]
    check(cache, kept)
    waves = as_clotho(kept, folder)  # Clotho's own form, 44.1 kHz WAV: decoding is cheap, resampling is not
    log_mel = LogMel(FrontEndConfig())
    crop = int(CROP_S * RATE_HZ)
    ways: dict[str, Callable[[int], object]] = {
        "decode_ms": lambda number: read_audio(kept[number], sample_rate_hz=RATE_HZ),
        "decode_wav_44100_ms": lambda number: read_audio(waves[number], sample_rate_hz=RATE_HZ),
        "cache_ms": lambda number: cache[number],
        "cache_first_10_s_ms": lambda number: cache.read(number, 0, crop),
        "cache_and_logmel_ms": lambda number: log_mel(cache[number]),
    }
    fastest = dict.fromkeys(ways, float("inf"))
    for _ in range(PASSES):
        for name, way in ways.items():
            fastest[name] = min(fastest[name], timed(way, len(kept)))
    audio_s = sum(cache.lengths) / RATE_HZ
    return {
        "clips": len(kept),
        "mean_duration_s": audio_s / len(kept),
        "cache_bytes_per_s": 2 * RATE_HZ,
        "cache_build_x_realtime": audio_s / build_s,
        **fastest,
        "cache_times_as_fast": fastest["decode_ms"] / fastest["cache_ms"],
        "cache_times_as_fast_as_wav": fastest["decode_wav_44100_ms"] / fastest["cache_ms"],
    }


def live(clips: list[Clip], workers: list[int], folder: Path) -> dict[str, Any]:
    """Clips a second from `OnlineBatches`, and the share of its time that a trainer of nearly this speed waits."""
    config = DataConfig()
    audio = AudioConfig(trained_blocks="all", crop_s=CROP_S, gain_db=6, mix_share=0.25)
    examples = plan_clips(clips, config, 0)
    texts = unique([caption for example in examples for caption in example.captions])
    waveforms = open_waveforms([clip.path for clip in clips], RATE_HZ, folder)
    results: dict[str, Any] = {"live_batch": BATCH}
    corpus = Corpus(examples, (), texts, {})
    drawn = BatchConfig(corpus, config, batch_size=min(BATCH, len(clips)), seed=0)
    online = OnlineConfig(drawn, audio, waveforms, PANNS_FRONT_END, min_frames=32)
    text = TextInputs(
        torch.zeros(len(texts), 1),
        lambda texts: (torch.zeros(len(texts), 1), torch.ones(len(texts), 1, dtype=torch.bool)),
    )
    for count in workers:
        batches = OnlineBatches(online, text, workers=count)
        list(batches.for_epoch(0))  # the workers start
        started = time.perf_counter()
        heard = sum(len(batch.clip_ids) for epoch in range(1, 4) for batch in batches.for_epoch(epoch))
        clips_per_s = heard / (time.perf_counter() - started)
        results[f"live_{count}_workers_clips_per_s"] = clips_per_s
        results[f"live_{count}_workers_waiting_share"] = waiting_share(batches, 1.25 / clips_per_s)
    return results


def waiting_share(batches: OnlineBatches, step_s_a_clip: float) -> float:
    """Time that a trainer spends waiting for batches, as a share of all; its first batch of an epoch is left out."""
    waited = worked = 0.0
    for epoch in range(4, 7):
        upcoming = iter(batches.for_epoch(epoch))
        next(upcoming)
        while True:
            step_s = BATCH * step_s_a_clip
            time.sleep(step_s)  # what a GPU's step leaves to this process
            started = time.perf_counter()
            if next(upcoming, None) is None:
                break
            waited += time.perf_counter() - started
            worked += step_s
    return waited / (waited + worked) if worked else 0.0


def timed(way: Callable[[int], object], count: int) -> float:
    """Mean milliseconds a clip."""
    started = time.process_time()
    for number in range(count):
        way(number)
    return 1000 * (time.process_time() - started) / count


def check(cache: WaveformCache, paths: list[Path]) -> None:
    """A fast answer must be the same answer: within half a 16-bit step where nothing is clipped."""
    for number in range(min(5, len(paths))):
        decoded = np.clip(read_audio(paths[number], sample_rate_hz=RATE_HZ), -1, 32767 / 32768)
        worst = float(np.abs(cache[number] - decoded).max())
        if len(cache[number]) != len(decoded) or worst > 1 / 65536 + 1e-7:
            raise SystemExit(f"{paths[number]}: the cache differs from the decoder by {worst}")


def as_clotho(paths: list[Path], folder: Path) -> list[Path]:
    """The same sounds as 16-bit WAV at 44.1 kHz."""
    waves = []
    for number, path in enumerate(paths):
        wave = folder / f"{number}.wav"
        soundfile.write(wave, read_audio(path, sample_rate_hz=44_100).clip(-1, 1), 44_100, subtype="PCM_16")
        waves.append(wave)
    return waves


if __name__ == "__main__":
    main()
