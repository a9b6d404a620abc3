"""Short queries that say how a sound sounds are taken apart; sentences and fixed names are not."""

from __future__ import annotations

import pytest

from soundseek.learn.data.how_it_sounds import MANNERS
from soundseek.query import QueryReader
from soundseek.query.manner import manner_of

ALL = frozenset(MANNERS)


@pytest.mark.parametrize(
    ("text", "sound", "manners"),
    [
        ("muffled dog barking", "dog barking", ("muffled",)),
        ("A very distant siren.", "siren", ("distant",)),
        ("voices from the next room", "voices", ("muffled",)),
        ("door slam in a huge stone cathedral", "door slam", ("reverberant",)),
        ("talking over the phone", "talking", ("thin",)),
        ("gunshot, one shot", "gunshot", ("single",)),
        ("footsteps, slow", "footsteps", ("slow",)),
        ("three knocks in a row", "knocks", ("three times",)),
        ("three loud door knocks", "loud door knocks", ("three times",)),
        ("a man speaking very quickly", "a man speaking", ("fast",)),
        ("drawer opening and closing in rapid succession", "drawer opening and closing", ("fast",)),
        ("muffled thunder in the distance", "thunder", ("muffled", "distant")),
    ],
)
def test_a_short_query_is_a_sound_and_its_manner(text: str, sound: str, manners: tuple[str, ...]) -> None:
    found = manner_of(text, ALL)
    assert found is not None
    assert (found.sound, found.manners) == (sound, manners)


@pytest.mark.parametrize(
    "text",
    [
        "dog barking",
        "muffled",
        "in the distance",
        "a dull noise",
        "dark forest",
        "slow sad piano song",
        "fast food restaurant",
        "three dogs barking",
        "three dogs",
        "three men and shots",
        "three children laugh in the woods",
        "3 minutes",
        "several people talking at once",
        "remote door lock beep",
        "rapid fire gun",
        "sharp intake of breath",
        "single cylinder engine",
        "a single barrel shotgun",
        "dark, stormy night",
        "slow jazz",
        "rain on a tin roof",
        "a man is talking in the distance",
        "muffled speech, then a door",
        "slowly, somebody walks over a very long and old wooden floor that creaks, while rain falls far away outside",
    ],
)
def test_what_names_a_thing_or_is_a_sentence_stays_whole(text: str) -> None:
    assert manner_of(text, ALL) is None


def test_every_word_that_a_model_learns_a_manner_by_is_read_as_it() -> None:
    skipped = {"dull", "crisp", "thin", "faint"}  # said of two manners, or of things
    for name, manner in MANNERS.items():
        for word in set(manner.adjectives) - skipped:
            found = manner_of(f"{word} dog barking", ALL)
            assert found is not None and found.manners == (name,), word
        for ending in manner.endings:
            found = manner_of(f"dog barking {ending}", ALL)
            assert found is not None and found.sound == "dog barking" and found.manners == (name,), ending


def test_only_manners_that_the_model_knows_are_taken_apart() -> None:
    assert manner_of("muffled dog barking", {"distant"}) is None
    found = manner_of("muffled dog barking, distant", {"distant"})
    assert found is not None and found.sound == "muffled dog barking"


def test_a_reading_says_how_it_should_sound() -> None:
    reader = QueryReader({"dog": 9, "barking": 9, "muffled": 3}, manners={"muffled"})
    reading = reader.read("muffled dog barking")
    assert reading.alternatives == (("dog barking",),)
    assert reading.manners == ("muffled",) and not reading.is_as_typed
    assert reading.described() == "'dog barking', 'muffled' first"
    assert [(note.kind, note.source, note.read) for note in reading.notes] == [
        ("manner", "muffled", "muffled")
    ]
    assert QueryReader({"dog": 9, "barking": 9, "muffled": 3}).read("muffled dog barking").is_as_typed


