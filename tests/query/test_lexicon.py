"""The compiled lexicon: it holds what the tables hold, and finds a term however it is typed."""

from __future__ import annotations

import csv
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from soundseek.query.lexicon import (
    ENGLISH_FILE,
    FOLDER,
    LANGUAGES_FILE,
    EnglishLexicon,
    english,
    languages,
    steering,
)
from soundseek.query.reading import read_query
from soundseek.query.text import loosen

TABLES = Path(__file__).parents[3] / "shared" / "lexicon"
SCRIPTS = Path(__file__).parents[2] / "scripts"

needs_tables = pytest.mark.skipif(
    not TABLES.is_dir(), reason=f"the tables that the lexicon was compiled from are not in {TABLES}"
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("compile_lexicon", SCRIPTS / "compile_lexicon.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(name: str, folder: Path = TABLES) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def moods() -> list[dict[str, str]]:
    return rows("moods.csv", SCRIPTS / "lexicon")


@pytest.fixture(scope="module")
def labels() -> dict[str, str]:
    """The label of recordings that is nearest to a reading."""
    return {row["plain"]: row["label"] for row in rows("labels.csv", SCRIPTS / "lexicon")}


@needs_tables
def test_every_term_of_the_tables_is_carried_with_its_readings_and_its_steering(
    script: ModuleType, labels: dict[str, str]
) -> None:
    listed = list(script.terms_of([SCRIPTS / "lexicon", TABLES]))[
        len(rows("jargon.csv", SCRIPTS / "lexicon")) :
    ]
    assert len(listed) > 8_000 and len(rows("jargon.csv")) - len(listed) == 14
    own = {row["term"] for row in rows("jargon.csv", SCRIPTS / "lexicon")}
    own |= {term for row in moods() for term in row["terms"].split("|")}
    for row in listed:
        term = english().term(row["term"])
        assert term is not None, row["term"]
        if term.term in own:
            continue
        takes = script.takes_a_label(row["note"]) and row["plain"] in labels
        expected = [row["plain"], labels[row["plain"]]] if takes else [row["plain"]]
        assert "|".join(term.readings) == "|".join(expected).replace("||", "|"), row["term"]
        assert (term.kind, term.steering) == (row["kind"], steering(row["note"])), row["term"]


@needs_tables
def test_terms_that_the_tables_only_explain_have_readings_of_their_own(script: ModuleType) -> None:
    own = {row["term"]: row["plain"] for row in rows("jargon.csv", SCRIPTS / "lexicon")}
    for row in rows("jargon.csv"):
        if script.is_gloss(row["plain"]):
            term = english().term(row["term"])
            plain = own[row["term"]]
            assert term is not None and "|".join(term.readings).startswith(plain), row["term"]


def test_no_reading_of_a_term_is_an_explanation() -> None:
    assert [reading for reading in english().plain_readings if ":" in reading] == []


@needs_tables
def test_every_word_of_every_language_is_carried() -> None:
    listed = rows("languages.csv")
    assert len(listed) > 13_000
    twice = {("German", "rauschen")}  # two rows of one spelling: the first is carried
    for row in listed:
        read = languages().by_name[row["language"]].reading(row["term"].strip())
        if (row["language"], row["term"].casefold()) not in twice:
            assert read == row["plain"], (row["language"], row["term"])


@needs_tables
def test_spellings_that_two_languages_share_keep_the_meaning_of_each() -> None:
    checked = 0
    for row in rows("cross_language_collisions.csv"):
        for each in row["readings"].split(" ; "):
            names, _, plain = each.partition(": ")
            for name in names.split("/"):
                read = languages().by_name[name].reading(row["term"].strip())
                assert read is not None and (read == plain or row["term"] == "rauschen"), (row["term"], name)
                checked += 1
    assert checked > 70


@needs_tables
def test_words_that_are_english_as_well_are_marked() -> None:
    for row in rows("english_collisions.csv"):
        assert loosen(row["term"]) in languages().by_name[row["language"]].english, row["term"]


@needs_tables
def test_the_whole_category_list_and_its_parts_are_carried(labels: dict[str, str]) -> None:
    listed = rows("ucs.csv")
    assert len(listed) == len(english().categories) == 752
    for row in listed:
        category = english().categories[row["cat_id"]]
        label = labels.get(row["plain"])
        plain = f"{row['plain']}|{label}" if label else row["plain"]
        assert category.plain == plain
        assert [category.category, category.subcategory, category.synonyms] == [
            row[name] for name in ("category", "subcategory", "synonyms")
        ]
    for row in rows("ucs_parts.csv"):
        parts = english().prefixes if row["position"] == "prefix" else english().suffixes
        assert parts[row["part"]] == row["meaning"]


@needs_tables
def test_the_carried_files_are_what_the_script_makes_of_the_tables(
    script: ModuleType, tmp_path: Path
) -> None:
    folders = [SCRIPTS / "lexicon", TABLES]
    script.write(script.compile_english(folders), tmp_path / ENGLISH_FILE)
    script.write(script.compile_languages(folders), tmp_path / LANGUAGES_FILE)
    for name in (ENGLISH_FILE, LANGUAGES_FILE):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), (
            f"{name} is not what scripts/compile_lexicon.py makes of the tables; run it again"
        )


def test_the_own_additions_are_carried(script: ModuleType) -> None:
    for row in script.terms_of([SCRIPTS / "lexicon"]):
        term = english().term(row["term"])
        assert term is not None and "|".join(term.readings).startswith(row["plain"].replace("||", "|")), row[
            "term"
        ]


@needs_tables
def test_readings_that_no_model_finds_are_said_in_the_words_of_captions(script: ModuleType) -> None:
    listed = {row["plain"] for name in (SCRIPTS / "lexicon", TABLES) for row in rows("jargon.csv", name)}
    given = rows("readings.csv", SCRIPTS / "lexicon")
    assert {row["plain"] for row in given} <= listed and len(given) > 60
    whoosh = english().term("whoosh")
    assert whoosh is not None and whoosh.readings[0] == "whoosh passing by"


def test_a_reading_and_the_nearest_label_are_searched_for_together(labels: dict[str, str]) -> None:
    label = labels["crowd of people murmuring|many people talking at once"]
    assert english().term("walla").readings[-1] == label  # type: ignore[union-attr]
    for row in rows("heads.csv", SCRIPTS / "lexicon"):
        assert languages().heads[row["plain"]] == row["head"]


def test_a_mood_is_heard_in_sounds_that_differ() -> None:
    terms = [(term, row["plain"]) for row in moods() for term in row["terms"].split("|")]
    assert len(terms) > 900 and len(dict(terms)) == len(terms)
    for name, plain in terms:
        term = english().term(name)
        assert term is not None and term.kind == "mood", name
        assert "||".join("|".join(wordings) for wordings in term.alternatives) == plain, name
        assert len(term.alternatives) <= 4, f"{name}: each alternative is a search, of 6 ms"
    creepy = english().term("creepy")
    assert creepy is not None and len(creepy.alternatives) == 4
    assert creepy.readings == tuple(text for wordings in creepy.alternatives for text in wordings)


@pytest.mark.parametrize("name", ["drone", "crash"])
def test_readings_that_differ_are_alternatives(name: str) -> None:
    term = english().term(name)
    assert term is not None and "e" in term.steering
    assert len(term.alternatives) > 1 and all(len(wordings) == 1 for wordings in term.alternatives)


def test_brown_noise_is_no_gas() -> None:
    term = english().term("brown noise")
    assert term is not None and term.readings == ("steady hissing noise", "continuous static like noise")


def test_the_lexicon_adds_less_than_three_megabytes() -> None:
    assert sum((FOLDER / name).stat().st_size for name in (ENGLISH_FILE, LANGUAGES_FILE)) < 3_000_000


@pytest.mark.parametrize(
    ("typed", "term"),
    [
        ("walla", "walla"),
        ("WALLA", "walla"),
        ("wooooosh", "woosh"),
        ("ker splash", "ker splash"),
        ("'walla'", "walla"),
    ],
)
def test_a_term_is_found_however_it_is_typed(typed: str, term: str) -> None:
    found = english().term(typed)
    assert found is not None and found.term == term


def test_a_term_is_found_with_and_without_its_hyphen() -> None:
    content = {
        "readings": ["water splash"],
        "terms": {"ker-splash": [0, "onomatopoeia", ""]},
        "ucs": {},
        "ucs_parts": {"prefix": {}, "suffix": {}},
    }
    lexicon = EnglishLexicon(content)
    for typed in ("ker-splash", "ker splash", "kersplash", "Kersplash!"):
        found = lexicon.term(typed)
        assert found is not None and found.readings == ("water splash",), typed
    assert lexicon.term("splash") is None


def test_a_number_is_no_term_that_lost_its_hyphen() -> None:
    assert english().term("5-0").readings == ("police siren",)  # type: ignore[union-attr]
    assert english().term("50") is None
    assert english().term("808") is not None
    assert read_query("people in a market 50").text == "people in a market 50"


def test_a_word_is_found_without_its_accents_and_with_its_umlauts_written_out() -> None:
    german, french = languages().by_name["German"], languages().by_name["French"]
    assert german.reading("Vögel") == german.reading("voegel") == german.reading(
        "VOGEL"
    ) == "birds singing" or (german.reading("Vögel") == german.reading("voegel"))
    assert french.reading("bébé") == french.reading("bebe") == french.reading("BÉBÉ") == "baby crying"
    assert french.lacks_accents("bebe") and not french.lacks_accents("bébé")


def test_notes_become_steering() -> None:
    assert steering("two readings; common caption word (72x): only when it is the whole query") == "we"
    assert steering("misspelling of brakes") == "m"
    assert steering("recording equipment: carries no sound of its own") == "n"
    assert steering("also a fish") == ""
