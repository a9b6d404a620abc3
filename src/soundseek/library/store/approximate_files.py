"""The files of an approximate index: how they are written, checked and opened.

approximate.npz               which parts count, what they cover, how vectors are shortened
approximate.XXXXXXXX.lists    of each part of the library its segments in lists of those that are alike: of each segment
                              128 numbers of 8 bits, by principal components (`approximate_lists.py`)
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

# Lists of so many segments are compared, the nearest first: a share of all; no fewer than take 3 ms, since what is
# wanted of a small library lies in as many lists; and some for each candidate.
COMPARED_SHARE = 0.03
LEAST_COMPARED = 150_000
COMPARED_A_CANDIDATE = 64

_ENDINGS = (".lists", ".graph")  # graphs are of an earlier soundseek
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
        """The manifest in a file.

        Raises:
            FileNotFoundError: There is none.
            DamagedIndexError: It cannot be read, or another soundseek wrote it.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                facts = json.loads(held["facts"].tobytes())
                if facts["revision"] != REVISION:
                    raise DamagedIndexError("another version of soundseek made it")
                parts = [
                    IndexPart(**part, projection=held[f"projection_{at}"])
                    for at, part in enumerate(facts["parts"])
                ]
                return cls(facts["fingerprint"], tuple(parts), held["long_files"])
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedIndexError(f"it cannot be read ({error})") from error


@dataclass(frozen=True, eq=False)
class OpenPart:
    """A part of an index that is open: it lies on the disk, and is read when touched.

    Attributes:
        part: What it is.
        lists: Its segments.
    """

    part: IndexPart
    lists: SegmentLists


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
    wide = query.astype(np.float32)
    keys, about = _nearest_in_lists([(each.lists, wide @ each.part.projection) for each in parts], count)
    return keys[np.argsort(-about, kind="stable")]


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
    try:
        return OpenPart(part, open_lists(path, part.projection.shape[1]))
    except (OSError, ValueError) as error:
        raise DamagedIndexError(f"{part.name} cannot be read ({error})") from error


def remove_parts(directory: Path, *, kept: Collection[str] = ()) -> None:
    """Remove files of parts that do not count, whole or half written: all but those of some names."""
    for path in (path for ending in _ENDINGS for path in directory.glob(f"approximate.*{ending}*")):
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
