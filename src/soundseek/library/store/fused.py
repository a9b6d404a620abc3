"""Names beside sounds: files whose names, folders or tags hold a query's words rank higher.

A row is ranked by its inner product with the query plus the bonus of its file; its score stays the inner product.

    bonus = 0.3 * sum of the idf of the words that it has / sum of the idf of all words of the query

The idf is BM25's. SQLite's own bm25() also counts how often a word stands and how long a name is, and takes a
millisecond for a thousand files; on the library of benchmarks/names.py it found no more. A file with half of the words,
the rarer ones counting more, gets half. Where the name is what was typed, or where a query with a number ("scene 12
take 3", "ZOOM0746") has all its words in a file's name or tags, the file comes before all that are not so called.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from soundseek._typing import AnyFloatArray, AnyIntArray, BoolArray, FloatArray, IntArray
from soundseek.library.keywords import name_token, query_words, telling_words
from soundseek.library.store.rows import Snapshot, expand_ranges
from soundseek.library.store.tables import has_descriptions, numbers_in

if TYPE_CHECKING:
    from sqlite3 import Connection

    from soundseek.library.store.base import NameQuery, Question

Keywords = Literal["auto", "off", "only"]
"""Whether names and tags count: beside the sound, not at all, or alone."""

# Measured by benchmarks/names.py: below 0.2 names add less, from 0.3 on no more.
NAME_WEIGHT = 0.3
ALL_WORDS_BONUS = 3.0
EXACT_BONUS = 6.0
# So many named files answer even where they are not among the best by sound.
MOST_ADDED = 60
# From here on, a word that a fourth of all names have is not looked up.
MANY_FILES = 5_000
_MOST_WORDS = 24


def name_bonuses(connection: Connection, query: NameQuery, *, num_files: int, last: int) -> FloatArray | None:
    """`(numbers,)` the bonus of the file of each number, 0 of one that is not so called; None where none is.

    Args:
        connection: Inside the read transaction of the search.
        query: What names are asked for.
        num_files: Files in the library.
        last: The highest number of a file.
    """
    bonuses = np.zeros(last + 1, np.float32)
    for text in dict.fromkeys(query.texts):
        share, ideal = np.zeros(last + 1, np.float32), 0.0
        for word in weighed_words(text):
            if num_files > MANY_FILES and _count_with(connection, word) > num_files // 4:
                continue  # it tells a file from few others, and costs the most
            files = _files_with(connection, f'"{word}"')
            idf = word_weight(num_files, len(files))
            share[files] += idf
            ideal += idf
        if ideal:
            np.maximum(bonuses, NAME_WEIGHT * share / ideal, out=bonuses)
    words = name_query_words(query.typed)
    if any(letter.isdigit() for word in words for letter in word):
        bonuses[_files_with(connection, " AND ".join(f'"{word}"' for word in words))] += ALL_WORDS_BONUS
    if token := name_token(query.typed):
        bonuses[_files_with(connection, f'name : "{token}"')] = EXACT_BONUS
    return bonuses if bonuses.any() else None


def name_query_words(text: str) -> list[str]:
    """The words of a text that are looked up."""
    return query_words(text)[:_MOST_WORDS]


def weighed_words(text: str) -> list[str]:
    """Those of them that a file's bonus counts."""
    return telling_words(text)[:_MOST_WORDS]


def _count_with(connection: Connection, word: str) -> int:
    (count,) = connection.execute(
        "SELECT count(*) FROM keywords WHERE keywords MATCH ?", (f'"{word}"',)
    ).fetchone()
    return int(count)


def _files_with(connection: Connection, expression: str) -> IntArray:
    """`(files,)` the numbers of the files that an FTS5 expression finds, in order."""
    sql = "SELECT group_concat(rowid) FROM keywords WHERE keywords MATCH ?"
    return numbers_in(connection, sql, (expression,))


def found_words(connection: Connection, query: NameQuery, file_ids: list[int]) -> dict[int, tuple[str, ...]]:
    """File number -> the words of the query that its name, folder or tags hold, in the order of the query."""
    found: dict[int, list[str]] = {file_id: [] for file_id in file_ids}
    for word in dict.fromkeys(word for text in query.texts for word in weighed_words(text)):
        for file_id in np.intersect1d(
            file_ids, _files_with(connection, f'"{word}"'), assume_unique=True
        ).tolist():
            found[file_id].append(word)
    return {file_id: tuple(words) for file_id, words in found.items()}


