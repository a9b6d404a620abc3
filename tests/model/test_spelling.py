"""What is made of a mistyped word, and of all those that only look like one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spellchecker import SpellChecker
from tokenizers import Tokenizer, models, normalizers

from soundseek.errors import ModelError
from soundseek.model.card import TOKENIZER_FILE
from soundseek.model.spelling import WORDS_FILE, Spelling, caption_words, slip_between, write_words

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


def test_a_correction_needs_no_other() -> None:
    once = SPELLING.corrected("a dgo barkign in thnder")
    assert once == "a dog barking in thunder" == SPELLING.corrected(once)


def test_a_model_without_words_corrects_nothing_and_loads_no_dictionary(tmp_path: Path) -> None:
    for spelling in (Spelling.of(tmp_path), Spelling.of(None), Spelling({})):
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


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert write_words(tmp_path, ["A dog’s bark", "a dog, two dogs", "Café 2nd"]) == 6
    assert (
        tmp_path / WORDS_FILE
    ).read_bytes().decode() == "a\t2\nbark\t1\ncafé\t1\ndog\t1\ndogs\t1\ntwo\t1\n"
    assert Spelling.of(tmp_path).corrected("DGOS") == "DOGS"


@pytest.mark.parametrize("mark", ["", "Ġ", "▁"])
def test_a_word_that_the_tower_reads_whole_is_meant(mark: str, tmp_path: Path) -> None:
    write_words(tmp_path, ["into the barn"])
    assert Spelling.of(tmp_path).corrected("intro") == "into"  # the dictionary has none
    vocabulary = {"[UNK]": 0, f"{mark}intro": 1}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Prepend(mark)][: 1 + bool(mark)]
    )
    tokenizer.save(str(tmp_path / TOKENIZER_FILE))
    assert Spelling.of(tmp_path).corrected("Intro, batn") == "Intro, barn"


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    write_words(tmp_path, ["into the barn"])
    (tmp_path / TOKENIZER_FILE).write_text("{")
    assert Spelling.of(tmp_path).corrected("into the barn") == "into the barn"
    with pytest.raises(ModelError, match=r"tokenizer\.json is damaged"):
        Spelling.of(tmp_path).corrected("batn")


@pytest.mark.parametrize("line", ["dog", "Dog\t3", "dog 3", "dog\tmany", "\t3", "two words\t3", ""])
def test_a_damaged_list_names_its_line(line: str, tmp_path: Path) -> None:
    (tmp_path / WORDS_FILE).write_text(f"a\t9\n{line}\nbell\t1\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"words\.txt, line 2: expected a word in lower case, a tab"):
        Spelling.of(tmp_path)


CHECKER = SpellChecker(language=None, distance=1)
CHECKER.word_frequency.load_words(["abcdefghijklmnopqrstuvwxyz"])  # its alphabet


@given(st.text("abcd", min_size=1, max_size=5), st.text("abcd", min_size=1, max_size=5))
def test_a_slip_is_what_others_call_a_distance_of_one(typed: str, word: str) -> None:
    near = typed != word and word in CHECKER.edit_distance_1(typed)
    assert (slip_between(typed, word) is not None) == near
