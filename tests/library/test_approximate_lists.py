"""Lists of segments that are alike: what is written is what was added, and the nearest ones are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from library.stores import unit_rows

from soundseek.library.store import approximate_files, approximate_lists
from soundseek.library.store.approximate_files import IndexPart, OpenPart, nearest_in_parts
from soundseek.library.store.approximate_lists import ListsInMemory, SegmentLists, open_lists
from soundseek.library.store.estimates import CodedQuery

DIM, ROWS = 16, 900


@pytest.fixture(autouse=True)
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate_lists, "LIST_ROWS", 30)
    monkeypatch.setattr(approximate_files, "COMPARED_SHARE", 0.1)
    monkeypatch.setattr(approximate_files, "COMPARED_A_CANDIDATE", 1)
    monkeypatch.setattr(approximate_files, "LEAST_COMPARED", 0)


def vectors(seed: int) -> np.ndarray:
    """`(ROWS, DIM)` unit vectors around thirty points."""
    middles = unit_rows(np.random.default_rng(7), 30, DIM)
    rows = middles[np.arange(ROWS) % 30] + 0.2 * unit_rows(np.random.default_rng(seed), ROWS, DIM)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def written(path: Path, short: np.ndarray, *, first_key: int = 0) -> SegmentLists:
    lists = ListsInMemory.for_sample(short, len(short))
    for at in range(0, len(short), 250):
        some = short[at : at + 250]
        lists.add(np.arange(first_key + at, first_key + at + len(some)), some)
    lists.write(path)
    return open_lists(path, DIM)


def part_of(lists: SegmentLists) -> OpenPart:
    return OpenPart(
        IndexPart("some.lists", 0, "", len(lists), 1, len(lists), np.eye(DIM, dtype=np.float32)), lists
    )


def test_what_was_added_lies_in_the_file_each_in_the_list_of_its_nearest_centre(tmp_path: Path) -> None:
    short = vectors(0)
    lists = written(tmp_path / "a", short)
    assert len(lists) == ROWS and sorted(lists.keys.tolist()) == list(range(ROWS))
    assert lists.offsets[0] == 0 and lists.offsets[-1] == ROWS and len(lists.centres) == 30
    np.testing.assert_allclose(lists.codes * lists.steps, short[lists.keys], atol=0.01)
    away = np.square(short[lists.keys][:, None] - lists.centres[None]).sum(axis=2)
    owners = np.repeat(np.arange(30), np.diff(lists.offsets))
    np.testing.assert_array_equal(away.argmin(axis=1), owners)
    # Lists are of what is alike: their members are nearer to their own centre than segments are to each other.
    assert away[np.arange(ROWS), owners].mean() < 0.3


def test_products_are_near_the_exact_ones(tmp_path: Path) -> None:
    short, query = vectors(0), unit_rows(np.random.default_rng(3), 1, DIM)[0]
    lists = written(tmp_path / "a", short)
    for number in (0, 7, 29):
        keys = lists.keys[lists.offsets[number] : lists.offsets[number + 1]]
        np.testing.assert_allclose(lists.about(number, lists.coded(query)), short[keys] @ query, atol=0.02)


def test_lists_that_are_added_to_are_as_if_all_had_come_at_once(tmp_path: Path) -> None:
    short = vectors(0)
    first = ListsInMemory.for_sample(short, ROWS)
    first.add(np.arange(400), short[:400])
    first.write(tmp_path / "first")
    again = ListsInMemory.of(open_lists(tmp_path / "first", DIM))
    assert len(again) == 400
    again.add(np.arange(400, ROWS), short[400:])
    again.write(tmp_path / "again")
    written(tmp_path / "whole", short)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_tenth_is_compared_and_what_is_nearest_is_found_in_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = np.concatenate([vectors(0), vectors(1)])
    parts = [
        part_of(written(tmp_path / "a", short[:ROWS])),
        part_of(written(tmp_path / "b", short[ROWS:], first_key=ROWS)),
    ]
    compared: list[int] = []
    about = SegmentLists.about

    def counted(lists: SegmentLists, number: int, query: CodedQuery) -> np.ndarray:
        compared.append(int(lists.offsets[number + 1] - lists.offsets[number]))
        return about(lists, number, query)

    monkeypatch.setattr(SegmentLists, "about", counted)
    for row in (3, 500, 1200, 1799):
        compared.clear()
        found = nearest_in_parts(parts, short[row], 10)
        exact = np.argsort(-(short @ short[row]))[:10]
        assert found[0] == row and len(set(found.tolist()) & set(exact.tolist())) >= 9
        assert (found < ROWS).any() and (found >= ROWS).any()
        assert 0.1 * len(short) <= sum(compared) < 0.1 * len(short) + 100
    compared.clear()
    assert len(nearest_in_parts(parts, short[0], 400)) == 400 and 400 <= sum(compared) < 500
    compared.clear()
    monkeypatch.setattr(approximate_files, "LEAST_COMPARED", 700)
    assert len(nearest_in_parts(parts, short[0], 10)) == 10 and 700 <= sum(compared) < 800


def test_where_few_are_wanted_of_many_the_best_stay_while_others_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate_files, "COMPARED_SHARE", 1.0)
    short = vectors(0)
    part = part_of(written(tmp_path / "a", short))
    for query in unit_rows(np.random.default_rng(5), 5, DIM):
        found = nearest_in_parts([part], query, 5)
        exact = np.sort(short @ query)[::-1][:5]
        np.testing.assert_allclose(short[found] @ query, exact, atol=0.02)


@pytest.mark.parametrize("count", [0, 1])
def test_lists_of_nothing_and_of_one_segment(tmp_path: Path, count: int) -> None:
    lists = written(tmp_path / "a", vectors(0)[:count])
    assert len(lists) == count
    assert nearest_in_parts([part_of(lists)], vectors(0)[0], 4).tolist() == list(range(count))


def test_nothing_is_nearest_where_there_is_no_part() -> None:
    assert nearest_in_parts([], vectors(0)[0], 4).tolist() == []
