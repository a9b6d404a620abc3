"""A library of random vectors, as large as wanted, in the store that users have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from soundseek.library.filters import Condition
from soundseek.library.search import SearchOptions, find_matches
from soundseek.library.store.base import (
    Changes,
    EmbeddedSound,
    Match,
    ModelIdentity,
    Question,
    SoundFile,
    Store,
)
from soundseek.library.store.sqlite import SqliteStore

IDENTITY_OF_RANDOM = ModelIdentity("random", "0" * 12, 512)
SEGMENTS_PER_FILE = 4
FRAME_S = 0.32


@contextmanager
def filled_store(directory: Path, rows: int, dim: int) -> Iterator[Callable[[np.ndarray], list[Match]]]:
    """A function that asks a store of `rows` segments, four a file, for its ten best files, as a search does.

    Each file has 80 frames, so that 100,000 segments take two gigabytes.
    """
    store = SqliteStore.open(directory, identity=ModelIdentity("random", "0" * 12, dim))
    generator = np.random.default_rng(0)
    with store.writing():
        for first in range(0, rows // SEGMENTS_PER_FILE, 1000):
            last = min(first + 1000, rows // SEGMENTS_PER_FILE)
            store.commit(
                Changes(sounds=[full_sound(number, dim, generator) for number in range(first, last)])
            )
    try:
        yield lambda query: find_matches(store, query, SearchOptions(k=10))
    finally:
        store.close()


def filled_library(directory: Path, rows: int, sounds: Path, first: Path) -> None:
    """A library of the bundled model with `rows` random segments, whose files are links to one sound.

    Args:
        directory: Where the library comes to be.
        rows: Segments, four a file.
        sounds: The folder for the links.
        first: The sound, in that folder.
    """
    from soundseek import Library, load_model

    model = load_model()
    Library.create(directory, model=model).close()
    status = first.stat()
    generator = np.random.default_rng(0)
    with Library.open(directory, model=model) as library, library.store.writing():
        for start in range(0, rows // SEGMENTS_PER_FILE, 1000):
            made = []
            for number in range(start, min(start + 1000, rows // SEGMENTS_PER_FILE)):
                path = sounds / f"{number:07}.wav"
                path.hardlink_to(first)
                sound = full_sound(number, model.dim, generator)
                facts = {"path": str(path), "size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
                made.append(
                    replace(sound, file=replace(sound.file, **facts, sample_rate_hz=8000, channels=1))
                )
            library.store.commit(Changes(sounds=made))


def fill_library(directory: Path, sounds: Path, num_files: int) -> None:
    """A library of the bundled model that knows `num_files` files as unchanged: empty ones, in folders of a thousand.

    Args:
        directory: Where the library comes to be.
        sounds: Where the files do.
        num_files: How many, with four random segments each.
    """
    from soundseek import Library, load_model
    from soundseek.library.store.base import Description
    from soundseek.library.volumes import Volumes

    model = load_model()
    generator = np.random.default_rng(0)
    Library.create(directory, model=model).close()
    with Library.open(directory, model=model) as library, library.store.writing():
        for start in range(0, num_files, 1000):
            folder = sounds / f"{start // 1000:04}"
            folder.mkdir(parents=True)
            made, volumes = [], {}
            for number in range(start, min(start + 1000, num_files)):
                path = folder / f"sound {number:07}.wav"
                path.touch()
                facts = {"path": str(path), "size_bytes": 0, "mtime_ns": path.stat().st_mtime_ns}
                sound = lean_sound(number, model.dim, generator)
                made.append(replace(sound, file=replace(sound.file, **facts, description=Description())))
                volumes[str(path)] = (
                    Volumes().name(str(folder)) if not volumes else next(iter(volumes.values()))
                )
            library.store.commit(
                Changes(sounds=made, volumes=volumes, roots={str(sounds): sounds.stat().st_dev})
            )


def lean_sound(number: int, dim: int, generator: np.random.Generator) -> EmbeddedSound:
    """A sound of four random segments with a frame each, so that a million of them fit on a disk."""
    sound = full_sound(number, dim, generator)
    spans = np.stack([np.arange(SEGMENTS_PER_FILE), np.arange(1, SEGMENTS_PER_FILE + 1)], axis=1)
    return replace(sound, frames=sound.vectors.astype(np.float16), spans=spans)


def full_sound(number: int, dim: int, generator: np.random.Generator) -> EmbeddedSound:
    """A sound of four random segments with 80 frames."""
    vectors = generator.standard_normal((SEGMENTS_PER_FILE, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = np.arange(SEGMENTS_PER_FILE)
    first_frames = np.rint(starts * 5.0 / FRAME_S).astype(np.int64)
    file = SoundFile(
        path=f"/sounds/{number:07}.wav",
        size_bytes=number + 1,
        mtime_ns=number,
        content_hash=number.to_bytes(16, "big"),
        format="WAV",
        sample_rate_hz=44_100,
        channels=2,
        duration_s=10.0 + 5.0 * SEGMENTS_PER_FILE,
        truncated=False,
        frame_s=FRAME_S,
    )
    return EmbeddedSound(
        file=file,
        times_s=np.stack([starts * 5.0, starts * 5.0 + 10.0], axis=1),
        vectors=vectors,
        frames=np.repeat(vectors.astype(np.float16), 20, axis=0),
        spans=np.stack([first_frames, first_frames + round(10.0 / FRAME_S)], axis=1),
    )


def best_files(store: Store, query: np.ndarray, k: int, where: Condition | None = None) -> list[Match]:
    """The best segment of each of the `k` best files, by means, out of a store's shortlist."""
    first: dict[str, Match] = {}
    for match in store.shortlist(Question(query, where), segments=k, files=k):
        first.setdefault(match.file.path, match)
    return list(first.values())[:k]
