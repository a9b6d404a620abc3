"""How real listeners would say it: the nearest of their sentences for each caption."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from soundseek.errors import DataError

Float = npt.NDArray[np.float32]


def read_sentences(path: Path) -> list[str]:
    """The different sentences in the column `caption` of a CSV, in order.

    Raises:
        DataError: No such file, no such column, or nothing in it.
    """
    if not path.is_file():
        raise DataError(f"no file of sentences at {path}; give a CSV with a column 'caption'")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if "caption" not in (reader.fieldnames or []):
            raise DataError(f"{path}, line 1: expected a column 'caption', found {reader.fieldnames}")
        sentences = ((row["caption"] or "").strip() for row in reader)
        found = list(dict.fromkeys(filter(None, sentences)))
    if not found:
        raise DataError(f"{path} has no sentence in its column 'caption'; give a file with some")
    return found


def nearest(
    queries: Float, sentences: Float, *, neighbours: int, min_cosine: float, chunk: int = 1024
) -> list[tuple[int, ...]]:
    """For each query the indices of its nearest sentences, best first, none below `min_cosine`.

    Args:
        queries: `(query, width)` features of any norm.
        sentences: `(sentence, width)` features of any norm.
        neighbours: At most so many.
        min_cosine: Smallest cosine.
        chunk: Queries in one product of matrices; bounds the memory.

    Example:
        >>> axes = np.eye(2, dtype=np.float32)
        >>> nearest(axes, axes[:1], neighbours=3, min_cosine=0.5)
        [(0,), ()]
    """
    queries, sentences = unit_rows(queries), unit_rows(sentences)
    count = min(neighbours, len(sentences))
    found: list[tuple[int, ...]] = []
    for start in range(0, len(queries), chunk):
        cosine = queries[start : start + chunk] @ sentences.T  # (chunk, sentence)
        best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        for row, candidates in zip(cosine, best, strict=True):
            ordered = candidates[np.argsort(-row[candidates], kind="stable")]
            found.append(tuple(int(index) for index in ordered if row[index] >= min_cosine))
    return found


def cached_nearest(
    queries: Float, sentences: Float, *, neighbours: int, min_cosine: float, directory: Path
) -> list[tuple[int, ...]]:
    """`nearest`, remembered in a directory by the contents of all its arguments."""
    digest = hashlib.sha256(repr((neighbours, min_cosine, queries.shape, sentences.shape)).encode())
    digest.update(np.ascontiguousarray(queries).tobytes())
    digest.update(np.ascontiguousarray(sentences).tobytes())
    path = directory / f"{digest.hexdigest()[:32]}.npy"
    if path.is_file():
        table = np.load(path)
    else:
        found = nearest(queries, sentences, neighbours=neighbours, min_cosine=min_cosine)
        table = np.full((len(queries), neighbours), -1, np.int32)
        for row, indices in zip(table, found, strict=True):
            row[: len(indices)] = indices
        directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, table)
        partial.replace(path)
    return [tuple(int(index) for index in row if index >= 0) for row in table]


def unit_rows(rows: Float) -> Float:
    """Rows `(row, width)` with norm 1; a row of zeros stays."""
    norms: Float = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows / norms


def unique(texts: Sequence[str]) -> dict[str, int]:
    """Each different text and its number, in order of appearance."""
    return {text: number for number, text in enumerate(dict.fromkeys(texts))}
