"""A query in the words of its searcher becomes the words of captions; a plain English caption stays as it is."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from soundseek.errors import QueryError
from soundseek.model.registry import BUNDLED, DEFAULT_MODEL
from soundseek.model.spelling import WORDS_FILE, Spelling, read_words
from soundseek.query import QueryReader, Reading, as_typed, read_query
from soundseek.query.lexicon import english

COUNTS = read_words(BUNDLED / DEFAULT_MODEL / WORDS_FILE)
SOUNDS = Path(__file__).parents[3] / "shared" / "sounds"


@pytest.fixture(scope="module")
def reader() -> QueryReader:
    return QueryReader(COUNTS, Spelling(COUNTS))


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("walla", "crowd of people murmuring"),
        ("Walla!", "crowd of people murmuring"),
        ("wallas in a pub", "crowd of people murmuring in a pub"),
        ("woof woof", "dog barking"),
        ("boomy", "deep booming"),
        ("boomy kick", "deep booming kick"),
        ("kersplash", "water splash"),
        ("lamborghini", "race car engine"),
        ("fier works", "fireworks"),
        ("WTHRThun", "thunder rumbling"),
        ("wthrthun", "thunder rumbling"),
        ("AMBNatr", "nature ambience"),
        ("WEATHER THUNDER", "thunder rumbling"),
        ("Doors - Wood", "wooden door opening or closing"),
        ("dog_bark_03.wav", "dog bark"),
        ("amb_forest_night_01", "forest ambience night"),
        ("forest amb", "forest ambience"),
        ("kitchen foley", "kitchen"),
        ("sfx dog", "dog"),
        ("ui beeps", "interface beeps"),
        ("Ferrari accelerating", "race car engine accelerating"),
        ("WTHRThun_Distant Rumble_JD_STORM.wav", "Distant Rumble, thunder rumbling"),
    ],
)
def test_words_of_sound_people_are_said_plainly(reader: QueryReader, query: str, read: str) -> None:
    assert reader.read(query).text == read


@pytest.mark.parametrize(("query", "term"), [("foley foley", "foley"), ("sfx sfx", "sfx")])
def test_a_word_of_the_trade_twice_is_that_word(reader: QueryReader, query: str, term: str) -> None:
    assert reader.read(query).alternatives == reader.read(term).alternatives
    assert reader.read(query).text and reader.read(query).typed == query


@pytest.mark.parametrize("query", ["sfx and foley", "the foley sounds"])
def test_words_of_the_trade_alone_are_never_searched_for_as_nothing(reader: QueryReader, query: str) -> None:
    assert reader.read(query).text == query


def test_words_of_the_trade_stand_before_or_behind_what_they_are_about(reader: QueryReader) -> None:
    assert reader.read("cloth foley").alternatives == reader.read("foley cloth").alternatives
    assert reader.read("male walla").texts == reader.read("walla male").texts
    assert reader.read("horse race").text == "horse race"


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("sizzling", "food frying"),
        ("cloth movement", "clothes rustling"),
        ("door slam", "door closing"),
        ("door closing", None),
        ("rain", None),
        ("footsteps", None),
    ],
)
def test_a_term_whose_words_captions_have_is_searched_for_by_its_meaning_as_well(
    reader: QueryReader, query: str, meaning: str | None
) -> None:
    reading = reader.read(query)
    if meaning is None:
        assert reading.is_as_typed
    else:
        typed, meanings = reading.alternatives
        assert typed == (query,) and meanings[0] == meaning


def test_two_readings_are_two_alternatives_and_wordings_of_one_are_not(reader: QueryReader) -> None:
    drone, walla = reader.read("drone"), reader.read("walla")
    assert drone.alternatives == (("a long steady low tone",), ("a small drone flying",))
    ((first, second, *_),) = walla.alternatives
    assert (first, second) == ("crowd of people murmuring", "many people talking at once")
    assert drone.described() == "'a long steady low tone' or 'a small drone flying'"


def test_a_broad_reading_is_added_and_does_not_replace_the_term(reader: QueryReader) -> None:
    (texts,) = reader.read("crunchy sound").alternatives
    assert texts == ("crunchy sound", "crunchy sound, a strong full-bodied sound")
    (texts,) = reader.read("antelope").alternatives  # no caption has it, so that what it is counts more
    assert texts[0].startswith("antelope, ") and "animal" in texts[0] and "antelope" not in "".join(texts[1:])


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("angry dog", ("angry dog", "dog")),
        ("spooky forest at dawn", None),
        ("peaceful morning birds", ("peaceful morning birds", "morning birds")),
        ("romantic walla", ("romantic walla", "crowd of people murmuring")),
        ("sad song", ("sad song", "sad music")),
        ("happy music", ("happy music", "happy festive music")),
        ("relaxing music", ("relaxing music", "calm ambient music")),
        ("heavy rain", None),
        ("science fiction effect", None),
        ("creepy effects", None),
    ],
)
def test_what_has_a_mood_counts_beside_the_mood(
    reader: QueryReader, query: str, texts: tuple[str, ...] | None
) -> None:
    assert reader.read(query).alternatives == ((texts or (query,)),)


@pytest.mark.parametrize(
    "query", ["creepy", "creepy mood", "creepy sound", "creepy sound effect", "creepy vibes"]
)
def test_a_mood_alone_is_the_sounds_that_have_it(reader: QueryReader, query: str) -> None:
    reading = reader.read(query)
    assert reading.alternatives == english().term("creepy").alternatives  # type: ignore[union-attr]
    told = reading.described()
    for text in ("scary music", "monster growling", "wolf howling"):
        assert f"{text!r}" in told
    assert " or 'monster growling' and 'zombie groaning' together or 'ghost wailing' or " in told


@pytest.mark.parametrize(
    ("query", "mood"),
    [
        ("very scary", "scary"), ("something terrifying", "terrifying"), ("a peaceful place", "peaceful"),
        ("Really creepy noises", "creepy"), ("tense moment", "tense"), ("calm and relaxing", "calm"),
        ("tranquility", "peaceful"),
    ],
)  # fmt: skip
def test_a_mood_in_words_that_add_nothing_is_that_mood(reader: QueryReader, query: str, mood: str) -> None:
    assert reader.read(query).alternatives == reader.read(mood).alternatives
    assert reader.read(query).notes[0].source == query


def test_two_moods_are_the_sounds_of_both(reader: QueryReader) -> None:
    one, other = reader.read("sad").alternatives, reader.read("scary").alternatives
    assert reader.read("sad and scary").alternatives == (*one, *other)


@pytest.mark.parametrize("query", ["the adventure", "a party", "very loud", "sad and blue", "a quiet tone"])
def test_a_mood_beside_what_is_none_is_not_taken_for_one(reader: QueryReader, query: str) -> None:
    assert reader.read(query).alternatives == ((query,),)


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("Miele washing machine", ("washing machine",)),
        ("Whirlpool fridge", ("fridge",)),
        ("Makita drill", ("drilling", "drill")),
        ("Casio watch", ("clock ticking watch",)),
        ("Ferrari accelerating", ("race car engine accelerating",)),
        ("ferrari accelerating", ("race car engine accelerating",)),
        ("Samsung phone", ("Samsung phone", "phone")),
        ("Miele washing machine and dryer", ("washing machine and dryer",)),
        ("Miele washing machines spinning", ("washing machines spinning",)),
        ("toyota prius car", ("car",)),
        ("Toyota Prius", ("car engine running electric motor whirring in a car",)),
        ("old washing machine", ("old washing machine",)),
    ],
)
def test_a_brand_beside_its_product_is_one_thing(
    reader: QueryReader, query: str, texts: tuple[str, ...] | None
) -> None:
    assert reader.read(query).alternatives == (texts or (query,),)


@pytest.mark.parametrize(
    ("query", "mood"), [("triste", "sad"), ("gruselig", "creepy"), ("怖い", "creepy"), ("страшно", "scary")]
)
def test_a_mood_of_another_language_is_that_mood(reader: QueryReader, query: str, mood: str) -> None:
    reading = reader.read(query)
    assert reading.alternatives == reader.read(mood).alternatives and reading.language != "English"
    assert [note.kind for note in reading.notes] == ["language", "term"]


@pytest.mark.parametrize("query", ["tense music", "Joyous music", "suspense music"])
def test_music_of_a_mood_is_music(reader: QueryReader, query: str) -> None:
    reading = reader.read(query)
    assert all("music" in text for text in reading.texts)
    assert "music" not in reader.read("tense").texts[-1]


def test_an_atmosphere_is_no_single_scream(reader: QueryReader) -> None:
    assert "woman screaming" in reader.read("scary").texts
    assert reader.read("creepy atmosphere").alternatives == reader.read("eerie").alternatives
    assert "woman screaming" not in reader.read("eerie").texts


@pytest.mark.parametrize(
    "caption",
    [
        "A dog is barking.", "Heavy rain falls on a roof while thunder rolls.", "Door creaking", "Explosion",
        "A man speaks and a crowd applauds", "Rifle shot", "a chat at the bar", "The motor of a boat",
        "Die rolling on a hand",
        "A cockerel is heard crying cock-a-doodle-doo", "Tick tock goes the clock", "Water running", "Train horn",
    ],
)  # fmt: skip
def test_a_plain_caption_stays_as_it_is(reader: QueryReader, caption: str) -> None:
    reading = reader.read(caption)
    assert reading.is_as_typed and reading.language == "English", reading
    assert reading.text == caption


@pytest.mark.skipif(not SOUNDS.is_dir(), reason=f"the captions are not in {SOUNDS}")
@pytest.mark.parametrize(("split", "most"), [("validation", 0), ("evaluation", 8)])
def test_hardly_a_caption_of_a_whole_split_is_changed(reader: QueryReader, split: str, most: int) -> None:
    with (SOUNDS / f"captions_{split}.csv").open(encoding="utf-8", newline="") as file:
        captions = [row[f"caption_{number}"] for row in csv.DictReader(file) for number in range(1, 6)]
    changed = [caption for caption in captions if not reader.read(caption).is_as_typed]
    assert len(captions) > 1_500 and len(changed) <= most, changed


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("a dgo barkign", "a dog barking"),
        ("Thnuder and raim", "Thunder and rain"),
        ("rian", "rain"),  # no other language has the word as it stands
        ("dogg barcking", "dog barking"),  # "barcking" is a term and brings its dog along
        ("scritch", "scratching on a surface"),  # a word of the lexicon is no slip for "stretch"
        ("Kies", "gravel"),  # nor one of another language for "kiss"
    ],
)
def test_a_mistyped_word_is_corrected_and_a_foreign_one_is_read(
    reader: QueryReader, query: str, read: str
) -> None:
    assert reader.read(query).text == read


def test_a_mistyped_term_is_read_once_it_is_corrected() -> None:
    counts = {"whoosh": 1, "a": 9}
    read = QueryReader(counts, Spelling(counts)).read("whosoh")
    assert [note.kind for note in read.notes] == ["spelling", "term"]
    assert "whoosh" in read.text and read.text != "whoosh"


def test_words_that_neither_the_model_nor_the_lexicon_knows_are_said(reader: QueryReader) -> None:
    reading = reader.read("a blorptastic zindlefrop near a dog")
    assert reading.unknown == ("blorptastic", "zindlefrop")
    (told,) = reading.warnings()
    assert "'blorptastic', 'zindlefrop'" in told and "guess" in told
    assert reader.read("a dog barks near a car").unknown == ()
    assert reader.read("walla").unknown == ()


@pytest.mark.parametrize("query", ["zxqv blorp", "blom veeng", "clug blimas", "snoogind wof", "fus weeg"])
def test_a_word_beside_a_made_up_one_is_neither_corrected_nor_read_by_its_sound(
    reader: QueryReader, query: str
) -> None:
    reading = reader.read(query)
    assert reading.is_as_typed and reading.unknown, reading
    (told,) = reading.warnings()
    assert all(repr(word) in told for word in reading.unknown)


def test_all_words_that_nothing_is_known_of_are_said(reader: QueryReader) -> None:
    assert reader.read("zxqv blorp").unknown == ("zxqv", "blorp")


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("thnuder zxqv", "thunder zxqv"),
        ("walla zxqv", "crowd of people murmuring zxqv"),
        ("a blorp", "water bubbling"),
        ("blorp", "water bubbling"),
        ("big blorp", "big water bubbling"),
    ],
)
def test_what_is_sure_is_read_beside_a_made_up_word(reader: QueryReader, query: str, read: str) -> None:
    assert reader.read(query).text.removeprefix("a ") == read


def test_a_mood_that_is_kept_out_keeps_all_its_sounds_out(reader: QueryReader) -> None:
    reading = reader.read("forest -spooky")
    assert reading.text == "forest"
    assert reading.negatives == tuple(texts[0] for texts in reader.read("spooky").alternatives)


def test_a_term_behind_a_minus_is_excluded(reader: QueryReader) -> None:
    assert read_query("-hum").negatives and not read_query("-hum").alternatives
    assert reader.read("-walla").negatives == ("crowd of people murmuring",)
    assert reader.read("-20 db tone").text == "steady test tone"


def test_a_query_that_only_excludes_asks_for_nothing_and_says_so(reader: QueryReader) -> None:
    for query in ("-thunder", "no thunder"):
        (told,) = reader.read(query).warnings()
        assert "only 'thunder' is kept out and nothing asked for" in told
    (told,) = Reading("", (), negatives=("thunder", "rain")).warnings()
    assert told.startswith("only 'thunder' and 'rain' are kept out and nothing asked for")
    assert reader.read("rain -thunder").warnings() == ()


def test_without_a_list_of_words_no_word_is_called_unknown() -> None:
    assert read_query("a blorptastic zindlefrop").unknown == ()


def test_known_words_may_be_a_plain_collection() -> None:
    assert read_query("a zindlefrop", known_words={"a", "dog"}).unknown == ("zindlefrop",)
    assert read_query("a dog", known_words={"a", "dog"}).unknown == ()


@pytest.mark.parametrize("query", ["...", "?!", "  -- ", "\udcff", "“”"])
def test_a_query_without_a_letter_is_an_error(reader: QueryReader, query: str) -> None:
    with pytest.raises(QueryError, match="no letter and no digit"):
        reader.read(query)


@pytest.mark.parametrize("query", ['without -"', "_ -なしの/", " NOT …", "no ()", "ohne -", "なし"])
def test_an_exclusion_of_nothing_is_searched_for_as_it_is(reader: QueryReader, query: str) -> None:
    reading = reader.read(query)
    assert reading.texts and all(reading.texts) and not reading.negatives


def test_a_broken_byte_is_left_out_and_noted(reader: QueryReader) -> None:
    reading = reader.read("dog\udcff barking")
    assert reading.text == "dog barking" and [note.kind for note in reading.notes] == ["unreadable"]
    assert as_typed("dog\udcff").text == "dog"
    assert reader.read("un caf\udce9").text.encode("utf-8") == reader.read("un café").text.encode("utf-8")


def test_wide_letters_of_an_east_asian_keyboard_are_plain_ones(reader: QueryReader) -> None:
    assert reader.read("ｄｏｇ　ｂａｒｋｉｎｇ").text == "dog barking"
    assert reader.read("ＤＯＧ　ＢＡＲＫＳ　２").text == "DOG BARKS 2"


def test_a_picture_is_read_by_its_name(reader: QueryReader) -> None:
    assert reader.read("🐶").text == "dog"
    assert reader.read("🐱 and 🐶").text == "cat and dog"


@pytest.mark.parametrize("query", ["สุนัขเห่า", "σκύλος", "שלום"])
def test_a_script_that_no_table_has_is_said(reader: QueryReader, query: str) -> None:
    reading = reader.read(query)
    assert reading.unread and any("reads" in told for told in reading.warnings())


def test_letters_composed_of_parts_are_read_as_whole_ones(reader: QueryReader) -> None:
    import unicodedata

    for query in ("Vögel", "bébé qui pleure", "개가 짖는 소리", "ドアが閉まる"):
        decomposed = unicodedata.normalize("NFD", query)
        assert decomposed != query
        assert reader.read(decomposed).alternatives == reader.read(query).alternatives


def test_a_reading_describes_itself() -> None:
    reading = Reading("no wind", (), ("wind blowing",))
    assert reading.described() == "anything but 'wind blowing'" and reading.text == ""
    assert Reading("x", (("a", "b"),), ("c", "d")).described() == "'a' and 'b' together, not 'c' and 'd'"
