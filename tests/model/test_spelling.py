"""What is made of a mistyped word, and of all those that only look like one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spellchecker import SpellChecker
from tokenizers import Tokenizer, models, normalizers
from toy_model import make_toy_model

from soundseek.errors import ModelError
from soundseek.model.config import TOKENIZER_FILE
from soundseek.model.model import Model
from soundseek.model.spelling import (
    WORDS_FILE,
    Spelling,
    caption_words,
    read_words,
    slip_between,
    write_words,
)

CAPTIONS = (
    "A dog is barking",
    "The dog barks at the crows",
    "Thunder and rain, then a crow",
    "A thunk, a boing and a synth",
    "a dog barks as a bell is rung",
)
SPELLING = Spelling(caption_words(CAPTIONS))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("barkign", "barking"),  # swapped
        ("thunfer", "thunder"),  # a neighbour's key
        ("thundrr", "thunder"),
        ("thuunder", "thunder"),  # one too many
        ("thnder", "thunder"),  # one lost
        ("thundir", "thunder"),  # no neighbour, in a long word
        ("dgo", "dog"),
    ],
)
def test_a_single_slip_is_corrected(typed: str, meant: str) -> None:
    assert SPELLING.corrected(f"a {typed} outside") == f"a {meant} outside"


def test_another_spelling_of_a_word_becomes_that_of_the_captions() -> None:
    learned = Spelling(
        caption_words(["A zombie growls", "hyenas and one hyena", "a raccoon and a racoon", "a time"])
    )
    assert learned.corrected("Zombi and hyaena at night") == "Zombie and hyena at night"
    assert learned.corrected("a racoon") == "a racoon"  # stands in a caption
    assert learned.corrected("timbre") == "timbre"  # a word of its own


@pytest.mark.parametrize(
    "text",
    [
        "boing, thunk, synth",  # the captions' own, which a dictionary alone would turn into going, think, synch
        "a fog horn moans",  # English, though one letter from dog and horn's neighbours
        "doink",  # in neither, and no word of the captions is near
        "berls",  # short, and e for a is no slip of the finger
        "wog dgi dxg",  # three letters, none of them swapped
        "nark arking",  # another first letter
        "thundrre",  # two slips
        "ProTools bArks DOg",  # names, or nobody knows
        "dgo's dgo_01 dgo2 8dgo",  # parts of something else
        "",
        "  ...  ",
    ],
)
def test_what_may_have_been_meant_stays_as_it_was_typed(text: str) -> None:
    assert SPELLING.corrected(text) == text


def test_case_and_what_stands_around_a_word_are_kept() -> None:
    text = "  “Dgo”, (BARKIGN);\tthnder-thnder 'dgo' \n"
    assert SPELLING.corrected(text) == "  “Dog”, (BARKING);\tthunder-thunder 'dog' \n"


def test_swapped_letters_come_before_more_frequent_words() -> None:
    spelling = Spelling({"close": 90, "crow": 50, "crows": 1})
    assert spelling.corrected("crosw") == "crows"
    assert spelling.corrected("croww") == "crow"


def test_of_two_words_as_near_the_more_frequent_one_was_meant() -> None:
    assert Spelling({"clack": 2, "clank": 1}).corrected("clak") == "clack"
    assert Spelling({"clack": 1, "clank": 2}).corrected("clak") == "clank"


def test_the_likelier_slip_comes_before_the_more_frequent_word() -> None:
    spelling = Spelling({"oven": 51, "ocean": 47, "birds": 90, "bird": 2, "whistle": 1, "while": 99})
    assert spelling.corrected("ocen") == "ocean"  # a letter lost; c is v's neighbour
    assert spelling.corrected("birdd") == "bird"  # doubled; d is the neighbour of s
    assert spelling.corrected("whisle") == "whistle"
    assert Spelling({"guitar": 1, "guider": 99}).corrected("guitzr") == "guitar"
    # A neighbour's key before any other.
    assert Spelling({"thundar": 1, "thundor": 9}).corrected("thundsr") == "thundar"


@pytest.mark.parametrize(
    ("typed", "learned"),
    [
        ("thats", "that"),
        ("dont", "dong"),
        ("walla", "wall"),
        ("walla", "walls"),
        ("hissy", "hiss"),
        ("boomy", "boom"),
        ("clangy", "clang"),
        ("djembes", "djembe"),
        ("ribbit", "ribbits"),
        ("scrapey", "scraped"),
        ("shrieky", "shrieks"),
        ("wavs", "waves"),
        ("wavs", "wave"),
    ],
)
def test_an_ending_or_a_missing_apostrophe_is_no_slip(typed: str, learned: str) -> None:
    assert Spelling({learned: 9}).corrected(typed) == typed


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("barkk", "bark"),  # the last letter doubled
        ("bakr", "bark"),  # or swapped
        ("barj", "bark"),  # or a neighbour's
        ("barkin", "barking"),  # or lost
        ("gulsl", "gulls"),  # with an s
    ],
)
def test_a_slip_at_the_end_of_a_word_is_corrected(typed: str, meant: str) -> None:
    assert Spelling({meant: 1}).corrected(typed) == meant


def test_a_correction_needs_no_other() -> None:
    once = SPELLING.corrected("a dgo barkign in thnder")
    assert once == "a dog barking in thunder" == SPELLING.corrected(once)


def test_a_model_without_words_corrects_nothing_and_loads_no_dictionary(tmp_path: Path) -> None:
    for spelling in (Spelling.of(Lettered(tmp_path)), Spelling.of(Lettered(None)), Spelling({})):
        assert not spelling
        assert spelling.corrected("a dgo") == "a dgo"
    script = (
        "import sys; from soundseek.model.spelling import Spelling\n"
        "Spelling({}).corrected('a dgo'); Spelling({'dog': 1, 'bell': 1}).corrected('dog BELL ab 8x')\n"
        "print('spellchecker' in sys.modules); Spelling({'dog': 1}).corrected('dgo')\n"
        "print('spellchecker' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


@dataclass(frozen=True)
class Lettered:
    """A model that is nothing but its directory."""

    directory: Path | None


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert write_words(tmp_path, ["A dog’s bark", "a dog, two dogs", "Café 2nd"]) == 6
    assert (
        tmp_path / WORDS_FILE
    ).read_bytes().decode() == "a\t2\nbark\t1\ncafé\t1\ndog\t1\ndogs\t1\ntwo\t1\n"
    assert Spelling.of(Lettered(tmp_path)).corrected("DGOS") == "DOGS"


ODD = ("½", "m²", "Ⅷ", "x①", "İzmir", "ǅ", "ΑΣ", "ª", "日本")


@settings(deadline=None)  # a disk may be slow
@given(st.lists(st.text() | st.sampled_from(ODD)))
@example(captions=list(ODD))
def test_whatever_stands_in_captions_is_read_as_it_was_written(captions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_words(Path(folder), captions)
        assert read_words(Path(folder) / WORDS_FILE) == caption_words(captions)


def test_words_that_no_list_can_hold_are_left_out() -> None:
    assert caption_words(["½ m² Ⅷ x① of İzmir", "ΑΣ, 日本"]) == {"of": 1, "ας": 1, "日本": 1}


def test_words_that_a_list_cannot_hold_stay_as_they_were_typed() -> None:
    assert Spelling({"izmir": 9, "izmirs": 1}).corrected("İzmir, İZMIR, izmri") == "İzmir, İZMIR, izmir"


@pytest.mark.parametrize("mark", ["", "Ġ", "▁"])
def test_a_word_that_the_tower_reads_whole_is_meant(mark: str, tmp_path: Path) -> None:
    write_words(make_toy_model(tmp_path), ["into the barn"])
    # The dictionary has no intro, and the toy's tower reads letter by letter.
    assert Spelling.of(Model(tmp_path)).corrected("intro") == "into"
    vocabulary = {"[UNK]": 0, f"{mark}intro": 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Prepend(mark)][: 1 + bool(mark)]
    )
    tokenizer.save(str(tmp_path / TOKENIZER_FILE))
    model = Model(tmp_path)
    assert model.is_one_token("intro") and not model.is_one_token("batn")
    assert Spelling.of(model).corrected("Intro, batn") == "Intro, barn"


def test_a_damaged_tokenizer_is_named_where_it_is_needed(tmp_path: Path) -> None:
    write_words(make_toy_model(tmp_path), ["into the barn"])
    (tmp_path / TOKENIZER_FILE).write_text("{")
    spelling = Spelling.of(Model(tmp_path))
    assert spelling.corrected("into the barn") == "into the barn"
    with pytest.raises(ModelError, match=r"tokenizer\.json is damaged"):
        spelling.corrected("batn")


@pytest.mark.parametrize(
    "line",
    [
        "dog",
        "Dog\t3",
        "dog 3",
        "dog\tmany",
        "\t3",
        "two words\t3",
        "",
        "m²\t3",
        "dog\t²",
        "dog\t" + 5000 * "9",
    ],
)
def test_of_a_damaged_list_a_warning_names_the_line_and_nothing_is_corrected(
    line: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / WORDS_FILE).write_text(f"a\t9\n{line}\nbell\t1\n", encoding="utf-8")
    spelling = Spelling.of(Lettered(tmp_path))
    assert not spelling and spelling.corrected("blel") == "blel"
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"{tmp_path / WORDS_FILE}, line 2: expected a word in lower case, a tab")
    assert told.endswith("; export or fetch the model again; until then no mistyped word is corrected")
    assert len(told) < 300 + len(str(tmp_path))


def test_bytes_that_are_no_text_are_a_damaged_list(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / WORDS_FILE).write_bytes(b"a\t9\nb\xffll\t1\n")
    assert not Spelling.of(Lettered(tmp_path))
    assert "words.txt, line 2: " in caplog.text


def test_a_folder_in_place_of_the_list_is_named_and_nothing_is_corrected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / WORDS_FILE).mkdir()
    assert not Spelling.of(Lettered(tmp_path))
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"{tmp_path / WORDS_FILE} cannot be read: ")
    assert "; export or fetch the model again; until then" in told


CHECKER = SpellChecker(language=None, distance=1)
CHECKER.word_frequency.load_words(["abcdefghijklmnopqrstuvwxyz"])  # its alphabet


@given(st.text("abcd", min_size=1, max_size=5), st.text("abcd", min_size=1, max_size=5))
def test_a_slip_is_what_others_call_a_distance_of_one(typed: str, word: str) -> None:
    near = typed != word and word in CHECKER.edit_distance_1(typed)
    assert (slip_between(typed, word) is not None) == near


def test_the_list_begins_with_the_most_frequent_word(tmp_path: Path) -> None:
    write_words(tmp_path, ["zebra zebra hooves", "a zebra", "an owl and an owl"])
    assert [line.split("\t")[0] for line in (tmp_path / WORDS_FILE).read_text().splitlines()][:3] == [
        "zebra",
        "an",
        "owl",
    ]


def test_an_english_word_stays_though_a_learned_one_is_near() -> None:
    learned = Spelling({"trail": 9})
    assert learned.corrected("the trial") == "the trial"  # two letters swapped, and a word
    assert learned.corrected("the trali") == "the trail"


def test_rows_of_keys_stand_half_a_key_apart() -> None:
    # On the keyboard "h" touches "b" and "n" below it; a grid without the shift would put "m" beside it and not "b".
    assert slip_between("hark", "bark") == "neighbour"
    assert slip_between("hade", "made") == "substituted"
