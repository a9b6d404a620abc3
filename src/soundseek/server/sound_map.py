"""The library in two dimensions: sounds that are alike lie together. Computed once in a process, kept beside it.

PCA, then a neighbour embedding (FIt-SNE as openTSNE has it) of at most `MOST_EMBEDDED` files; of a larger library the
others are put among those of them that they are nearest to.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek.errors import SoundseekError
from soundseek.server.disk_cache import cache_of
from soundseek.server.items import item_id
from soundseek.server.problems import ProblemError
from soundseek.server.schemas import MapAnswer

if TYPE_CHECKING:
    from soundseek.library import Library
    from soundseek.server.processes import Processes

MAP_FILE = "map.npz"
PROGRESS_FILE = "map.progress"
FORMAT = 1
NUM_COMPONENTS = 50
MOST_EMBEDDED = 30_000
FEWEST_EMBEDDED = 20
_NEIGHBOURS = 3
_STEPS = (
    (100, 12.0, 0.5),
    (250, 1.0, 0.8),
)  # iterations, exaggeration, momentum: openTSNE's defaults, halved


@dataclass(frozen=True, eq=False)
class MadeMap:
    """A map as it lies on the disk.

    Attributes:
        version: Of the library whose files these are.
        ids: Items, in the order of the points.
        points: `(files, 2)` float32, -1 to 1.
        folder_of: `(files,)` the number of each one's folder.
        folders: Their paths.
    """

    version: int
    ids: tuple[str, ...]
    points: FloatArray
    folder_of: npt.NDArray[np.uint32]
    folders: tuple[str, ...]

    @cached_property
    def point_of(self) -> dict[str, int]:
        """The point of each item."""
        return {item: point for point, item in enumerate(self.ids)}

    def packed(self) -> bytes:
        """x, y and folder of each point, twelve bytes, little-endian."""
        rows = np.empty(len(self.points), [("x", "<f4"), ("y", "<f4"), ("folder", "<u4")])
        rows["x"], rows["y"], rows["folder"] = self.points[:, 0], self.points[:, 1], self.folder_of
        return rows.tobytes()


class SoundMap:
    """The map of a library, made anew when the library has changed; used from the event loop alone.

    Args:
        library: The library's folder, or an engine's URI.
        processes: What computes.
    """

    def __init__(self, library: Path | str, processes: Processes) -> None:
        self._library = library
        self._processes = processes
        self._made: MadeMap | None = None
        self._read_at: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._failed: tuple[int, str] | None = None

    async def state(self, version: int, num_files: int) -> MapAnswer:
        """What there is of it, and how far the next one is; this begins it where there is need.

        Args:
            version: Of the library now.
            num_files: In the library now.
        """
        made = await asyncio.get_running_loop().run_in_executor(None, self._read)
        is_stale = made is None or made.version != version
        has_failed = self._failed is not None and self._failed[0] == version
        if is_stale and num_files and not has_failed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._make(version))
        is_computing = self._task is not None and not self._task.done()
        state = "ready" if made is not None else "computing" if is_computing else "failed"
        if not num_files:
            state, made, is_stale = "empty", None, False
        return MapAnswer(
            state=state,  # type: ignore[arg-type]
            version=made.version if made is not None else version,
            is_stale=is_stale,
            count=len(made.ids) if made is not None else 0,
            folders=list(made.folders) if made is not None else [],
            progress=self._progress() if is_computing else float(made is not None),
            error=self._failed[1] if has_failed and self._failed is not None else None,
        )

    def current(self, version: int) -> MadeMap:
        """The map of a version.

        Raises:
            ProblemError: "gone" where it is not that of the version (any more).
        """
        made = self._read()
        if made is None or made.version != version:
            raise ProblemError("gone", f"there is no map of version {version} (any more); ask GET /map again")
        return made

    async def settled(self) -> None:
        """Wait until what is being computed is done, or has failed."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _make(self, version: int) -> None:
        try:
            await self._processes.run(make_map, str(self._library))
        except (ProblemError, RuntimeError) as error:
            self._failed = version, f"the map could not be computed: {getattr(error, 'detail', error)}"

    def _read(self) -> MadeMap | None:
        path = cache_of(self._library) / MAP_FILE
        try:
            status = path.stat()
            key = (status.st_mtime_ns, status.st_ino)
            if self._read_at != key:
                self._made, self._read_at = read_map(path), key
        except OSError:
            self._made, self._read_at = None, None
        return self._made

    def _progress(self) -> float:
        try:
            return min(1.0, float((cache_of(self._library) / PROGRESS_FILE).read_text()))
        except (OSError, ValueError):
            return 0.0


def make_map(location: str) -> None:
    """Compute the map of a library and put it beside it, in a process of its own.

    Raises:
        LibraryError: It cannot be read, or written beside.
    """
    from soundseek.library import Library

    with suppress(OSError, AttributeError):
        os.nice(10)  # searches go first
    with Library.open(location, create=False) as library:
        cache = cache_of(location)
        try:
            cache.mkdir(exist_ok=True)
            _write_map(library, cache)
        except OSError as error:
            raise SoundseekError(f"{cache} cannot be written to ({error.strerror or error})") from error


