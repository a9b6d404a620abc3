"""Augmentation: stripes where they may be, gain that never clips, captions that stay English."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundseek.errors import UsageError
from soundseek.learn.data.join_captions import JoinKind, join_captions
from soundseek.learn.data.online import random_gain
from soundseek.learn.models.audio.spec_augment import SpecAugment, SpecAugmentConfig, reseed, spec_augment

torch.set_num_threads(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def joins(first: str, second: str, kind: JoinKind) -> set[str]:
    return {join_captions(first, second, kind, Random(seed)) for seed in range(60)}


def full_mask(batch: int, time: int) -> torch.Tensor:
    return torch.ones(batch, time, dtype=torch.bool)


def test_stripes_cover_whole_rows_and_columns_and_nothing_else_changes() -> None:
    log_mel = torch.rand(1, 400, 64, generator=generator()) + 1.0
    out = spec_augment(log_mel, full_mask(1, 400), generator(3))
    taken = out[0] == 0
    rows, columns = taken.all(dim=1), taken.all(dim=0)
    assert rows.any()
    assert columns.any()
    assert torch.equal(taken, rows.unsqueeze(1) | columns.unsqueeze(0))
    assert torch.equal(out[0][~taken], log_mel[0][~taken])
    assert torch.all(log_mel > 0), "the argument must not be edited in place"


def test_stripes_are_at_most_as_wide_and_as_many_as_published() -> None:
    out = spec_augment(torch.ones(200, 1000, 64), full_mask(200, 1000), generator())
    time_taken = (out == 0).all(dim=2).sum(dim=1)
    mel_taken = (out == 0).all(dim=1).sum(dim=1)
    assert 64 < int(time_taken.max()) <= 2 * 64
    assert 8 < int(mel_taken.max()) <= 2 * 8
    starts = torch.diff((out == 0).all(dim=2).int(), dim=1, prepend=torch.zeros(200, 1)) == 1
    assert int(starts.sum(dim=1).max()) == 2


def test_stripes_of_a_short_clip_leave_most_of_it_and_fall_on_its_real_frames() -> None:
    mask = torch.arange(500).unsqueeze(0) < torch.full((100, 1), 40)
    config = SpecAugmentConfig(num_mel_stripes=0)
    taken = (spec_augment(torch.ones(100, 500, 8), mask, generator(), config) == 0).all(dim=2)
    assert not taken[~mask].any()
    assert 0 < int(taken.sum(dim=1).max()) <= 2 * 8  # a fifth of 40 frames, twice
    assert len({tuple(row.tolist()) for row in taken}) > 50, "every clip needs its own stripes"


def test_no_stripe_falls_in_evaluation_and_a_seed_repeats_in_training() -> None:
    log_mel, mask = torch.ones(2, 300, 64), full_mask(2, 300)
    assert torch.equal(SpecAugment(generator()).eval()(log_mel, mask), log_mel)
    first, second = (SpecAugment(generator(7)).train()(log_mel, mask) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, log_mel)


def test_gain_is_its_own_for_every_clip_and_inside_its_bounds() -> None:
    quiet = torch.full((500, 8), 0.01)
    ratio_db = 20 * torch.log10(random_gain(quiet, generator(), low_db=-20, high_db=6)[:, 0] / 0.01)
    assert -20.01 <= float(ratio_db.min()) < -18
    assert 5 < float(ratio_db.max()) <= 6.01
    assert len(ratio_db.unique()) > 400


def test_gain_never_clips_and_never_makes_silence_sound() -> None:
    loud = torch.tensor([[0.9, -0.9], [0.0, 0.0], [1.5, -0.5]])
    for seed in range(20):
        out = random_gain(loud, generator(seed), low_db=3, high_db=20)
        torch.testing.assert_close(out[0], torch.tensor([1.0, -1.0]))
        assert torch.equal(out[1:], loud[1:])


def test_gain_with_swapped_bounds_is_named() -> None:
    with pytest.raises(UsageError, match="low_db 3"):
        random_gain(torch.zeros(1, 2), generator(), low_db=3, high_db=0)


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


def test_stripes_after_a_reseed_depend_on_its_numbers_alone() -> None:
    layers = torch.nn.ModuleList([SpecAugment(generator(5)), SpecAugment(generator(5))]).train()
    log_mel, mask = torch.ones(1, 400, 64), torch.ones(1, 400, dtype=torch.bool)

    def stripes(*parts: int) -> list[bytes]:
        generators = reseed(layers, *parts)
        assert [each.generator for each in layers] == generators  # type: ignore[union-attr]
        return [layer(log_mel, mask).numpy().tobytes() for layer in layers]

    first = stripes(0, 3, 17)
    layers[0](log_mel, mask)  # what was drawn in between plays no part
    assert stripes(0, 3, 17) == first
    assert first[0] != first[1], "each layer has stripes of its own"
    others = [
        stripes(*parts)[0] for parts in ((1, 3, 17), (0, 4, 17), (0, 3, 18), (0, 3, 17, 0), (0, 3, 17, 1))
    ]
    assert len({first[0], *others}) == 6
    assert reseed(torch.nn.Linear(1, 1), 0) == []
