"""Words as SQLite's full-text search cuts and stems them, so that every engine finds names and tags alike."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from soundseek.library.keywords import folder_words, name_token, name_words, phrase, tag_words
from soundseek.library.store.base import Description
from soundseek.library.store.tables import TOKENIZER

_mutex = threading.Lock()


@contextmanager
def _tokenizer() -> Iterator[sqlite3.Connection]:
    """A table in memory whose vocabulary is read; threads take turns."""
    with _mutex:
        yield _connection()


@lru_cache(maxsize=1)
def _connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = '{TOKENIZER}')")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5vocab(texts, instance)")
    return connection


def terms_of_texts(texts: Sequence[str]) -> list[list[str]]:
    """The terms of each text, in order.

    >>> terms_of_texts(["Two Cafés, barking", ""])
    [['two', 'cafe', 'bark'], []]
    """
    terms: list[list[str]] = [[] for _ in texts]
    with _tokenizer() as connection:
        connection.execute("DELETE FROM texts")
        connection.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", enumerate(texts, start=1))
        for number, term in connection.execute('SELECT doc, term FROM words ORDER BY doc, "offset"'):
            terms[number - 1].append(term)
    return terms


@lru_cache(maxsize=10_000)
def terms_of_word(word: str) -> tuple[str, ...]:
    """The terms of a word of a query; mostly one."""
    return tuple(terms_of_texts([word])[0])


def terms_of_files(files: Sequence[tuple[str, Description | None]]) -> list[tuple[list[str], str]]:
    """Of each file, by path and description: the terms of its name, folder and tags, each once; and its `tag_line`."""
    texts: list[str] = []
    for path, description in files:
        name = os.path.basename(path)  # noqa: PTH119
        texts += [
            f"{name_words(name)} {name_token(name)} {folder_words(path)}",
            tag_words(description.tags) if description is not None else "",
        ]
    terms = terms_of_texts(texts)
    return [
        (sorted({*named, *tagged}), tag_line(tagged))
        for named, tagged in zip(terms[::2], terms[1::2], strict=True)
    ]


def tag_line(terms: Sequence[str]) -> str:
    """Terms in order, between spaces: words in a row are a part of it. Empty without terms.

    >>> tag_line(["scene", "12"])
    ' scene 12 '
    """
    return f" {' '.join(terms)} " if terms else ""


def tag_part(value: str) -> str:
    """The part that the `tag_line` of a file has where `tag ~ value` holds; `*` at the end leaves the last word open.

    >>> tag_part("scene 1"), tag_part("scene 1*")
    (' scene 1 ', ' scene 1')
    """
    words = phrase(value)
    line = tag_line(terms_of_texts([words])[0])
    return line.rstrip(" ") if words.endswith("*") else line