def test_the_sound_of_a_manner_is_read_as_any_other() -> None:
    reader = QueryReader({"crowd": 9, "muffled": 9}, manners={"muffled"})
    assert reader.read("muffled walla").text == "crowd of people murmuring"


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("something scary in the distance", "something scary"),
        ("muffled scary", "scary"),
        ("angry dog in the distance", "angry dog"),
        ("something scary in the distance without music", "something scary"),
        ("etwas gruseliges in der ferne", "scary"),
    ],
)
def test_a_mood_beside_a_manner_keeps_its_sounds(query: str, same: str) -> None:
    counts = dict.fromkeys(("something", "scary", "angry", "dog", "music", "in", "the", "distance"), 99)
    reader = QueryReader(counts, manners=ALL)
    reading, alone = reader.read(query), reader.read(same)
    assert reading.alternatives == alone.alternatives and reading.manners
    assert len(reading.texts) > 1


@pytest.mark.parametrize(
    ("query", "sound", "excluded"),
    [
        ("Donner in der Ferne", "thunder", ()),
        ("tonnerre au loin", "thunder", ()),
        ("distant explosion without music", "explosion", ("music",)),
    ],
)
def test_a_manner_in_other_languages_and_beside_an_exclusion_is_taken_apart(
    query: str, sound: str, excluded: tuple[str, ...]
) -> None:
    reader = QueryReader({"thunder": 9, "explosion": 9, "music": 9, "distant": 3}, manners={"distant"})
    reading = reader.read(query)
    assert reading.alternatives == ((sound,),)
    assert reading.manners == ("distant",) and reading.negatives == excluded
    assert reading.notes[-1].kind == "manner"


@pytest.mark.parametrize(
    ("query", "sound", "manner"),
    [
        ("gedämpfter Hund", "dog barking", "muffled"),
        ("dumpfer Hund", "dog barking", "muffled"),
        ("chien étouffé", "dog barking", "muffled"),
        ("perro amortiguado", "dog barking", "muffled"),
        ("cane ovattato", "dog barking", "muffled"),
        ("cachorro abafado", "dog barking", "muffled"),
        ("gedempte hond", "dog barking", "muffled"),
        ("stłumiony pies", "dog barking", "muffled"),
        ("boğuk köpek", "dog barking", "muffled"),
        ("приглушённая собака", "dog barking", "muffled"),
        ("くぐもった犬", "dog barking", "muffled"),
        ("沉闷的狗叫", "dog barking", "muffled"),
        ("먹먹한 개", "dog barking", "muffled"),
        ("كلب مكتوم", "dog barking", "muffled"),
        ("दबी कुत्ते", "dog barking", "muffled"),
        ("drei Klopfer", "door knocks", "three times"),
        ("trois coups", "door knocks", "three times"),
        ("tres golpes", "door knocks", "three times"),
        ("tre colpi", "door knocks", "three times"),
        ("três batidas", "door knocks", "three times"),
        ("drie klopjes", "door knocks", "three times"),
        ("trzy puknięcia", "door knocks", "three times"),
        ("üç tıklatma", "door knocks", "three times"),
        ("три стука", "door knocks", "three times"),
        ("3つのノック", "door knocks", "three times"),
        ("三声敲门", "door knocks", "three times"),
        ("세 번 노크", "door knocks", "three times"),
        ("ثلاث طرقات", "door knocks", "three times"),
        ("तीन दस्तक", "door knocks", "three times"),
    ],
)
def test_other_languages_say_muffled_and_three_knocks(query: str, sound: str, manner: str) -> None:
    counts = {"dog": 9, "barking": 9, "door": 9, "knocks": 9, "muffled": 9, "three": 9}
    reading = QueryReader(counts, manners=ALL).read(query)
    assert (reading.texts, reading.manners) == ((sound,), (manner,))


@pytest.mark.parametrize("query", ["drei Hunde", "trois chiens", "tres perros", "3匹の犬"])
def test_three_of_anything_else_are_not_one_sound_three_times(query: str) -> None:
    assert QueryReader({"dog": 9, "barking": 9}, manners=ALL).read(query).manners == ()
