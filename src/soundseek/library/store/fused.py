"""Names beside sounds: files whose names, folders or tags hold a query's words rank higher.

A row is ranked by its inner product with the query plus the bonus of its file; its score stays the inner product.

    bonus = 0.3 * min(1, bm25 / sum of the words' idf)

BM25 is SQLite's. The sum is what a file with every word would have, so that a file with half of them (the rarer ones
counting more) gets half. Where the name is what was typed, or where a query with a number ("scene 12 take 3",
"ZOOM0746") has all its words in a file's name or tags, the file comes before all that are not so called.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from soundseek._typing import AnyFloatArray, AnyIntArray, BoolArray
from soundseek.library.keywords import any_of, phrase, plain_name, query_words
from soundseek.library.store.rows import Rows, expand_ranges

if TYPE_CHECKING:
    from sqlite3 import Connection

    from soundseek.library.store.base import Per

Keywords = Literal["auto", "off", "only"]
"""Whether names and tags count: beside the sound, not at all, or alone."""

# Measured by benchmarks/names.py: below 0.2 names add less, from 0.3 on no more.
NAME_WEIGHT = 0.3
ALL_WORDS_BONUS = 3.0
EXACT_BONUS = 6.0
# Of a word that stands in more names than this, the best by BM25 get the bonus.
MOST_NAMED = 1_000
# So many of them answer even where they are not among the best by sound.
MOST_ADDED = 200
_MOST_WORDS = 24


@dataclass(frozen=True)
class NameQuery:
    """What names and tags are asked for.

    Attributes:
        typed: The query as it was typed: a name, perhaps.
        texts: It, and what it was read as; each file counts by the one that its words answer best.
        is_all: Files that have none of the words are no hits.
    """

    typed: str
    texts: tuple[str, ...]
    is_all: bool = False


def name_bonuses(connection: Connection, query: NameQuery) -> dict[int, float]:
    """File number -> bonus, of files that have words of the query; the largest first."""
    found: dict[int, float] = {}
    (num_files,) = connection.execute("SELECT count(*) FROM files").fetchone()
    for text in dict.fromkeys(query.texts):
        words = query_words(text)[:_MOST_WORDS]
        if not words:
            continue
        ideal = sum(_idf(connection, word, num_files) for word in words)
        rows = connection.execute(
            "SELECT rowid, -bm25(keywords, 1.0, 0.5, 1.0) FROM keywords WHERE keywords MATCH ? ORDER BY rank LIMIT ?",
            (any_of(words), MOST_NAMED),
        )
        for file_id, bm25 in rows:
            found[file_id] = max(found.get(file_id, 0.0), NAME_WEIGHT * min(1.0, bm25 / ideal))
    for file_id in _with_all_words(connection, query.typed):
        found[file_id] = ALL_WORDS_BONUS + found.get(file_id, 0.0)
    for file_id in _so_called(connection, query.typed):
        found[file_id] = EXACT_BONUS
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _idf(connection: Connection, word: str, num_files: int) -> float:
    """How much a word tells, as SQLite's bm25() counts it."""
    (count,) = connection.execute(
        "SELECT count(*) FROM keywords WHERE keywords MATCH ?", (f'"{word}"',)
    ).fetchone()
    return max(math.log((num_files - count + 0.5) / (count + 0.5)), 1e-6)


def _with_all_words(connection: Connection, typed: str) -> list[int]:
    """The files that have every word of a query with a number in it."""
    words = query_words(typed)[:_MOST_WORDS]
    if not any(letter.isdigit() for word in words for letter in word):
        return []
    every = " AND ".join(f'"{word}"' for word in words)
    sql = "SELECT rowid FROM keywords WHERE keywords MATCH ? ORDER BY rank LIMIT ?"
    return [file_id for (file_id,) in connection.execute(sql, (every, MOST_ADDED))]


