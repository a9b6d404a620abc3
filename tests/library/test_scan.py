"""Walking folders: links, loops, hidden files, things that are no files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from library.stores import IDENTITY, sound_of_vectors, unit_rows

from soundseek.library.scan import FolderDifference, compare
from soundseek.library.store.base import Changes, Failure
from soundseek.library.store.sqlite import SqliteStore
from soundseek.library.volumes import Volumes


@pytest.fixture
def store() -> SqliteStore:
    return SqliteStore.temporary(IDENTITY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sounds").mkdir()
    return tmp_path / "sounds"


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name cannot be read."""
    real = os.scandir

    def refuse(path: str | int) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("locked"):  # a number is a folder that is open already
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("sound")
    return path


def scan(store: SqliteStore, *folders: Path) -> FolderDifference:
    return compare(store, folders, extensions={".wav", ".mp3"}, max_duration_s=3600, decoders="1")


def new(store: SqliteStore, folder: Path) -> list[str]:
    return [os.path.relpath(found.path, folder) for found in scan(store, folder).to_embed]


def test_only_sounds_count_and_come_in_order(store: SqliteStore, folder: Path) -> None:
    for name in ("b.wav", "a.MP3", "deep/er/c.Wav", "no.txt", "wav", ".wav", "x.wav.bak", "mp3.", "d.mp3"):
        put(folder / name)
    assert new(store, folder) == ["a.MP3", "b.wav", "d.mp3", "deep/er/c.Wav"]


def test_hidden_files_and_folders_are_passed_over(store: SqliteStore, folder: Path) -> None:
    for name in (".a.wav", ".git/b.wav", "._c.wav", "d/.e/f.wav"):
        put(folder / name)
    assert new(store, folder) == []


def test_a_folder_that_is_called_like_a_sound_is_a_folder(store: SqliteStore, folder: Path) -> None:
    put(folder / "x.wav" / "y.wav")
    assert new(store, folder) == ["x.wav/y.wav"]
    assert scan(store, folder).unreadable == scan(store, folder).no_files == {}


def test_a_folder_named_like_a_sound_does_not_keep_what_was_in_it(store: SqliteStore, folder: Path) -> None:
    inside, other = put(folder / "x.wav" / "y.wav"), put(folder / "z.wav")
    with store.writing():
        vectors = unit_rows(np.random.default_rng(0), 1)
        sounds = [sound_of_vectors(str(path), vectors) for path in (inside, other)]
        store.commit(
            Changes(sounds=sounds, volumes=dict.fromkeys((str(inside), str(other)), volume_of(folder)))
        )
    inside.unlink()
    assert set(scan(store, folder).gone) == {str(inside)}


def test_a_loop_of_folders_ends_and_lists_each_file_once_by_its_real_path(
    store: SqliteStore, folder: Path
) -> None:
    put(folder / "z" / "a.wav")
    (folder / "z" / "up").symlink_to(folder)
    (folder / "also-z").symlink_to(folder / "z")
    assert new(store, folder) == ["z/a.wav"]


def test_a_link_to_a_folder_elsewhere_is_followed(store: SqliteStore, folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "a.wav")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    assert new(store, folder) == ["linked/a.wav"]


def test_links_that_lead_nowhere_are_named_if_they_look_like_sounds(store: SqliteStore, folder: Path) -> None:
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    (folder / "broken.mp3").symlink_to(folder / "missing")
    (folder / "broken.txt").symlink_to(folder / "missing")
    found = scan(store, folder)
    reasons = {Path(path).name: reason for path, reason in found.unreadable.items()}
    assert set(reasons) == {"loop.wav", "broken.mp3"}
    assert (
        "symbolic links" in reasons["loop.wav"]
        and reasons["broken.mp3"] == f"it is a link to {folder / 'missing'}, which is not there"
    )


def test_a_pipe_is_named_and_never_opened(store: SqliteStore, folder: Path) -> None:
    os.mkfifo(folder / "pipe.wav")
    found = scan(store, folder)
    assert found.to_embed == []
    assert found.no_files == {str(folder / "pipe.wav"): "no regular file (a pipe, a socket or a device)"}


@pytest.mark.usefixtures("locked")
def test_a_folder_that_cannot_be_read_is_named_and_what_lies_below_is_kept(
    store: SqliteStore, folder: Path
) -> None:
    known = str(put(folder / "locked" / "a.wav"))
    gone = str(folder / "open" / "b.wav")
    remember(store, known, gone)
    found = scan(store, folder)
    assert found.unreadable == {str(folder / "locked"): "the folder cannot be read: Permission denied"}
    assert set(found.gone) == {gone}


def test_a_single_file_may_be_scanned_and_found_gone(store: SqliteStore, folder: Path) -> None:
    path = put(folder / "a.wav")
    put(folder / "b.wav")
    assert [found.path for found in scan(store, path).to_embed] == [str(path)]
    remember(store, str(path))
    path.unlink()
    assert set(scan(store, path).gone) == {str(path)}


