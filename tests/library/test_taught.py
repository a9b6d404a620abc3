"""What was taught is kept by name: marks outlive index runs and moves, and turn searches."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import QueryError, UsageError
from soundseek.library import Library
from soundseek.library.named_lists import NameTakenError
from soundseek.library.taught import TaughtSounds, UnknownTaughtError
from soundseek.model.registry import load_model


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_model(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(4):
        write_tone(folder / f"tone{number}.wav", frequency_hz=200.0 * 2**number)
    write_tone(folder / "long.wav", frequency_hz=300.0, duration_s=22.0)
    return folder


@pytest.fixture
def library(tmp_path: Path, folder: Path, toy: Path) -> Library:
    library = Library.create(tmp_path / "library", model=load_model(toy))
    library.index(folder)
    yield library
    library.close()


def names(library: Library, **how: object) -> list[str]:
    return [Path(hit.path).name for hit in library.search(**how)]  # type: ignore[arg-type]


def test_marks_turn_a_search_and_are_a_search_of_their_own(library: Library, folder: Path) -> None:
    before = library.search("a tone", k=5)
    last = before[-1]
    taught = library.mark("mine", right=[last.path], wrong=[before[0].path])
    assert (taught.name, taught.right, taught.wrong) == ("mine", 1, 1)
    after = library.search("a tone", k=5, taught="mine")
    score = {hit.path: hit.score for hit in after}
    assert score[before[0].path] - score[last.path] < before[0].score - last.score
    assert after[0].moments and after[0].match is None
    alone = library.search(taught="mine", k=5)
    assert alone[0].path == last.path
    assert names(library, taught="mine", where="name ~ tone", k=9) == [
        Path(hit.path).name for hit in alone if "tone" in hit.path
    ]
    without = library.search(taught="mine", without=["a tone"], k=5)
    assert [hit.score for hit in without] != [hit.score for hit in alone]


def test_marks_follow_their_sounds_and_outlive_an_index_run(library: Library, folder: Path) -> None:
    library.mark("mine", right=[folder / "tone1.wav"], wrong=[(folder / "long.wav", 2.0, 4.0)])
    before = [hit.score for hit in library.search(taught="mine", k=5)]
    (folder / "tone1.wav").rename(folder / "moved.wav")
    library.index(folder)
    sounds = TaughtSounds(library.store)
    right, wrong = sounds.marks(sounds.named("mine").id)
    assert Path(right.path).name == "moved.wav" and right.is_right and right.file is not None
    assert (wrong.start_s, wrong.end_s, wrong.is_right) == (2.0, 4.0, False)
    assert [hit.score for hit in library.search(taught="mine", k=5)] == pytest.approx(before, abs=1e-5)
    library.forget(folder / "moved.wav")
    assert sounds.marks(right.id)[0].file is None
    with pytest.raises(QueryError, match="mark a sound that is right"):
        library.search(taught="mine")


def test_a_sound_marked_again_changes_its_mind_and_searches_see_it_at_once(
    library: Library, folder: Path
) -> None:
    library.mark("mine", right=[folder / "tone0.wav", folder / "tone3.wav"])
    first = library.search("a tone", taught="mine", k=5)
    taught = library.mark("mine", wrong=[folder / "tone0.wav"])
    assert (taught.right, taught.wrong) == (1, 1)
    second = library.search("a tone", taught="mine", k=5)
    assert [hit.score for hit in first] != [hit.score for hit in second]
    sounds = TaughtSounds(library.store)
    for mark in sounds.marks(taught.id):
        sounds.discard(taught.id, mark.id)
    plain = {hit.path: hit.score for hit in library.search("a tone", k=5)}
    emptied = {hit.path: hit.score for hit in library.search("a tone", k=5, taught="mine")}
    assert emptied == pytest.approx(plain, abs=1e-5)


def test_names_are_made_renamed_copied_and_forgotten(
    library: Library, folder: Path, tmp_path: Path, toy: Path
) -> None:
    sounds = TaughtSounds(library.store)
    assert sounds.all() == [] and library.taught() == []
    library.mark("b", right=[folder / "tone0.wav"])
    made = sounds.create(" A ")
    assert [each.name for each in library.taught()] == ["A", "b"]
    with pytest.raises(NameTakenError, match="choose another name"):
        sounds.rename(made.id, "b")
    assert sounds.rename(made.id, "c").name == "c"
    with Library.create(tmp_path / "other", model=load_model(toy)) as other:
        other.index(folder)
        theirs = TaughtSounds(other.store)
        theirs.copy_from(sounds)
        theirs.copy_from(sounds)
        assert [(each.name, each.right) for each in theirs.all()] == [("b", 1), ("c", 0)]
        assert theirs.marks(theirs.named("b").id)[0].file is not None
    sounds.remove(made.id)
    for missing in (
        lambda: sounds.get(made.id),
        lambda: sounds.discard(made.id, 1),
        lambda: sounds.named("c"),
    ):
        with pytest.raises(UnknownTaughtError):
            missing()
    with pytest.raises(UnknownTaughtError, match="not taught 'nothing', but 'b'"):
        library.search("a tone", taught="nothing")


def test_what_cannot_be_marked_is_said(library: Library, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not in the library"):
        library.mark("mine", right=[tmp_path / "none.wav"])
    with pytest.raises(UsageError, match="nothing is marked"):
        library.mark("mine")
    with pytest.raises(UsageError, match="before it begins"):
        library.mark("mine", right=[(folder / "tone0.wav", 0.5, 0.2)])
    with pytest.raises(UsageError, match="take lists"):
        library.mark("mine", right=str(folder / "tone0.wav"))  # type: ignore[arg-type]
    assert library.taught() == []


def test_a_name_with_a_broken_byte_is_refused_by_name(library: Library, folder: Path) -> None:
    tone = str(folder / "tone0.wav")
    with pytest.raises(UsageError, match=r"'n\\udce9' has a byte that is no UTF-8"):
        library.mark("n\udce9", right=[tone])
    taught = library.mark("n", right=[tone])
    with pytest.raises(UsageError, match="no UTF-8"):
        TaughtSounds(library.store).rename(taught.id, "n\udce9")
    assert [each.name for each in library.taught()] == ["n"]


def test_what_is_kept_of_marks_goes_with_the_library(tmp_path: Path, folder: Path, toy: Path) -> None:
    library = Library.create(tmp_path / "library", model=load_model(toy))
    library.index(folder)
    library.mark("mine", right=[folder / "tone0.wav"])
    assert library.search(taught="mine", k=1)
    store = weakref.ref(library.store)
    library.close()
    del library
    gc.collect()
    assert store() is None
