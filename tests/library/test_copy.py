"""A copy holds the same, goes on after a stop, and says when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.engines import ENGINES, place_in
from library.stores import IDENTITY, sound_file, sound_number, sound_of_vectors, unit_rows, with_windows

from soundseek.errors import LibraryError
from soundseek.library import copy
from soundseek.library.collections import FAVOURITES, Collections, NewEntry
from soundseek.library.store import open_store
from soundseek.library.store.base import Changes, Failure, Store


# From a folder to each engine, and from each engine to a folder.
@pytest.fixture(
    params=[*((engine, "sqlite") for engine in ENGINES), *(("sqlite", engine) for engine in ENGINES[1:])]
)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    ours, theirs = request.param
    with place_in(ours, tmp_path / "ours") as source, place_in(theirs, tmp_path / "theirs") as target:
        yield source, target


@pytest.fixture
def source(places: tuple[str, str]) -> Iterator[Store]:
    store = open_store(places[0], identity=IDENTITY, create=True)
    with store.writing():
        store.commit(
            Changes(
                sounds=[sound_number(number) for number in range(6)],
                failures=[
                    Failure("/sounds/bad.wav", "no sound in it", "2026-01-01T00:00:00+00:00", 3, 4, "x")
                ],
                roots={"/sounds": 7},
                volumes={"/sounds/000001.wav": "disk"},
                settings={"workers": "3"},
            )
        )
        store.finish_run("2026-01-02T00:00:00+00:00")
    yield store
    store.close()


@pytest.fixture
def target(places: tuple[str, str]) -> Iterator[Store]:
    store = open_store(places[1], identity=IDENTITY, create=True)
    yield store
    store.close()


def test_everything_arrives(source: Store, target: Store) -> None:
    report = copy.copy_library(source, target)

    assert (report.files, report.copied, report.segments) == (6, 6, source.stats().segments)
    assert target.files() == source.files()
    assert target.failures() == source.failures()
    assert (target.roots(), target.states("/"), target.settings()) == (
        source.roots(), source.states("/"), source.settings(),
    )  # fmt: skip
    assert target.stats().last_indexed == source.stats().last_indexed
    query = unit_rows(np.random.default_rng(1), 1)[0]
    assert [(m.file.path, m.score) for m in best_matches(target, query, k=9)] == [
        (m.file.path, m.score) for m in best_matches(source, query, k=9)
    ]


def test_windows_that_came_later_arrive_with_the_next_copy(source: Store, target: Store) -> None:
    copy.copy_library(source, target)
    with source.writing():
        source.commit(Changes(sounds=[with_windows(sound_number(2))], settings={"windows": "2 s every 1 s"}))
    assert copy.copy_library(source, target).copied == 1
    assert target.without_windows() == source.without_windows() and target.settings() == source.settings()
    assert len(target.windows_of(["/sounds/000002.wav"])[0]) == 9


def test_a_copy_that_was_stopped_goes_on(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "BATCH_BYTES", 1)

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy.copy_library(source, target, progress=stop)
    assert len(target.files()) == 4

    assert copy.copy_library(source, target).copied == 2
    assert target.files() == source.files()


def test_a_sound_that_changed_since_is_copied_again(source: Store, target: Store) -> None:
    first = copy.copy_library(source, target)
    generator = np.random.default_rng(99)
    with source.writing():
        source.commit(
            Changes(sounds=[sound_of_vectors("/sounds/000002.wav", unit_rows(generator, 2), size_bytes=5)])
        )

    second = copy.copy_library(source, target)

    assert second.copied == 1 and second.digest != first.digest


def test_a_difference_in_a_vector_is_an_error(source: Store, target: Store) -> None:
    copy.copy_library(source, target)
    file = sound_file("/sounds/000002.wav")
    other = sound_of_vectors(file.path, unit_rows(np.random.default_rng(5), 3))
    with target.writing():
        target.commit(Changes(sounds=[other]))

    with pytest.raises(LibraryError, match=r"000002\.wav is not the same .* soundseek library check"):
        copy.copy_library(source, target)


def test_collections_come_along_once(source: Store, target: Store) -> None:
    ours = Collections(source)
    knocks = ours.create("knocks")
    files = source.files()
    ours.add(knocks.id, [NewEntry(files[0], 1.0, 2.0, "good"), NewEntry(files[1])])
    ours.add(FAVOURITES, [NewEntry(files[2])])
    copy.copy_library(source, target)

    for _ in range(2):
        Collections(target).copy_from(ours)

    theirs = Collections(target)
    assert [(each.name, each.count) for each in theirs.all()] == [("favourites", 1), ("knocks", 2)]
    (copied,) = [each for each in theirs.all() if each.name == "knocks"]
    assert [(e.path, e.start_s, e.note) for e in theirs.entries(copied.id)] == [
        (e.path, e.start_s, e.note) for e in ours.entries(knocks.id)
    ]