class Ranking(NamedTuple):
    """Rows of a library in their order.

    Attributes:
        rows: `(n,)` their numbers.
        scores: `(n,)` theirs: inner products with the query.
        bonuses: `(n,)` what names add.
    """

    rows: AnyIntArray
    scores: AnyFloatArray
    bonuses: AnyFloatArray


def rank_with_names(
    connection: Connection,
    snapshot: Snapshot,
    question: Question,
    rows: AnyIntArray,
    scores: AnyFloatArray,
    allowed: BoolArray | None,
) -> Ranking:
    """Rows by score and bonus, best first: the best by score, and those of the files with the largest bonuses.

    Args:
        connection: Inside the read transaction of the search.
        snapshot: What this transaction sees.
        question: With the names that are asked for; without any, the rows stay as they are.
        rows: `(n,)` the best rows by score alone.
        scores: `(n,)` theirs.
        allowed: `(rows,)` True where a row may answer; None when all may.
    """
    names, bonuses = question.names, None
    if names is not None and has_descriptions(connection):
        bonuses = name_bonuses(connection, names, num_files=snapshot.num_files, last=snapshot.last_file)
    if names is None or bonuses is None:
        end = 0 if names is not None and names.is_all else len(rows)
        return Ranking(rows[:end], scores[:end], np.zeros(end, np.float32))
    vectors, segments, is_all = snapshot.maps.vectors, snapshot.maps.segments, names.is_all
    named_files = np.flatnonzero(bonuses)
    most = len(named_files) if is_all else MOST_ADDED
    added = named_files[np.argsort(-bonuses[named_files], kind="stable")[:most]]
    ranges = [
        connection.execute("SELECT first_row, num_rows FROM files WHERE id = ?", (file_id,)).fetchone()
        or (0, 0)
        for file_id in added.tolist()
    ]
    places = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    named = expand_ranges(places[:, 0], places[:, 1])
    if allowed is not None:
        named = named[allowed[named]]
    more = np.setdiff1d(named, rows)
    # Row by row, so that a score does not depend on which other rows are there.
    products = np.clip(
        (vectors[more].astype(np.float32) * question.vector.astype(np.float32)).sum(axis=1), -1.0, 1.0
    )
    both, scores = np.concatenate([rows, more]), np.concatenate([scores, products])
    owners = segments["file_id"][both]
    extra = bonuses[owners]
    if is_all:
        kept = extra > 0
        both, scores, owners, extra = both[kept], scores[kept], owners[kept], extra[kept]
    order, extra = order_with_bonuses(both, scores, owners, extra, np.isin(both, rows), is_all=is_all)
    return Ranking(both[order], scores[order], extra)


def order_with_bonuses(
    rows: AnyIntArray,
    scores: AnyFloatArray,
    owners: AnyIntArray,
    bonuses: AnyFloatArray,
    is_listed: BoolArray,
    *,
    is_all: bool,
) -> tuple[AnyIntArray, AnyFloatArray]:
    """The order of rows by score and bonus.

    Args:
        rows: `(n,)` their numbers, which settle ties.
        scores: `(n,)`.
        owners: `(n,)` the file of each.
        bonuses: `(n,)` that of its file.
        is_listed: `(n,)` False of a row that only the name of its file brought.
        is_all: Every row of a file with a bonus counts.

    Returns:
        Places in `rows`, best first, and the bonus that each place has, both `(m,)`.
    """
    order = np.lexsort((rows, -(scores + bonuses)))
    # Of a named file, what does not sound like the query ranks by its sound: only the best segment has the name.
    _, best = np.unique(owners[order], return_index=True)
    is_best = np.zeros(len(order), np.bool_)
    is_best[order[best]] = True
    bonuses = np.where(is_best, bonuses, 0.0).astype(np.float32)
    order = np.lexsort((rows, -(scores + bonuses)))
    if not is_all:
        order = order[(is_listed | (bonuses > 0))[order]]
    return order, bonuses[order]


def word_weight(num_files: int, num_with: int) -> float:
    """The idf of a word that so many of all files have, as BM25 weighs it."""
    return math.log((num_files - num_with + 0.5) / (num_with + 0.5) + 1.0)
