"""The facts of a library out of SQL: what SQLite and PostgreSQL answer with one and the same statement."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from soundseek.library.filters import Condition
from soundseek.library.store.base import Facets, Failure, FileOrder, SoundFile, Store
from soundseek.library.store.tables import at_or_below, read_failure

_ORDERS = {"path": "path", "modified": "mtime_ns DESC, path", "duration": "duration_s DESC, path"}
_NO_LIMIT = 1 << 62
_VALUES_A_CALL = 500


class SqlFacts(Store):
    """The part of a store that asks the tables `files`, `failures`, `roots`, `about` and `state`."""

    @abstractmethod
    def _fetch(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of a statement with `?` for every value."""

    @abstractmethod
    def _files(
        self, sql: str, values: Sequence[object] = (), more: str = "", by: str = "path"
    ) -> list[SoundFile]:
        """Files that fulfil a condition with `?` for every value, in an order; `more` stands at the end."""

    @abstractmethod
    def _where(self, condition: Condition) -> tuple[str, list[object]]:
        """The SQL of a condition, with `?` for every value, and the values."""

    def failures(self, under: str | None = None) -> list[Failure]:
        sql, values = at_or_below(under) if under is not None else ("true", [])
        rows = self._fetch(f"SELECT * FROM failures WHERE {sql} ORDER BY path", values)
        return [read_failure(row) for row in rows]

    def settings(self) -> dict[str, str]:
        return dict(self._fetch("SELECT key, value FROM about"))

    def roots(self) -> Mapping[str, int]:
        rows = self._fetch("SELECT path, device FROM roots")
        return {os.fsdecode(path): int(device) for path, device in rows}

    def sizes(self) -> set[int]:
        return {size for (size,) in self._fetch("SELECT DISTINCT size_bytes FROM files")}

    def has_size(self, size_bytes: int) -> bool:
        """Whether a file has this size: one of another size cannot be known content."""
        return bool(self._fetch("SELECT 1 FROM files WHERE size_bytes = ? LIMIT 1", [size_bytes]))

    def same_content(self, content_hash: bytes) -> list[SoundFile]:
        return self._files("content_hash = ?", [content_hash])

    def twin(self, content_hash: bytes, limit_s: float) -> SoundFile | None:
        # Not one of all of them: of n copies, each of which asks, that would be n times n. And in no order but that of
        # the index, so that none is sorted.
        condition = "content_hash = ? AND (NOT truncated OR limit_s >= ?)"
        return next(iter(self._files(condition, [content_hash, limit_s], "LIMIT 1", by="content_hash")), None)

    def copies(self, contents: Iterable[bytes]) -> dict[bytes, list[str]]:
        found: dict[bytes, list[str]] = {}
        for marks, some in _marked(contents):
            sql = f"SELECT content_hash, path FROM files WHERE content_hash IN ({marks}) ORDER BY path"
            for content, path in self._fetch(sql, some):
                found.setdefault(content, []).append(os.fsdecode(path))
        return found

    def contents(self, paths: Iterable[str], limit_s: float) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for marks, some in _marked(paths):
            sql = f"SELECT path, content_hash FROM files WHERE (NOT truncated OR limit_s >= ?) AND path IN ({marks})"
            rows = self._fetch(sql, [limit_s, *some])
            found |= {os.fsdecode(path): content_hash for path, content_hash in rows}
        return found

    def cut_files(self) -> list[SoundFile]:
        return self._files("truncated")

    def file(self, path: str) -> SoundFile | None:
        return next(iter(self._files("path = ?", [os.fsencode(path)])), None)

    def files(
        self, where: Condition | None = None, *, order: FileOrder = "path", k: int = -1, offset: int = 0
    ) -> list[SoundFile]:
        sql, values = self._where(where) if where is not None else ("true", [])
        limits = [_NO_LIMIT if k < 0 else k, offset]
        return self._files(sql, [*values, *limits], "LIMIT ? OFFSET ?", by=_ORDERS[order])

    def count(
        self, where: Condition | None = None, *, only: Collection[str] | None = None
    ) -> tuple[int, int]:
        sql, values = self._where(where) if where is not None else ("true", [])
        counted = f"SELECT count(*), coalesce(sum(num_rows), 0) FROM files WHERE {sql}"
        if only is None:
            rows = self._fetch(counted, values)
        else:
            rows = [
                row
                for marks, some in _marked(dict.fromkeys(only))
                for row in self._fetch(f"{counted} AND path IN ({marks})", [*values, *some])
            ]
        return sum(row[0] for row in rows), sum(int(row[1]) for row in rows)

    def facets(self) -> Facets:
        formats = self._fetch("SELECT format FROM files GROUP BY format ORDER BY count(*) DESC, format")
        rates = self._fetch("SELECT DISTINCT sample_rate_hz FROM files ORDER BY 1")
        longest = self._fetch("SELECT coalesce(max(duration_s), 0.0) FROM files")
        return Facets(tuple(f for (f,) in formats), tuple(r for (r,) in rates), longest[0][0])

    def version(self) -> int:
        return int(self._fetch("SELECT version FROM state")[0][0])


def _marked(values: Iterable[str | bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Paths or hashes as they are kept, in lists that one statement has room for, each with its question marks."""
    encoded = [os.fsencode(value) for value in values]
    for at in range(0, len(encoded), _VALUES_A_CALL):
        some = encoded[at : at + _VALUES_A_CALL]
        yield ", ".join("?" * len(some)), some
