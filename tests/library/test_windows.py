"""Moments of models that have none: the scores of short windows, kept by a library that was asked to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from library.fakes import FakeModel, content, embed
from library.stores import DIM, IDENTITY

from soundseek.audio.segments import plan_windows
from soundseek.errors import UsageError
from soundseek.library import Library
from soundseek.library.store.base import Changes, Description
from soundseek.library.windows import windows_within
from soundseek.model.model import AudioEmbedding


class FlatModel(FakeModel):
    """A model without moments of its own; its windows point where its texts do, and window 3 the most."""

    fingerprint = IDENTITY.fingerprint
    has_moments = False

    def embed_text(self, texts: Any) -> np.ndarray:
        return np.tile(np.eye(DIM, dtype=np.float32)[0], (len(texts), 1))

    def embed_file(self, path: str, *, windows: bool = False, **options: Any) -> AudioEmbedding:
        self.embedded.append(f"{Path(path).name}{' with windows' if windows else ''}")
        found = embed(path, **options)
        if windows:
            rows = np.tile(content("a window"), (len(plan_windows(found.info.duration_s)), 1))
            rows[3 % len(rows)] = np.eye(DIM)[0]
            object.__setattr__(found, "windows", rows)
        return found


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "one.wav").write_text("LASTS 12 a sound")
    (folder / "two.wav").write_text("another sound")
    return folder


@pytest.fixture
def model() -> FlatModel:
    return FlatModel()


@pytest.fixture
def library(tmp_path: Path, model: FlatModel) -> Library:
    return Library.create(tmp_path / "library", model=model)


def test_they_are_off_unless_asked_for(library: Library, sounds: Path, model: FlatModel) -> None:
    library.index(sounds)
    assert model.embedded == ["one.wav", "two.wav"] and library.info().windows == 0
    assert all(hit.window_s is None for hit in library.search("a dog"))


def test_a_library_keeps_them_and_shows_their_scores(
    library: Library, sounds: Path, model: FlatModel
) -> None:
    report = library.index(sounds, windows=True)
    assert report.added == 2 and model.embedded == ["one.wav with windows", "two.wav with windows"]
    info = library.info()
    assert (info.windows, info.window_bytes) == (11 + 9, 20 * DIM * 2)  # of 12 s and of 10 s
    hits = {Path(hit.path).name: hit for hit in library.search("a dog")}
    assert {hit.window_s for hit in hits.values()} == {2.0}
    hit = hits["two.wav"]
    assert len(hit.moments) == 9 and hit.moments[3] == 1.0 and hit.moment_s == 4.0
    assert hit.moments[0] == pytest.approx(float(content("a window")[0]), abs=1e-3)
    assert library.score_windows(library.search("a dog"), "a dog") == library.search("a dog")
    assert len(model.embedded) == 2  # nothing was embedded again


def test_a_part_of_a_file_has_the_windows_that_lie_in_it(library: Library, sounds: Path) -> None:
    library.index(sounds, windows=True)
    vectors = library.store.windows_of([str(sounds / "one.wav")])[0]
    within, rows = windows_within(vectors, 12.0, 2.0, 12.0)
    assert [window.start_s for window in within] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    np.testing.assert_array_equal(rows, vectors[1:])
    nearest, row = windows_within(vectors, 12.0, 0.1, 0.3)
    assert [window.start_s for window in nearest] == [0.0] and len(row) == 1


def test_an_existing_library_gets_them_at_the_next_run(
    library: Library, sounds: Path, model: FlatModel
) -> None:
    library.index(sounds)
    report = library.index(windows=True)
    assert (report.given_windows, report.changed, report.added, report.unchanged) == (2, 0, 0, 0)
    assert library.store.without_windows() == set()
    (sounds / "three.wav").write_text("a third sound")
    model.embedded.clear()
    again = library.index()  # it remembers
    assert (again.added, again.unchanged, again.given_windows) == (1, 2, 0)
    assert model.embedded == ["three.wav with windows"]


def test_no_more_are_kept_once_they_are_switched_off(
    library: Library, sounds: Path, model: FlatModel
) -> None:
    library.index(sounds, windows=True)
    assert library.index(windows=False).unchanged == 2
    (sounds / "three.wav").write_text("a third sound")
    library.index()
    assert model.embedded[-1] == "three.wav" and library.info().windows == 0
    assert all(hit.window_s is None for hit in library.search("a dog"))


def test_they_stay_with_what_is_renamed_copied_and_moved(
    library: Library, sounds: Path, model: FlatModel
) -> None:
    library.index(sounds, windows=True)
    model.embedded.clear()
    (sounds / "one.wav").rename(sounds / "first.wav")
    (sounds / "copy.wav").write_text((sounds / "two.wav").read_text())
    report = library.index()
    assert (report.moved, report.added, model.embedded) == (1, 1, [])
    sounds.rename(sounds.parent / "elsewhere")
    assert library.relocate(sounds, sounds.parent / "elsewhere") == 3
    assert library.store.without_windows() == set() and library.info().windows == 11 + 2 * 9
    assert library.forget(sounds.parent / "elsewhere") == 3 and library.info().windows == 0


def test_a_copy_of_a_sound_without_them_gets_its_own(
    library: Library, sounds: Path, model: FlatModel
) -> None:
    library.index(sounds / "one.wav")
    (sounds / "copy.wav").write_text((sounds / "one.wav").read_text())
    library.index(sounds / "copy.wav", windows=True)
    assert model.embedded[-1] == "copy.wav with windows"


def test_an_explanation_has_their_scores(library: Library, sounds: Path) -> None:
    library.index(sounds, windows=True)
    found = library.explain_file(sounds / "two.wav", "a dog")
    assert found.hit.window_s == 2.0 and found.hit.moments[3] == 1.0 and found.frame_s == 1.0


def test_a_model_with_moments_of_its_own_has_no_use_for_them(tmp_path: Path, sounds: Path) -> None:
    with (
        Library.create(tmp_path / "library", model=FakeModel()) as library,
        pytest.raises(UsageError, match="has moments of its own, so there are no windows to keep"),
    ):
        library.index(sounds, windows=True)


def test_the_clock_is_that_of_the_best_window(library: Library, sounds: Path) -> None:
    library.index(sounds, windows=True)
    path = str(sounds / "two.wav")
    sound = library.store.read(path)
    assert sound is not None
    recorded = replace(sound.file, description=Description(clock_s=36_000.0))
    with library.store.writing():
        library.store.commit(Changes(sounds=[replace(sound, file=recorded)]))
    hits = {hit.path: hit for hit in library.search("a dog")}
    assert hits[path].moment_s == 4.0 and hits[path].clock == "10:00:04.000"
    assert hits[path].vector is not None
