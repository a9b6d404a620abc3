"""Retrieval metrics and their intervals: pure numpy, for any number of queries and items.

A rank is 1 for the best place. Ties are ranked pessimistically: an item that matches stands behind every item
that does not match and has the same score, so a system that gives one score to everything is last, not first.
Scores may be negative. R@k is the share of queries with at least one matching item among the first k; AP@k is
the sum of the precisions at the matching items among the first k, divided by *all* matching items of the
query (DCASE 2025; with one matching item it is 1/rank, DCASE 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from soundseek._typing import AnyArray, DoubleArray, IntArray
from soundseek._vectors import unit_rows
from soundseek.errors import NotFiniteError, UsageError
from soundseek.learn.evaluation.intervals import Interval, jackknife_interval, median_interval

Relevant = AnyArray | Sequence[Sequence[int]]
IntervalOf = Callable[[DoubleArray], Interval]

_BLOCK_SCORES = 1 << 23  # scores held at once: 32 MB of float32
_FLOAT32_DOUBT = 2e-6  # float32 cosines nearer than this (some ten times their error) are computed in float64
_SAME_SCORE = 1e-12  # nearer than this in float64 is a tie: a product's last bits depend on place


@dataclass(frozen=True)
class Ranks:
    """Where the matching items of every query stand.

    Attributes:
        values: `(pairs,)` ranks, ascending within a query; 1 is the best.
        offsets: `(queries + 1,)`: query q owns `values[offsets[q]:offsets[q + 1]]`, at least one.
        queries: `(queries,)` indices of the queries; those without a matching item ask nothing and are left
            out.
    """

    values: IntArray
    offsets: IntArray
    queries: IntArray

    @property
    def first(self) -> IntArray:
        """`(queries,)` rank of the best matching item."""
        return self.values[self.offsets[:-1]]

    def recall_at(self, k: int) -> DoubleArray:
        """`(queries,)` 1 where a matching item stands among the first k, else 0."""
        return (self.first <= k).astype(np.float64)

    def average_precision_at(self, k: int) -> DoubleArray:
        """`(queries,)` sum of n / rank of the n-th match where rank <= k, divided by all matches."""
        counts = np.diff(self.offsets)
        place = np.arange(len(self.values)) - np.repeat(self.offsets[:-1], counts) + 1
        precision = np.where(self.values <= k, place / self.values, 0.0)
        total: DoubleArray = np.add.reduceat(precision, self.offsets[:-1]) / counts
        return total


@dataclass(frozen=True)
class DirectionMetrics:
    """The metrics of one direction; shares in [0, 1] with their 95 % intervals, `median_rank` in places."""

    num_queries: int
    num_items: int
    R1: Interval
    R5: Interval
    R10: Interval
    mAP10: Interval
    mAP16: Interval
    median_rank: Interval


@dataclass(frozen=True)
class RetrievalMetrics:
    """Both directions: captions that look for clips, and clips that look for captions."""

    text_to_audio: DirectionMetrics
    audio_to_text: DirectionMetrics

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def retrieval_metrics(
    scores: AnyArray | tuple[AnyArray, AnyArray],
    relevant: Relevant,
    *,
    interval: IntervalOf = jackknife_interval,
    chunk: int | None = None,
) -> RetrievalMetrics:
    """The metrics of captions against clips, in both directions.

    Args:
        scores: `(captions, clips)`, higher is better; or the embeddings `((captions, dim), (clips, dim))`,
            scored by cosine in blocks so that the whole matrix never exists.
        relevant: What matches: `(captions,)` integers, the one clip of each caption; or `(captions, clips)`
            bool; or for each caption a list of clips.
        interval: From per-query values to a mean with its 95 % interval.
        chunk: With embeddings, queries scored at once; None takes what fits 32 MB. It changes no number.

    Raises:
        UsageError: Shapes that do not fit, values that are not finite, a caption without a matching clip.
    """
    if isinstance(scores, tuple):
        text, audio = scores
        there = ranks(text, audio, relevant, chunk=chunk)
        back = ranks(audio, text, transpose_relevant(relevant, len(text), len(audio)), chunk=chunk)
        num_texts, num_clips = len(text), len(audio)
    else:
        num_texts, num_clips = scores.shape
        there = ranks_of_scores(scores, relevant)
        back = ranks_of_scores(scores.T, transpose_relevant(relevant, num_texts, num_clips))
    return RetrievalMetrics(
        text_to_audio=_direction(there, num_clips, interval),
        audio_to_text=_direction(back, num_texts, interval),
    )


def ranks(query_emb: AnyArray, item_emb: AnyArray, relevant: Relevant, *, chunk: int | None = None) -> Ranks:
    """The ranks of every query's matching items by cosine, a block of queries at a time.

    Args:
        query_emb: `(queries, dim)`, of any norm above 0; a zero vector scores 0 everywhere.
        item_emb: `(items, dim)`.
        relevant: See `retrieval_metrics`; a list may be empty, that query is left out.
        chunk: Queries a block.

    Note:
        Scores come from a float32 product. Where a matching item lies within 2e-6 of another item that row is
        computed again in float64, so that copies of one sound tie exactly and no block size changes a rank.

    Raises:
        UsageError: See `retrieval_metrics`.
    """
    query_emb, item_emb = np.asarray(query_emb), np.asarray(item_emb)
    if query_emb.ndim != 2 or item_emb.ndim != 2 or query_emb.shape[1] != item_emb.shape[1]:
        raise UsageError(
            "embeddings need the shapes (queries, dim) and (items, dim),"
            f" got {query_emb.shape} and {item_emb.shape}"
        )
    if not (np.isfinite(query_emb).all() and np.isfinite(item_emb).all()):
        raise NotFiniteError("embeddings hold values that are not finite; look for NaN before you evaluate")
    if chunk is None:
        chunk = max(1, _BLOCK_SCORES // max(1, len(item_emb)))
    queries32, items32 = unit_rows(query_emb.astype(np.float32)), unit_rows(item_emb.astype(np.float32))
    offsets, items = relevant_lists(relevant, len(query_emb), len(item_emb))
    values = np.empty(len(items), np.int64)
    doubtful = np.zeros(len(query_emb), bool)
    for start in range(0, len(query_emb), chunk):
        rows = slice(start, start + chunk)
        scores = queries32[rows] @ items32.T
        pairs, local = _pairs_of(np.arange(len(query_emb))[rows], offsets)
        values[pairs] = _rank_block(scores, local, items[pairs], tolerance=_FLOAT32_DOUBT)
        certain = values[pairs] == _rank_block(scores, local, items[pairs], tolerance=-_FLOAT32_DOUBT)
        doubtful[start + np.repeat(np.arange(len(scores)), np.diff(local))[~certain]] = True
    if doubtful.any():
        _rank_in_float64(np.flatnonzero(doubtful), query_emb, item_emb, values, offsets, items, chunk)
    return _ranks(values, offsets)


def ranks_of_scores(scores: AnyArray, relevant: Relevant) -> Ranks:
    """The ranks of every query's matching items in `(queries, items)` scores; equal scores are ties.

    >>> ranks_of_scores(np.array([[0.9, 0.1, 0.1]]), np.array([1])).values
    array([3])
    """
    scores = np.asarray(scores)
    if scores.ndim != 2:
        raise UsageError(f"scores need the shape (queries, items), got {scores.shape}")
    if not np.isfinite(scores).all():
        raise NotFiniteError("scores hold values that are not finite; look for NaN before you evaluate")
    offsets, items = relevant_lists(relevant, *scores.shape)
    values = np.empty(len(items), np.int64)
    chunk = max(1, _BLOCK_SCORES // max(1, scores.shape[1]))
    for start in range(0, len(scores), chunk):
        rows = slice(start, start + chunk)
        pairs, local = _pairs_of(np.arange(len(scores))[rows], offsets)
        values[pairs] = _rank_block(scores[rows], local, items[pairs], tolerance=0.0)
    return _ranks(values, offsets)


def relevant_lists(relevant: Relevant, num_queries: int, num_items: int) -> tuple[IntArray, IntArray]:
    """`offsets (queries + 1,)` and `items (pairs,)`: query q matches `items[offsets[q]:offsets[q + 1]]`.

    Raises:
        UsageError: Another number of queries, or an item that does not exist or stands twice.
    """
    if isinstance(relevant, np.ndarray) and relevant.ndim == 2:
        if relevant.shape != (num_queries, num_items) or relevant.dtype != np.bool_:
            raise UsageError(
                f"relevant needs bool {(num_queries, num_items)}, got {relevant.dtype} {relevant.shape}"
            )
        rows, items = np.nonzero(relevant)
        return _offsets(np.bincount(rows, minlength=num_queries)), items
    if len(relevant) != num_queries:
        raise UsageError(f"relevant speaks of {len(relevant)} queries, there are {num_queries}")
    lists = [[item] for item in relevant.tolist()] if isinstance(relevant, np.ndarray) else relevant
    for query, row in enumerate(lists):
        if len(set(row)) != len(row) or any(item < 0 or item >= num_items for item in row):
            raise UsageError(
                f"query {query} matches {list(row)}: items run from 0 to {num_items - 1}, each once"
            )
    items = np.array([item for row in lists for item in row], np.int64)
    return _offsets(np.array([len(row) for row in lists], np.int64)), items


def transpose_relevant(relevant: Relevant, num_queries: int, num_items: int) -> list[list[int]]:
    """For each item the queries that it matches.

    Raises:
        UsageError: See `relevant_lists`; or a query that matches nothing, for its metrics would mean nothing.
    """
    offsets, items = relevant_lists(relevant, num_queries, num_items)
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise UsageError(
            f"query {empty[0]} matches no item; leave out the {len(empty)} queries without a match"
        )
    back: list[list[int]] = [[] for _ in range(num_items)]
    for query, item in zip(
        np.repeat(np.arange(num_queries), np.diff(offsets)).tolist(), items.tolist(), strict=True
    ):
        back[item].append(query)
    return back


def _rank_in_float64(
    queries: IntArray,
    query_emb: AnyArray,
    item_emb: AnyArray,
    values: IntArray,
    offsets: IntArray,
    items: IntArray,
    chunk: int,
) -> None:
    """Write the ranks of some queries' pairs into `values`, from scores that leave no doubt about a tie."""
    items64 = unit_rows(item_emb.astype(np.float64))
    for start in range(0, len(queries), chunk):
        some = queries[start : start + chunk]
        pairs, local = _pairs_of(some, offsets)
        scores = unit_rows(query_emb[some].astype(np.float64)) @ items64.T
        values[pairs] = _rank_block(scores, local, items[pairs], tolerance=_SAME_SCORE)


