"""Small files of word vectors in every format they are published in."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from toy_learning import WORDS

Vectors = Mapping[str, Sequence[float]]

REAL_VECTORS = Path(__file__).parents[2] / "shared" / "wordvectors" / "glove-100d.txt.gz"


def write_glove(path: Path, vectors: Vectors) -> Path:
    """A word and its numbers a line, no header."""
    path.write_text("".join(f"{word} {_numbers(row)}\n" for word, row in vectors.items()), encoding="utf-8")
    return path


def write_text(path: Path, vectors: Vectors) -> Path:
    """word2vec's text format: the numbers of words and dimensions, then as GloVe's."""
    write_glove(path, vectors)
    path.write_text(_header(vectors) + path.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def write_binary(path: Path, vectors: Vectors) -> Path:
    """word2vec's binary format: after the header each word, a blank, and its little-endian float32."""
    rows = (word.encode() + b" " + struct.pack(f"<{len(row)}f", *row) for word, row in vectors.items())
    path.write_bytes(_header(vectors).encode() + b"".join(rows))
    return path


def make_toy_vectors(path: Path, *, width: int = 8, seed: int = 0) -> Path:
    """GloVe's format, with a vector for each of the toy data's words."""
    rows = np.random.default_rng(seed).standard_normal((len(WORDS), width)).round(3)
    return write_glove(path, dict(zip(WORDS, rows.tolist(), strict=True)))


def _header(vectors: Vectors) -> str:
    return f"{len(vectors)} {len(next(iter(vectors.values())))}\n"


def _numbers(row: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in row)
