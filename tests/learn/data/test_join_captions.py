"""Augmentation: stripes where they may be, gain that never clips, captions that stay English."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundseek.errors import UsageError
from soundseek.learn.data.join_captions import JoinKind, join_captions

torch.set_num_threads(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def joins(first: str, second: str, kind: JoinKind) -> set[str]:
    return {join_captions(first, second, kind, Random(seed)) for seed in range(60)}


def full_mask(batch: int, time: int) -> torch.Tensor:
    return torch.ones(batch, time, dtype=torch.bool)


def test_sentences_are_joined_by_what_sentences_need() -> None:
    assert joins("A dog barks.", "The rain falls.", "sequence") == {
        "A dog barks and then the rain falls.",
        "A dog barks, then the rain falls.",
        "A dog barks before the rain falls.",
        "A dog barks, after which the rain falls.",
        "A dog barks, and a moment later the rain falls.",
    }
    assert joins("A dog barks.", "The rain falls.", "overlay") == {
        "A dog barks while the rain falls.",
        "A dog barks as the rain falls.",
        "A dog barks and the rain falls.",
        "A dog barks, and at the same time the rain falls.",
    }


@pytest.mark.parametrize(
    "thing",
    [
        "Heavy rain",
        "Thunder",
        "A dog barking far away",
        "Waves breaking",
        "The sound of bells",
        "The humming of bees",
    ],
)
def test_a_thing_is_followed_by_and_stands_in_the_background(thing: str) -> None:
    inside = thing[0].lower() + thing[1:]
    assert f"Footsteps followed by {inside}" in joins("Footsteps", thing, "sequence")
    assert f"Footsteps with {inside} in the background" in joins("Footsteps", thing, "overlay")


@pytest.mark.parametrize(
    "sentence",
    [
        "A dog barks",
        "Dog barks",
        "Birds are singing",
        "Something rattles",
        "A musician plays a trumpet swelling and fading",
        "There is a sound of an undead creature moaning",
        "Someone walks while whistling",
        "The sound of rain is heard",
    ],
)
def test_a_sentence_never_stands_behind_with_or_followed_by(sentence: str) -> None:
    for joined in joins("Footsteps", sentence, "sequence") | joins("Footsteps", sentence, "overlay"):
        assert " with " not in joined
        assert "followed by" not in joined
        assert "along" not in joined


def test_what_is_neither_for_sure_gets_a_word_that_fits_both() -> None:
    for unclear in ("Travelers wait on a platform", "Short slam of a door", "Sea waves"):
        inside = unclear[0].lower() + unclear[1:]
        assert joins("Rain", unclear, "sequence") == {
            f"Rain and then {inside}",
            f"Rain, then {inside}",
            f"Rain and afterwards {inside}",
        }
        for joined in joins("Rain", unclear, "overlay"):
            assert " while " not in joined
            assert " with " not in joined


def test_names_and_abbreviations_keep_their_capital() -> None:
    for second in ("I cough", "French people talk", "TV plays", "McDonald sings", "Christmas bells ring"):
        assert all(second in joined for joined in joins("A dog barks", second, "sequence"))


def test_full_stops_stand_once_at_the_end_where_a_caption_had_one() -> None:
    for first, second, ended in (
        ("A.", "B.", True),
        ("A", "B", False),
        ("A", "B!", True),
        ("A ?", "B", True),
    ):
        for joined in joins(first, second, "overlay"):
            assert joined.count(".") == ended
            assert joined.endswith(".") == ended


def test_a_caption_of_two_sentences_is_not_tied_by_a_conjunction() -> None:
    joined = joins("A dog barks. It stops.", "Rain falls.", "sequence")
    assert joined == {
        "A dog barks. It stops. Then rain falls.",
        "A dog barks. It stops. After that, rain falls.",
    }


@settings(max_examples=100, deadline=None)
@given(
    first=st.text(min_size=1).filter(lambda text: text.strip(" .!?,;:\t\r\n\f\v\x1c\x1d\x1e\x1f\x85")),
    kind=st.sampled_from(["sequence", "overlay"]),
    seed=st.integers(0, 99),
)
def test_any_caption_joins_and_both_parts_are_there(first: str, kind: JoinKind, seed: int) -> None:
    try:
        joined = join_captions(first, "Rain falls.", kind, Random(seed))
    except UsageError:
        assert not "".join(first.split()).strip(".!?,;:")
        return
    assert "rain falls" in joined
    assert " ".join(first.split()).rstrip(".!?,;: ") in joined
    assert "  " not in joined


def test_the_same_seed_joins_the_same_way() -> None:
    assert join_captions("A", "B", "overlay", Random(5)) == join_captions("A", "B", "overlay", Random(5))


def test_an_empty_caption_and_an_unknown_kind_are_named() -> None:
    with pytest.raises(UsageError, match=r"'A' and ' \. '"):
        join_captions("A", " . ", "overlay", Random(0))
    with pytest.raises(UsageError, match="blend"):
        join_captions("A", "B", "blend", Random(0))  # type: ignore[arg-type]
