"""An approximate index is built by one process at a time, out of the former one where that is still of use."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from library.approximations import DIM, FILES, FROM, WIDE, numbered_sounds, queries
from library.best_matches import best_matches
from library.stores import unit_rows

from soundseek._files import take_lock
from soundseek.errors import LibraryError, StorageError
from soundseek.library.store import approximate_build
from soundseek.library.store.approximate import FROM_VARIABLE
from soundseek.library.store.approximate_build import BUILD_LOCK, former_graph, principal_directions
from soundseek.library.store.approximate_files import MANIFEST, Manifest
from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("for_small_libraries")


def test_the_index_is_brought_up_to_date_or_made_anew(indexed: SqliteStore) -> None:
    folder = indexed.directory
    before = Manifest.read(folder / MANIFEST)
    assert before.num_rows == 2 * FILES and not indexed.approximation_is_due()
    with indexed.writing():
        indexed.commit(Changes(sounds=numbered_sounds(FILES, FILES + 200)))
    assert indexed.approximation_is_due()  # a sixth of it is new
    steps: list[tuple[int, int]] = []
    indexed.approximate(progress=lambda done, of: steps.append((done, of)))
    after = Manifest.read(folder / MANIFEST)
    assert steps[-1] == (400, 400) and after.num_rows == 2 * FILES + 400
    np.testing.assert_array_equal(after.projection, before.projection)
    assert not (folder / before.graph).exists() and not indexed.approximation_is_due()
    with indexed.writing():
        indexed.commit(Changes(removed=[f"/{number:05}.wav" for number in range(400)]))
    assert indexed.approximation_is_due()  # a third of it is gone
    indexed.approximate()
    assert Manifest.read(folder / MANIFEST).num_rows == 1600
    assert [path.name for path in folder.glob("approximate.*.graph*")] == [
        Manifest.read(folder / MANIFEST).graph
    ]


def test_why_a_build_failed_is_said_until_one_is_good(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    indexed.approximation.remove()
    assert indexed.stats().approximate.startswith("none yet, every segment")
    with monkeypatch.context() as broken:
        broken.setattr(approximate_build, "_add_rows", full)
        with pytest.raises(StorageError, match="the disk is full"):
            indexed.approximate()
    assert indexed.stats().approximate.startswith("none yet (the last try failed: the disk is full)")
    indexed.approximate()
    assert not (indexed.directory / approximate_build.BUILD_ERROR).exists()
    indexed.approximation.remove()
    assert indexed.stats().approximate.startswith("none yet, every segment")


def test_the_end_of_a_run_starts_a_build_in_the_background(
    tmp_path: Path, for_small_libraries: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore.open(tmp_path / "library", identity=WIDE)
    with store.writing():
        store.commit(Changes(sounds=numbered_sounds(0, 50)))
        store.finish_run("2026-01-01T00:00:00Z")
        assert for_small_libraries == []
        store.commit(Changes(sounds=numbered_sounds(50, 120)))
        monkeypatch.setenv(FROM_VARIABLE, "never")
        store.finish_run("2026-01-01T00:00:00Z")
        assert for_small_libraries == []
        monkeypatch.setenv(FROM_VARIABLE, str(FROM))
        store.finish_run("2026-01-01T00:00:00Z")
        (command,) = for_small_libraries
        assert command[1:] == [
            "-m", "soundseek", "library", "approximate", "--if-due", "--library", str(tmp_path / "library"),
        ]  # fmt: skip
        store.approximate()  # beside the writer
        store.finish_run("2026-01-01T00:00:00Z")
    assert len(for_small_libraries) == 1
    store.close()


def test_an_index_of_other_vectors_is_found_by_check_and_not_added_to(indexed: SqliteStore) -> None:
    vectors = indexed.directory / "vectors.1.f16"
    other = unit_rows(np.random.default_rng(77), 2 * FILES, DIM).astype(np.float16)
    vectors.write_bytes(other.tobytes())
    with indexed._reading() as (_, snapshot):
        (damage,) = indexed.approximation.find_damage(snapshot)
        assert "does not fit" in damage.what
        assert former_graph(indexed.directory, WIDE.fingerprint, snapshot) is None


def test_leftovers_of_a_killed_build_are_no_index_and_go_with_the_next(indexed: SqliteStore) -> None:
    leftover = indexed.directory / "approximate.00000000.graph.partial"
    whole = indexed.directory / "approximate.11111111.graph"
    leftover.write_bytes(b"x")
    whole.write_bytes(b"y")
    assert indexed.check() == [] and len(best_matches(indexed, queries(1)[0], k=3)) == 3
    indexed.approximate()
    assert not leftover.exists() and not whole.exists()


class Killed(BaseException):
    """The process ends."""


def best_paths(store: SqliteStore, query: np.ndarray) -> set[str]:
    return {match.file.path for match in best_matches(store, query, k=10)}


def killed_at(least: int) -> Callable[[int, int], None]:
    def progress(done: int, of: int) -> None:
        if done >= least:
            raise Killed

    return progress


def test_a_build_that_was_killed_goes_on_from_the_last_doubling(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate_build, "KEPT_ROWS", 200)
    monkeypatch.setattr(approximate_build, "PIECE_ROWS", 100)
    asked = queries()
    with monkeypatch.context() as without:
        without.setenv(FROM_VARIABLE, "never")
        exact = [best_paths(indexed, query) for query in asked]
    indexed.approximation.remove()
    with pytest.raises(Killed):
        indexed.approximate(progress=killed_at(1500))
    half = Manifest.read(indexed.directory / MANIFEST)
    # 200 rows and the file that comes then, twice as many and one, ...
    assert half.num_rows == 814 and half.next_file == 408
    assert indexed.approximation_is_due() and indexed.check() == []
    assert indexed.stats().approximate.endswith("1,186 newer ones compared exactly")
    found = [best_paths(indexed, query) for query in asked]
    assert np.mean([len(truth & ours) / 10 for truth, ours in zip(exact, found, strict=True)]) > 0.95
    told: list[tuple[int, int]] = []
    indexed.approximate(progress=lambda done, of: told.append((done, of)))
    whole = Manifest.read(indexed.directory / MANIFEST)
    assert told[-1] == (1186, 1186) and whole.num_rows == 2 * FILES and not indexed.approximation_is_due()
    assert len(list(indexed.directory.glob("approximate.*.graph*"))) == 1


def test_an_index_is_not_given_up_for_a_part_of_the_next(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate_build, "KEPT_ROWS", 200)
    monkeypatch.setattr(approximate_build, "PIECE_ROWS", 100)
    before = Manifest.read(indexed.directory / MANIFEST)
    with indexed.writing():
        indexed.commit(Changes(removed=[f"/{number:05}.wav" for number in range(400)]))
    with pytest.raises(Killed):  # so many are gone that it is made from nothing
        indexed.approximate(progress=killed_at(1900))
    assert Manifest.read(indexed.directory / MANIFEST).graph == before.graph


@pytest.mark.parametrize("why", ["another model", "no graph"])
def test_an_index_that_no_search_can_use_holds_back_no_part_of_the_next(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(approximate_build, "KEPT_ROWS", 200)
    monkeypatch.setattr(approximate_build, "PIECE_ROWS", 100)
    before = Manifest.read(indexed.directory / MANIFEST)
    if why == "no graph":
        (indexed.directory / before.graph).unlink()
    else:
        replace(before, fingerprint="f" * 12).write(indexed.directory / MANIFEST)
    with pytest.raises(Killed):
        indexed.approximate(progress=killed_at(1500))
    kept = Manifest.read(indexed.directory / MANIFEST)
    assert kept.graph != before.graph and kept.num_rows == 814 and kept.fingerprint == WIDE.fingerprint


def test_a_long_file_is_not_cut_where_a_graph_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate_build, "KEPT_ROWS", 3)
    numbers = np.array([1, 1, 2, 5, 5, 5, 5, 9, 9])
    assert [approximate_build._next_stop(numbers, at, 0) for at in (0, 2, 7)] == [7, 7, 9]
    assert approximate_build._next_stop(numbers, 2, 6) == 9


def test_one_process_builds_at_a_time(indexed: SqliteStore) -> None:
    with (indexed.directory / BUILD_LOCK).open("a+b") as handle:
        assert take_lock(handle) is None
        with pytest.raises(LibraryError, match=rf"is being built by this process \({os.getpid()}\)"):
            indexed.approximate()


def test_the_projection_keeps_what_most_vectors_have(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate_build, "SHORT_DIM", 12)
    with indexed._reading() as (_, snapshot):
        projection = principal_directions(snapshot)
        vectors = snapshot.maps.vectors.astype(np.float32)
    np.testing.assert_allclose(projection.T @ projection, np.eye(12), atol=1e-5)
    kept = np.square(vectors @ projection).sum()
    chosen_blindly = np.square(vectors[:, :12]).sum()
    assert kept > 1.5 * chosen_blindly
