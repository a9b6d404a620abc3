"""A filter is worked out once for each version of a library, and what it lets pass is always that of the version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.stores import DIM, IDENTITY, sound_of_vectors, unit_rows

from soundseek.library.filters import parse_where
from soundseek.library.store.base import Changes, Match, Move, Question
from soundseek.library.store.kept_masks import MOST_MASKS, KeptMasks
from soundseek.library.store.sqlite import SqliteStore

SHORT = parse_where("duration < 5")
QUERY = np.eye(1, DIM, dtype=np.float32)[0]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    with opened.writing():
        opened.commit(
            Changes(
                sounds=[
                    sound_of_vectors(
                        f"/{n}.wav", unit_rows(np.random.default_rng(n), 1 + n % 3), duration_s=float(n)
                    )
                    for n in range(10)
                ]
            )
        )
    yield opened
    opened.close()


def statements(store: SqliteStore) -> list[str]:
    """The list that every statement comes to stand in from now on."""
    found: list[str] = []
    with store.reading_beside() as connection:
        connection.set_trace_callback(found.append)
    return found


def paths(found: list[Match]) -> set[str]:
    return {match.file.path for match in found}


def test_files_are_listed_once_for_a_filter_and_a_version(store: SqliteStore) -> None:
    seen = statements(store)
    first = best_matches(store, QUERY, k=20, where=SHORT)
    assert sum("duration_s < 5" in each for each in seen) == 1
    seen.clear()
    again = best_matches(store, QUERY, k=20, where=parse_where("duration < 5"))
    listed = store.shortlist(Question(QUERY, SHORT), segments=20, files=20)
    assert not any("duration_s <" in each for each in seen)
    assert paths(first) == paths(again) == paths(listed) == {f"/{n}.wav" for n in range(5)}
    assert [match.score for match in again] == [match.score for match in first]
    assert paths(best_matches(store, QUERY, k=20, where=parse_where("duration < 4"))) == {
        f"/{n}.wav" for n in range(4)
    }


def test_a_change_counts_for_the_next_search(store: SqliteStore) -> None:
    best_matches(store, QUERY, k=20, where=SHORT)
    with store.writing():
        store.commit(
            Changes(
                sounds=[sound_of_vectors("/9.wav", unit_rows(np.random.default_rng(9), 2), duration_s=1.0)],
                removed=["/0.wav", "/7.wav"],
                moves=[Move("/2.wav", "/two.wav", 1)],
            )
        )
    expected = {"/1.wav", "/two.wav", "/3.wav", "/4.wav", "/9.wav"}
    assert paths(best_matches(store, QUERY, k=20, where=SHORT)) == expected
    with store.writing():
        assert store.compact(dead_share=0.0)
    found = best_matches(store, QUERY, k=20, per="segment", where=SHORT)
    assert paths(found) == expected
    assert len(found) == store.count(SHORT)[1]


def test_what_one_search_leaves_out_the_next_one_has(store: SqliteStore) -> None:
    best_matches(store, QUERY, k=20, where=SHORT)
    left = paths(best_matches(store, QUERY, k=20, where=SHORT, leave_out=["/1.wav"]))
    chosen = paths(best_matches(store, QUERY, k=20, where=SHORT, only=["/2.wav", "/9.wav"]))
    assert "/1.wav" not in left
    assert chosen == {"/2.wav"}
    assert paths(best_matches(store, QUERY, k=20, where=SHORT)) == {f"/{n}.wav" for n in range(5)}


def test_the_masks_asked_for_last_are_kept_within_their_bytes_and_number() -> None:
    made: list[int] = []

    def ask(masks: KeptMasks, number: int, rows: int = 12) -> None:
        mask = masks.mask(number, rows, lambda: made.append(number) or np.arange(rows) == number)
        assert np.flatnonzero(mask).tolist() == [number] * (number < rows)

    few = KeptMasks(most_bytes=4)  # two masks of twelve rows
    for number in (0, 1, 0, 2, 0, 1):
        ask(few, number)
    assert made == [0, 1, 2, 1]
    made.clear()
    ask(few, 3, rows=99)  # larger than all of them together
    ask(few, 3, rows=99)
    ask(few, 1)
    assert made == [3, 3]
    made.clear()
    many = KeptMasks()
    for number in [*range(MOST_MASKS + 1), 0, MOST_MASKS]:
        ask(many, number)
    assert made == [*range(MOST_MASKS + 1), 0]
