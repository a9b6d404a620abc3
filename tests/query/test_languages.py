"""Queries of fourteen languages: recognised, read phrase first and then word by word."""

from __future__ import annotations

import pytest

from soundseek.model.registry import BUNDLED, DEFAULT_MODEL
from soundseek.model.spelling import WORDS_FILE, Spelling, read_words
from soundseek.query.languages import Piece, compose, script_of, translator
from soundseek.query.lexicon import Language
from soundseek.query.reading import QueryReader

COUNTS = read_words(BUNDLED / DEFAULT_MODEL / WORDS_FILE)


@pytest.fixture(scope="module")
def reader() -> QueryReader:
    return QueryReader(COUNTS, Spelling(COUNTS))


@pytest.mark.parametrize(
    ("language", "query", "read"),
    [
        ("German", "Hund bellt", "dog barking"),
        ("German", "ein großer Hund knurrt im Wald", "big dog growling in the forest"),
        ("German", "grosser hund in der ferne", "big dog barking in the distance"),
        ("German", "SCHRITTE AUF KIES", "footsteps on gravel"),
        ("German", "Türknarren", "door creaking"),
        ("German", "Kirchturmglocke", "church bells ringing"),
        ("French", "chien qui aboie au loin", "dog barking in the distance"),
        ("French", "bébé qui pleure", "baby crying"),
        ("Spanish", "perro ladrando en la calle", "dog barking in the street"),
        ("Italian", "porta che sbatte", "door slamming"),
        ("Portuguese", "cachorro latindo", "dog barking"),
        ("Dutch", "de hond blaft", "dog barking"),
        ("Polish", "szczekający pies", "dog barking"),
        ("Turkish", "köpek havlıyor", "dog barking"),
        ("Turkish", "kopek havliyor", "dog barking"),
        ("Russian", "собака лает", "dog barking"),
        ("Japanese", "犬が吠える", "dog barking"),
        ("Chinese", "狗叫声", "dog barking"),
        ("Korean", "개가 짖는 소리", "dog barking"),
        ("Korean", "전화벨이 울린다", "telephone ringing"),
        ("Arabic", "نباح كلب", "dog barking"),
        ("Hindi", "कुत्ता भौंक रहा है", "dog barking"),
    ],
)
def test_a_query_of_a_language_is_read(reader: QueryReader, language: str, query: str, read: str) -> None:
    reading = reader.read(query)
    assert (reading.language, reading.text) == (language, read), reading
    assert not reading.unread


@pytest.mark.parametrize(
    "query", ["vent", "boom", "chat", "slang", "a lion", "at the bar", "hand", "metal motor"]
)
def test_english_wins_ties(reader: QueryReader, query: str) -> None:
    assert reader.read(query).language == "English"


def test_words_that_are_english_too_are_read_where_the_rest_is_foreign(reader: QueryReader) -> None:
    reading = reader.read("le chat miaule")
    assert reading.language == "French" and reading.text == "cat meowing"


@pytest.mark.parametrize("word", ["x" * 20_000, "é" * 20_000, "a-" * 10_000])
def test_what_is_too_long_for_a_word_is_not_taken_apart(
    reader: QueryReader, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compound is looked for at each of its letters: a minute for 16,000 of them, in one language after the other."""
    looked_up: list[str] = []
    reading = Language.reading

    def noted(self: Language, text: str) -> str | None:
        looked_up.append(text)
        return reading(self, text)

    monkeypatch.setattr(Language, "reading", noted)
    reader.read(word)
    assert len(looked_up) < 500


def test_what_stays_unread_is_said(reader: QueryReader) -> None:
    reading = reader.read("ein Hund bellt im Blorxquaz")
    assert reading.unread == ("Blorxquaz",)
    assert "dog" in reading.text and any(
        "German" in told and "Blorxquaz" in told for told in reading.warnings()
    )


def test_one_spelling_with_two_meanings_becomes_two_alternatives() -> None:
    translated = translator("Polish").translate("brzęczenie")
    assert translated.texts == ("electric hum", "buzzing")


def test_traditional_signs_are_read_as_the_simplified_ones() -> None:
    assert (
        translator("Chinese").translate("遠處的雷聲").texts
        == translator("Chinese").translate("远处的雷声").texts
    )


def test_an_action_replaces_the_usual_sound_and_a_place_is_a_place() -> None:
    heads = {"dog barking": "dog", "forest ambience": "forest"}
    dog, growls = Piece("Hund", "dog barking", "noun"), Piece("knurrt", "growling", "verb")
    into, forest = Piece("im", "in", "preposition"), Piece("Wald", "forest ambience", "noun")
    assert compose([dog], "German", heads) == "dog barking"
    assert compose([dog, growls], "German", heads) == "dog growling"
    assert compose([growls, dog], "German", heads) == "dog growling"
    assert compose([dog, growls, into, forest], "German", heads) == "dog growling in the forest"


def test_a_quality_stands_before_its_noun_whatever_the_language_does() -> None:
    dog, big = Piece("chien", "dog barking", "noun"), Piece("gros", "big", "quality")
    assert compose([dog, big], "French", {}) == compose([big, dog], "German", {}) == "big dog barking"


def test_scripts_tell_languages_apart() -> None:
    assert [script_of(text) for text in ("Hund", "犬だ", "狗", "개", "собака", "كلب", "कुत्ता")] == [
        "Latin", "Japanese", "Han", "Korean", "Russian", "Arabic", "Hindi",
    ]  # fmt: skip
    assert script_of("สุนัข") is None
