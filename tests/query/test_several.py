"""Several descriptions of one recording, each read by itself."""

from __future__ import annotations

import pytest

from soundseek.model.registry import BUNDLED, DEFAULT_MODEL
from soundseek.model.spelling import WORDS_FILE, Spelling, read_words
from soundseek.query import QueryReader, Reading, all_of, as_typed, beside_each_other, descriptions
from soundseek.query.several import MOST_ALTERNATIVES

COUNTS = read_words(BUNDLED / DEFAULT_MODEL / WORDS_FILE)


@pytest.fixture(scope="module")
def reader() -> QueryReader:
    return QueryReader(COUNTS, Spelling(COUNTS), manners={"distant", "muffled", "three times"})


def together(reader: QueryReader, *given: str) -> Reading:
    return all_of([reader.read(each) for each in descriptions(given)])


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["dog", "barking"], ["dog barking"]),
        (["dog barking", " ", ""], ["dog barking"]),
        (["dog barking", "heavy  rain"], ["dog barking", "heavy rain"]),
        (["dog barking", "church", "bells", "heavy rain"], ["dog barking", "church bells", "heavy rain"]),
        (["heavy rain", "on", "roof"], ["heavy rain on roof"]),
        (["whoosh", "fast car"], ["whoosh fast car"]),
        (["heavy rain", "and", "dog barking"], ["heavy rain and dog barking"]),
        (["heavy rain", "dog barking", "-music"], ["heavy rain", "dog barking", "-music"]),
        (["heavy rain", "heavy rain"], ["heavy rain"]),
        ([" "], []),
    ],
)
def test_arguments_in_quotes_are_descriptions_where_there_are_two(given: list[str], read: list[str]) -> None:
    assert list(descriptions(given)) == read


def test_what_one_description_keeps_out_is_kept_out_of_all_and_no_other_sound(reader: QueryReader) -> None:
    reading = together(reader, "rain without thunder", "dog barking", "-music")
    assert reading.alternatives == (("rain and dog barking",),)
    assert reading.negatives == (*reader.read("rain without thunder").negatives, "music")
    assert reading.named(reading.text) == ("rain", "dog barking")
    assert reading.typed == "rain without thunder, dog barking, -music"


def test_descriptions_in_other_languages_are_translated_one_by_one(reader: QueryReader) -> None:
    reading = together(reader, "perro ladrando", "lluvia fuerte", "dog growling")
    assert reading.named(reading.text) == ("dog barking", "heavy rain", "dog growling")
    assert reading.language == "Spanish and English"


def test_a_mood_beside_a_sound_keeps_its_kinds_of_sound(reader: QueryReader) -> None:
    mood = reader.read("creepy sounds")
    reading = together(reader, "creepy sounds", "dog barking")
    assert len(mood.alternatives) > 1
    assert reading.texts == tuple(f"{texts[0]} and dog barking" for texts in mood.alternatives)
    assert [reading.named(text) for text in reading.texts] == [
        (texts[0], "dog barking") for texts in mood.alternatives
    ]
    assert len(together(reader, "creepy sounds", "something sad").alternatives) == MOST_ALTERNATIVES


def test_sounds_of_a_sentence_among_them_count_one_by_one(reader: QueryReader) -> None:
    reading = together(reader, "a dog barks while rain falls", "thunder rumbling")
    assert reading.named(reading.text) == ("a dog barks", "rain falls", "thunder rumbling")


def test_a_manner_of_one_sound_is_said_in_words_and_one_of_all_sorts_the_hits(reader: QueryReader) -> None:
    one = together(reader, "dog barking in the distance", "heavy rain")
    assert (one.texts, one.manners) == (("distant dog barking and heavy rain",), ())
    both = together(reader, "distant dog barking", "distant heavy rain")
    assert (both.texts, both.manners) == (("dog barking and heavy rain",), ("distant",))


def test_a_description_is_told_as_it_is_searched_for_beside_others(reader: QueryReader) -> None:
    far, rain = beside_each_other([reader.read("dog barking in the distance"), reader.read("heavy rain")])
    assert (far.described(), far.typed) == ("'distant dog barking'", "dog barking in the distance")
    assert rain.is_as_typed
    (alone,) = beside_each_other([reader.read("dog barking in the distance")])
    assert alone.manners == ("distant",)


def test_descriptions_of_the_same_are_one_sound(reader: QueryReader) -> None:
    reading = together(reader, "perro ladrando", "dog barking")
    assert reading.texts == ("dog barking",) and reading.named("dog barking") == ()


def test_descriptions_that_only_exclude_ask_for_nothing(reader: QueryReader) -> None:
    reading = together(reader, "no music", "without thunder")
    assert reading.alternatives == () and len(reading.negatives) == 2


def test_words_as_typed_are_descriptions_as_they_are() -> None:
    reading = all_of([as_typed("rain without thunder"), as_typed("dog barking")])
    assert reading.texts == ("rain without thunder and dog barking",) and not reading.negatives
    assert reading.named(reading.text) == ("rain without thunder", "dog barking")


def test_a_reading_of_one_description_names_what_its_sentence_names(reader: QueryReader) -> None:
    assert reader.read("a dog barks while rain falls").named("a dog barks while rain falls") == (
        "a dog barks",
        "rain falls",
    )
