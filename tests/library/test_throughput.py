"""The time left of an index run: nothing while models load, then close to the truth, and no jumps."""

from __future__ import annotations

import heapq
import random

import pytest

from soundseek.library.index import HALF_LIFE_S, Pace


def test_a_hand_example() -> None:
    pace = Pace(workers=1)
    pace.heard(999, 999.0, at=60.0)  # a minute of loading, which says nothing of the speed
    assert pace.left_s(300) is None and pace.x_realtime is None
    pace.heard(100, 10.0, at=62.0)
    assert pace.left_s(300) is None and pace.x_realtime == 5
    pace.heard(100, 10.0, at=64.0)
    assert pace.left_s(300) == pytest.approx(6.0) and pace.left_s(0) == 0
    assert pace.x_realtime == pytest.approx(5.0)


def test_a_few_files_within_a_moment_are_too_little_to_tell() -> None:
    pace = Pace(workers=1)
    for number in range(40):
        pace.heard(100, 1.0, at=7.0 + number / 25)
    assert pace.left_s(1000) is None
    pace.heard(100, 1.0, at=10.0)
    assert pace.left_s(1000) is not None


def test_nothing_is_measured_before_every_worker_has_heard_a_file() -> None:
    pace = Pace(workers=3)
    for at in (9.0, 9.1, 9.2):
        pace.heard(100, 1.0, at=at)
    assert pace.x_realtime is None
    pace.heard(100, 1.0, at=10.2)
    assert pace.x_realtime == pytest.approx(1.0)


def test_files_without_a_byte_have_no_speed() -> None:
    pace = Pace(workers=1)
    for at in range(9):
        pace.heard(0, 0.0, at=float(at))
    assert pace.left_s(100) is None and pace.left_s(0) is None


def test_a_folder_of_another_format_is_noticed_after_a_while() -> None:
    pace, at = Pace(workers=1), 0.0
    for _ in range(600):
        at += 1.0
        pace.heard(1000, 1.0, at=at)
    assert pace.left_s(1000) == pytest.approx(1.0)
    for _ in range(round(HALF_LIFE_S)):
        at += 1.0
        pace.heard(100, 1.0, at=at)
    assert pace.left_s(1000) == pytest.approx(1000 / 550, rel=0.05)  # half of what counts is new


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_run_of_files_of_all_sizes_is_told_the_truth_within_a_third(workers: int) -> None:
    draw = random.Random(0)
    sizes = [round(draw.lognormvariate(12, 1)) for _ in range(600)]
    free_at = [3.0 + worker / 10 for worker in range(workers)]  # models are loaded
    done = []
    for size in sizes:
        start = heapq.heappop(free_at)
        heapq.heappush(free_at, start + size / 1e6)
        done.append((start + size / 1e6, size))
    done.sort()
    end, left, pace, told = done[-1][0], sum(sizes), Pace(workers), []
    for at, size in done:
        pace.heard(size, 1.0, at=at)
        left -= size
        told.append((pace.left_s(left), end - at))
    known = [(guess, truth) for guess, truth in told if guess is not None]
    assert len(known) > 500
    assert all(abs(guess - truth) <= truth / 3 + 1.0 for guess, truth in known)
