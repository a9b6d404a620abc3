"""Metrics and intervals: hand examples, a naive reference, and what must never change a number."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundseek.errors import UsageError
from soundseek.learn.evaluation.intervals import (
    PairedDifference,
    bootstrap_interval,
    jackknife_interval,
    median_interval,
    paired_bootstrap,
)
from soundseek.learn.evaluation.metrics import Ranks, ranks, ranks_of_scores, retrieval_metrics


def ranks_by_loops(scores: np.ndarray, relevant: list[list[int]]) -> list[list[int]]:
    """Sort each row, those that match last among equals, and read off their places."""
    out = []
    for row, items in zip(scores, relevant, strict=True):
        order = sorted(range(len(row)), key=lambda item: (-row[item], item in items))
        out.append(sorted(order.index(item) + 1 for item in items))
    return out


def as_lists(found: Ranks) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.values, found.offsets[1:-1])]


def average_precision_by_loops(row: list[int], k: int) -> float:
    total = 0.0
    for place in range(1, k + 1):
        if place in row:
            total += sum(rank <= place for rank in row) / place
    return total / len(row)


def test_one_clip_a_caption_by_hand() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.9, 0.1, 0.2], [0.3, 0.9, 0.2]])
    metrics = retrieval_metrics(scores, np.array([0, 1, 2]))
    # Captions find their clips at places 1, 3, 3.
    there = metrics.text_to_audio
    assert there.R1.value == pytest.approx(1 / 3)
    assert there.R5.value == 1.0
    assert there.mAP10.value == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert there.median_rank.value == 3
    # Clip 0 ties with caption 1 (place 2), clip 1's captions 0 and 1 tie behind 2 (place 3), clip 2's tie: 3.
    back = metrics.audio_to_text
    assert back.R1.value == 0.0
    assert back.mAP10.value == pytest.approx((1 / 2 + 1 / 3 + 1 / 3) / 3)
    assert (there.num_queries, there.num_items) == (3, 3)


def test_several_clips_a_caption_are_divided_by_all_of_them() -> None:
    scores = -np.arange(20.0)[None, :]  # item i stands at place i + 1, all but the first score negative
    found = ranks_of_scores(scores, [[0, 3, 16]])
    assert found.values.tolist() == [1, 4, 17]
    # Places 1 and 4 lie within sixteen, 17 does not, yet three clips match: (1/1 + 2/4) / 3.
    assert found.average_precision_at(16).tolist() == [pytest.approx(0.5)]
    assert found.recall_at(1).tolist() == [1.0]


def test_negative_scores_count_like_any_other() -> None:
    scores = np.array([[-0.5, -0.1, -0.9]])
    assert ranks_of_scores(scores, np.array([1])).values.tolist() == [1]
    assert retrieval_metrics(scores, np.array([1])).text_to_audio.R1.value == 1.0


def test_one_score_for_everything_is_last_not_first() -> None:
    assert ranks_of_scores(np.zeros((1, 7)), np.array([2])).values.tolist() == [7]
    assert ranks(np.zeros((1, 3)), np.ones((7, 3)), np.array([2])).values.tolist() == [7]


def test_copies_of_a_clip_tie_whatever_the_matrix_product_rounds() -> None:
    generator = np.random.default_rng(0)
    clip = generator.standard_normal(1024).astype(np.float32)
    query = clip + generator.standard_normal(1024).astype(np.float32)
    for num_copies in (2, 3, 9, 50):
        items = np.tile(clip, (num_copies, 1))
        for own in (0, num_copies - 1):
            assert ranks(query[None], items, np.array([own])).values.tolist() == [num_copies]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    num_queries=st.integers(1, 6),
    num_items=st.integers(1, 9),
    levels=st.integers(1, 9),
)
def test_ranks_equal_sorting_with_many_ties(seed: int, num_queries: int, num_items: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(-levels, levels, (num_queries, num_items)) / 8.0
    relevant = [
        generator.permutation(num_items)[: generator.integers(1, num_items + 1)].tolist()
        for _ in range(num_queries)
    ]
    found = ranks_of_scores(scores, relevant)
    expected = ranks_by_loops(scores, relevant)
    assert as_lists(found) == expected
    for k in (1, 5, 10, 16):
        precision = [average_precision_by_loops(row, k) for row in expected]
        np.testing.assert_allclose(found.average_precision_at(k), precision)
    matrix = np.zeros(scores.shape, bool)
    for query, items in enumerate(relevant):
        matrix[query, items] = True
    assert as_lists(ranks_of_scores(scores, matrix)) == expected


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), chunk=st.integers(1, 12))
def test_no_block_size_and_no_order_of_items_changes_a_rank(seed: int, chunk: int) -> None:
    generator = np.random.default_rng(seed)
    items = generator.integers(-2, 3, (15, 3)).astype(np.float32)  # few values: many equal cosines
    queries = generator.integers(-2, 3, (11, 3)).astype(np.float32)
    relevant = [generator.permutation(15)[: generator.integers(1, 5)].tolist() for _ in range(11)]
    whole = ranks(queries, items, relevant)
    assert as_lists(ranks(queries, items, relevant, chunk=chunk)) == as_lists(whole)
    order = generator.permutation(15)
    place = np.argsort(order)
    moved = [[int(place[item]) for item in row] for row in relevant]
    assert as_lists(ranks(queries, items[order], moved)) == as_lists(whole)
    exact = ranks_by_loops(np.round(cosines(queries, items), 9), relevant)
    assert as_lists(whole) == exact


def cosines(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    def unit(x: np.ndarray) -> np.ndarray:
        norm = np.linalg.norm(x.astype(float), axis=1, keepdims=True)
        return x / np.where(norm > 0, norm, 1)

    return unit(queries) @ unit(items).T


def test_embeddings_and_their_scores_give_the_same_metrics() -> None:
    generator = np.random.default_rng(1)
    audio = generator.standard_normal((12, 8))
    text = np.repeat(audio, 5, axis=0) + 2 * generator.standard_normal((60, 8))
    clips = np.repeat(np.arange(12), 5)
    assert retrieval_metrics((text, audio), clips, chunk=7) == retrieval_metrics(cosines(text, audio), clips)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_metrics_stand_in_order_and_inside_their_bounds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    found = retrieval_metrics(
        generator.standard_normal((30, 20)), generator.integers(0, 20, 30)
    ).text_to_audio
    assert 0 <= found.R1.value <= found.mAP10.value <= found.R10.value <= 1
    assert found.R1.value <= found.R5.value <= found.R10.value
    assert found.mAP10.value <= found.mAP16.value
    for interval in (found.R1, found.mAP10, found.median_rank):
        assert interval.low <= interval.value <= interval.high


def test_clips_without_a_caption_are_distractors_that_ask_nothing() -> None:
    metrics = retrieval_metrics(np.array([[0.1, 0.9, 0.5]]), np.array([0]))
    assert metrics.text_to_audio.median_rank.value == 3
    assert metrics.audio_to_text.num_queries == 1


def test_jackknife_equals_leaving_each_query_out() -> None:
    values = [1.0, 0.0, 0.5, 1.0, 0.25]
    left_out = [np.mean(values[:i] + values[i + 1 :]) for i in range(5)]
    error = math.sqrt(4 / 5 * sum((m - np.mean(left_out)) ** 2 for m in left_out))
    interval = jackknife_interval(values)
    assert interval.value == pytest.approx(0.55)
    assert interval.low == pytest.approx(0.55 - 1.959963984540054 * error)
    assert interval.high == pytest.approx(0.55 + 1.959963984540054 * error)


def test_jackknife_of_a_mean_by_hand() -> None:
    # Four values 0 0 1 1: sample variance 1/3, so the standard error is sqrt(1/3 / 4) = 0.288675.
    interval = jackknife_interval([0, 0, 1, 1])
    assert interval.high == pytest.approx(0.5 + 1.959964 * 0.288675, abs=1e-5)


def test_one_query_alone_says_nothing() -> None:
    interval = jackknife_interval([1.0])
    assert (interval.value, interval.low, interval.high) == (1.0, 0.0, 1.0)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    held = {"jackknife": 0, "bootstrap": 0, "median": 0}
    for _ in range(300):
        sample = generator.random(80)
        for name, interval in (
            ("jackknife", jackknife_interval(sample)),
            ("bootstrap", bootstrap_interval(sample, generator, num_resamples=300)),
            ("median", median_interval(sample)),
        ):
            held[name] += interval.low <= 0.5 <= interval.high
    assert all(0.90 <= count / 300 <= 0.995 for count in held.values()), held


def test_bootstrap_repeats_with_the_same_generator_and_agrees_with_the_jackknife() -> None:
    values = np.random.default_rng(3).random(500)
    first = bootstrap_interval(values, np.random.default_rng(7))
    assert first == bootstrap_interval(values, np.random.default_rng(7))
    assert first != bootstrap_interval(values, np.random.default_rng(8))
    expected = jackknife_interval(values)
    assert first.low == pytest.approx(expected.low, abs=0.003)
    assert first.high == pytest.approx(expected.high, abs=0.003)


def test_queries_of_one_clip_are_drawn_together() -> None:
    values = np.repeat(np.random.default_rng(4).integers(0, 2, 60), 5)  # five captions, always the same fate
    alone = bootstrap_interval(values, np.random.default_rng(0))
    together = bootstrap_interval(values, np.random.default_rng(0), groups=np.repeat(np.arange(60), 5))
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(math.sqrt(5), rel=0.15)


def test_paired_bootstrap_sees_a_small_steady_gain_and_no_gain_from_noise() -> None:
    generator = np.random.default_rng(5)
    hard = generator.random(400)
    better = hard + 0.02 + 0.05 * generator.standard_normal(400)
    result = paired_bootstrap(better, hard, np.random.default_rng(0))
    assert result.significant
    assert result.difference.low > 0
    back = paired_bootstrap(hard, better, np.random.default_rng(0))
    assert back.difference.value == pytest.approx(-result.difference.value)
    noise = paired_bootstrap(hard, hard[::-1], np.random.default_rng(0))
    assert not noise.significant
    assert paired_bootstrap(hard, hard, np.random.default_rng(0)).p_value == 1.0


@pytest.mark.parametrize(
    ("relevant", "named"),
    [
        (np.array([0, 3]), "query 1"),
        (np.array([-1, 0]), "query 0"),
        (np.array([0]), "1 queries"),
        ([[0], []], "query 1 matches no item"),
        ([[0, 0], [1]], "each once"),
        (np.zeros((2, 2), bool), r"\(2, 3\)"),
    ],
)
def test_relevance_that_does_not_fit_is_named(relevant: object, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        retrieval_metrics(np.zeros((2, 3)), relevant)  # type: ignore[arg-type]


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UsageError, match="not finite"):
        retrieval_metrics(np.array([[math.nan, 1.0]]), np.array([0]))
    with pytest.raises(UsageError, match="not finite"):
        ranks(np.array([[math.inf]]), np.ones((2, 1)), np.array([0]))
    with pytest.raises(UsageError, match="finite"):
        jackknife_interval([0.0, math.nan])
    with pytest.raises(UsageError, match="shape"):
        jackknife_interval([])


def test_embeddings_of_two_widths_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(1, 3\) and \(2, 4\)"):
        ranks(np.ones((1, 3)), np.ones((2, 4)), np.array([0]))


def test_systems_are_compared_on_the_same_queries() -> None:
    with pytest.raises(UsageError, match="2 and 3"):
        paired_bootstrap([0, 1], [0, 1, 1], np.random.default_rng(0))
    with pytest.raises(UsageError, match="one label a query"):
        bootstrap_interval([0, 1], np.random.default_rng(0), groups=[1])


def test_metrics_go_to_json_as_plain_numbers() -> None:
    found = retrieval_metrics(np.eye(3), np.arange(3)).to_dict()
    assert found["text_to_audio"]["R1"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["audio_to_text"]["num_queries"] == 3


def test_metrics_need_no_torch() -> None:
    code = "import sys, soundseek.learn.evaluation.metrics as _; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_median_lies_between_the_order_statistics_of_its_formula() -> None:
    # n = 16: n/2 -+ 1.96 * 4/2 = 4.08 and 11.92: the 4th and the 13th value (places 3 and 12 from 0).
    interval = median_interval(np.arange(16))
    assert (interval.low, interval.value, interval.high) == (3.0, 7.5, 12.0)


def test_a_paired_interval_holds_95_percent_of_the_draws() -> None:
    a = np.random.default_rng(1).normal(size=400)
    found = paired_bootstrap(a, np.zeros(400), np.random.default_rng(0), num_resamples=4000).difference
    error = a.std() / math.sqrt(400)
    assert found.low == pytest.approx(a.mean() - 1.96 * error, abs=0.15 * error)  # of 90 %: 1.645
    assert found.high == pytest.approx(a.mean() + 1.96 * error, abs=0.15 * error)


def test_a_p_value_is_never_zero_and_five_percent_is_the_bar() -> None:
    steady = paired_bootstrap(np.full(50, 2.0), np.ones(50), np.random.default_rng(0), num_resamples=99)
    assert steady.p_value == pytest.approx(1 / 100) and steady.significant
    assert not PairedDifference(steady.difference, 0.05).significant
    assert not PairedDifference(steady.difference, 0.3).significant
    assert PairedDifference(steady.difference, 0.049).significant


def test_a_group_weighs_as_many_queries_as_it_has() -> None:
    # Nine queries of clip 0 are right, the one of clip 1 is wrong: draws of clips 00, 01, 10, 11 give 1, .9, .9, 0.
    values, groups = [1.0] * 9 + [0.0], [0] * 9 + [1]
    draws = [
        bootstrap_interval(values, np.random.default_rng(seed), groups=groups, num_resamples=1).low
        for seed in range(40)
    ]
    assert {round(draw, 6) for draw in draws} == {1.0, 0.9, 0.0}


def test_map16_looks_at_sixteen_and_the_median_at_each_querys_first_match() -> None:
    scores = np.linspace(1, 0, 20)[None]  # items in the order 0, 1, 2 ...
    matches = np.zeros((1, 20), bool)
    matches[0, [1, 11]] = True  # ranks 2 and 12
    found = retrieval_metrics(scores, matches).text_to_audio
    assert found.mAP10.value == pytest.approx((1 / 2) / 2)
    assert found.mAP16.value == pytest.approx((1 / 2 + 2 / 12) / 2)
    assert found.median_rank.value == 2
