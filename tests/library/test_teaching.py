"""The classifier behind marks: what each mark does to a query."""

from __future__ import annotations

import numpy as np
import pytest

from soundseek.errors import QueryError
from soundseek.library.teaching import taught_direction

DIM = 32
NONE = np.empty((0, DIM), np.float32)


def around(axis: int, count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors near an axis."""
    rows = 0.1 * np.random.default_rng([axis, seed]).standard_normal((count, DIM))
    rows[:, axis] += 1.0
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


QUERY, BACKGROUND = around(0, 1)[0], np.concatenate([around(axis, 4) for axis in range(4, 20)])


def test_without_marks_and_without_weight_it_is_the_query() -> None:
    np.testing.assert_allclose(taught_direction(QUERY, NONE, NONE, BACKGROUND), QUERY, atol=1e-6)
    weighted = taught_direction(QUERY, around(1, 3), around(2, 3), BACKGROUND, weight=0.0)
    np.testing.assert_allclose(weighted, QUERY, atol=1e-6)


def test_it_turns_towards_what_is_right_and_away_from_what_is_wrong() -> None:
    own, other = (float(QUERY @ around(axis, 50, seed=1).mean(axis=0)) for axis in (1, 2))
    for count in (1, 4, 16):
        taught = taught_direction(QUERY, around(1, count), around(2, count), BACKGROUND)
        assert np.linalg.norm(taught) == pytest.approx(1.0, abs=1e-6)
        towards, away = (float(around(axis, 50, seed=1).mean(axis=0) @ taught) for axis in (1, 2))
        assert towards > own + 0.1 and away < other - 0.03
        heavy = taught_direction(QUERY, around(1, count), around(2, count), BACKGROUND, weight=4.0)
        assert float(around(1, 50, seed=1).mean(axis=0) @ heavy) > towards + 0.05


def test_one_right_mark_is_heard_among_nine_wrong_ones() -> None:
    alone = taught_direction(QUERY, around(1, 1), around(2, 1), BACKGROUND)
    among = taught_direction(QUERY, around(1, 1), around(2, 9), BACKGROUND)
    right = around(1, 1)[0]
    assert right @ among > 0.7 * (right @ alone) > 0


def test_marks_that_are_all_wrong_turn_it_away_from_them_and_hardly_from_the_query() -> None:
    likes_both = (QUERY + around(2, 1)[0]) / np.linalg.norm(QUERY + around(2, 1)[0])
    unmarked = around(2, 50, seed=1).mean(axis=0)
    before, fewer, more = (
        float(unmarked @ taught_direction(likes_both, NONE, around(2, 3), BACKGROUND, weight=weight))
        for weight in (0.0, 1.0, 4.0)
    )
    assert before - 0.03 > fewer > more + 0.1
    assert likes_both @ taught_direction(likes_both, NONE, around(2, 3), BACKGROUND) > 0.99


def test_the_order_of_marks_does_not_matter_and_it_is_the_optimum() -> None:
    from soundseek.library import teaching

    right, wrong = around(1, 3), around(2, 2)
    one = taught_direction(QUERY, right, wrong, BACKGROUND)
    np.testing.assert_allclose(one, taught_direction(QUERY, right[::-1], wrong[::-1], BACKGROUND), atol=1e-5)
    # The same by plain gradient descent, whose step is below one over the curvature.
    sounds = np.concatenate([right, wrong, BACKGROUND]).astype(np.float64)
    signs = np.array([1.0] * 3 + [-1.0] * (2 + len(BACKGROUND)))
    background = [teaching.BACKGROUND_WEIGHT / len(BACKGROUND)] * len(BACKGROUND)
    costs = np.array([5 / 2 / 3] * 3 + [5 / 2 / 2] * 2 + background)
    start = teaching.SCALE * QUERY.astype(np.float64)
    weights, offset = start.copy(), 0.0
    for _ in range(20_000):
        pushes = costs * signs / (1.0 + np.exp(signs * (sounds @ weights + offset)))
        weights -= 0.5 * (5 * teaching.PULL * (weights - start) - sounds.T @ pushes)
        offset += 0.5 * float(pushes.sum())
    np.testing.assert_allclose(one, weights / np.linalg.norm(weights), atol=2e-3)


def test_marks_alone_are_a_query_if_one_is_right() -> None:
    taught = taught_direction(None, around(1, 2), around(2, 1), BACKGROUND)
    assert taught @ around(1, 1, seed=1)[0] > 0.5 > 0.0 > taught @ around(2, 1, seed=1)[0]
    with pytest.raises(QueryError, match="mark a sound that is right"):
        taught_direction(None, NONE, around(2, 1), BACKGROUND)
    without_library = taught_direction(None, around(1, 1), NONE, NONE)
    np.testing.assert_allclose(without_library, around(1, 1)[0], atol=1e-5)
