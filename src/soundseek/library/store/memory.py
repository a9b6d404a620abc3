"""A store in memory: for tests, notebooks and libraries that are thrown away. Nothing is kept on disk."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from soundseek._typing import AnyFloatArray, AnyIntArray
from soundseek._vectors import unit_rows
from soundseek.errors import LibraryError
from soundseek.library.filters import Condition, holds
from soundseek.library.store.base import (
    Changes,
    Facets,
    Failure,
    FileOrder,
    FileState,
    Match,
    ModelIdentity,
    Per,
    Sound,
    SoundFile,
    StoreStats,
    check_identity,
    check_sound,
)
from soundseek.library.store.exact import best_rows


class MemoryStore:
    """A `VectorStore` of plain dictionaries; threads may share it."""

    location = "memory://"

    def __init__(self, identity: ModelIdentity) -> None:
        self._identity = identity
        self._sounds: dict[str, Sound] = {}
        self._failures: dict[str, Failure] = {}
        self._roots: dict[str, int] = {}
        self._last_indexed: str | None = None
        self._version = 0
        self._mutex = threading.RLock()
        self._writing = threading.Lock()
        # (rows, dim) vectors, (rows,) file number, (rows,) segment number, and the sounds in file order.
        self._table: tuple[AnyFloatArray, AnyIntArray, AnyIntArray, list[Sound]] | None = None

    @property
    def identity(self) -> ModelIdentity:
        """The model whose vectors it holds."""
        return self._identity

    def check(self, identity: ModelIdentity) -> None:
        """Refuse another model."""
        check_identity(self.location, self._identity, identity)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write."""
        if not self._writing.acquire(blocking=False):
            raise LibraryError(
                f"{self.location} is being written by this process ({os.getpid()}); wait until it is done"
            )
        try:
            yield
        finally:
            self._writing.release()

    def commit(self, changes: Changes) -> None:
        """Apply all of it."""
        self._check_writing()
        for sound in changes.sounds:
            check_sound(sound, self._identity.dim)
        with self._mutex:
            self._table = None
            self._version += 1
            for path in changes.removed:
                self._forget(path)
            for failure in changes.failures:
                self._forget(failure.path)
                self._failures[failure.path] = failure
            for move in changes.moves:
                self._forget(move.path)
                sound = self._sounds.pop(move.old_path)
                file = replace(sound.file, path=move.path, mtime_ns=move.mtime_ns)
                self._sounds[move.path] = replace(sound, file=file)
            for path, mtime_ns in changes.touches.items():
                sound = self._sounds[path]
                self._sounds[path] = replace(sound, file=replace(sound.file, mtime_ns=mtime_ns))
            for sound in changes.sounds:
                self._forget(sound.file.path)
                halved = replace(
                    sound, vectors=sound.vectors.astype(np.float16), frames=sound.frames.astype(np.float16)
                )
                self._sounds[sound.file.path] = halved
            self._roots.update(changes.roots)

    def _forget(self, path: str) -> None:
        self._sounds.pop(path, None)
        self._failures.pop(path, None)

    def _check_writing(self) -> None:
        if not self._writing.locked():
            raise LibraryError(
                f"{self.location}: writing needs the lock; do it inside `with store.writing():`"
            )

    def finish_run(self, seen_at: str) -> None:
        """Note when a run ended."""
        self._check_writing()
        self._last_indexed = seen_at

    def compact(self, *, dead_share: float = 0.3) -> bool:
        """Nothing is ever dead here."""
        self._check_writing()
        return False

    def states(self, under: str) -> dict[str, FileState]:
        """Path -> state of the files at or below a path."""
        with self._mutex:
            return {path: _state(sound.file) for path, sound in self._sounds.items() if _below(path, under)}

    def failures(self, under: str | None = None) -> list[Failure]:
        """Failures at or below a path, or all."""
        with self._mutex:
            found = [f for f in self._failures.values() if under is None or _below(f.path, under)]
        return sorted(found, key=lambda failure: os.fsencode(failure.path))

    def roots(self) -> Mapping[str, int]:
        """Scanned folders and their device numbers."""
        with self._mutex:
            return dict(self._roots)

    def sizes(self) -> set[int]:
        """Every file size."""
        with self._mutex:
            return {sound.file.size_bytes for sound in self._sounds.values()}

    def same_content(self, content_hash: bytes) -> list[SoundFile]:
        """Files with this content, ordered by path."""
        with self._mutex:
            found = [s.file for s in self._sounds.values() if s.file.content_hash == content_hash]
        return sorted(found, key=lambda file: os.fsencode(file.path))

    def file(self, path: str) -> SoundFile | None:
        """What is known of one file."""
        sound = self.read(path)
        return sound.file if sound else None

    def read(self, path: str) -> Sound | None:
        """All of one file."""
        with self._mutex:
            return self._sounds.get(path)

    def vectors(self, path: str) -> tuple[AnyFloatArray, AnyFloatArray] | None:
        """Times and vectors of one file."""
        sound = self.read(path)
        return (sound.times_s, sound.vectors) if sound else None

    def search(
        self,
        query: AnyFloatArray,
        *,
        k: int,
        per: Per = "file",
        where: Condition | None = None,
        leave_out: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> list[Match]:
        """The best `k` segments, or files by their best segment."""
        vectors, owners, segments, sounds = self._rows()
        allowed: npt.NDArray[np.bool_] | None = None
        if where is not None or leave_out or only is not None:
            kept = [
                (where is None or holds(where, sound.file))
                and sound.file.path not in leave_out
                and (only is None or sound.file.path in only)
                for sound in sounds
            ]
            allowed = np.array(kept, dtype=np.bool_)[owners]
        groups = owners if per == "file" else None
        rows, scores = best_rows(vectors, query, k=k, groups=groups, allowed=allowed, scan=_numpy_scan)
        return [
            _match(sounds[owners[row]], int(segments[row]), float(score))
            for row, score in zip(rows, scores, strict=True)
        ]

    def _rows(self) -> tuple[AnyFloatArray, AnyIntArray, AnyIntArray, list[Sound]]:
        with self._mutex:
            if self._table is None:
                sounds = list(self._sounds.values())
                counts = np.array([len(sound.vectors) for sound in sounds], dtype=np.int64)
                empty = np.empty((0, self._identity.dim), np.float16)
                vectors = np.concatenate([empty, *(sound.vectors for sound in sounds)])
                owners = np.repeat(np.arange(len(sounds)), counts)
                segments = np.arange(len(vectors)) - np.repeat(np.cumsum(counts) - counts, counts)
                self._table = vectors, owners, segments, sounds
            return self._table

    def files(
        self, where: Condition | None = None, *, order: FileOrder = "path", k: int = -1, offset: int = 0
    ) -> list[SoundFile]:
        """Files that fulfil a condition; the latest or the longest first, or by path."""
        with self._mutex:
            files = [s.file for s in self._sounds.values() if where is None or holds(where, s.file)]
        files.sort(key=lambda file: os.fsencode(file.path))
        if order == "modified":
            files.sort(key=lambda file: -file.mtime_ns)
        elif order == "duration":
            files.sort(key=lambda file: -file.duration_s)
        return files[offset:] if k < 0 else files[offset : offset + k]

    def count(
        self, where: Condition | None = None, *, only: Collection[str] | None = None
    ) -> tuple[int, int]:
        """Files that fulfil a condition, and their segments."""
        with self._mutex:
            counts = [
                len(sound.vectors)
                for sound in self._sounds.values()
                if (where is None or holds(where, sound.file)) and (only is None or sound.file.path in only)
            ]
        return len(counts), sum(counts)

    def file_means(self) -> tuple[list[SoundFile], AnyFloatArray]:
        """Every file, and the mean of its segments' vectors at unit norm."""
        with self._mutex:
            sounds = sorted(self._sounds.values(), key=lambda sound: os.fsencode(sound.file.path))
        means = np.array([sound.vectors.mean(axis=0, dtype=np.float32) for sound in sounds], np.float32)
        return [sound.file for sound in sounds], unit_rows(means.reshape(-1, self._identity.dim))

    def facets(self) -> Facets:
        """Which values a filter can ask for."""
        with self._mutex:
            files = [sound.file for sound in self._sounds.values()]
        formats = Counter(file.format for file in files)
        return Facets(
            formats=tuple(sorted(formats, key=lambda name: (-formats[name], name))),
            sample_rates_hz=tuple(sorted({file.sample_rate_hz for file in files})),
            longest_s=max((file.duration_s for file in files), default=0.0),
        )

    def version(self) -> int:
        """Grows with every commit."""
        return self._version

    def stats(self) -> StoreStats:
        """Totals; nothing lies on a disk."""
        with self._mutex:
            files = [sound.file for sound in self._sounds.values()]
            return StoreStats(
                files=len(files),
                segments=sum(len(sound.vectors) for sound in self._sounds.values()),
                audio_s=float(sum(file.duration_s for file in files)),
                bytes_on_disk=0,
                failures=len(self._failures),
                truncated=sum(file.truncated for file in files),
                last_indexed=self._last_indexed,
            )

    def close(self) -> None:
        """Nothing to let go of; what it holds lives as long as the object."""


def _below(path: str, under: str) -> bool:
    return path == under or path.startswith(under.rstrip(os.sep) + os.sep)


def _state(file: SoundFile) -> FileState:
    return FileState(file.size_bytes, file.mtime_ns, file.limit_s if file.truncated else 0.0)


def _match(sound: Sound, segment: int, score: float) -> Match:
    first, last = sound.spans[segment].tolist()
    start_s, end_s = sound.times_s[segment].tolist()
    return Match(sound.file, start_s, end_s, score, sound.frames[first:last])


def _numpy_scan(vectors: AnyFloatArray, query: AnyFloatArray, count: int) -> npt.NDArray[Any]:
    """Row numbers of the `count` largest inner products in float32, best first."""
    scores = np.empty(len(vectors), np.float32)
    for at in range(0, len(vectors), 8192):  # a float32 copy of everything would be twice the store
        scores[at : at + 8192] = vectors[at : at + 8192].astype(np.float32) @ query.astype(np.float32)
    return np.argsort(-scores, kind="stable")[:count]
