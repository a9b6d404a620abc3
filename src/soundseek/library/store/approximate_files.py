"""The files of an approximate index: how they are written, checked and opened.

approximate.npz               which parts count, what they cover, how vectors are shortened
approximate.XXXXXXXX.lists    of each part of the library its segments in lists of those that are alike: of each segment
                              128 numbers of 8 bits, by principal components (`approximate_lists.py`)
approximate.XXXXXXXX.graph    of an earlier soundseek: the graph of all segments in place of lists, made by usearch
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundseek._files import replacing
from soundseek._typing import AnyFloatArray, FloatArray, IntArray
from soundseek.library.store.approximate_lists import SegmentLists, open_lists

MANIFEST = "approximate.npz"
REVISION = 2
_REVISION_OF_ONE_GRAPH = 1

# Lists of so many segments are compared, the nearest first: a share of all; no fewer than take 3 ms, since what is
# wanted of a small library lies in as many lists; and some for each candidate.
COMPARED_SHARE = 0.03
LEAST_COMPARED = 150_000
COMPARED_A_CANDIDATE = 64

_GRAPH_ENDING = ".graph"
_GRAPH_EXPANSION = 2048
_CHECKED_BYTES = 1 << 20

_Found = tuple[IntArray, FloatArray]
"""Keys, and about what the inner products are."""


class DamagedIndexError(Exception):
    """An index that cannot be used as it is; its text says why."""


@dataclass(frozen=True, eq=False)
class IndexPart:
    """The segments of some files, one after the other.

    Attributes:
        name: Of its file.
        num_bytes: Its size.
        checksum: Of its bytes, see `checksum_of`.
        num_rows: Segments in it.
        next_file: Files with a lower number are in it, or in a part before.
        built_rows: Segments for which the projection was made.
        projection: `(dim, short dim)` float32, orthonormal columns.
    """

    name: str
    num_bytes: int
    checksum: str
    num_rows: int
    next_file: int
    built_rows: int
    projection: FloatArray

    @property
    def is_graph(self) -> bool:
        """Whether an earlier soundseek made it."""
        return self.name.endswith(_GRAPH_ENDING)


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
        """Segments in all parts."""
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
                    parts = [IndexPart(facts.pop("graph"), **facts, projection=held["projection"])]
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
class OpenPart:
    """A part of an index that is open: it lies on the disk, and is read when touched.

    Attributes:
        part: What it is.
        lists: Its `SegmentLists`; usearch's graph where an earlier soundseek made it.
    """

    part: IndexPart
    lists: Any

    def nearest_in_graph(self, short: FloatArray, count: int) -> _Found:
        """What usearch finds, for a short query."""
        if not len(self.lists):  # usearch refuses to look for nothing
            return np.empty(0, np.int64), np.empty(0, np.float32)
        found = self.lists.search(short, min(count, len(self.lists)), threads=1)
        # usearch gives 1 - cosine between the short ones; what the projection leaves of the query differs by part.
        about = (1 - np.asarray(found.distances).reshape(-1)) * np.linalg.norm(short)
        return np.asarray(found.keys).reshape(-1).astype(np.int64), about


@dataclass(frozen=True, eq=False)
class OpenIndex:
    """An index that is open.

    Attributes:
        manifest: What it is.
        parts: Its parts, in their order.
    """

    manifest: Manifest
    parts: tuple[OpenPart, ...]

    def nearest(self, query: AnyFloatArray, count: int) -> IntArray:
        """`(n,)` keys of the nearest segments of all parts, the best first, n <= count."""
        return nearest_in_parts(self.parts, query, count)


def nearest_in_parts(parts: Sequence[OpenPart], query: AnyFloatArray, count: int) -> IntArray:
    """`(n,)` keys of the nearest segments, the best first, n <= count.

    Of the lists of all parts the nearest are compared.

    Args:
        parts: The parts.
        query: `(dim,)`.
        count: Segments.
    """
    shorts = [query.astype(np.float32) @ each.part.projection for each in parts]
    both = list(zip(parts, shorts, strict=True))
    found = [each.nearest_in_graph(short, count) for each, short in both if each.part.is_graph]
    found.append(
        _nearest_in_lists([(each.lists, short) for each, short in both if not each.part.is_graph], count)
    )
    keys = np.concatenate([keys for keys, _ in found])
    about = np.concatenate([about for _, about in found])
    return keys[np.argsort(-about, kind="stable")[:count]]


def _nearest_in_lists(asked: Sequence[tuple[SegmentLists, FloatArray]], count: int) -> _Found:
    """Keys and about what the inner products are, of the best `count` of the nearest lists, in no order."""
    keys, about = np.empty(0, np.int64), np.empty(0, np.float32)
    if not asked:
        return keys, about
    closeness = np.concatenate([lists.centres @ short for lists, short in asked])
    owners = np.repeat(np.arange(len(asked)), [len(lists.centres) for lists, _ in asked])
    numbers = np.concatenate([np.arange(len(lists.centres)) for lists, _ in asked])
    queries = [lists.coded(short) for lists, short in asked]
    share = COMPARED_SHARE * sum(len(lists) for lists, _ in asked)
    left = max(share, LEAST_COMPARED, COMPARED_A_CANDIDATE * count)
    new_keys, new_about, least, num_new = [], [], -np.inf, 0
    for at in np.argsort(-closeness, kind="stable").tolist():
        if left <= 0:
            break
        (lists, _), number = asked[owners[at]], int(numbers[at])
        products = lists.about(number, queries[owners[at]])
        left -= len(products)
        better = np.flatnonzero(products > least)
        new_keys.append(lists.keys[lists.offsets[number] + better])
        new_about.append(products[better])
        num_new += len(better)
        if num_new >= 4 * count:
            keys, about = _best_of([keys, *new_keys], [about, *new_about], count)
            new_keys, new_about, num_new = [], [], 0
            least = float(about.min())
    return _best_of([keys, *new_keys], [about, *new_about], count)


def _best_of(keys: Sequence[IntArray], about: Sequence[FloatArray], count: int) -> _Found:
    all_keys, all_about = np.concatenate(keys), np.concatenate(about)
    count = min(count, len(all_about))
    best = np.argpartition(all_about, len(all_about) - count)[len(all_about) - count :]
    return all_keys[best], all_about[best]


def open_index(directory: Path, fingerprint: str, known: Iterable[OpenPart] = ()) -> OpenIndex:
    """The index in a library's folder, once its bytes are known to be those that were written.

    What is read follows what stands in the file, so a damaged one could end the process. Reading it once takes a third
    of the time of one exact comparison.

    Args:
        directory: The library's folder.
        fingerprint: The model that filled it.
        known: Parts that are open: those that still count are taken as they are.

    Raises:
        FileNotFoundError: There is none.
        DamagedIndexError: It is damaged.
    """
    manifest = Manifest.read(directory / MANIFEST)
    if manifest.fingerprint != fingerprint:
        raise DamagedIndexError("it is of another model")
    opened = {each.part.name: each for each in known}
    parts = tuple(opened.get(part.name) or open_part(directory, part) for part in manifest.parts)
    return OpenIndex(manifest, parts)


def open_part(directory: Path, part: IndexPart) -> OpenPart:
    """A part, once its bytes are known to be those that were written.

    Args:
        directory: The library's folder.
        part: What it is.

    Raises:
        DamagedIndexError: It is missing, or damaged.
    """
    path = directory / part.name
    if not path.exists():
        raise DamagedIndexError(f"{part.name} is missing")
    if path.stat().st_size != part.num_bytes or checksum_of(path) != part.checksum:
        raise DamagedIndexError(f"{part.name} is not as it was written")
    short_dim = part.projection.shape[1]
    try:
        return OpenPart(part, _open_graph(path, short_dim) if part.is_graph else open_lists(path, short_dim))
    except Exception as error:  # usearch's errors have no class of their own
        raise DamagedIndexError(f"{part.name} cannot be read ({error})") from error


def _open_graph(path: Path, short_dim: int) -> Any:
    """A graph of usearch's."""
    # Once usearch's compiled module is loaded, loading ONNX Runtime crashes the process (2.26 with 1.32 on Linux); the
    # other order is fine. So ONNX Runtime comes first, even for a question that needs no network.
    import onnxruntime  # noqa: F401
    from usearch.compiled import MetricKind
    from usearch.index import Index

    # A table from keys to places would be made at every opening.
    index: Any = Index(ndim=short_dim, metric=MetricKind.Cos, dtype="i8", enable_key_lookups=False)
    index.view(path)
    index.expansion_search = _GRAPH_EXPANSION
    return index


def remove_parts(directory: Path, *, kept: Collection[str] = ()) -> None:
    """Remove files of parts that do not count, whole or half written: all but those of some names."""
    for path in [*directory.glob("approximate.*.lists*"), *directory.glob(f"approximate.*{_GRAPH_ENDING}*")]:
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
