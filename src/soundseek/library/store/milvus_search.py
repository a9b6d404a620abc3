"""A search in Milvus: the nearest segments by its index, those of long files, and what names add to them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from soundseek._typing import AnyFloatArray
from soundseek.library.filters import Condition
from soundseek.library.keywords import name_token
from soundseek.library.store import milvus_rows as rows
from soundseek.library.store.base import Match, NameQuery, Question
from soundseek.library.store.exact import LONG_FILE, OF_A_LONG_FILE
from soundseek.library.store.fused import (
    ALL_WORDS_BONUS,
    EXACT_BONUS,
    MANY_FILES,
    MOST_ADDED,
    NAME_WEIGHT,
    name_query_words,
    weighed_words,
    word_weight,
)
from soundseek.library.store.milvus_collections import ROWS_A_CALL, MilvusCollections
from soundseek.library.store.milvus_connection import explained_by_milvus
from soundseek.library.store.segment_rows import SegmentRow, as_matches, ranked
from soundseek.library.store.terms import terms_of_word

_LEAST_EF = 400


def nearest_segments(
    collections: MilvusCollections, query: AnyFloatArray, asked: str, wanted: int
) -> list[SegmentRow]:
    """The best segments, of at least `wanted` files where there are so many, best first."""
    count = min(rows.MOST_ROWS, max(4 * wanted, 64))
    while True:
        found = _found(collections, query, asked, count)
        num_files = len({row.file_id for row in found})
        if num_files >= wanted or len(found) < count or count == rows.MOST_ROWS:
            return found
        count = min(rows.MOST_ROWS, count * 8)


def best_of_long_files(collections: MilvusCollections, query: AnyFloatArray, asked: str) -> list[SegmentRow]:
    """The best segments of each long file, of as many such files as one search can bring whole."""
    fields = ["file_id", "num_rows"]
    is_long = f"num_rows >= {LONG_FILE}" + (f" and ({asked})" if asked else "")
    long_files = collections.query("files", is_long, fields)
    kept, room = [], rows.MOST_ROWS
    for row in sorted(long_files, key=lambda row: int(row["file_id"])):
        if room >= row["num_rows"]:
            room -= row["num_rows"]
            kept.append(row["file_id"])
    if not kept:
        return []
    of_file: dict[int, int] = {}
    best = []
    for segment in _found(collections, query, f"file_id in {kept}", rows.MOST_ROWS - room):
        of_file[segment.file_id] = of_file.get(segment.file_id, 0) + 1
        if of_file[segment.file_id] <= OF_A_LONG_FILE:
            best.append(segment)
    return best


def matches_of(
    collections: MilvusCollections,
    question: Question,
    found: Sequence[SegmentRow],
    asked: str,
) -> list[Match]:
    """Segments as matches, best first, once names and tags have been asked as well."""
    query, names = question.vector, question.names
    bonuses: dict[int, float] = {}
    segments = {(row.file_id, row.number): row for row in found}
    listed = set(segments)
    if names is not None:
        bonuses = _bonuses(collections, names, asked)
        added = sorted(bonuses, key=lambda file_id: (-bonuses[file_id], file_id))
        # One search brings so many rows at most: few files at a time.
        for at in range(0, len(added) if names.is_all else min(len(added), MOST_ADDED), MOST_ADDED):
            some = added[at : at + MOST_ADDED]
            more = _found(collections, query, f"file_id in {some}", rows.MOST_ROWS)
            segments |= {
                (row.file_id, row.number): row for row in more if (row.file_id, row.number) not in listed
            }
        if names.is_all:
            segments = {key: row for key, row in segments.items() if row.file_id in bonuses}
    # A number that no file has is of a sound that is being written, or was removed.
    ids = sorted({row.file_id for row in segments.values()})
    files: dict[int, dict[str, Any]] = {}
    for at in range(0, len(ids), ROWS_A_CALL):
        some = ids[at : at + ROWS_A_CALL]
        files |= {row["file_id"]: row for row in collections.query("files", f"file_id in {some}", ["*"])}
    there = [row for _, row in sorted(segments.items()) if row.file_id in files]
    best = ranked(query, there, listed, bonuses, names)
    about = {
        each.row.file_id: (
            rows.file_of_text(files[each.row.file_id]["facts"]),
            files[each.row.file_id]["terms"],
        )
        for each in best
    }
    places = [(each.row, files[each.row.file_id]["frames_id"]) for each in best]
    return as_matches(best, _frames_of_segments(collections, places, len(query)), about, names)


def files_expression(
    where: Condition | None, leave_out: Collection[str], only: Collection[str] | None
) -> str | None:
    """What a file has to fulfil to answer, as an expression; None where none can."""
    tests = [rows.expression(where)] if where is not None else []
    if only is not None:
        if not only:
            return None
        tests.append(f"path in {json.dumps([rows.hex_path(path) for path in only])}")
    if leave_out:
        tests.append(f"(not (path in {json.dumps([rows.hex_path(path) for path in leave_out])}))")
    return " and ".join(tests)


def _frames_of_segments(
    collections: MilvusCollections, segments: Sequence[tuple[SegmentRow, int]], dim: int
) -> list[AnyFloatArray]:
    """`(frames, dim)` of each segment and the number of its file's frames, out of the rows that hold them."""
    size = rows.frames_a_row(dim)
    wanted = [
        [
            rows.key_of(frames_id, number)
            for number in range(row.first_frame // size, (row.last_frame - 1) // size + 1)
        ]
        for row, frames_id in segments
    ]
    keys = sorted({key for each in wanted for key in each})
    texts = {row["id"]: row["frames"] for row in collections.get("frames", keys, ["id", "frames"])}
    found = []
    for (row, _), own in zip(segments, wanted, strict=True):
        pieces = [rows.frames_of_text(texts[key], dim) for key in own if key in texts]
        first = row.first_frame - row.first_frame // size * size
        whole = np.concatenate([np.empty((0, dim), np.float16), *pieces])
        found.append(whole[first : first + row.last_frame - row.first_frame])
    return found


def segment_row(row: Mapping[str, Any]) -> SegmentRow:
    """A segment out of the fields that it has in Milvus."""
    return SegmentRow(*(row[name] for name in SegmentRow._fields))


def _bonuses(collections: MilvusCollections, names: NameQuery, asked: str) -> dict[int, float]:
    """Number -> bonus of the files that are so called; see `fused.py`."""
    num_files = len(collections.all("files", "", ["file_id"]))
    is_large = num_files > MANY_FILES
    with_word: dict[str, set[int]] = {}

    def files_with(words: Sequence[str], expression: str = "") -> set[int]:
        terms = json.dumps([term for word in words for term in terms_of_word(word)], ensure_ascii=False)
        every = f"array_contains_all(terms, {terms})" + (f" and ({expression})" if expression else "")
        return {row["file_id"] for row in collections.all("files", every, ["file_id"])}

    bonuses: dict[int, float] = {}
    for text in dict.fromkeys(names.texts):
        shares: dict[int, float] = {}
        ideal = 0.0
        for word in weighed_words(text):
            if word not in with_word:
                with_word[word] = files_with([word])
            found = with_word[word]
            if is_large and len(found) > num_files // 4:
                continue
            weight = word_weight(num_files, len(found))
            ideal += weight
            for file_id in found:
                shares[file_id] = shares.get(file_id, 0.0) + weight
        for file_id, share in shares.items():
            bonuses[file_id] = max(bonuses.get(file_id, 0.0), NAME_WEIGHT * share / ideal)
    words = name_query_words(names.typed)
    if any(letter.isdigit() for word in words for letter in word):
        for file_id in files_with(words):
            bonuses[file_id] = bonuses.get(file_id, 0.0) + ALL_WORDS_BONUS
    if token := name_token(names.typed):
        bonuses |= dict.fromkeys(files_with([token]), EXACT_BONUS)
    if asked and bonuses:
        allowed = {row["file_id"] for row in collections.all("files", asked, ["file_id"])}
        bonuses = {file_id: bonus for file_id, bonus in bonuses.items() if file_id in allowed}
    return bonuses


def _found(collections: MilvusCollections, query: AnyFloatArray, asked: str, count: int) -> list[SegmentRow]:
    """The best `count` segments that fulfil an expression, best first."""
    with explained_by_milvus(collections.place):
        (found,) = collections.client.search(
            collections.name("segments"),
            data=[query.astype(np.float32).tolist()],
            filter=asked,
            limit=count,
            output_fields=list(SegmentRow._fields),
            search_params={"metric_type": "IP", "params": {"ef": max(_LEAST_EF, count)}},
            consistency_level="Strong",
        )
        return [segment_row(hit["entity"]) for hit in found]
