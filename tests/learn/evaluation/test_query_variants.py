"""Queries in other words: what each rule does, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundseek.learn.evaluation.query_variants import (
    REWORDINGS,
    lower_case,
    mistyped,
    other_number,
    plural,
    singular,
    sound_of,
    upper_case,
    with_article,
    without_articles,
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("reword", "query", "expected"),
    [
        (without_articles, "The owl and an ape in a tree", "owl and ape in tree"),
        (without_articles, "Another theme", "Another theme"),
        (with_article, "Rain on a tent", "The rain on a tent"),
        (with_article, "A dog barks", "A dog barks"),
        (with_article, "Someone walks", "Someone walks"),
        (with_article, "Quietly falling rain", "Quietly falling rain"),
        (with_article, "I hear rain", "I hear rain"),
        (upper_case, "A dog", "A DOG"),
        (lower_case, "A Dog.", "a dog"),
        (other_number, "A dog is barking", "Dogs are barking"),
        (other_number, "An old church bell rings loudly.", "Old church bells ring loudly."),
        (other_number, "You can hear a glass breaking.", "You can hear glasses breaking."),
        (other_number, "A baby cries", "Babies cry"),
        (other_number, "A woman laughs", "Women laugh"),
        (other_number, "A snake hisses", "Snakes hiss"),
        (other_number, "Bells ringing", "A bell ringing"),
        (other_number, "Wild creatures sing", "Wild creatures sing"),
        (other_number, "Someone says a few short phrases", "Someone says a few short phrases"),
        (other_number, "Heavy rain", "Heavy rain"),
        (sound_of, "Dog barking", "The sound of dog barking"),
        (sound_of, "DJ scratching", "The sound of DJ scratching"),
        (sound_of, "A recording of rain", "A recording of rain"),
        (mistyped, "A dog", "A dog"),
    ],
)
def test_a_rule_does_this_and_no_more(reword, query: str, expected: str) -> None:
    assert reword(query, generator()) == expected


def test_a_typing_error_changes_one_long_word_by_a_letter() -> None:
    query = "A small dog barks at the door"
    seen = {mistyped(query, generator(seed)) for seed in range(60)}
    assert len(seen) > 20
    for wrong in seen - {query}:  # two equal letters swapped are no error
        changed = [(a, b) for a, b in zip(query.split(), wrong.split(), strict=True) if a != b]
        assert len(changed) == 1
        ((word, typed),) = changed
        assert word in ("small", "barks", "door") and typed[0] == word[0]
        assert abs(len(typed) - len(word)) <= 1


@pytest.mark.parametrize("rewording", REWORDINGS, ids=lambda each: each.name)
@given(query=st.text(max_size=60))
def test_no_query_breaks_a_rule(rewording, query: str) -> None:
    assert rewording.reword(query, generator()) == rewording.reword(query, generator())


@pytest.mark.parametrize("noun", ["bell", "glass", "box", "baby", "key", "wolf", "brush", "church", "child"])
def test_the_singular_of_a_plural_is_the_noun(noun: str) -> None:
    assert plural(noun) != noun and singular(plural(noun)) == noun
