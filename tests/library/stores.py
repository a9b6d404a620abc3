"""What the store tests share: toy sounds with known vectors, and an ingest that can be killed."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from soundseek.audio.segments import plan_windows
from soundseek.library.store.base import Changes, Description, EmbeddedSound, ModelIdentity, SoundFile
from soundseek.library.store.sqlite import SqliteStore

DIM = 8
IDENTITY = ModelIdentity(name="toy", fingerprint="0123456789ab", dim=DIM, source="toy")


def sound_file(path: str, **facts: object) -> SoundFile:
    """A file with plain facts, some of them replaced."""
    plain: dict[str, object] = {
        "path": path,
        "size_bytes": 100,
        "mtime_ns": 1_700_000_000_000_000_000,
        "content_hash": path.encode("utf-8", "surrogateescape")[-16:].rjust(16, b"\0"),
        "format": "WAV",
        "sample_rate_hz": 44100,
        "channels": 1,
        "duration_s": 10.0,
        "truncated": False,
        "frame_s": 0.5,
        "description": Description(),
    }
    return SoundFile(**{**plain, **facts})  # type: ignore[arg-type]


def sound_from_frames(file: SoundFile, frames: np.ndarray, spans: list[tuple[int, int]]) -> EmbeddedSound:
    """A sound whose vectors are the normalised means of its frames, as a model makes them."""
    means = np.array([frames[a:b].astype(np.float32).mean(axis=0) for a, b in spans], np.float32)
    return EmbeddedSound(
        file=file,
        times_s=np.array(spans, np.float64) * file.frame_s,
        vectors=means / np.linalg.norm(means, axis=1, keepdims=True),
        frames=frames.astype(np.float16),
        spans=np.array(spans, np.int64),
    )


def sound_of_vectors(path: str, vectors: np.ndarray, **facts: object) -> EmbeddedSound:
    """A sound with one frame a segment, so that its vectors are chosen freely."""
    spans = [(row, row + 1) for row in range(len(vectors))]
    return sound_from_frames(sound_file(path, **facts), vectors, spans)


def with_windows(sound: EmbeddedSound, seed: int = 0) -> EmbeddedSound:
    """The same sound, with a random vector for each of its short windows."""
    windows = unit_rows(np.random.default_rng(seed), len(plan_windows(sound.file.duration_s)))
    return replace(sound, windows=windows.astype(np.float16))


def unit_rows(generator: np.random.Generator, num: int, dim: int = DIM) -> np.ndarray:
    rows = generator.standard_normal((num, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sound_number(number: int) -> EmbeddedSound:
    """The sound of a number: anyone can work out again what its vectors must be."""
    generator = np.random.default_rng(number)
    return sound_of_vectors(f"/sounds/{number:06d}.wav", unit_rows(generator, 1 + number % 4))


def ingest_for_ever(directory: str, told: Connection | None = None) -> None:
    """Commit batches of numbered sounds, replace and remove some, compact: until killed.

    Args:
        directory: Of the library.
        told: Is sent "started", and "committed" after each commit.
    """
    sound_number(0)  # whatever is imported late is imported now
    if told is not None:
        told.send("started")
    store = SqliteStore.open(Path(directory), identity=IDENTITY)
    with store.writing():
        known = store.states("/sounds")
        number = max((int(Path(path).stem) for path in known), default=-1) + 1
        while True:
            batch = list(range(number, number + 1 + number % 7))
            number += len(batch)
            changes = Changes(sounds=[sound_number(each) for each in batch])
            if number > 20:
                changes.sounds.append(sound_number(number % 10))  # replaced by itself: its old rows die
                changes.removed.append(f"/sounds/{10 + number % 10:06d}.wav")
            store.commit(changes)
            if told is not None:
                told.send("committed")
            store.compact(dead_share=0.1)
