"""The two files of an approximate index: how they are written, checked and opened.

approximate.npz               which graph counts, what it covers, how vectors are shortened
approximate.XXXXXXXX.graph    usearch's graph: of each segment 128 numbers of 8 bits, by principal components
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundseek._files import replacing
from soundseek._typing import AnyFloatArray, FloatArray, IntArray

MANIFEST = "approximate.npz"
REVISION = 1

CONNECTIVITY = 16
EXPANSION_WHILE_BUILDING = 128
EXPANSION = 2048

_CHECKED_BYTES = 1 << 20


class DamagedIndexError(Exception):
    """An index that cannot be used as it is; its text says why."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """What an index is, and what of the library it covers.

    Attributes:
        graph: Name of the graph's file.
        num_bytes: Its size.
        checksum: Of its bytes, see `checksum_of`.
        fingerprint: The model that filled the library.
        num_rows: Segments in the graph.
        next_file: Files with a lower number are covered.
        built_rows: Segments when the graph was made from nothing.
        projection: `(dim, short dim)` float32, orthonormal columns.
        long_files: `(n,)` numbers of the first files with many segments, of which some are always looked at.
    """

    graph: str
    num_bytes: int
    checksum: str
    fingerprint: str
    num_rows: int
    next_file: int
    built_rows: int
    projection: FloatArray
    long_files: IntArray

    def write(self, path: Path) -> None:
        """Let this index count from now on."""
        facts = {name: value for name, value in vars(self).items() if not isinstance(value, np.ndarray)}
        text = json.dumps({"revision": REVISION, **facts}).encode()
        with replacing(path) as partial, partial.open("wb") as handle:
            np.savez(
                handle,
                facts=np.frombuffer(text, np.uint8),
                projection=self.projection,
                long_files=self.long_files,
            )

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest in a file.

        Raises:
            FileNotFoundError: There is none.
            DamagedIndexError: It cannot be read, or another soundseek wrote it.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                facts = json.loads(held["facts"].tobytes())
                arrays = {name: held[name] for name in ("projection", "long_files")}
            if facts.pop("revision") != REVISION:
                raise DamagedIndexError("another version of soundseek made it")
            return cls(**facts, **arrays)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedIndexError(f"it cannot be read ({error})") from error


@dataclass(frozen=True, eq=False)
class Graph:
    """An index that is open: its graph lies on the disk, and is read when touched.

    Attributes:
        manifest: What it is.
        index: usearch's.
    """

    manifest: Manifest
    index: Any

    def nearest(self, query: AnyFloatArray, count: int) -> IntArray:
        """`(n,)` keys of the nearest segments, the best first, n <= count."""
        if not len(self.index):  # usearch refuses to look for nothing
            return np.empty(0, np.int64)
        short = query.astype(np.float32) @ self.manifest.projection
        keys = self.index.search(short, min(count, len(self.index)), threads=1).keys
        return np.asarray(keys).reshape(-1).astype(np.int64)


def open_graph(directory: Path, fingerprint: str) -> Graph:
    """The index in a library's folder, once its bytes are known to be those that were written.

    usearch follows what stands in the file, so a damaged one could end the process. Reading it once takes a third
    of the time of one exact comparison.

    Args:
        directory: The library's folder.
        fingerprint: The model that filled it.

    Raises:
        FileNotFoundError: There is none.
        DamagedIndexError: It is damaged.
    """
    manifest = Manifest.read(directory / MANIFEST)
    path = directory / manifest.graph
    if manifest.fingerprint != fingerprint:
        raise DamagedIndexError("it is of another model")
    if not path.exists():
        raise DamagedIndexError(f"{manifest.graph} is missing")
    if path.stat().st_size != manifest.num_bytes or checksum_of(path) != manifest.checksum:
        raise DamagedIndexError(f"{manifest.graph} is not as it was written")
    index = empty_graph(manifest.projection.shape[1])
    try:
        index.view(path)
    except Exception as error:  # usearch's errors have no class of their own
        raise DamagedIndexError(f"{manifest.graph} cannot be read ({error})") from error
    index.expansion_search = EXPANSION
    return Graph(manifest, index)


def remove_graphs(directory: Path, *, kept: str = "") -> None:
    """Remove graphs that do not count, whole or half written: all but the one of that name."""
    for path in directory.glob("approximate.*.graph*"):
        if path.name != kept:
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
