"""Queries and hits: how words, examples and negatives combine, and that moments average to the score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library.stores import DIM, IDENTITY, sound_file, sound_from_frames, unit_rows

from soundseek.errors import QueryError
from soundseek.library.query_vectors import NEGATIVE_WEIGHT, combine
from soundseek.library.search import SearchOptions, find, find_any, moments_of, strongest_s
from soundseek.library.store.base import Changes, Per
from soundseek.library.store.sqlite import SqliteStore
from soundseek.model.manners import InManners, MannerDirection
from soundseek.model.memory import SoundMemory

EAST, NORTH, UP = np.eye(3, dtype=np.float32)
NOTHING = np.empty((0, 3), np.float32)


def test_one_positive_is_its_own_direction() -> None:
    np.testing.assert_allclose(combine(EAST[None], NOTHING), EAST)


def test_positives_count_the_same() -> None:
    np.testing.assert_allclose(combine(np.stack([EAST, NORTH]), NOTHING), (EAST + NORTH) / math.sqrt(2))


def test_a_negative_turns_the_query_away_from_it_by_half() -> None:
    np.testing.assert_allclose(combine(EAST[None], NORTH[None]), (2 * EAST - NORTH) / math.sqrt(5), rtol=1e-6)


def test_many_negatives_weigh_no_more_than_one() -> None:
    once = combine(EAST[None], NORTH[None])
    np.testing.assert_allclose(combine(EAST[None], np.stack([NORTH] * 5)), once, rtol=1e-6)


def test_what_is_asked_for_and_unwanted_at_once_is_still_asked_for() -> None:
    np.testing.assert_allclose(combine(EAST[None], EAST[None]), EAST)


def test_negatives_that_cancel_out_change_nothing() -> None:
    np.testing.assert_allclose(combine(EAST[None], np.stack([UP, -UP])), EAST)


def test_a_query_of_nothing_is_refused() -> None:
    with pytest.raises(QueryError, match="nothing to look for"):
        combine(NOTHING, EAST[None])
    with pytest.raises(QueryError, match="cancel each other out"):
        combine(np.stack([EAST, -EAST]), NOTHING)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_score_is_the_weighted_difference_of_both_scores(seed: int) -> None:
    generator = np.random.default_rng(seed)
    positive, negative, segment = unit_rows(generator, 3)
    query = combine(positive[None], negative[None])
    assert math.isclose(float(np.linalg.norm(query)), 1, abs_tol=1e-6)
    length = float(np.linalg.norm(positive - NEGATIVE_WEIGHT * negative))
    by_hand = (segment @ positive - NEGATIVE_WEIGHT * (segment @ negative)) / length
    assert math.isclose(float(segment @ query), float(by_hand), abs_tol=1e-5)


def test_moments_by_hand() -> None:
    # The mean is (3, 4) of length 5; the frames lie at 6/5 and 0 of the query's direction.
    frames = np.array([[6.0, 0.0], [0.0, 8.0]], np.float16)
    np.testing.assert_allclose(moments_of(frames, np.array([1.0, 0.0])), [6 / 5, 0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_the_mean_of_the_moments_is_the_cosine_with_negatives_as_well(seed: int, num_frames: int) -> None:
    generator = np.random.default_rng(seed)
    frames = generator.standard_normal((num_frames, DIM)).astype(np.float32)
    store = SqliteStore.temporary(IDENTITY)
    with store.writing():
        spans = [(0, num_frames), (num_frames // 2, num_frames)]
        store.commit(Changes([sound_from_frames(sound_file("/a.wav"), frames, spans)]))
    query = combine(unit_rows(generator, 2), unit_rows(generator, 1))
    (hit,) = find(store, query, SearchOptions(k=5, by="mean"))
    assert len(hit.moments) == round((hit.end_s - hit.start_s) / 0.5)
    # Nothing but float16 is between them: the frames' own scores average to the vector's.
    assert sum(hit.moments) / len(hit.moments) == pytest.approx(hit.score, abs=3e-3)


def test_a_hit_says_when_and_what() -> None:
    frames = np.zeros((4, DIM), np.float32)
    frames[:, 0], frames[2, 1] = 1, 3
    file = sound_file("/a.ogg", duration_s=77.0, sample_rate_hz=48000, format="OGG/VORBIS")
    store = SqliteStore.temporary(IDENTITY)
    with store.writing():
        store.commit(Changes([sound_from_frames(file, frames, [(0, 2), (1, 4)])]))
    (hit,) = find(store, np.eye(DIM, dtype=np.float32)[1], SearchOptions(k=1))
    assert (hit.path, hit.start_s, hit.end_s) == ("/a.ogg", 0.5, 2.0)
    assert hit.moment_s == 1.25  # the middle of the third half-second
    assert (hit.duration_s, hit.sample_rate_hz, hit.format) == (77.0, 48000, "OGG/VORBIS")


def test_no_moment_lies_behind_the_end_of_its_segment() -> None:
    # The third frame would begin at 0.6 s, and the segment ends at 0.5 s.
    assert strongest_s(np.array([0.0, 0.0, 1.0]), 0.0, 0.5, 0.3) == 0.5


def test_a_hit_says_how_probable_it_is_where_it_is_asked_to() -> None:
    store = SqliteStore.temporary(IDENTITY)
    with store.writing():
        frames = np.eye(DIM, dtype=np.float32)[[1, 1, 2]]
        store.commit(Changes([sound_from_frames(sound_file("/a.wav"), frames, [(0, 2)]),
                              sound_from_frames(sound_file("/b.wav"), frames, [(1, 3)])]))  # fmt: skip
    query = np.eye(DIM, dtype=np.float32)[1]

    def certainty(asked: np.ndarray, scores: np.ndarray) -> np.ndarray:
        np.testing.assert_array_equal(asked, query)
        return scores / 2

    hits = find(store, query, SearchOptions(k=3, certainty=certainty))
    assert [hit.match for hit in hits] == [
        pytest.approx(0.5, abs=1e-3),
        pytest.approx(0.5**0.5 / 2, abs=1e-3),
    ]
    assert all(hit.match is None for hit in find(store, query, SearchOptions(k=3)))


def test_how_probable_a_hit_of_a_sentence_is_goes_by_its_parts_too() -> None:
    store = SqliteStore.temporary(IDENTITY)
    with store.writing():
        frames = np.eye(DIM, dtype=np.float32)[[1, 2]]
        store.commit(Changes([sound_from_frames(sound_file("/a.wav"), frames, [(0, 2)])]))
    sentence = np.eye(DIM, dtype=np.float32)[[3, 1, 2]]

    def certainty(asked: np.ndarray, scores: np.ndarray) -> np.ndarray:
        np.testing.assert_array_equal(asked, sentence)
        return scores

    (hit,) = find(store, sentence, SearchOptions(k=1, certainty=certainty))
    assert hit.match == hit.score


@pytest.fixture(scope="module")
def varied() -> SqliteStore:
    """400 recordings of noise, half of them with a copy."""
    generator = np.random.default_rng(0)
    store, sounds = SqliteStore.temporary(IDENTITY), []
    for number in range(400):
        frames = unit_rows(generator, 20) + 0.5 * unit_rows(generator, 1)
        for name in ("a", "b")[: 1 + number % 2]:
            file = sound_file(f"/{number}{name}.wav", content_hash=number.to_bytes(16, "big"))
            sounds.append(sound_from_frames(file, frames, [(0, 20)]))
    with store.writing():
        store.commit(Changes(sounds))
    return store


@pytest.mark.parametrize("num_queries", [1, 3])
@pytest.mark.parametrize("is_in_a_manner", [False, True])
@pytest.mark.parametrize("per", ["file", "segment"])
def test_the_first_hits_are_the_same_however_many_are_asked_for(
    varied: SqliteStore, per: Per, is_in_a_manner: bool, num_queries: int
) -> None:
    axes = np.eye(DIM, dtype=np.float32)
    muffled = InManners({"muffled": MannerDirection(axes[4], 0.0, 0.2, 0.1, 3.0)})
    most, *fewer = (
        find_any(
            varied,
            list(axes[:num_queries]),
            SearchOptions(
                k=k,
                per=per,
                duplicates="hide",
                manners=muffled if is_in_a_manner else None,
                memory=SoundMemory(axes[:4]),
            ),
        )
        for k in (150, 1, 9, 10, 11, 30, 31, 61, 121)
    )
    assert len({hit.path[:-5] for hit in most}) == len(most) if per == "file" else len(most) == 150
    for hits in fewer:
        assert hits == most[: len(hits)]
    ranks = [hit.rank_score for hit in most]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize("per", ["file", "segment"])
def test_what_is_not_shown_takes_no_hit_its_place(per: Per) -> None:
    axes = np.eye(DIM, dtype=np.float32)
    store, sounds = SqliteStore.temporary(IDENTITY), []
    for number in range(120):
        is_other = number % 10 == 0
        file = sound_file(f"/{number}.wav", content_hash=(number if is_other else 1).to_bytes(16, "big"))
        frames = np.tile(axes[0] + 0.8 * axes[1] if is_other else axes[0], (20, 1))
        sounds.append(sound_from_frames(file, frames, [(0, 20)]))
    with store.writing():
        store.commit(Changes(sounds))
    copies = SearchOptions(k=10, per=per, duplicates="hide")
    assert len({hit.path for hit in find(store, axes[0], copies)}) == 10
    others = {f"/{number}.wav" for number in range(0, 120, 10)}
    missing = SearchOptions(k=10, per=per, is_there=others.__contains__)
    assert len({hit.path for hit in find(store, axes[0], missing)} & others) == 10
