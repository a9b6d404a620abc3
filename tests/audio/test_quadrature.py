"""The sum of two channels 90 degrees apart is what the filters' recursion gives, wherever a piece begins and ends."""

from __future__ import annotations

import numpy as np
import pytest

from soundseek.audio.quadrature import NUM_REMEMBERED, quadrature_sum

NOISE = np.random.default_rng(0).standard_normal((12_000, 2)).astype(np.float32)
# Olli Niemitalo, "Hilbert transform" (2001).
CHAINS = (
    (0.6923878, 0.9360654322959, 0.9882295226860, 0.9987488452737),
    (0.4021921162426, 0.8561710882420, 0.9722909545651, 0.9952884791278),
)


def recursion(channel: np.ndarray, chain: tuple[float, ...]) -> np.ndarray:
    """y[t] = c² (x[t] + y[t - 2]) - x[t - 2] for each c in turn."""
    given = channel.tolist()
    for coefficient in chain:
        taken = [0.0, 0.0, *given]
        given = [0.0, 0.0]
        for at in range(2, len(taken)):
            given.append(coefficient**2 * (taken[at] + given[at - 2]) - taken[at - 2])
        given = given[2:]
    return np.array(given)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    first, second = (recursion(NOISE[:, number], chain) for number, chain in enumerate(CHAINS))
    added: np.ndarray = np.concatenate([[0], first[:-1]]) + second
    return added


@pytest.mark.parametrize("num_frames", [1, 2, 63, 64, 65, 28 * 64, 28 * 64 + 1, 12_000])
def test_it_is_the_recursion_of_both_chains(num_frames: int, expected: np.ndarray) -> None:
    found = quadrature_sum(NOISE[:num_frames], None)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[:num_frames], atol=5e-6)


@pytest.mark.parametrize("start", [1, 64, 999, 4000])
def test_a_piece_goes_on_where_the_one_before_it_ended(start: int, expected: np.ndarray) -> None:
    found = quadrature_sum(NOISE[start : start + 3001], NOISE[:start])
    np.testing.assert_allclose(found, expected[start : start + 3001], atol=5e-6)


def test_what_is_not_remembered_has_left_the_filters(expected: np.ndarray) -> None:
    found = quadrature_sum(NOISE[9000:], NOISE[9000 - NUM_REMEMBERED : 9000])
    np.testing.assert_allclose(found, expected[9000:], atol=0.01)


@pytest.mark.parametrize("hertz", [60, 440, 5000, 20_000])
def test_a_tone_is_as_loud_in_antiphase_as_in_phase(hertz: float) -> None:
    sound = np.sin(2 * np.pi * hertz * np.arange(44_100) / 44_100).astype(np.float32)
    same, opposite = (
        quadrature_sum(np.stack([sound, sign * sound], axis=1), None)[8192:] for sign in (1, -1)
    )
    assert np.sqrt(np.mean(same**2)) == pytest.approx(1, rel=0.02)
    assert np.sqrt(np.mean(opposite**2)) == pytest.approx(1, rel=0.02)
