"""The score of a segment: its mean and its best two seconds."""

from __future__ import annotations

import numpy as np
import pytest

from soundseek.model.stretches import (
    PARTS_SOFTNESS,
    STRETCH_COST,
    STRETCH_WEIGHT,
    best_stretches,
    num_stretches,
    scores_of_sentences,
    segment_scores,
)

EAST = np.eye(3, dtype=np.float32)[:1]


def segment(length: int, at: int = 0, width: int = 0) -> np.ndarray:
    """Frames of half a second that point up, but for some that point east."""
    frames = np.zeros((length, 3), np.float16)
    frames[:, 2] = 2
    frames[at : at + width] = [2, 0, 0]
    return frames


def test_a_clip_of_two_seconds_scores_its_cosine() -> None:
    frames = np.array([[3.0, 0, 0], [0, 4.0, 0], [3.0, 0, 0], [0, 4.0, 0]], np.float16)
    assert segment_scores([frames], EAST, frame_s=[0.5])[0, 0] == pytest.approx(0.6)


def test_a_short_event_is_heard_in_a_long_segment_and_many_stretches_cost() -> None:
    # 20 frames, 4 of them east: the mean has the cosine 4 / sqrt(4² + 16²), the best two seconds have 1.
    (score,) = segment_scores([segment(20, 8, 4)], EAST, frame_s=[0.5])[0]
    mean, stretches = 4 / np.hypot(4, 16), 9  # one begins at each second from 0 to 8
    assert num_stretches(20, 0.5) == stretches
    best = 1 - STRETCH_COST * np.log(stretches)
    assert score == pytest.approx((1 - STRETCH_WEIGHT) * mean + STRETCH_WEIGHT * best, abs=1e-6)


def test_segments_of_any_length_score_alone_as_among_others() -> None:
    generator = np.random.default_rng(0)
    lengths = [1, 2, 5, 31, 31, 7, 32]
    segments = [generator.standard_normal((length, 3)).astype(np.float16) for length in lengths]
    steps = [0.32, 0.32, 0.32, 0.32, 1.0, 10.0, 0.5]
    together = segment_scores(segments, np.eye(3, dtype=np.float32), frame_s=steps)
    for number, (frames, frame_s) in enumerate(zip(segments, steps, strict=True)):
        alone = segment_scores([frames], np.eye(3, dtype=np.float32), frame_s=[frame_s])
        np.testing.assert_allclose(together[number], alone[0], atol=1e-6)
    assert together.min() >= -1 and together.max() <= 1


def test_what_has_both_sounds_comes_before_what_has_more_of_one() -> None:
    both, one = scores_of_sentences(np.float32([[0.4, 0.35, 0.3], [0.45, 0.6, 0.05]]))
    assert both > one
    # About the least of the parts: softly, so a little more than half of the difference to the whole.
    assert both == pytest.approx(0.5 * 0.4 + 0.5 * 0.3, abs=0.5 * PARTS_SOFTNESS)
    assert scores_of_sentences(np.float32([[0.4]])) == pytest.approx(0.4)


def test_no_score_is_above_1_through_float_error() -> None:
    frames = np.random.default_rng(0).standard_normal((200, 1, 7)).astype(np.float16)
    own = frames[:, 0].astype(np.float32)
    scores = segment_scores(
        list(frames), own / np.linalg.norm(own, axis=1, keepdims=True), frame_s=[1.0] * len(frames)
    )
    assert scores.max() <= 1.0 and np.diag(scores).min() > 0.9999


def test_the_best_stretch_is_where_the_event_is_and_all_of_what_is_shorter() -> None:
    (event,), (up,) = EAST, np.eye(3, dtype=np.float32)[2:]
    best = best_stretches([segment(60, at=31, width=4), segment(3)], event, frame_s=[0.5, 0.5])
    assert np.allclose(best, np.stack([event, up]))
