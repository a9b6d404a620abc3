"""A search in PostgreSQL: which segments are compared, by an index or one by one, and what names add to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek.library.store import postgres_tables as tables
from soundseek.library.store.base import Match, NameQuery, Question, SoundFile
from soundseek.library.store.exact import LONG_FILE, LONG_FILE_ROWS
from soundseek.library.store.fused import MANY_FILES, MOST_ADDED
from soundseek.library.store.postgres_connection import fetch_one, fetch_row, has_vector_index
from soundseek.library.store.segment_rows import SegmentRow, as_matches, ranked
from soundseek.library.store.terms import terms_of_word

if TYPE_CHECKING:
    from psycopg import Connection

EXACT_SEGMENTS = 50_000
"""Up to so many segments that pass the filter, every one is compared."""
_EF_SEARCH = 400
_MAX_SCAN_TUPLES = 200_000
_SEGMENT_COLUMNS = "s.file_id, s.number, start_s, end_s, first_frame, last_frame, halfvec_send(vector)"
_LISTED = (
    "unnest(%s::bigint[], %s::integer[]) AS w (file_id, number) "
    "JOIN segments s ON s.file_id = w.file_id AND s.number = w.number"
)


class SegmentPool:
    """The segments that a search ranks, as SQL.

    Args:
        connection: Inside the read transaction of the search.
        query: `(dim,)`.
        text: The same as pgvector reads it.
        sql: What a file has to fulfil.
        values: Of its `%s`.
    """

    def __init__(
        self, connection: Connection[Any], query: AnyFloatArray, text: str, sql: str, values: list[object]
    ) -> None:
        self._connection = connection
        self.query = query
        self._text = text
        self._allowed, self._allowed_values = sql, values
        # Materialised, so that no index takes part: every row is compared.
        self._sql = (
            "SELECT s.file_id, s.number, s.vector <#> %s::halfvec AS distance FROM segments s "
            f"JOIN files ON files.id = s.file_id WHERE {sql}"
        )
        self._values: list[object] = [text, *values]

    def by_index(self, count: int) -> None:
        """Take the best `count` segments by the HNSW index instead."""
        for name, value in (
            ("hnsw.iterative_scan", "strict_order"),
            ("hnsw.ef_search", str(_EF_SEARCH)),
            ("hnsw.max_scan_tuples", str(_MAX_SCAN_TUPLES)),
        ):
            self._connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        self._sql = (
            "SELECT s.file_id, s.number, s.vector <#> %s::halfvec AS distance FROM segments s "
            f"JOIN files ON files.id = s.file_id WHERE {self._allowed} ORDER BY s.vector <#> %s::halfvec LIMIT %s"
        )
        self._values = [self._text, *self._allowed_values, self._text, count]

    def and_long_files(self) -> None:
        """Add every segment of long files, as many as have `LONG_FILE_ROWS` together: one of a mean of ten seconds may
        say so little of a short event that hundreds of short files come before it.
        """
        self._sql = (
            f"(({self._sql}) UNION (SELECT s.file_id, s.number, s.vector <#> %s::halfvec FROM segments s JOIN "
            "(SELECT id, sum(num_rows) OVER (ORDER BY id) AS so_far FROM files WHERE num_rows >= %s AND "
            f"({self._allowed})) AS long_files ON long_files.id = s.file_id WHERE so_far <= %s))"
        )
        self._values += [self._text, LONG_FILE, *self._allowed_values, LONG_FILE_ROWS]

    def num_files(self) -> int:
        """Files in the pool."""
        sql = f"SELECT count(DISTINCT file_id) FROM ({self._sql}) AS pool"
        return int(fetch_one(self._connection, sql, self._values))

    def chosen(self, sql: str, values: Sequence[object]) -> list[tuple[int, int]]:
        """`(file, number)` of the segments that fulfil a condition over their places and those of their files."""
        return self._connection.execute(
            f"WITH pool AS MATERIALIZED ({self._sql}), ranked AS (SELECT file_id, number, distance, "
            " row_number() OVER (ORDER BY distance, file_id, number) AS place, "
            " row_number() OVER (PARTITION BY file_id ORDER BY distance, number) AS of_file FROM pool), "
            "best AS (SELECT file_id, row_number() OVER (ORDER BY distance, file_id) AS file_place FROM ranked "
            " WHERE of_file = 1) "
            "SELECT file_id, number FROM ranked JOIN best USING (file_id) JOIN files ON files.id = file_id "
            f"WHERE {sql}",
            [*self._values, *values],
        ).fetchall()

    def named(
        self, bonus: tables.BonusSql, file_ids: set[int], is_all: bool
    ) -> tuple[dict[int, float], set[tuple[int, int]]]:
        """The bonuses of some files and of those with the largest ones; and the best segments of these.

        Args:
            bonus: What names are asked for.
            file_ids: Files that are listed already.
            is_all: Every file that is so called and every segment of it, not `MOST_ADDED` and the best one alone.
        """
        found = self._connection.execute(
            f"WITH named AS (SELECT id, {bonus.sql} AS bonus FROM files "
            f" WHERE terms && %s::text[] AND ({self._allowed})) "
            "(SELECT id, bonus, true FROM named WHERE bonus > 0 ORDER BY bonus DESC, id LIMIT %s) UNION ALL "
            "(SELECT id, bonus, false FROM named WHERE bonus > 0 AND id = ANY(%s))",
            [
                *bonus.values,
                bonus.terms,
                *self._allowed_values,
                None if is_all else MOST_ADDED,
                list(file_ids),
            ],
        ).fetchall()
        added = [file_id for file_id, _, is_added in found if is_added]
        first = "" if is_all else "DISTINCT ON (file_id)"
        rows = self._connection.execute(
            f"SELECT {first} file_id, number FROM segments WHERE file_id = ANY(%s) "
            "ORDER BY file_id, vector <#> %s::halfvec",
            (added, self._text),
        ).fetchall()
        return {file_id: float(value) for file_id, value, _ in found}, set(rows)


def pool_of(connection: Connection[Any], question: Question, wanted: int) -> SegmentPool:
    """The segments that a search ranks: all that pass the filter, or the best of `wanted` files by the index."""
    query = question.vector
    sql, values = _allowed(question)
    counted = f"SELECT count(*), coalesce(sum(num_rows), 0)::bigint FROM files WHERE {sql}"
    num_files, num_rows = fetch_row(connection, counted, values)
    text = "[" + ",".join(map(repr, query.astype(np.float32).tolist())) + "]"
    pool = SegmentPool(connection, query, text, sql, values)
    if num_rows <= EXACT_SEGMENTS or not has_vector_index(connection):
        return pool
    count = 4 * wanted
    while True:
        pool.by_index(min(count, num_rows))
        pool.and_long_files()
        if count >= num_rows or pool.num_files() >= min(wanted, num_files):
            return pool
        count *= 8
        if count > _MAX_SCAN_TUPLES:  # the index gives no more; few files own what is near
            return SegmentPool(connection, query, text, sql, values)


def matches_in(
    connection: Connection[Any],
    pool: SegmentPool,
    rows: list[tuple[int, int]],
    names: NameQuery | None,
) -> list[Match]:
    """Rows `(file, number)` of a pool as matches, best first, once names and tags have been asked as well."""
    bonuses: dict[int, float] = {}
    listed = set(rows)
    if names is not None:
        bonus = _bonus(connection, names)
        if bonus is None and names.is_all:
            return []
        if bonus is not None:
            file_ids = {file_id for file_id, _ in rows}
            bonuses, added = pool.named(bonus, file_ids, names.is_all)
            rows = sorted(listed | added)
            if names.is_all:
                rows = [row for row in rows if bonuses.get(row[0])]
    if not rows:
        return []
    dim = len(pool.query)
    best = ranked(pool.query, listed_segments(connection, rows, dim), listed, bonuses, names)
    files = _files_by_id(connection, {each.row.file_id for each in best})
    frames = _frames_of_segments(connection, [each.row for each in best], dim)
    return as_matches(best, frames, files, names)


def listed_segments(
    connection: Connection[Any], rows: Sequence[tuple[int, int]], dim: int
) -> list[SegmentRow]:
    """The segments `(file, number)`, by file and number."""
    found = connection.execute(
        f"SELECT {_SEGMENT_COLUMNS} FROM {_LISTED} ORDER BY s.file_id, s.number",
        ([row[0] for row in rows], [row[1] for row in rows]),
        binary=True,
    ).fetchall()
    return _segment_rows(found, dim)


def segments_of_file(connection: Connection[Any], file_id: int, dim: int) -> list[SegmentRow]:
    """The segments of a file, in order."""
    found = connection.execute(
        f"SELECT {_SEGMENT_COLUMNS} FROM segments s WHERE file_id = %s ORDER BY number",
        (file_id,),
        binary=True,
    ).fetchall()
    return _segment_rows(found, dim)


def _segment_rows(found: Sequence[tuple[Any, ...]], dim: int) -> list[SegmentRow]:
    vectors = tables.half_vectors([row[-1] for row in found], dim)
    return [SegmentRow._make((*row[:-1], vector)) for row, vector in zip(found, vectors, strict=True)]


def _frames_of_segments(
    connection: Connection[Any], segments: Sequence[SegmentRow], dim: int
) -> list[AnyFloatArray]:
    """`(frames, dim)` of each segment: only the bytes that are its own."""
    if not segments:
        return []
    width, size = 2 * dim, tables.FRAMES_A_ROW
    owners = [row.file_id for row in segments]
    spans = [row.first_frame for row in segments], [row.last_frame for row in segments]
    pieces: list[list[bytes]] = [[] for _ in segments]
    found = connection.execute(
        "SELECT n, substring(f.frames FROM (greatest(a - f.number * %s::bigint, 0) * %s)::integer + 1 FOR "
        " ((least(b, (f.number + 1) * %s::bigint) - greatest(a, f.number * %s::bigint)) * %s)::integer) "
        "FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) WITH ORDINALITY AS w (file_id, a, b, n) "
        "JOIN frames f ON f.file_id = w.file_id AND f.number BETWEEN a / %s AND (b - 1) / %s ORDER BY n, f.number",
        (size, width, size, size, width, owners, *spans, size, size),
        binary=True,
    )
    for number, piece in found:
        pieces[number - 1].append(piece)
    return [np.frombuffer(b"".join(each), dtype="<f2").reshape(-1, dim) for each in pieces]


def _allowed(question: Question) -> tuple[str, list[object]]:
    """What a file has to fulfil to answer, in SQL, and the values."""
    tests, values = [], list[object]()
    if question.where is not None:
        sql, values = tables.where_sql(question.where)
        tests.append(f"({sql})")
    if question.only is not None:
        tests.append("path = ANY(%s::bytea[])")
        values.append([os.fsencode(path) for path in question.only])
    if question.leave_out:
        tests.append("path <> ALL(%s::bytea[])")
        values.append([os.fsencode(path) for path in question.leave_out])
    return " AND ".join(tests) or "true", values


def _files_by_id(connection: Connection[Any], ids: set[int]) -> dict[int, tuple[SoundFile, frozenset[str]]]:
    """Number -> file and the terms of its name, folder and tags."""
    rows = connection.execute(
        f"SELECT {tables.FILE_COLUMNS}, id, terms FROM files WHERE id = ANY(%s)", (list(ids),)
    ).fetchall()
    return {row[-2]: (tables.file_of_row(row), frozenset(row[-1])) for row in rows}


def _bonus(connection: Connection[Any], names: NameQuery) -> tables.BonusSql | None:
    words = tables.words_of_names(names)
    counts = ["(SELECT count(*) FROM files)"] + [
        "(SELECT count(*) FROM files WHERE terms @> %s::text[])"
    ] * len(words)
    sql = f"SELECT {', '.join(counts)}"
    num_files, *num_with = fetch_row(connection, sql, [list(terms_of_word(word)) for word in words])
    return tables.bonus_sql(
        names, num_files, dict(zip(words, num_with, strict=True)), is_large=num_files > MANY_FILES
    )
