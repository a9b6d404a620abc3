"""Word vectors from the files they are published in: word2vec's binary and text formats, and GloVe's.

All three list words from frequent to rare. gensim reads the binary one. The two text formats are read here in a quarter
of gensim's time (0.5 s for 23,000 words of 100 numbers against 2.1 s), and with words that contain blanks.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
import numpy.typing as npt

from soundseek.errors import ModelError, RecipeError

Layout = Literal["binary", "text", "glove"]

_SNIFFED_BYTES = 1 << 16  # a line of a thousand numbers
_MOST_WIDE = 4096  # published vectors have 50 to 1024 numbers; a damaged header may claim anything
_ROWS_PER_WORD = 4
"""Rows read for each word kept. Of google-news' most frequent rows about a third are phrases (`New_York`) and many of
the others a word's second spelling (`The`); a file of three million rows must not be read whole (3.6 GB) for that."""


@dataclass(frozen=True)
class WordVectors:
    """Words from frequent to rare, each with its vector.

    Attributes:
        words: Each once.
        vectors: `(word, width)` float32.
    """

    words: tuple[str, ...]
    vectors: npt.NDArray[np.float32]


def read_word_vectors(path: Path, *, num_words: int, as_typed: Callable[[str], str | None]) -> WordVectors:
    """The most frequent words of a file that a sentence can hold.

    Args:
        path: A file such as `GoogleNews-vectors-negative300.bin` or `glove.6B.100d.txt`, gzipped (`.gz`) or not.
        num_words: Words to keep, the most frequent; they are sought among four times as many rows.
        as_typed: What a tokenizer makes of a word of the file; None where that is not one word. Where several
            rows become one word, it takes the place of the first and the vector of the one that is spelt like it.

    Raises:
        RecipeError: No such file.
        ModelError: It holds no word vectors, is damaged, or no word of it can be typed.
    """
    found = _read(path, _layout(path), limit=_ROWS_PER_WORD * num_words)
    rows: dict[str, int] = {}
    for row, word in enumerate(found.words):
        typed = as_typed(word)
        if typed is not None and (typed not in rows or typed == word):
            rows[typed] = row
    if not rows:
        raise ModelError(f"{path} has no word that a sentence can hold; its first: {list(found.words[:5])}")
    words = tuple(rows)[:num_words]
    vectors = found.vectors[[rows[word] for word in words]]
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ModelError(
            f"{path} is damaged: the vector of {words[int(finite.argmin())]!r} has a number that is not finite"
        )
    return WordVectors(words, vectors)


def _read(path: Path, layout: Layout, *, limit: int) -> WordVectors:
    try:
        if layout == "binary":
            return _read_binary(path, limit)
        return _read_text(path, limit, has_header=layout == "text")
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ModelError(f"{path} cannot be read as word vectors ({layout} format): {error}") from error


def _read_binary(path: Path, limit: int) -> WordVectors:
    try:
        from gensim.models import KeyedVectors
    except ImportError as error:
        raise RecipeError(
            f"{path} is in word2vec's binary format, which needs: pip install gensim"
        ) from error
    found = KeyedVectors.load_word2vec_format(str(path), binary=True, limit=limit)
    # A word that occurs twice leaves a row at the end without one.
    words = tuple(word for word in found.index_to_key if word is not None)
    return WordVectors(words, np.asarray(found.vectors[: len(words)], np.float32))


def _read_text(path: Path, limit: int, *, has_header: bool) -> WordVectors:
    rows: dict[str, list[float]] = {}
    width = promised = number = 0
    with _open(path) as file:
        if has_header:
            promised, width = map(int, file.readline().split())
        for number, line in enumerate(islice(file, limit), start=1):
            fields = line.rstrip().rsplit(b" ", width or -1)  # a few of GloVe's 840B words contain blanks
            width = width or len(fields) - 1
            if len(fields) != width + 1:
                raise ValueError(f"word {number} has {len(fields) - 1} numbers, not {width}")
            rows.setdefault(fields[0].decode(), list(map(float, fields[1:])))
    if has_header and number < min(promised, limit):
        raise ValueError(f"it ends after {number} of {promised} words")
    return WordVectors(tuple(rows), np.array(list(rows.values()), np.float32))


def _layout(path: Path) -> Layout:
    """Which of the three formats a file has: word2vec's begin with the numbers of words and of dimensions."""
    if not path.is_file():
        raise RecipeError(
            f"text.weights: no file {path}; word vectors are published as GoogleNews-vectors-negative300.bin.gz "
            "and glove.6B.zip (unzip it)"
        )
    try:
        with _open(path) as file:
            head = file.read(_SNIFFED_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(f"{path} is a damaged gzip file: {error}") from error
    first, _, rest = head.partition(b"\n")
    fields = first.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        width = int(fields[1])
        if not 0 < width <= _MOST_WIDE or not int(fields[0]):
            raise ModelError(f"{path} claims {int(fields[0])} words of {width} dimensions; it is damaged")
        second = rest.split(b"\n", 1)[0].split()
        return "text" if len(second) == width + 1 and _are_numbers(second[1:]) else "binary"
    if len(fields) > 2 and _are_numbers(fields[1:]):
        return "glove"
    raise ModelError(
        f"{path} holds no word vectors: it begins with {first[:40]!r}, neither with the numbers of words and "
        "dimensions, as word2vec's formats, nor with a word and its numbers, as GloVe's"
    )


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path)) if is_packed else path.open("rb")


def _are_numbers(fields: list[bytes]) -> bool:
    try:
        for field in fields:
            float(field)
    except ValueError:
        return False
    return True
