"""Damage is found wherever a byte was changed, and repaired without losing what is whole."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from library.stores import DIM, IDENTITY, sound_number, with_windows

from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore

NUMBERS = range(8)
VICTIM = "/sounds/000003.wav"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Eight sounds of one to four segments, one of them replaced since, so that there are dead rows."""
    folder = tmp_path / "library"
    store = SqliteStore.open(folder, identity=IDENTITY)
    with store.writing():
        store.commit(Changes(sounds=[sound_number(number) for number in NUMBERS]))
        store.commit(Changes(sounds=[sound_number(0)]))
    store.close()
    return folder


def damages(folder: Path) -> list[tuple[str, str]]:
    store = SqliteStore.open(folder)
    try:
        return [(Path(each.path).name, each.what) for each in store.check()]
    finally:
        store.close()


def rows_of(folder: Path, path: str) -> tuple[int, int]:
    """First row and first frame of a sound."""
    connection = sqlite3.connect(folder / "library.sqlite")
    found = connection.execute(
        "SELECT first_row, first_frame FROM files WHERE path = ?", [os.fsencode(path)]
    ).fetchone()
    connection.close()
    return found


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_whole_library_has_no_damage(filled: Path) -> None:
    assert damages(filled) == []


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([np.nan] * DIM, "a vector is not finite"),
        ([0.5] * DIM, "a vector has not the length of one"),
        ([1.0] + [0.0] * (DIM - 1), "a vector is not the mean of its frames"),
    ],
)
def test_a_changed_vector_names_its_sound(filled: Path, values: list[float], what: str) -> None:
    row, _ = rows_of(filled, VICTIM)
    overwrite(filled / "vectors.1.f16", row * DIM * 2, np.array(values, np.float16).tobytes())

    assert damages(filled) == [("000003.wav", what)]


def test_a_changed_window_names_its_sound(filled: Path) -> None:
    store = SqliteStore.open(filled)
    with store.writing():
        store.commit(Changes(sounds=[with_windows(sound_number(3))]))
    store.close()
    assert damages(filled) == []
    _, frame = rows_of(filled, VICTIM)
    overwrite(filled / "frames.1.f16", (frame + 4) * DIM * 2, np.zeros(DIM, np.float16).tobytes())

    assert damages(filled) == [("000003.wav", "a window's vector has not the length of one")]


def test_a_changed_frame_names_its_sound(filled: Path) -> None:
    _, frame = rows_of(filled, VICTIM)
    overwrite(filled / "frames.1.f16", frame * DIM * 2, np.array([np.inf] * DIM, np.float16).tobytes())

    assert damages(filled) == [("000003.wav", "a vector is not finite")]


@pytest.mark.parametrize(
    ("offset", "content", "what"),
    [
        (0, np.int64(999).tobytes(), "its segments are marked as another sound's"),
        (8, np.float64(np.nan).tobytes(), "a segment's times are not possible"),
        (32, np.int64(10**6).tobytes(), "a segment lies outside its frames"),
    ],
)
def test_a_changed_record_names_its_sound(filled: Path, offset: int, content: bytes, what: str) -> None:
    row, _ = rows_of(filled, VICTIM)
    overwrite(filled / "segments.1.rows", row * 40 + offset, content)

    assert damages(filled) == [("000003.wav", what)]


@pytest.mark.parametrize("name", ["vectors.1.f16", "segments.1.rows", "frames.1.f16"])
def test_a_row_file_that_was_cut_is_named_with_the_sounds_that_it_cost(filled: Path, name: str) -> None:
    file = filled / name
    os.truncate(file, file.stat().st_size // 2)

    found = damages(filled)

    assert found[0][0] == name and "of its" in found[0][1]
    assert 0 < len(found) - 1 < len(NUMBERS)
    assert {what for _, what in found[1:]} == {"its rows are missing"}


@pytest.mark.parametrize("name", ["vectors.1.f16", "segments.1.rows", "frames.1.f16"])
def test_a_repair_keeps_what_is_whole_and_drops_the_rest(filled: Path, name: str) -> None:
    file = filled / name
    os.truncate(file, file.stat().st_size // 2)
    lost = {path for path, what in damages(filled) if what == "its rows are missing"}
    store = SqliteStore.open(filled)

    with store.writing():
        assert store.repair(store.check()) == len(lost)

    left = {Path(each.path).name for each in store.files()}
    assert left == {f"{number:06d}.wav" for number in NUMBERS} - lost
    for number in NUMBERS:
        wanted = sound_number(number)
        if Path(wanted.file.path).name in left:
            kept = store.read(wanted.file.path)
            assert kept is not None
            np.testing.assert_allclose(kept.vectors, wanted.vectors, atol=1e-3)
    with store.writing():
        store.commit(Changes(sounds=[sound_number(number) for number in NUMBERS]))
    assert store.check() == []
    store.close()


def test_a_damaged_database_is_named(filled: Path) -> None:
    connection = sqlite3.connect(filled / "library.sqlite")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (root,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'files_by_content'"
    ).fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    overwrite(filled / "library.sqlite", (root - 1) * page + 8, b"\x07" * 64)

    found = damages(filled)

    assert found[0][0] == "library.sqlite" and found[0][1].startswith("SQLite says: ")
