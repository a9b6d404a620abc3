"""Leave-one-out words, on a toy model whose text vectors can be worked out by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from library.fakes import ToyEmbedder

from soundseek.library.explain import (
    MAX_WORDS,
    WordContribution,
    content_words,
    contributions_of_nearest,
    strongest_words,
    without_word,
    word_contributions,
)
from soundseek.model.memory import SoundMemory

Float = npt.NDArray[np.float32]


DOG = np.array([[1, 0, 0]], np.float32)
RAIN = np.array([[0, 1, 0]], np.float32)


def test_the_word_that_a_segment_holds_carries_its_hit() -> None:
    (of_dog,), (of_rain,) = (word_contributions(ToyEmbedder(), "dog rain", each) for each in (DOG, RAIN))
    # "dog rain" scores 1/sqrt(2) with a dog; "rain" alone 0 and "dog" alone 1.
    assert of_dog[0].word == "dog" and of_dog[0].contribution == pytest.approx(0.5**0.5)
    assert of_dog[1].word == "rain" and of_dog[1].contribution == pytest.approx(0.5**0.5 - 1)
    assert of_rain[0].word == "rain"


def test_what_is_left_of_a_sentence_of_two_sounds_is_not_turned_where_the_sentence_is_not() -> None:
    class Remembering(ToyEmbedder):
        memory = SoundMemory(
            np.float32([[0, 0, 1]])
        )  # whatever turns towards it moves away from dog and rain

    query = "a dog barks while rain falls"
    plain, turned = (word_contributions(model, query, DOG) for model in (ToyEmbedder(), Remembering()))
    assert plain == turned
    assert word_contributions(Remembering(), "dog", DOG) != word_contributions(ToyEmbedder(), "dog", DOG)


def test_every_segment_is_explained_from_one_batch_of_texts() -> None:
    model = ToyEmbedder()
    explained = word_contributions(model, "A dog in the rain", np.concatenate([DOG, RAIN]))
    assert model.calls == [["A dog in the rain", "A in the rain", "A dog in the"]]
    assert [segment[0].word for segment in explained] == ["dog", "rain"]


def test_a_segment_is_explained_by_the_query_that_it_fits_best() -> None:
    rows = np.concatenate([RAIN, DOG, RAIN])
    of_rain, of_dog, again = contributions_of_nearest(ToyEmbedder(), ["dog", "rain"], rows)
    assert [words[0].word for words in (of_rain, of_dog, again)] == ["rain", "dog", "rain"]
    assert contributions_of_nearest(ToyEmbedder(), ["dog"], DOG) == word_contributions(
        ToyEmbedder(), "dog", DOG
    )
    assert contributions_of_nearest(ToyEmbedder(), ["dog", "rain"], DOG[:0]) == []


def test_a_single_word_has_the_whole_score() -> None:
    assert word_contributions(ToyEmbedder(), "dog", DOG) == [(WordContribution("dog", 0.0, 1.0),)]


def test_a_query_without_content_explains_nothing_and_embeds_nothing() -> None:
    model = ToyEmbedder()
    assert word_contributions(model, "the sound of a", DOG) == [()]
    assert word_contributions(model, "dog", DOG[:0]) == []
    assert model.calls == []


def test_a_very_long_query_stays_one_small_batch() -> None:
    model = ToyEmbedder()
    words = [f"word{number}" for number in range(40)]
    (explained,) = word_contributions(model, " ".join(words), DOG)
    assert len(explained) == MAX_WORDS and len(model.calls[0]) == MAX_WORDS + 1


def test_a_word_said_twice_is_one_word_and_leaves_together() -> None:
    assert content_words("Dog, dog! A DOG and rain") == ["dog", "rain"]
    assert without_word("Dog barks and another dog", "dog") == "barks and another"


def test_a_word_inside_another_stays() -> None:
    assert without_word("a car passes a carpenter", "car") == "a passes a carpenter"


def test_words_of_other_scripts_count() -> None:
    assert content_words("ein Hund bellt, 犬") == ["ein", "hund", "bellt", "犬"]


def test_the_second_word_is_named_only_if_it_counts() -> None:
    dog, rain = WordContribution("dog", 0.1, 0.2), WordContribution("rain", 0.2, 0.1)
    assert strongest_words([dog, rain]) == ["dog", "rain"]
    assert strongest_words([dog, WordContribution("rain", 0.21, 0.09)]) == ["dog"]
    assert strongest_words([WordContribution("dog", 0.4, -0.1)]) == []
    assert strongest_words([]) == []