def read_map(path: Path) -> MadeMap | None:
    """A map from the disk; None where it is of another format, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            if int(data["format"]) != FORMAT:
                return None
            return MadeMap(
                version=int(data["version"]),
                ids=tuple(data["ids"].tobytes().decode("ascii").split()),
                points=data["points"],
                folder_of=data["folder_of"],
                folders=tuple(os.fsdecode(each) for each in data["folders"].tobytes().split(b"\0")[:-1]),
            )
    except (ValueError, KeyError, EOFError):
        return None


def _write_map(library: Library, cache: Path) -> None:
    version = library.store.version()
    files, vectors = library.store.file_means()

    def tell(progress: float) -> None:
        (cache / PROGRESS_FILE).write_text(f"{progress:.3f}")

    points = lay_out_map(np.asarray(vectors, np.float32), tell)
    names = [os.path.dirname(file.path) for file in files]  # noqa: PTH120 (100,000 plain strings)
    folders = sorted(set(names))
    numbers = {name: number for number, name in enumerate(folders)}
    partial = cache / f"{MAP_FILE}.{os.getpid()}"
    with partial.open("wb") as file_:
        np.savez(
            file_,
            format=np.int64(FORMAT),
            version=np.int64(version),
            ids=np.frombuffer(" ".join(item_id(file) for file in files).encode("ascii"), np.uint8),
            points=points,
            folder_of=np.array([numbers[name] for name in names], np.uint32),
            folders=np.frombuffer(b"".join(os.fsencode(name) + b"\0" for name in folders), np.uint8),
        )
    partial.replace(cache / MAP_FILE)
    (cache / PROGRESS_FILE).unlink(missing_ok=True)


def lay_out_map(vectors: FloatArray, tell: object = None) -> FloatArray:
    """A point for each vector, `(n, 2)` in [-1, 1]: the same each time.

    Args:
        vectors: `(n, dim)` unit norm.
        tell: Is told how far it is, 0 to 1.
    """
    say = tell if callable(tell) else lambda progress: None
    components = principal_components(vectors)
    say(0.02)
    if len(vectors) < FEWEST_EMBEDDED:
        return _in_a_square(_wide(components))
    chosen = np.linspace(0, len(vectors) - 1, min(len(vectors), MOST_EMBEDDED)).astype(np.int64)
    embedded = _embed(components[chosen], say)
    points = np.empty((len(vectors), 2), np.float32)
    points[chosen] = embedded
    others = np.setdiff1d(np.arange(len(vectors)), chosen)
    points[others] = _among(components[others], components[chosen], embedded)
    say(1.0)
    return _in_a_square(points)


def principal_components(vectors: FloatArray) -> FloatArray:
    """`(n, components)`: vectors along their principal axes, of which a twentieth thousand rows suffice to find."""
    if not len(vectors):
        return np.zeros((0, 2), np.float32)
    sample = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), 20_000)).astype(np.int64)]
    mean = sample.mean(axis=0)
    covariance = (sample - mean).T @ (sample - mean)
    _, axes = np.linalg.eigh(covariance.astype(np.float64))
    axes = axes[:, ::-1][:, :NUM_COMPONENTS]
    # The sign of an axis is free: its largest part is positive, so that the map is not mirrored by chance.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    components: FloatArray = ((vectors - mean) @ axes.astype(np.float32)).astype(np.float32)
    return components


def _embed(components: FloatArray, say: object) -> FloatArray:
    try:
        from openTSNE import TSNEEmbedding, affinity
    except ImportError:
        return _wide(components)
    assert callable(say)
    perplexity = min(30.0, (len(components) - 1) / 3)
    near = affinity.PerplexityBasedNN(components, perplexity=perplexity, n_jobs=1, random_state=0)
    say(0.15)
    start = components[:, :2] / max(float(components[:, 0].std()), 1e-12) * 1e-4
    method = "fft" if len(components) > 5_000 else "bh"
    embedding = TSNEEmbedding(start, near, negative_gradient_method=method, n_jobs=1, random_state=0)
    done, total = 0, sum(steps for steps, _, _ in _STEPS)
    for steps, exaggeration, momentum in _STEPS:
        for _ in range(steps // 50):
            embedding = embedding.optimize(n_iter=50, exaggeration=exaggeration, momentum=momentum)
            done += 50
            say(0.15 + 0.8 * done / total)
    return np.asarray(embedding, np.float32)


def _among(others: FloatArray, placed: FloatArray, points: FloatArray) -> FloatArray:
    """Where others go: the middle of their nearest neighbours among those that have a place."""
    found = np.empty((len(others), 2), np.float32)
    lengths = (placed**2).sum(axis=1) / 2
    for at in range(0, len(others), 1024):
        nearness = others[at : at + 1024] @ placed.T - lengths  # (rows, placed), largest for the nearest
        near = np.argpartition(-nearness, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        # The median: between two groups there is nothing, and a mean would put it there.
        found[at : at + 1024] = np.median(points[near], axis=1)
    return found


def _wide(components: FloatArray) -> FloatArray:
    pair = components[:, :2]
    return pair if pair.shape[1] == 2 else np.pad(pair, ((0, 0), (0, 2 - pair.shape[1])))


def _in_a_square(points: FloatArray) -> FloatArray:
    if not len(points):
        return points.astype(np.float32)
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    centred = points - middle
    return np.asarray(centred / max(float(np.abs(centred).max()), 1e-12), np.float32)
