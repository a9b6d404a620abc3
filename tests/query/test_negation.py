"""What a query excludes: every example and counterexample of the list, and the forms that people use."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from soundseek.model.registry import BUNDLED, DEFAULT_MODEL
from soundseek.model.spelling import WORDS_FILE, Spelling, read_words
from soundseek.query.negation import negation_in, negation_in_english
from soundseek.query.reading import QueryReader

with (Path(__file__).parent / "negation.csv").open(encoding="utf-8", newline="") as file:
    LISTED = list(csv.DictReader(file))
COUNTS = read_words(BUNDLED / DEFAULT_MODEL / WORDS_FILE)


@pytest.fixture(scope="module")
def reader() -> QueryReader:
    return QueryReader(COUNTS, Spelling(COUNTS))


def shares_a_word(read: str, wanted: str) -> bool:
    # The list says sea, waves and street where the lexicon of the same hand says sea waves and busy street.
    same = {"city": "street", "voice": "speaking", "crows": "crow", "waves": "waves", "seagulls": "seagull",
            "horns": "horn", "sirens": "siren", "tail": "echo", "squeaks": "squeak", "impact": "hitting"}  # fmt: skip
    words = {same.get(word, word) for word in wanted.split()}
    return bool(words & ({same.get(word, word) for word in read.split()}))


@pytest.mark.parametrize(
    "row", [row for row in LISTED if row["type"] == "example"], ids=lambda row: row["query"]
)
def test_an_exclusion_becomes_words_and_negatives(reader: QueryReader, row: dict[str, str]) -> None:
    reading = reader.read(row["query"])
    wanted = row["negatives"].split("|")
    assert reading.language == row["language"]
    assert len(reading.negatives) == len(wanted), reading
    for read, each in zip(reading.negatives, wanted, strict=True):
        assert shares_a_word(read, each), reading
    assert bool(reading.text) == bool(row["positive"]), reading
    if row["positive"]:
        assert shares_a_word(reading.text, row["positive"]), reading


@pytest.mark.parametrize(
    "row", [row for row in LISTED if row["type"] == "counterexample"], ids=lambda row: row["query"]
)
def test_what_only_looks_like_an_exclusion_is_none(reader: QueryReader, row: dict[str, str]) -> None:
    assert reader.read(row["query"]).negatives == (), row["note"] if "note" in row else row["query"]


@pytest.mark.parametrize(
    ("query", "positive", "negatives"),
    [
        ("rain without thunder", "rain", ("thunder",)),
        ("rain w/o thunder", "rain", ("thunder",)),
        ("rain w/out thunder", "rain", ("thunder",)),
        ("rain with no thunder", "rain", ("thunder",)),
        ("rain with out thunder", "rain", ("thunder",)),
        ("rain, no thunder", "rain", ("thunder",)),
        ("rain no thunder", "rain", ("thunder",)),
        ("no thunder", "", ("thunder",)),
        ("rain but no thunder", "rain", ("thunder",)),
        ("rain but not thunder", "rain", ("thunder",)),
        ("rain not thunder", "rain", ("thunder",)),
        ("rain, not thunder", "rain", ("thunder",)),
        ("not thunder", "", ("thunder",)),
        ("rain minus thunder", "rain", ("thunder",)),
        ("rain minus the thunder", "rain", ("thunder",)),
        ("rain -thunder", "rain", ("thunder",)),
        ("rain NOT thunder", "rain", ("thunder",)),
        ("rain except thunder", "rain", ("thunder",)),
        ("rain except for thunder", "rain", ("thunder",)),
        ("rain excluding thunder", "rain", ("thunder",)),
        ("rain other than thunder", "rain", ("thunder",)),
        ("anything but thunder", "", ("thunder",)),
        ("rain rather than thunder", "rain", ("thunder",)),
        ("rain instead of thunder", "rain", ("thunder",)),
        ("music free rain", "rain", ("music",)),
        ("noise-free rain", "rain", ("noise",)),
        ("drumless music", "music", ("drums",)),
        ("rain free of thunder", "rain", ("thunder",)),
        ("rain lacking thunder", "rain", ("thunder",)),
        ("rain absent thunder", "rain", ("thunder",)),
        ("a dog that isn't barking", "a dog", ("barking",)),
        ("dogs that don't bark", "dogs", ("bark",)),
        ("a dog never barks", "a dog", ("barks",)),
        ("wind, neither whistling nor howling", "wind", ("whistling", "howling")),
        ("rain without thunder or wind", "rain", ("thunder", "wind")),
        ("rain without thunder and wind", "rain", ("thunder", "wind")),
        ("rain no thunder no wind", "rain", ("thunder", "wind")),
        ("rain (no thunder)", "rain", ("thunder",)),
        ("rain [no thunder]", "rain", ("thunder",)),
        ("rain exclude:thunder", "rain", ("thunder",)),
        ("rain !thunder", "rain", ("thunder",)),
        ('rain -"heavy thunder"', "rain", ("heavy thunder",)),
        ("dog, not muffled", "dog", ("muffled dog",)),
        ("remove thunder from rain", "rain", ("thunder",)),
        ("rain avoid thunder", "rain", ("thunder",)),
        ("rain without any thunder", "rain", ("thunder",)),
        ("rain without thunder, but with wind", "rain wind", ("thunder",)),
        ("no thunder, just rain", "rain", ("thunder",)),
    ],
)
def test_every_english_pattern(query: str, positive: str, negatives: tuple[str, ...]) -> None:
    parts = negation_in_english(query)
    assert parts is not None and (parts.positive, parts.negatives) == (positive, negatives)


@pytest.mark.parametrize(
    "query",
    [
        "nobody in the room", "no one speaks", "without a doubt", "a man says no", "oh no", "no, no, no",
        "a clarinet plays without accompaniment", "a crying baby will not calm down", "high-pitched whine",
        "wah-wah pedal", "A-10 flyby", "video not available", "a door that never stops creaking", "wireless beep",
        "speaking a language other than English", "a dog knows", "snow and notes", "hands-free phone ringing",
    ],
)  # fmt: skip
def test_what_excludes_nothing_stays(query: str) -> None:
    assert negation_in_english(query) is None


@pytest.mark.parametrize(
    ("query", "positive"),
    [
        ("nothing but rain", "rain"),
        ("silent except for rain", "rain"),
        ("not too loud footsteps", "quiet footsteps"),
        ("not muffled dog", "clear dog"),
    ],
)
def test_what_names_only_what_is_heard_is_said_plainly(query: str, positive: str) -> None:
    parts = negation_in_english(query)
    assert parts is not None and (parts.positive, parts.negatives) == (positive, ())


@pytest.mark.parametrize(
    ("language", "query", "positive", "negatives"),
    [
        ("German", "Regen aber kein Donner", "Regen", ("Donner",)),
        ("German", "Regen statt Donner", "Regen", ("Donner",)),
        ("German", "Regen bis auf Donner", "Regen", ("Donner",)),
        ("German", "weder Regen noch Donner", "", ("Regen", "Donner")),
        ("French", "pluie mais pas de tonnerre", "pluie", ("tonnerre",)),
        ("French", "pluie au lieu de tonnerre", "pluie", ("tonnerre",)),
        ("French", "ni pluie ni vent", "", ("pluie", "vent")),
        ("French", "aucune voix", "", ("voix",)),
        ("Spanish", "lluvia excepto truenos", "lluvia", ("truenos",)),
        ("Spanish", "nada de truenos", "", ("truenos",)),
        ("Italian", "pioggia tranne tuoni", "pioggia", ("tuoni",)),
        ("Italian", "niente musica", "", ("musica",)),
        ("Portuguese", "chuva exceto trovão", "chuva", ("trovão",)),
        ("Dutch", "regen behalve onweer", "regen", ("onweer",)),
        ("Dutch", "geen muziek", "", ("muziek",)),
        ("Polish", "deszcz oprócz grzmotów", "deszcz", ("grzmotów",)),
        ("Polish", "deszcz zamiast wiatru", "deszcz", ("wiatru",)),
        ("Turkish", "müzik olmayan kafe", "kafe", ("müzik",)),
        ("Turkish", "yağmur ama rüzgar değil", "yağmur", ("rüzgar",)),
        ("Turkish", "ne müzik ne ses", "", ("müzik", "ses")),
        ("Russian", "дождь кроме грома", "дождь", ("грома",)),
        ("Russian", "ни музыки ни голосов", "", ("музыки", "голосов")),
        ("Japanese", "雷以外の雨", "雨", ("雷",)),
        ("Japanese", "雨 雷なし", "雨", ("雷",)),
        ("Chinese", "不含音乐的雨声", "雨声", ("音乐",)),
        ("Chinese", "除雷声以外", "", ("雷声",)),
        ("Korean", "음악 빼고 비", "비", ("음악",)),
        ("Korean", "비 천둥 없음", "비", ("천둥",)),
        ("Arabic", "مطر من دون رعد", "مطر", ("رعد",)),
        ("Arabic", "لا موسيقى", "", ("موسيقى",)),
        ("Hindi", "संगीत को छोड़कर बारिश", "बारिश", ("संगीत",)),
        ("Hindi", "बारिश संगीत नहीं", "बारिश", ("संगीत",)),
    ],
)
def test_patterns_of_other_languages(
    language: str, query: str, positive: str, negatives: tuple[str, ...]
) -> None:
    parts = negation_in(language, query, lambda _: False)
    assert parts is not None and (parts.positive, parts.negatives) == (positive, negatives)