def _pairs_of(queries: IntArray, offsets: IntArray) -> tuple[IntArray, IntArray]:
    """Indices of the pairs of some queries, and the offsets that cut them into one run a query."""
    counts = np.diff(offsets)[queries]
    local = _offsets(counts)
    return np.arange(local[-1]) + np.repeat(offsets[queries] - local[:-1], counts), local


def _rank_block(scores: AnyArray, offsets: IntArray, items: IntArray, *, tolerance: float) -> IntArray:
    """`(pairs,)` ranks, ascending within a row; less than `tolerance` below a match counts as ahead of it."""
    counts = np.diff(offsets)
    rows = np.repeat(np.arange(len(scores)), counts)
    matching = scores[rows, items]
    matching = matching[np.lexsort((-matching, rows))]  # best first within a row
    place = np.arange(len(items)) - np.repeat(offsets[:-1], counts) + 1
    others = np.array(scores)
    others[rows, items] = -np.inf
    values = place.astype(np.int64)
    for n in range(1, int(counts.max(initial=0)) + 1):  # the n-th best match of every row that has one
        nth = place == n
        rivals = others if nth.sum() == len(scores) else others[rows[nth]]
        values[nth] += np.count_nonzero(rivals >= (matching[nth] - tolerance)[:, None], axis=1)
    return values


def _direction(found: Ranks, num_items: int, interval: IntervalOf) -> DirectionMetrics:
    return DirectionMetrics(
        num_queries=len(found.queries),
        num_items=num_items,
        R1=interval(found.recall_at(1)),
        R5=interval(found.recall_at(5)),
        R10=interval(found.recall_at(10)),
        mAP10=interval(found.average_precision_at(10)),
        mAP16=interval(found.average_precision_at(16)),
        median_rank=median_interval(found.first),
    )


def _ranks(values: IntArray, offsets: IntArray) -> Ranks:
    counts = np.diff(offsets)
    return Ranks(values=values, offsets=_offsets(counts[counts > 0]), queries=np.flatnonzero(counts))


def _offsets(counts: IntArray) -> IntArray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
