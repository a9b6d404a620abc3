"""What is found is what multiplying every row in float32 finds, whichever estimates went before."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.stores import DIM, IDENTITY, sound_file, sound_from_frames

from soundseek._typing import AnyFloatArray, AnyIntArray, FloatArray, HalfArray
from soundseek.library.store import estimates as module
from soundseek.library.store.base import Changes
from soundseek.library.store.estimates import Estimates, VectorCodes, half_estimates
from soundseek.library.store.exact import (
    LONG_FILE,
    OF_A_LONG_FILE,
    inner_products,
    kth_largest,
    shortlisted_rows,
)
from soundseek.library.store.rows import Runs
from soundseek.library.store.sqlite import SqliteStore


def unit_halves(rng: np.random.Generator, rows: int, dim: int, *, spread: float = 1.0) -> HalfArray:
    """Vectors around one direction, the nearer to it the smaller the spread: their products are close together."""
    wide = rng.standard_normal(dim) + spread * rng.standard_normal((rows, dim))
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)


def unit_query(rng: np.random.Generator, dim: int) -> FloatArray:
    query = rng.standard_normal(dim)
    return (query / np.linalg.norm(query)).astype(np.float32)


def coded(vectors: HalfArray) -> VectorCodes:
    codes = VectorCodes()
    codes.make(vectors)
    return codes


def wrong_by(margin: float, vectors: HalfArray, seed: int) -> object:
    """A scan that is wrong by as much as it says it may be."""
    errors = np.random.default_rng(seed).choice([-margin, margin], len(vectors)).astype(np.float32)
    return lambda query: Estimates(inner_products(vectors, query) + errors, margin + 1e-6)


def naive_shortlist(
    products: FloatArray, files: AnyIntArray, segments: int, num_files: int, allowed: AnyIntArray
) -> list[int]:
    order = [row for row in np.lexsort((np.arange(len(products)), -products)).tolist() if allowed[row]]
    chosen = set(order[:segments])
    of_file: dict[int, list[int]] = {}
    for row in order:
        of_file.setdefault(files[row], []).append(row)
    chosen.update(rows[0] for rows in list(of_file.values())[:num_files])
    for rows in of_file.values():
        if len(rows) >= LONG_FILE:
            chosen.update(rows[:OF_A_LONG_FILE])
    return sorted(chosen)


@pytest.mark.parametrize("dim", [1, 3, 16, 100, 512, 768])
@pytest.mark.parametrize("spread", [0.01, 1.0, 1e4])
def test_no_product_is_farther_from_its_estimate_than_the_margin(dim: int, spread: float) -> None:
    rng = np.random.default_rng(dim)
    vectors = unit_halves(rng, 301, dim, spread=spread)
    codes = coded(vectors)
    for _ in range(5):
        query = unit_query(rng, dim)
        exact = vectors.astype(np.float64) @ query.astype(np.float64)
        for about in (half_estimates(vectors, query), codes.estimates(query, len(vectors))):
            assert (np.abs(about.products - exact) <= about.margins).all()
            assert np.max(about.margins) < 0.03


def test_codes_that_grew_are_those_that_were_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS_A_CHUNK", 64)
    rng = np.random.default_rng(1)
    vectors, query = unit_halves(rng, 200, 16), unit_query(rng, 16)
    codes = VectorCodes()
    for num in (1, 63, 64, 65, 130, 200):
        codes.make(vectors[:num])
        assert codes.num_rows == num
    some = codes.estimates(query, 130)
    at_once = coded(vectors).estimates(query, 200)
    assert np.array_equal(codes.estimates(query, 200).products, at_once.products)
    assert np.array_equal(some.products, at_once.products[:130])


def test_copies_of_a_sound_have_one_score_and_stand_in_the_order_of_their_rows() -> None:
    rng = np.random.default_rng(0)
    originals = unit_halves(rng, 50, 512)
    copies = np.concatenate([originals] * 211)[:-13]
    codes = coded(copies)
    for row in range(10):
        query = originals[row].astype(np.float32)
        for scan in (partial(codes.estimates, num_rows=len(copies)), partial(half_estimates, copies)):
            runs = Runs.of(np.arange(len(copies)))
            rows = shortlisted_rows(copies, query, segments=10, files=1, runs=runs, scan=scan)
            assert rows.tolist() == [row + 50 * place for place in range(10)]
            assert len(set(inner_products(copies, query, rows).tolist())) == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_shortlist_has_the_best_rows_files_and_parts_of_long_files(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, query = unit_halves(rng, 400, 16, spread=0.05), unit_query(rng, 16)
    files = np.repeat(np.arange(400) * 3 + 5, rng.integers(1, 40, 400))[:400]
    products = inner_products(vectors, query)
    scans = (
        partial(coded(vectors).estimates, num_rows=400),
        partial(half_estimates, vectors),
        wrong_by(0.02, vectors, seed),
    )
    for allowed in (np.ones(400, bool), files % 2 == 0, files == files[100]):
        for segments, num_files in ((1, 1), (5, 5), (3, 1000), (1000, 2)):
            listed = naive_shortlist(products, files, segments, num_files, allowed)
            for scan in scans:
                rows = shortlisted_rows(
                    vectors,
                    query,
                    segments=segments,
                    files=num_files,
                    runs=Runs.of(files),
                    allowed=allowed,
                    scan=scan,  # type: ignore[arg-type]
                )
                assert rows.tolist() == listed


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01, 0.0])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_the_kth_largest_is_that_of_all_in_order(share: float, k: int) -> None:
    rng = np.random.default_rng(k)
    values = rng.integers(0, 300, 30_000).astype(np.float32)  # many are equal
    values[rng.random(30_000) >= share] = -np.inf
    for some in (values, np.sort(values), np.sort(values)[::-1], values[:200], values[: k - 1]):
        expected = np.sort(some)[-k] if len(some) >= k else -np.inf
        assert kth_largest(some, k) == expected


def test_only_what_may_be_among_the_largest_is_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ordered: list[int] = []
    partition = np.partition
    monkeypatch.setattr(
        np, "partition", lambda values, at: ordered.append(len(values)) or partition(values, at)
    )
    kth_largest(np.random.default_rng(0).random(100_000, np.float32), 10)
    assert sum(ordered) < 2_000


def test_of_equal_rows_the_first_are_found() -> None:
    vectors = np.repeat(np.eye(2, dtype=np.float16)[:1], 50, axis=0)
    listed = shortlisted_rows(
        vectors,
        np.float32([1, 0]),
        segments=2,
        files=1,
        runs=Runs.of(np.zeros(50, np.int64)),
        scan=partial(half_estimates, vectors),
    )
    assert listed.tolist() == [0, 1, 2, 3]


def test_a_store_that_is_asked_often_finds_the_same_with_codes_as_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AtOnce:
        def __init__(self, *, target: object, args: list[AnyFloatArray], daemon: bool) -> None:
            self.start = partial(target, *args)  # type: ignore[call-overload]

    monkeypatch.setattr(module.threading, "Thread", AtOnce)
    rng = np.random.default_rng(2)

    def commit(first: int, last: int) -> None:
        sounds = []
        for number in range(first, last):
            frames = unit_halves(rng, 4, DIM)
            sounds.append(sound_from_frames(sound_file(f"/{number}.wav"), frames, [(0, 2), (2, 4)]))
        with store.writing():
            store.commit(Changes(sounds=sounds))

    def found() -> list[tuple[str, float]]:
        return [(match.file.path, match.score) for match in best_matches(store, query, k=5)]

    query = unit_query(rng, DIM)
    with_codes: list[int] = []
    estimates = VectorCodes.estimates
    monkeypatch.setattr(
        VectorCodes,
        "estimates",
        lambda self, query, num_rows: with_codes.append(num_rows) or estimates(self, query, num_rows),
    )
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    commit(0, 30)
    before = found()
    assert not with_codes
    assert all(found() == before for _ in range(10))
    assert with_codes and set(with_codes) == {60}
    commit(30, 60)
    grown = found()
    assert with_codes[-1] == 120
    store.close()
    again = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    assert [(match.file.path, match.score) for match in best_matches(again, query, k=5)] == grown
    again.close()


def test_codes_are_made_anew_where_another_process_has_compacted_the_library(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sounds = [
        sound_from_frames(sound_file(f"/{number:02}.wav"), unit_halves(rng, 4, DIM), [(0, 2), (2, 4)])
        for number in range(30)
    ]
    searching = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    with searching.writing():
        searching.commit(Changes(sounds=sounds))
    query = unit_query(rng, DIM)
    with searching._reading() as (_, snapshot):
        snapshot.codes.make(snapshot.maps.vectors)
    best_matches(searching, query, k=5)
    writing = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    with writing.writing():
        writing.commit(Changes(removed=[sound.file.path for sound in sounds[:20]]))
        assert writing.compact()
    fresh = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    expected = [(match.file.path, match.score) for match in best_matches(fresh, query, k=10)]
    assert [(match.file.path, match.score) for match in best_matches(searching, query, k=10)] == expected
    assert len(expected) == 10
    for store in (searching, writing, fresh):
        store.close()
