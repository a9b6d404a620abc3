"""A long recording becomes windows that cover it, overlap evenly and never end in a sliver."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundseek.audio.segments import Segment, plan_segments
from soundseek.errors import UsageError

DURATIONS_S = st.floats(0.05, 300)
LENGTHS_S = st.floats(2, 60)
HOP_SHARES = st.floats(0.2, 1)


def spans(duration_s: float, length_s: float = 10.0, hop_s: float = 5.0) -> list[tuple[float, float]]:
    return [(s.start_s, s.end_s) for s in plan_segments(duration_s, length_s=length_s, hop_s=hop_s)]


def test_a_short_recording_is_one_segment_as_long_as_itself() -> None:
    assert spans(0.3) == [(0, 0.3)]
    assert spans(10) == [(0, 10)]


def test_a_recording_of_whole_hops_has_a_segment_every_hop() -> None:
    assert spans(25) == [(0, 10), (5, 15), (10, 20), (15, 25)]


def test_the_last_segment_is_full_length_and_ends_with_the_recording() -> None:
    assert spans(12) == [(0, 10), (2, 12)]
    assert spans(18) == [(0, 10), (5, 15), (8, 18)]


def test_a_remainder_below_half_a_hop_moves_the_last_segment_instead_of_adding_one() -> None:
    assert spans(17) == [(0, 10), (7, 17)]


def test_segments_without_overlap_leave_no_gap() -> None:
    assert spans(21, hop_s=10) == [(0, 10), (10, 20), (11, 21)]


def test_a_segment_knows_its_duration() -> None:
    assert Segment(5.0, 15.0).duration_s == 10.0


@given(DURATIONS_S, LENGTHS_S, HOP_SHARES)
def test_segments_cover_the_recording_in_order_without_gaps(
    duration_s: float, length_s: float, share: float
) -> None:
    plan = plan_segments(duration_s, length_s=length_s, hop_s=length_s * share)
    assert plan[0].start_s == 0
    assert plan[-1].end_s == duration_s
    for before, after in pairwise(plan):
        assert before.start_s < after.start_s <= before.end_s + 1e-6
        assert before.end_s < after.end_s


@given(DURATIONS_S, LENGTHS_S, HOP_SHARES)
def test_every_segment_of_a_long_recording_has_the_full_length(
    duration_s: float, length_s: float, share: float
) -> None:
    plan = plan_segments(duration_s, length_s=length_s, hop_s=length_s * share)
    assert all(abs(segment.duration_s - min(duration_s, length_s)) < 1e-6 for segment in plan)


@given(DURATIONS_S, LENGTHS_S, st.floats(0.2, 2 / 3))
def test_steps_are_one_hop_and_the_last_half_to_one_and_a_half(
    duration_s: float, length_s: float, share: float
) -> None:
    hop_s = length_s * share
    starts = [s.start_s for s in plan_segments(duration_s, length_s=length_s, hop_s=hop_s)]
    steps = [after - before for before, after in pairwise(starts)]
    assert all(abs(step - hop_s) < 1e-6 for step in steps[:-1])
    if len(steps) > 1:
        assert 0.5 * hop_s - 1e-6 <= steps[-1] <= 1.5 * hop_s + 1e-6


@given(DURATIONS_S, st.floats(0, 100))
def test_a_longer_recording_never_has_fewer_segments(duration_s: float, more_s: float) -> None:
    assert len(plan_segments(duration_s + more_s)) >= len(plan_segments(duration_s))


@pytest.mark.parametrize(
    ("duration_s", "length_s", "hop_s"),
    [(0, 10, 5), (-1, 10, 5), (math.nan, 10, 5), (math.inf, 10, 5), (30, 0, 5), (30, 10, 0), (30, 10, 11)],
)
def test_impossible_lengths_are_refused_with_their_values(
    duration_s: float, length_s: float, hop_s: float
) -> None:
    with pytest.raises(UsageError, match=f"hop_s={hop_s}"):
        plan_segments(duration_s, length_s=length_s, hop_s=hop_s)