def _so_called(connection: Connection, typed: str) -> list[int]:
    """The files whose names are what was typed, but for case, ending and what separates the words."""
    name = plain_name(typed)
    if not name:
        return []
    sql = (
        "SELECT id, path FROM files WHERE id IN (SELECT rowid FROM keywords WHERE keywords MATCH ? "
        "ORDER BY rank LIMIT ?)"
    )
    rows = connection.execute(sql, (f"name : ^ {phrase(name)}", MOST_ADDED))
    return [file_id for file_id, path in rows if plain_name(os.path.basename(os.fsdecode(path))) == name]  # noqa: PTH119


def found_words(connection: Connection, query: NameQuery, file_ids: list[int]) -> dict[int, tuple[str, ...]]:
    """File number -> the words of the query that its name, folder or tags hold, in the order of the query."""
    found: dict[int, list[str]] = {file_id: [] for file_id in file_ids}
    words = dict.fromkeys(word for text in query.texts for word in query_words(text)[:_MOST_WORDS])
    marks = ", ".join("?" * len(file_ids))
    sql = f"SELECT rowid FROM keywords WHERE keywords MATCH ? AND rowid IN ({marks})"
    for word in words:
        for (file_id,) in connection.execute(sql, (f'"{word}"', *file_ids)):
            found[file_id].append(word)
    return {file_id: tuple(words) for file_id, words in found.items()}


def rank_with_names(
    connection: Connection,
    bonuses: Mapping[int, float],
    *,
    vectors: AnyFloatArray,
    segments: Rows,
    query: AnyFloatArray,
    rows: AnyIntArray,
    scores: AnyFloatArray,
    allowed: BoolArray | None,
    k: int,
    per: Per,
    is_all: bool,
) -> tuple[AnyIntArray, AnyFloatArray, AnyFloatArray]:
    """The best `k` rows by score and bonus, out of the best by score and those of the files with the largest bonuses.

    Args:
        connection: Inside the read transaction of the search.
        bonuses: File number -> bonus, the largest first.
        vectors: `(rows, dim)` of the library.
        segments: `(rows,)` records of the library.
        query: `(dim,)` float32.
        rows: `(n,)` the best rows by score alone.
        scores: `(n,)` theirs.
        allowed: `(rows,)` True where a row may answer; None when all may.
        k: How many.
        per: "file" keeps the best row of each file.
        is_all: Rows of files without a bonus are left out.

    Returns:
        Row numbers, their scores and their bonuses, each `(n,)`, n <= k, best first.
    """
    added = list(bonuses)[:MOST_ADDED]
    marks = ", ".join("?" * len(added))
    ranges = connection.execute(
        f"SELECT first_row, num_rows FROM files WHERE id IN ({marks})", added
    ).fetchall()
    places = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    named = expand_ranges(places[:, 0], places[:, 1])
    if allowed is not None:
        named = named[allowed[named]]
    more = np.setdiff1d(named, rows)
    # Row by row, so that a score does not depend on which other rows are there.
    products = np.clip((vectors[more].astype(np.float32) * query.astype(np.float32)).sum(axis=1), -1.0, 1.0)
    both, scores = np.concatenate([rows, more]), np.concatenate([scores, products])
    owners = segments["file_id"][both]
    extra = np.array([bonuses.get(int(owner), 0.0) for owner in owners], np.float32)
    if is_all:
        kept = extra > 0
        both, scores, owners, extra = both[kept], scores[kept], owners[kept], extra[kept]
    order = np.lexsort((both, -(scores + extra)))
    if per == "file":
        _, first = np.unique(owners[order], return_index=True)
        order = order[np.sort(first)]
    else:
        # Of a named file, what does not sound like the query ranks by its sound: only the best segment has the name.
        _, best = np.unique(owners[order], return_index=True)
        is_best = np.zeros(len(order), np.bool_)
        is_best[order[best]] = True
        extra = np.where(is_best, extra, 0.0).astype(np.float32)
        order = np.lexsort((both, -(scores + extra)))
        if not is_all:
            listed = np.isin(both, rows) | (extra > 0)
            order = order[listed[order]]
    order = order[:k]
    return both[order], scores[order], extra[order]