def test_folders_inside_each_other_are_scanned_once(store: SqliteStore, folder: Path) -> None:
    put(folder / "in" / "a.wav")
    assert len(scan(store, folder, folder / "in", folder).to_embed) == 1


def test_an_earlier_root_in_a_hidden_folder_is_not_forgotten_with_its_parent(
    store: SqliteStore, folder: Path
) -> None:
    path = put(folder / ".hidden" / "a.wav")
    remember(store, str(path), roots={str(folder / ".hidden"): 1})
    found = scan(store, folder)
    assert found.gone == {} and len(found.to_embed) == 1  # it has another time than the one remembered


def test_a_relative_folder_is_stored_by_its_absolute_path(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder / "a.wav")
    monkeypatch.chdir(folder)
    assert [found.path for found in scan(store, Path()).to_embed] == [str(folder / "a.wav")]


def test_a_folder_without_sounds_is_told_from_its_neighbours(store: SqliteStore, folder: Path) -> None:
    for name in ("bells/a.wav", "bells more/deep/b.wav", "x.wav/notes.txt"):
        put(folder / name)
    for name in ("bell", "bells m", "bells more/empty", "bells/inner"):
        (folder / name).mkdir()
    roots = [folder / name for name in ("bells", "bell", "bells more", "bells m", "bells/inner", "x.wav")]
    difference = scan(store, *roots, folder / "bells more" / "empty")
    empty = [os.path.relpath(path, folder) for path in difference.empty]
    assert empty == ["bell", "bells m", "bells/inner", "x.wav", "bells more/empty"]
    assert list(difference.roots) == [str(folder / "bells"), str(folder / "bells more")]
    assert scan(store, folder).empty == ()


def test_each_difference_has_its_name(store: SqliteStore, folder: Path) -> None:
    paths = {
        name: put(folder / f"{name}.wav")
        for name in ("same", "touched", "changed", "longer", "failed", "new")
    }
    states = {name: path.stat() for name, path in paths.items()}
    rows = unit_rows(np.random.default_rng(0), 1)
    facts = {name: {"size_bytes": s.st_size, "mtime_ns": s.st_mtime_ns} for name, s in states.items()}
    facts["touched"]["mtime_ns"] += 1
    facts["changed"]["size_bytes"] += 1
    sounds = [
        sound_of_vectors(str(paths[name]), rows, **facts[name], truncated=name == "longer", limit_s=60.0)
        for name in ("same", "touched", "changed", "longer")
    ]
    failed = Failure(str(paths["failed"]), "bad", "2024", *facts["failed"].values(), "1")
    vanished = Failure(str(folder / "vanished.wav"), "bad", "2024")
    with store.writing():
        store.commit(Changes(sounds=sounds, failures=[failed, vanished]))
    found = scan(store, folder)
    assert [(Path(each.path).stem, each.status) for each in found.to_embed] == [
        ("changed", "changed"),
        ("longer", "longer"),
        ("new", "new"),
        ("touched", "touched"),
    ]
    assert (found.unchanged, found.still_failing) == (1, 1)
    assert found.resolved == [vanished.path] and found.gone == {}
    assert found.roots == {str(folder): folder.stat().st_dev}


def remember(store: SqliteStore, *paths: str, roots: dict[str, int] | None = None) -> None:
    rows = unit_rows(np.random.default_rng(0), 1)
    with store.writing():
        store.commit(Changes(sounds=[sound_of_vectors(path, rows) for path in paths], roots=roots or {}))


def volume_of(folder: Path) -> str:
    return Volumes().name(os.path.realpath(folder))


@pytest.mark.usefixtures("locked")
def test_failures_below_a_folder_that_cannot_be_read_stay(store: SqliteStore, folder: Path) -> None:
    inside, outside = put(folder / "locked" / "a.wav"), folder / "gone.wav"
    with store.writing():
        failures = [Failure(str(path), "bad", "2024") for path in (inside, outside)]
        store.commit(Changes(failures=failures))
    assert scan(store, folder).resolved == [str(outside)]


def test_a_single_file_whose_folder_is_gone_as_well_is_missing(store: SqliteStore, folder: Path) -> None:
    path = put(folder / "deep" / "a.wav")
    other = put(folder / "b.wav")
    remember(store, str(path))
    path.unlink()
    path.parent.rmdir()
    found = scan(store, path, other)
    assert list(found.missing_roots) == [str(path)] and found.gone == {}


def test_a_folder_whose_name_begins_alike_is_another_one(store: SqliteStore, folder: Path) -> None:
    put(folder / "bells" / "a.wav")
    put(folder / "bells more" / "b.wav")
    with store.writing():
        store.commit(Changes(roots={str(folder / "bells more"): 1}))
    assert list(scan(store, folder / "bells").roots) == [str(folder / "bells")]


def test_of_two_links_to_one_folder_the_first_by_name_counts(
    store: SqliteStore, folder: Path, tmp_path: Path
) -> None:
    put(tmp_path / "elsewhere" / "x.wav")
    for name in ("b", "c", "a", "d"):
        (folder / name).symlink_to(tmp_path / "elsewhere")
    assert new(store, folder) == ["a/x.wav"]
