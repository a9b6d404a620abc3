"""An approximate index is built by one process at a time, out of the former one where that is still of use."""

from __future__ import annotations

import json
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
from soundseek.library.store.approximate_build import BUILD_LOCK, principal_directions
from soundseek.library.store.approximate_files import MANIFEST, Manifest, checksum_of, open_index
from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore

pytestmark = pytest.mark.usefixtures("for_small_libraries")


def parts_of(store: SqliteStore) -> list[str]:
    """Names of the parts that count."""
    return [part.name for part in Manifest.read(store.directory / MANIFEST).parts]


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
    np.testing.assert_array_equal(after.parts[0].projection, before.parts[0].projection)
    assert not (folder / before.parts[0].name).exists() and not indexed.approximation_is_due()
    with indexed.writing():
        indexed.commit(Changes(removed=[f"/{number:05}.wav" for number in range(400)]))
    assert indexed.approximation_is_due()  # a third of it is gone
    indexed.approximate()
    assert Manifest.read(folder / MANIFEST).num_rows == 1600
    assert parts_of(indexed) == [path.name for path in folder.glob("approximate.*.lists*")]


def test_why_a_build_failed_is_said_until_one_is_good(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    indexed.approximation.remove()
    assert indexed.stats().approximate.startswith("none yet, every segment")
    with monkeypatch.context() as broken:
        broken.setattr(approximate_build, "_written", full)
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


def test_an_index_of_other_vectors_is_found_by_check_and_made_from_nothing(indexed: SqliteStore) -> None:
    vectors = indexed.directory / "vectors.1.f16"
    other = unit_rows(np.random.default_rng(77), 2 * FILES, DIM).astype(np.float16)
    vectors.write_bytes(other.tobytes())
    with indexed._reading() as (_, snapshot):
        (damage,) = indexed.approximation.find_damage(snapshot)
    assert "does not fit" in damage.what
    steps: list[tuple[int, int]] = []
    indexed.approximate(progress=lambda done, of: steps.append((done, of)))
    assert steps[-1] == (2 * FILES, 2 * FILES)
    with indexed._reading() as (_, snapshot):
        assert list(indexed.approximation.find_damage(snapshot)) == []


def test_leftovers_of_a_killed_build_are_no_index_and_go_with_the_next(indexed: SqliteStore) -> None:
    leftover = indexed.directory / "approximate.00000000.lists.partial"
    whole = indexed.directory / "approximate.11111111.lists"
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


def recall(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> float:
    """The part of what an exact search finds that one by the index finds, over some queries."""
    asked = queries()
    with monkeypatch.context() as without:
        without.setenv(FROM_VARIABLE, "never")
        exact = [best_paths(store, query) for query in asked]
    found = [best_paths(store, query) for query in asked]
    return float(np.mean([len(truth & ours) / 10 for truth, ours in zip(exact, found, strict=True)]))


def test_a_build_that_was_killed_goes_on_behind_the_last_whole_part(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate_build, "PART_ROWS", 600)
    monkeypatch.setattr(approximate_build, "PIECE_ROWS", 100)
    indexed.approximation.remove()
    with pytest.raises(Killed):
        indexed.approximate(progress=killed_at(1500))
    kept = Manifest.read(indexed.directory / MANIFEST)
    # Twice 600 rows and the file that comes then.
    assert rows_of_parts(indexed) == [602, 602] and kept.next_file == 603
    assert indexed.approximation_is_due() and indexed.check() == []
    assert indexed.stats().approximate.endswith("796 newer ones compared exactly")
    assert recall(indexed, monkeypatch) > 0.95
    told: list[tuple[int, int]] = []
    indexed.approximate(progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (796, 796) and rows_of_parts(indexed) == [602, 602, 602, 194]
    assert not indexed.approximation_is_due()
    assert len(list(indexed.directory.glob("approximate.*.lists*"))) == 4


@pytest.fixture
def in_parts(indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> SqliteStore:
    """The library with an index of four parts, three of 602 segments and one of 194."""
    monkeypatch.setattr(approximate_build, "PART_ROWS", 600)
    monkeypatch.setattr(approximate_build, "PIECE_ROWS", 100)
    indexed.approximation.remove()
    indexed.approximate()
    return indexed


def rows_of_parts(store: SqliteStore) -> list[int]:
    return [part.num_rows for part in Manifest.read(store.directory / MANIFEST).parts]


def test_a_large_library_has_several_parts_and_what_is_new_goes_into_the_last(
    in_parts: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rows_of_parts(in_parts) == [602, 602, 602, 194] and recall(in_parts, monkeypatch) >= 0.95
    assert in_parts.check() == [] and not in_parts.approximation_is_due()
    before = parts_of(in_parts)
    with in_parts.writing():
        in_parts.commit(Changes(sounds=numbered_sounds(FILES, FILES + 250)))
    told: list[tuple[int, int]] = []
    in_parts.approximate(progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (500, 500) and rows_of_parts(in_parts) == [602, 602, 602, 602, 92]
    assert parts_of(in_parts)[:3] == before[:3] and before[3] not in parts_of(in_parts)
    assert sorted(parts_of(in_parts)) == sorted(
        path.name for path in in_parts.directory.glob("approximate.*.lists*")
    )
    assert recall(in_parts, monkeypatch) >= 0.95 and in_parts.check() == []


def test_parts_of_which_much_is_gone_are_made_anew_and_the_others_stay(
    in_parts: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = parts_of(in_parts)
    with in_parts.writing():  # files 0 to 300 are the first part, up to 601 the second
        gone = [*range(0, 300, 2), *range(301, 600, 2)]
        in_parts.commit(Changes(removed=[f"/{number:05}.wav" for number in gone]))
    assert in_parts.approximation_is_due()
    with pytest.raises(Killed):
        in_parts.approximate(progress=killed_at(900))
    assert parts_of(in_parts) == before and recall(in_parts, monkeypatch) >= 0.95
    told: list[tuple[int, int]] = []
    in_parts.approximate(progress=lambda done, of: told.append((done, of)))
    # The two are one range of files; what is gone has rows there until the library is compacted.
    assert told[-1] == (1204, 1204) and sum(rows_of_parts(in_parts)) == 2 * (FILES - 300)
    assert parts_of(in_parts)[-2:] == before[-2:] and not set(before[:2]) & set(parts_of(in_parts))
    assert recall(in_parts, monkeypatch) >= 0.95 and in_parts.check() == []
    assert not in_parts.approximation_is_due()


def test_a_part_that_begins_with_rows_that_are_gone_has_lists_for_those_that_come_behind(
    in_parts: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts.approximation.remove()
    with in_parts.writing():
        in_parts.commit(Changes(removed=[f"/{number:05}.wav" for number in range(301)]))
    in_parts.approximate()
    first, *_ = Manifest.read(in_parts.directory / MANIFEST).parts
    assert first.built_rows == 600 and first.num_rows == 602
    assert recall(in_parts, monkeypatch) >= 0.95 and in_parts.check() == []


def test_of_a_damaged_part_alone_another_is_made(
    in_parts: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = parts_of(in_parts)
    held = bytearray((in_parts.directory / before[1]).read_bytes())
    held[len(held) // 2] ^= 4
    (in_parts.directory / before[1]).write_bytes(held)
    assert len(in_parts.check()) == 1
    in_parts.approximate()
    after = parts_of(in_parts)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True, True]
    assert in_parts.check() == [] and recall(in_parts, monkeypatch) >= 0.95


def test_a_new_index_is_opened_with_the_parts_that_are_open(in_parts: SqliteStore) -> None:
    first = open_index(in_parts.directory, WIDE.fingerprint)
    with in_parts.writing():
        in_parts.commit(Changes(sounds=numbered_sounds(FILES, FILES + 10)))
    in_parts.approximate()
    second = open_index(in_parts.directory, WIDE.fingerprint, first.parts)
    is_same = [one is other for one, other in zip(first.parts, second.parts, strict=True)]
    assert is_same == [True, True, True, False] and second.parts[-1].part.num_rows == 214


def test_an_index_that_an_earlier_soundseek_made_is_not_used_and_another_takes_its_place(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed.approximation.remove()
    graph = indexed.directory / "approximate.0123abcd.graph"
    graph.write_bytes(bytes(64))
    facts = {
        "revision": 1, "graph": graph.name, "num_bytes": 64, "checksum": checksum_of(graph),
        "fingerprint": WIDE.fingerprint, "num_rows": 2 * FILES, "next_file": FILES + 1, "built_rows": 2 * FILES,
    }  # fmt: skip
    with (indexed.directory / MANIFEST).open("wb") as handle:
        np.savez(
            handle,
            facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
            projection=np.eye(DIM, dtype=np.float32),
            long_files=np.empty(0, np.int64),
        )
    assert "another version of soundseek made it" in indexed.stats().approximate
    assert recall(indexed, monkeypatch) == 1 and indexed.approximation_is_due()
    indexed.approximate()
    assert rows_of_parts(indexed) == [2 * FILES] and not graph.exists()
    assert not indexed.approximation_is_due() and indexed.check() == []


def test_a_last_part_that_outgrows_its_principal_directions_gets_others(in_parts: SqliteStore) -> None:
    first = Manifest.read(in_parts.directory / MANIFEST)
    with in_parts.writing():
        in_parts.commit(Changes(sounds=numbered_sounds(FILES, FILES + 5)))
    in_parts.approximate()
    some = Manifest.read(in_parts.directory / MANIFEST).parts[-1]
    assert some.built_rows == 194 and some.num_rows == 204
    np.testing.assert_array_equal(some.projection, first.parts[-1].projection)
    small = replace(some, built_rows=50)
    replace(first, parts=(*first.parts[:3], small)).write(in_parts.directory / MANIFEST)
    assert in_parts.approximation_is_due()
    in_parts.approximate()
    assert Manifest.read(in_parts.directory / MANIFEST).parts[-1].built_rows == 204
    assert not in_parts.approximation_is_due()


def test_an_index_is_not_given_up_for_a_part_of_the_next(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate_build, "PART_ROWS", 600)
    monkeypatch.setattr(approximate_build, "PIECE_ROWS", 100)
    before = Manifest.read(indexed.directory / MANIFEST)
    with indexed.writing():
        indexed.commit(Changes(removed=[f"/{number:05}.wav" for number in range(400)]))
    with pytest.raises(Killed):  # so many are gone that it is made from nothing
        indexed.approximate(progress=killed_at(1900))
    assert parts_of(indexed) == [before.parts[0].name]


@pytest.mark.parametrize("why", ["another model", "no lists"])
def test_an_index_that_no_search_can_use_holds_back_no_part_of_the_next(
    indexed: SqliteStore, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(approximate_build, "PART_ROWS", 600)
    monkeypatch.setattr(approximate_build, "PIECE_ROWS", 100)
    before = Manifest.read(indexed.directory / MANIFEST)
    if why == "no lists":
        (indexed.directory / before.parts[0].name).unlink()
    else:
        replace(before, fingerprint="f" * 12).write(indexed.directory / MANIFEST)
    with pytest.raises(Killed):
        indexed.approximate(progress=killed_at(1500))
    kept = Manifest.read(indexed.directory / MANIFEST)
    assert (
        kept.parts[0].name != before.parts[0].name
        and kept.num_rows == 1204
        and kept.fingerprint == WIDE.fingerprint
    )


def test_a_long_file_is_not_cut_where_a_part_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate_build, "PART_ROWS", 3)
    numbers = np.array([1, 1, 2, 5, 5, 5, 5, 9, 9])
    assert [approximate_build._next_stop(numbers, at, 9, 0) for at in (0, 2, 7)] == [7, 7, 9]
    assert [approximate_build._next_stop(numbers, 0, 9, held) for held in (1, 2)] == [3, 2]
    assert approximate_build._next_stop(numbers, 0, 5, 0) == 5


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
        vectors = snapshot.maps.vectors.astype(np.float32)
    projection = principal_directions(vectors)
    np.testing.assert_allclose(projection.T @ projection, np.eye(12), atol=1e-5)
    kept = np.square(vectors @ projection).sum()
    chosen_blindly = np.square(vectors[:, :12]).sum()
    assert kept > 1.5 * chosen_blindly
