"""How quickly `soundseek serve` answers: one person typing, then fifty people at once for a minute.

    python benchmarks/serving.py [--segments 100000] [--users 50] [--seconds 60] [--json]

A library of random vectors in the width of the bundled model, with samples/ in it, is served by a process of its own
on 127.0.0.1. A person types a question (every third word by word, as a page that searches while typing), looks at the
waveforms of three hits and plays the first one's beginning, and thinks for a second or two. All on the same machine:
the people take processor time from the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from machine import commit, machine

from soundseek.library import Library
from soundseek.library.store.base import Changes, EmbeddedSound, SoundFile
from soundseek.model.registry import load_model

SAMPLES = Path(__file__).parents[1] / "samples"
API = "/api/v1"
SEGMENTS_PER_FILE = 4
WORDS = """a dog barks while it rains
footsteps on gravel
heavy wooden door closing slowly
distant thunder over a field
crowd cheering in a stadium
water dripping in a cave
car passing on a wet road
birds singing at dawn
metal scraping on stone
woman laughing
wind in the trees
old clock ticking
sword drawn from its sheath
fire crackling
engine starting and idling
glass breaking on a hard floor
people talking in a market""".splitlines()
MOST_P95_MS, MOST_GROWTH_MB = 400.0, 50.0


@dataclass
class Seen:
    """What the people saw.

    Attributes:
        search_ms: Milliseconds of each search.
        other_ms: Of waveforms and sound.
        failures: What went wrong, and how often.
    """

    search_ms: list[float] = field(default_factory=list)
    other_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Measure, print, and end with 1 where a bound is missed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--segments", type=int, default=100_000)
    options.add_argument("--users", type=int, default=50)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--json", action="store_true", help="one JSON object alone")
    asked = options.parse_args()
    if not (1 <= asked.users <= 200 and 1 <= asked.seconds <= 600 and 0 <= asked.segments <= 1_000_000):
        options.error(
            "at most 200 users, 600 seconds and 1,000,000 segments: this is for one machine, its own"
        )
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        fill(library, asked.segments)
        with serving(library) as (address, process):
            figures = asyncio.run(measure(address, process, asked.users, asked.seconds))
    figures |= {"segments": asked.segments, "users": asked.users, "seconds": asked.seconds}
    figures |= {"machine": machine(), "commit": commit()}
    print(json.dumps(figures, indent=None if asked.json else 1))
    if (
        figures["failed"]
        or figures["search_p95_ms"] > MOST_P95_MS
        or figures["memory_growth_mb"] > MOST_GROWTH_MB
    ):
        sys.exit(1)


def fill(directory: Path, num_segments: int) -> None:
    """A library of samples/ and of random vectors, whose files are links to one: a search hides what is missing."""
    model = load_model()
    generator = np.random.default_rng(0)
    sounds = directory.parent / f"{directory.name}.sounds"
    for number in range(100):
        (sounds / f"{number:02}").mkdir(parents=True)
    sound = Path(shutil.copy(next(SAMPLES.rglob("*.ogg")), sounds))
    with Library.open(directory, model=model, create=True) as library:
        library.index(SAMPLES, workers=2)
        store = library.store
        with store.writing():
            for first in range(0, num_segments // SEGMENTS_PER_FILE, 1000):
                last = min(first + 1000, num_segments // SEGMENTS_PER_FILE)
                paths = [sounds / f"{number % 100:02}" / f"{number:07}.ogg" for number in range(first, last)]
                for path in paths:
                    path.hardlink_to(sound)
                made = [
                    _sound(number, path, model.dim, generator)
                    for number, path in enumerate(paths, start=first)
                ]
                store.commit(Changes(sounds=made))


def _sound(number: int, path: Path, dim: int, generator: np.random.Generator) -> EmbeddedSound:
    vectors = generator.standard_normal((SEGMENTS_PER_FILE, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts, spans = np.arange(SEGMENTS_PER_FILE), np.arange(SEGMENTS_PER_FILE) * 31
    file = SoundFile(
        path=str(path),
        size_bytes=number + 1,
        mtime_ns=number,
        content_hash=number.to_bytes(16, "big"),
        format="OGG/VORBIS",
        sample_rate_hz=44_100,
        channels=2,
        duration_s=10.0 + 5.0 * SEGMENTS_PER_FILE,
        truncated=False,
        frame_s=0.32,
    )
    return EmbeddedSound(
        file=file,
        times_s=np.stack([starts * 5.0, starts * 5.0 + 10.0], axis=1),
        vectors=vectors,
        frames=np.repeat(vectors, 31, axis=0).astype(np.float16),
        spans=np.stack([spans, spans + 31], axis=1),
    )


@contextmanager
def serving(library: Path):  # type: ignore[no-untyped-def]
    """The command itself on a free port of this machine: its address and its process."""
    command = [sys.executable, "-m", "soundseek", "serve", "--library", str(library), "--port", "0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        address = next(word for word in told.split() if word.startswith("http://"))
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


async def measure(address: str, process: psutil.Process, users: int, seconds: float) -> dict[str, float]:
    """What one person and then many see."""
    limits = httpx.Limits(max_connections=2 * users, max_keepalive_connections=2 * users)
    async with httpx.AsyncClient(base_url=address, timeout=30, limits=limits) as http:
        await _search(http, Seen(), "warm up")
        typing = Seen()
        for number in range(100):  # texts that nobody asked before, as each letter makes one
            await _search(http, typing, f"{WORDS[number % len(WORDS)]} {number}")
        hits = (await _search(http, Seen(), WORDS[0], where="folder = " + json.dumps(str(SAMPLES))))["hits"]
        samples = [hit["id"] for hit in hits]
        for (
            id
        ) in samples:  # each file is decoded once: that is for the first who sees it, not for this measure
            await _other(http, Seen(), f"{API}/peaks/{id}?n=400")
        many, ends = Seen(), time.perf_counter() + seconds
        memory, cpu_s = [], _cpu_s(process)
        people = [asyncio.create_task(_person(http, many, number, ends, samples)) for number in range(users)]
        while time.perf_counter() < ends:
            await asyncio.sleep(1)
            memory.append(process.memory_info().rss / 1e6)
        await asyncio.gather(*people)
        cpu_s = _cpu_s(process) - cpu_s
    warm = memory[len(memory) // 4 :] or [0.0]
    return {
        "typing_p50_ms": _percentile(typing.search_ms, 50),
        "typing_p95_ms": _percentile(typing.search_ms, 95),
        "searches": len(many.search_ms),
        "searches_per_s": round(len(many.search_ms) / seconds, 1),
        "search_p50_ms": _percentile(many.search_ms, 50),
        "search_p95_ms": _percentile(many.search_ms, 95),
        "search_max_ms": _percentile(many.search_ms, 100),
        "other_p95_ms": _percentile(many.other_ms, 95),
        "failed": sum((typing.failures + many.failures).values()),
        "memory_mb": round(warm[-1], 1),
        "memory_growth_mb": round(warm[-1] - warm[0], 1),
        "cpu_ms_per_search": round(1000 * cpu_s / max(1, len(many.search_ms)), 1),
    }


async def _person(
    http: httpx.AsyncClient, seen: Seen, number: int, ends: float, samples: Sequence[str]
) -> None:
    chance = random.Random(number)
    await asyncio.sleep(chance.uniform(0, 2))  # people do not begin at once
    while time.perf_counter() < ends:
        words = chance.choice(WORDS)
        parts = words.split()
        if chance.random() < 1 / 3:
            for end in range(1, len(parts)):
                await _search(http, seen, " ".join(parts[:end]))
                await asyncio.sleep(chance.uniform(0.2, 0.5))
        await _search(http, seen, f"{words} {chance.randrange(1000)}" if chance.random() < 0.5 else words)
        shown = chance.sample(samples, min(3, len(samples)))
        await asyncio.gather(*(_other(http, seen, f"{API}/peaks/{id}?n=400") for id in shown))
        await _other(http, seen, f"{API}/audio/{shown[0]}", {"Range": "bytes=0-65535"})
        await asyncio.sleep(chance.uniform(1, 2))


async def _search(http: httpx.AsyncClient, seen: Seen, text: str, **more: object) -> dict:  # type: ignore[type-arg]
    began = time.perf_counter()
    answer = await _sent(http, seen, "POST", f"{API}/search", json={"text": text, "k": 20, **more})
    seen.search_ms.append(1000 * (time.perf_counter() - began))
    return answer.json() if answer is not None else {"hits": []}


async def _other(
    http: httpx.AsyncClient, seen: Seen, path: str, headers: dict[str, str] | None = None
) -> None:
    began = time.perf_counter()
    await _sent(http, seen, "GET", path, headers=headers)
    seen.other_ms.append(1000 * (time.perf_counter() - began))


async def _sent(
    http: httpx.AsyncClient, seen: Seen, method: str, path: str, **how: object
) -> httpx.Response | None:
    try:
        answer = await http.request(method, path, **how)  # type: ignore[arg-type]
    except httpx.HTTPError as error:
        seen.failures[type(error).__name__] += 1
        return None
    if answer.status_code >= 300:
        seen.failures[f"{answer.status_code} {answer.text[:200]}"] += 1
        print(answer.status_code, answer.text[:200], file=sys.stderr)
        return None
    return answer


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _percentile(values: Sequence[float], percent: float) -> float:
    if not values:
        return math.nan
    return round(float(np.percentile(values, percent)), 1)


if __name__ == "__main__":
    main()
