"""One process that writes and several that read, for as long as wanted: a reader sees whole commits and nothing else.

Every commit makes all sounds anew, in another number, from one number: whoever sees two numbers, or another count, has
seen a part of a commit.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
from library.best_matches import best_matches
from library.stores import DIM, IDENTITY, sound_of_vectors, unit_rows

from soundseek.library.store.base import Changes, EmbeddedSound, Match
from soundseek.library.store.sqlite import SqliteStore

EAST = np.eye(1, DIM, dtype=np.float32)[0]
LEAST_VERSIONS = 8


@dataclass
class Seen:
    """What one process did.

    Attributes:
        steps: Commits, or looks.
        versions: Different commits that it has seen.
        wrong: What should not have been, if anything.
    """

    steps: int = 0
    versions: int = 0
    wrong: str | None = None


def sounds_of(number: int) -> list[EmbeddedSound]:
    """All sounds of a commit."""
    generator = np.random.default_rng(number)
    return [
        sound_of_vectors(
            f"/sounds/{each:02}.wav",
            unit_rows(generator, 1 + each % 3),
            content_hash=number.to_bytes(16, "big"),
        )
        for each in range(5 + number % 9)
    ]


def write(folder: Path, end: Event, pipe: Connection) -> None:
    """Commit one number after the other, and compact now and then."""
    seen = Seen()
    with _telling(pipe, seen):
        store = SqliteStore.open(folder, identity=IDENTITY)
        with store.writing():
            while not end.is_set():
                seen.steps += 1
                sounds = sounds_of(seen.steps)
                removed = [path for path in store.states("/") if path not in {s.file.path for s in sounds}]
                store.commit(Changes(sounds=sounds, removed=removed))
                if seen.steps % 5 == 0:
                    store.compact(dead_share=0.0)
        store.close()
    seen.versions = seen.steps


def read(folder: Path, seconds: float, end: Event, pipe: Connection) -> None:
    """Search, list and read; open the library anew now and then.

    On a busy machine the seconds may pass before the writer has got to work: some commits are waited for.
    """
    seen = Seen()
    with _telling(pipe, seen):
        store = SqliteStore.open(folder, create=False)
        until, last, versions = time.monotonic() + seconds, 0, set[int]()
        looks: list[Callable[[SqliteStore], int]] = [by_search, by_list, by_means]
        while (time.monotonic() < until or len(versions) < LEAST_VERSIONS) and not end.is_set():
            seen.steps += 1
            number = looks[seen.steps % len(looks)](store)
            if number < last:
                raise AssertionError(f"commit {number} was seen after commit {last}")
            last = number
            versions.add(number)
            seen.versions = len(versions)
            if seen.steps % 50 == 0:
                store.close()
                store = SqliteStore.open(folder, create=False)
        store.close()


def by_search(store: SqliteStore) -> int:
    """The number of the commit that a search over all segments sees, which must be one and whole."""
    matches = best_matches(store, EAST, k=1000, per="segment")
    expected = sounds_of(_only(matches))
    found = sorted(
        (m.file.path, round(m.start_s / m.file.frame_s), m.score, m.frames[0].tobytes()) for m in matches
    )
    assert len(found) == sum(len(sound.vectors) for sound in expected), f"{len(found)} segments"
    at = 0
    for sound in expected:
        for row, (vector, frame) in enumerate(zip(sound.vectors, sound.frames, strict=True)):
            path, start, score, frames = found[at]
            assert (path, start, frames) == (sound.file.path, row, frame.tobytes()), f"{path} is another's"
            assert abs(score - float(vector @ EAST)) < 2e-3
            at += 1
    return _number(matches[0].file.content_hash)


def by_list(store: SqliteStore) -> int:
    """The same by the list of files."""
    files = store.files()
    numbers = {_number(file.content_hash) for file in files}
    assert len(numbers) == 1, f"files of commits {sorted(numbers)}"
    (number,) = numbers
    assert len(files) == 5 + number % 9, f"{len(files)} files of commit {number}"
    return number


def by_means(store: SqliteStore) -> int:
    """The same by the means of all files."""
    files, means = store.file_means()
    number = _number(files[0].content_hash)
    expected = [sound.vectors.mean(axis=0) for sound in sounds_of(number)]
    assert len(files) == len(expected), f"{len(files)} files of commit {number}"
    np.testing.assert_allclose(means, [mean / np.linalg.norm(mean) for mean in expected], atol=2e-2)
    return number


def _only(matches: list[Match]) -> int:
    numbers = {_number(match.file.content_hash) for match in matches}
    assert len(numbers) == 1, f"segments of commits {sorted(numbers)}"
    return numbers.pop()


def _number(content_hash: bytes) -> int:
    return int.from_bytes(content_hash, "big")


class _telling:
    """Sends what a process has seen when it is done, however it ends."""

    def __init__(self, pipe: Connection, seen: Seen) -> None:
        self.pipe, self.seen = pipe, seen

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is not None:
            self.seen.wrong = "".join(traceback.format_exception(error))
        self.pipe.send(self.seen)
        return True


def one_writer_many_readers(folder: Path, *, readers: int, seconds: float) -> tuple[Seen, list[Seen]]:
    """Let them run at the same time; what the writer and each reader did."""
    store = SqliteStore.open(folder, identity=IDENTITY)
    with store.writing():
        store.commit(Changes(sounds=sounds_of(0)))
    store.close()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["steel.readers"])
    end = context.Event()
    pipes, processes = [], []
    for number in range(readers + 1):
        ours, theirs = context.Pipe()
        work, how_long = (write, (end,)) if number == 0 else (read, (seconds, end))
        process = context.Process(target=work, args=(folder, *how_long, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    waiting = pipes[1:]
    while waiting and not pipes[0].poll():  # a writer that ends before it is told to has failed
        ready = wait([pipes[0], *waiting])
        waiting = [pipe for pipe in waiting if pipe not in ready]
    end.set()
    done: list[Seen] = []
    for pipe, process in zip(pipes, processes, strict=True):
        try:
            done.append(pipe.recv())
        except EOFError:
            process.join()
            done.append(Seen(wrong=f"the process ended with {process.exitcode}"))
        process.join()
    return done[0], done[1:]
