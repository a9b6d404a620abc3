"""The files of an approximate index: how they are written, checked and opened.

approximate.npz               which graphs count, what they cover, how vectors are shortened
approximate.XXXXXXXX.graph    a graph of usearch's for each part of the library: of each segment 128 numbers of 8 bits,
                              by principal components
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundseek._files import replacing
from soundseek._typing import AnyFloatArray, FloatArray, IntArray

MANIFEST = "approximate.npz"
REVISION = 2
_REVISION_OF_ONE_GRAPH = 1

CONNECTIVITY = 16
EXPANSION_WHILE_BUILDING = 128
# How many segments a search of a graph keeps in sight, where the graph is the only one, and where there are several.
EXPANSION = 2048
EXPANSION_OF_SEVERAL = 1024

_CHECKED_BYTES = 1 << 20


class DamagedIndexError(Exception):
    """An index that cannot be used as it is; its text says why."""


@dataclass(frozen=True, eq=False)
class IndexPart:
    """A graph of the segments of some files, one after the other.

    Attributes:
        graph: Name of the graph's file.
        num_bytes: Its size.
        checksum: Of its bytes, see `checksum_of`.
        num_rows: Segments in the graph.
        next_file: Files with a lower number are in it, or in a part before.
        built_rows: Segments for which the projection was made.
        projection: `(dim, short dim)` float32, orthonormal columns.
    """

    graph: str
    num_bytes: int
    checksum: str
    num_rows: int
    next_file: int
    built_rows: int
    projection: FloatArray


@dataclass(frozen=True, eq=False)
class Manifest:
    """What an index is, and what of the library it covers.

    Attributes:
        fingerprint: The model that filled the library.
        parts: Of ascending files; all files below the last one's `next_file` are covered.
        long_files: `(n,)` numbers of the first files with many segments, of which some are always looked at.
    """

    fingerprint: str
    parts: tuple[IndexPart, ...]
    long_files: IntArray

    @property
    def num_rows(self) -> int:
        """Segments in all graphs."""
        return sum(part.num_rows for part in self.parts)

    @property
    def next_file(self) -> int:
        """Files with a lower number are covered."""
        return self.parts[-1].next_file if self.parts else 0

    def write(self, path: Path) -> None:
        """Let this index count from now on."""
        facts = [
            {name: value for name, value in vars(part).items() if name != "projection"} for part in self.parts
        ]
        text = json.dumps({"revision": REVISION, "fingerprint": self.fingerprint, "parts": facts}).encode()
        arrays: dict[str, Any] = {f"projection_{at}": part.projection for at, part in enumerate(self.parts)}
        with replacing(path) as partial, partial.open("wb") as handle:
            np.savez(handle, facts=np.frombuffer(text, np.uint8), long_files=self.long_files, **arrays)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest in a file; one of a soundseek that made a single graph is an index of one part.

        Raises:
            FileNotFoundError: There is none.
            DamagedIndexError: It cannot be read, or another soundseek wrote it.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                facts = json.loads(held["facts"].tobytes())
                revision, fingerprint = facts.pop("revision"), facts.pop("fingerprint")
                if revision == _REVISION_OF_ONE_GRAPH:
                    parts = [IndexPart(**facts, projection=held["projection"])]
                elif revision == REVISION:
                    parts = [
                        IndexPart(**part, projection=held[f"projection_{at}"])
                        for at, part in enumerate(facts["parts"])
                    ]
                else:
                    raise DamagedIndexError("another version of soundseek made it")
                return cls(fingerprint, tuple(parts), held["long_files"])
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedIndexError(f"it cannot be read ({error})") from error


@dataclass(frozen=True, eq=False)
class Graph:
    """A part of an index that is open: its graph is read from the disk when touched, or lies in memory to be added to.

    Attributes:
        part: What it is.
        index: usearch's.
    """

    part: IndexPart
    index: Any

    def nearest(self, query: AnyFloatArray, count: int) -> tuple[IntArray, FloatArray]:
        """`(n,)` keys of the nearest segments, the best first, n <= count, and about what their inner products are."""
        if not len(self.index):  # usearch refuses to look for nothing
            return np.empty(0, np.int64), np.empty(0, np.float32)
        short = query.astype(np.float32) @ self.part.projection
        found = self.index.search(short, min(count, len(self.index)), threads=1)
        # usearch gives 1 - cosine between the short ones; what the projection leaves of the query differs by part.
        about = (1 - np.asarray(found.distances).reshape(-1)) * np.linalg.norm(short)
        return np.asarray(found.keys).reshape(-1).astype(np.int64), about


@dataclass(frozen=True, eq=False)
class OpenIndex:
    """An index that is open.

    Attributes:
        manifest: What it is.
        graphs: Those of its parts, in their order.
    """

    manifest: Manifest
    graphs: tuple[Graph, ...]

    def nearest(self, query: AnyFloatArray, count: int) -> IntArray:
        """`(n,)` keys of the nearest segments of all parts, the best first, n <= count."""
        found = [graph.nearest(query, count) for graph in self.graphs]
        keys = np.concatenate([np.empty(0, np.int64), *(each for each, _ in found)])
        about = np.concatenate([np.empty(0, np.float32), *(each for _, each in found)])
        return keys[np.argsort(-about, kind="stable")[:count]]


def open_index(directory: Path, fingerprint: str, known: Iterable[Graph] = ()) -> OpenIndex:
    """The index in a library's folder, once its bytes are known to be those that were written.

    usearch follows what stands in the file, so a damaged one could end the process. Reading it once takes a third
    of the time of one exact comparison.

    Args:
        directory: The library's folder.
        fingerprint: The model that filled it.
        known: Graphs that are open: those that still count are taken as they are.

    Raises:
        FileNotFoundError: There is none.
        DamagedIndexError: It is damaged.
    """
    manifest = Manifest.read(directory / MANIFEST)
    if manifest.fingerprint != fingerprint:
        raise DamagedIndexError("it is of another model")
    opened = {graph.part.graph: graph for graph in known}
    graphs = tuple(opened.get(part.graph) or open_graph(directory, part) for part in manifest.parts)
    for graph in graphs:
        graph.index.expansion_search = EXPANSION if len(graphs) == 1 else EXPANSION_OF_SEVERAL
    return OpenIndex(manifest, graphs)


def open_graph(directory: Path, part: IndexPart, *, in_memory: bool = False) -> Graph:
    """The graph of a part, once its bytes are known to be those that were written.

    Args:
        directory: The library's folder.
        part: What it is.
        in_memory: Read all of it, so that it can be added to.

    Raises:
        DamagedIndexError: It is missing, or damaged.
    """
    path = directory / part.graph
    if not path.exists():
        raise DamagedIndexError(f"{part.graph} is missing")
    if path.stat().st_size != part.num_bytes or checksum_of(path) != part.checksum:
        raise DamagedIndexError(f"{part.graph} is not as it was written")
    index = empty_graph(part.projection.shape[1])
    try:
        index.load(path) if in_memory else index.view(path)
    except Exception as error:  # usearch's errors have no class of their own
        raise DamagedIndexError(f"{part.graph} cannot be read ({error})") from error
    index.expansion_add, index.expansion_search = EXPANSION_WHILE_BUILDING, EXPANSION
    return Graph(part, index)


def remove_graphs(directory: Path, *, kept: Collection[str] = ()) -> None:
    """Remove graphs that do not count, whole or half written: all but those of some names."""
    for path in directory.glob("approximate.*.graph*"):
        if path.name not in kept:
            with suppress(OSError):  # Windows keeps a mapped file; the next build tries again
                path.unlink()


def checksum_of(path: Path) -> str:
    """A checksum at the speed of memory: BLAKE2b of the sums of each megabyte's 64-bit words, and of the size."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    whole = size // _CHECKED_BYTES
    if whole:
        words = np.memmap(path, np.uint64, mode="r", shape=(whole, _CHECKED_BYTES // 8))
        for at in range(0, whole, 64):
            digest.update(words[at : at + 64].sum(axis=1, dtype=np.uint64).tobytes())
    with path.open("rb") as handle:
        handle.seek(whole * _CHECKED_BYTES)
        digest.update(handle.read())
    return digest.hexdigest()


def empty_graph(short_dim: int) -> Any:
    """A graph of usearch's without a segment, for vectors of so many numbers."""
    # Once usearch's compiled module is loaded, loading ONNX Runtime crashes the process (2.26 with 1.32 on Linux); the
    # other order is fine. So ONNX Runtime comes first, even for a question that needs no network.
    import onnxruntime  # noqa: F401
    from usearch.compiled import MetricKind
    from usearch.index import Index

    return Index(
        ndim=short_dim,
        metric=MetricKind.Cos,
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_WHILE_BUILDING,
        expansion_search=EXPANSION,
        # A table from keys to places would be made at every opening.
        enable_key_lookups=False,
    )
