"""Names, folders and tags beside the sound: what is found by them, in which order, and that they follow their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from library.best_matches import best_matches
from library.shelves import Shelf
from library.stores import DIM, sound_file, sound_from_frames, sound_of_vectors

from soundseek.library.filters import parse_where
from soundseek.library.folders import relocate_folder
from soundseek.library.keywords import (
    folder_words,
    name_words,
    phrase,
    plain_name,
    query_words,
    telling_words,
)
from soundseek.library.library import name_query
from soundseek.library.store.base import Changes, Description, EmbeddedSound, Match, NameQuery
from soundseek.library.store.fused import NAME_WEIGHT
from soundseek.query import Note, Reading, as_typed
from soundseek.query.reading import NoteKind

QUERY = np.eye(DIM, dtype=np.float32)[0]


def at_angle(path: str, cosine: float, tags: tuple[tuple[str, str], ...] = ()) -> EmbeddedSound:
    """A file whose score is this cosine."""
    vector = np.zeros((1, DIM), np.float32)
    vector[0, :2] = cosine, (1 - cosine**2) ** 0.5
    return sound_of_vectors(path, vector, description=Description(tags))


def names(typed: str, *, is_all: bool = False) -> NameQuery:
    return NameQuery(typed, (typed,), is_all)


@pytest.fixture
def named(shelf: Shelf) -> Shelf:
    sounds = [
        at_angle("/s/rain.wav", 0.9),
        at_angle("/s/DOORWood_OldCellarDoor_JD.wav", 0.5),
        at_angle("/s/wood/ZOOM0746.wav", 0.1, (("scene", "12"), ("take", "3"))),
        at_angle("/s/ZOOM0747.wav", 0.2, (("scene", "12"), ("take", "4"))),
    ]
    with shelf.store.writing():
        shelf.store.commit(Changes(sounds=sounds))
    return shelf


def found(shelf: Shelf, query: NameQuery, **options: object) -> list[Match]:
    return best_matches(shelf.store, QUERY, k=4, names=query, **options)  # type: ignore[arg-type]


def stems(matches: list[Match]) -> list[str]:
    return [Path(match.file.path).stem for match in matches]


def test_a_name_typed_is_the_first_hit_and_keeps_its_score(named: Shelf) -> None:
    first, second, *_ = found(named, names("zoom0746.wav"))
    assert (Path(first.file.path).stem, first.keywords) == ("ZOOM0746", ("zoom0746",))
    assert first.score == pytest.approx(0.1, abs=1e-3)
    assert (Path(second.file.path).stem, second.keywords, second.bonus) == ("rain", (), 0.0)


def test_scene_and_take_are_found_by_their_numbers(named: Shelf) -> None:
    assert stems(found(named, names("scene 12 take 3")))[0] == "ZOOM0746"
    assert stems(found(named, names("scene 12")))[:2] == ["ZOOM0747", "ZOOM0746"]


def test_words_of_a_name_add_to_the_sound_and_do_not_replace_it(named: Shelf) -> None:
    rain, door, *_ = found(named, names("old cellar door"))
    assert stems([rain, door]) == ["rain", "DOORWood_OldCellarDoor_JD"]
    assert door.keywords == ("old", "cellar", "door")
    assert door.bonus == pytest.approx(NAME_WEIGHT, rel=0.2)
    (partly,) = [match for match in found(named, names("old barn wheel")) if match.bonus]
    assert 0 < partly.bonus < door.bonus / 2


def test_a_code_is_found_by_what_it_means_and_a_folder_by_its_name(named: Shelf) -> None:
    assert stems(found(named, names("wooden", is_all=True))) == ["DOORWood_OldCellarDoor_JD"]
    assert stems(found(named, names("wood", is_all=True))) == ["ZOOM0746"]


def test_only_names_leaves_out_all_others_and_filters_still_hold(named: Shelf) -> None:
    assert sorted(stems(found(named, names("scene", is_all=True)))) == ["ZOOM0746", "ZOOM0747"]
    where = parse_where('tag ~ "take 4"')
    assert stems(found(named, names("scene", is_all=True), where=where)) == ["ZOOM0747"]
    assert stems(found(named, names("zoom0746"), leave_out=["/s/wood/ZOOM0746.wav"]))[0] == "rain"
    assert found(named, names("nothing of that kind", is_all=True)) == []


def test_a_named_file_far_down_by_sound_is_found(shelf: Shelf) -> None:
    many = [at_angle(f"/s/{number}.wav", 0.5 + number / 1000) for number in range(100)]
    with shelf.store.writing():
        shelf.store.commit(Changes(sounds=[*many, at_angle("/s/creek.wav", 0.4)]))
    assert stems(found(shelf, names("creek")))[0] == "creek"


def test_of_segments_the_best_of_a_named_file_has_its_name(shelf: Shelf) -> None:
    frames = np.eye(DIM, dtype=np.float32)[[1, 0, 2]]
    long = sound_from_frames(sound_file("/s/creek.wav"), frames, [(0, 1), (1, 2), (2, 3)])
    with shelf.store.writing():
        shelf.store.commit(Changes(sounds=[long, at_angle("/s/other.wav", 0.5)]))
    hits = found(shelf, names("creek"), per="segment")
    assert [(Path(hit.file.path).stem, hit.start_s, bool(hit.bonus)) for hit in hits[:2]] == [
        ("creek", 0.5, True),
        ("other", 0.0, False),
    ]
    assert len({(hit.file.path, hit.start_s) for hit in hits}) == len(hits) == 4


def test_words_follow_a_file_that_moves_changes_or_goes(shelf: Shelf) -> None:
    shelf.put("old name.wav", "bell")
    shelf.index()
    (shelf.folder / "old name.wav").rename(shelf.folder / "new name.wav")
    assert shelf.index() == {"moved": 1}
    assert stems(found(shelf, names("new", is_all=True))) == ["new name"]
    assert found(shelf, names("old", is_all=True)) == []
    (shelf.folder / "place").mkdir()
    (shelf.folder / "new name.wav").rename(shelf.folder / "place" / "new name.wav")
    relocate_folder(shelf.store, shelf.folder / "new name.wav", shelf.folder / "place" / "new name.wav")
    assert stems(found(shelf, names("place", is_all=True))) == ["new name"]
    (shelf.folder / "place" / "new name.wav").unlink()
    assert shelf.index() == {"removed": 1}
    assert found(shelf, names("new", is_all=True)) == []


def test_what_a_query_excludes_raises_no_name() -> None:
    reading = Reading("rain without thunder", (("rain",),), negatives=("thunder",))
    query = name_query(reading, "auto")
    assert query is not None and query.texts == ("rain",)
    assert name_query(as_typed("rain"), "off") is None
    assert name_query(None, "auto") is None


@pytest.mark.parametrize("typed", ['"', "a AND (", "NEAR(x", "*", "name : x", "\udcff", "ß" * 400, "12"])
def test_any_text_can_be_asked(named: Shelf, typed: str) -> None:
    assert len(found(named, names(typed))) == 4


def test_names_are_taken_apart() -> None:
    assert name_words("take03_BigDog.wav") == "take03_BigDog take 03 Big Dog 3"
    assert folder_words("/a/b/c/d.wav") == "b c"
    assert phrase('a "quoted" wo*') == '"a quoted wo"*'
    assert query_words("The door of the Café-12") == ["door", "café", "12"]
    assert plain_name("take 1.5") == "take 1 5"


def test_words_that_name_any_recording_lift_none(shelf: Shelf) -> None:
    with shelf.store.writing():
        sounds = [at_angle(f"/s/{name}.wav", 0.5) for name in ("untitled recording", "gong", "rain")]
        shelf.store.commit(Changes(sounds=sounds))
    assert stems(found(shelf, names("untitled recording")))[0] == "untitled recording"
    first, *others = found(shelf, names("an untitled recording of a gong"))
    assert Path(first.file.path).stem == "gong" and first.keywords == ("gong",)
    assert not any(match.bonus or match.keywords for match in others)
    assert telling_words("an untitled recording of rain") == ["rain"]
    assert telling_words("untitled") == ["untitled"]


@pytest.mark.parametrize(
    ("typed", "kind", "read", "texts"),
    [
        (
            "bagpipes",
            "term",
            ["bagpipes", "bagpipes playing a drone and melody"],
            ("bagpipes",),
        ),
        ("gtr", "term", ["guitar playing"], ("gtr", "guitar")),
        ("Hund bellt", "language", ["dog barking"], ("Hund bellt", "dog barking")),
        ("walla", "term", ["crowd of people murmuring"], ("walla", "crowd people murmuring")),
        (
            "guitar playing",
            "spelling",
            ["guitar playing softly"],
            ("guitar playing", "guitar playing softly"),
        ),
    ],
)
def test_words_that_describe_a_term_to_the_model_are_no_words_of_names(
    typed: str, kind: NoteKind, read: list[str], texts: tuple[str, ...]
) -> None:
    note = Note(kind, typed, " | ".join(read))
    reading = Reading(typed, tuple((each,) for each in read), notes=(note,))
    asked = name_query(reading, "auto")
    assert asked is not None and tuple(dict.fromkeys(asked.texts)) == texts


def test_what_any_sound_does_names_no_file(shelf: Shelf) -> None:
    sounds = [at_angle("/s/pipes.wav", 0.5), at_angle("/s/drum-kit-playing-2.wav", 0.4)]
    with shelf.store.writing():
        shelf.store.commit(Changes(sounds=sounds))
    read = ("bagpipes", "bagpipes playing a drone and melody")
    note = Note("term", "bagpipes", " | ".join(read))
    query = name_query(Reading("bagpipes", tuple((each,) for each in read), notes=(note,)), "auto")
    assert query is not None
    matches = found(shelf, query)
    assert stems(matches) == ["pipes", "drum-kit-playing-2"]
    assert not any(match.keywords for match in matches)
