"""The time left of an index run: nothing while models load, then close to the truth, and no jumps."""

from __future__ import annotations

import heapq
import random

import pytest

from soundseek.library.index import HALF_LIFE_S, Throughput, Work
from soundseek.library.workers import Partial


def test_a_hand_example() -> None:
    throughput = Throughput(workers=1)
    throughput.advance("a", 999.0, at=60.0)  # a minute of loading, which says nothing of the speed
    assert throughput.eta_s(30) is None and throughput.x_realtime is None
    throughput.advance("b", 10.0, at=62.0)
    assert throughput.eta_s(30) is None and throughput.x_realtime == 5
    throughput.advance("c", 10.0, at=64.0)
    assert throughput.eta_s(30) == pytest.approx(6.0) and throughput.eta_s(0) == 0
    assert throughput.x_realtime == pytest.approx(5.0)


def test_a_few_files_within_a_moment_are_too_little_to_tell() -> None:
    throughput = Throughput(workers=1)
    for number in range(40):
        throughput.advance(str(number), 1.0, at=7.0 + number / 25)
    assert throughput.eta_s(1000) is None
    throughput.advance("last", 1.0, at=10.0)
    assert throughput.eta_s(1000) is not None


def test_nothing_is_measured_before_every_worker_has_told_of_a_file() -> None:
    throughput = Throughput(workers=3)
    for path, at in (("a", 9.0), ("a", 9.05), ("b", 9.1), ("c", 9.2)):
        throughput.advance(path, 1.0, at=at)
    assert throughput.x_realtime is None
    throughput.advance("a", 1.0, at=10.2)
    assert throughput.x_realtime == pytest.approx(1.0)


def test_silence_has_no_speed() -> None:
    throughput = Throughput(workers=1)
    for at in range(9):
        throughput.advance(str(at), 0.0, at=float(at))
    assert throughput.eta_s(100) is None and throughput.eta_s(0) is None


def test_a_slower_folder_is_noticed_after_a_while() -> None:
    throughput, at = Throughput(workers=1), 0.0
    for number in range(600):
        at += 1.0
        throughput.advance(str(number), 10.0, at=at)
    assert throughput.eta_s(10) == pytest.approx(1.0)
    for number in range(round(HALF_LIFE_S)):
        at += 1.0
        throughput.advance(f"slow {number}", 1.0, at=at)
    assert throughput.eta_s(10) == pytest.approx(10 / 5.5, rel=0.05)  # half of what counts is new


def test_one_long_file_alone_has_a_time_left() -> None:
    work, throughput = Work([("long.mp3", 999)]), Throughput(workers=1)
    for done_s in range(100, 700, 100):
        throughput.advance(
            "long.mp3", work.reach("long.mp3", Partial(float(done_s), 10_000.0)), at=done_s / 50
        )
    assert work.left_s() == pytest.approx(9_400.0)
    assert throughput.eta_s(work.left_s()) == pytest.approx(9_400 / 50)


def test_what_is_left_is_counted_in_seconds_of_sound_of_each_format() -> None:
    work = Work([("a.wav", 1_764_000), ("b.mp3", 40_000), ("c.mp3", 80_000), ("d.xyz", 20_000)])
    assert work.left_s() == pytest.approx(10 + 2 + 4 + 1)
    assert work.finish("b.mp3", 20.0) == 20.0  # ten times as long as guessed, and so is the other mp3
    assert work.left_s() == pytest.approx(10 + 40 + 1)
    assert work.finish("a.wav", None) == 0.0  # recognised or failed: nothing was embedded
    assert work.left_s() == pytest.approx(40 + 1)


def test_a_file_in_progress_is_counted_once() -> None:
    work = Work([("a.mp3", 20_000), ("b.mp3", 20_000)])
    assert work.reach("a.mp3", Partial(10.0, 60.0)) == 10.0
    assert work.reach("a.mp3", Partial(30.0, 60.0)) == 20.0
    assert work.left_s() == pytest.approx(30 + 1)
    assert work.finish("a.mp3", 60.0) == 30.0
    assert work.left_s() == pytest.approx(60)
    assert work.reach("b.mp3", Partial(90.0, None)) == 90.0  # longer than guessed: no time left is below zero
    assert work.left_s() == 0.0


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_run_of_files_of_all_sizes_is_told_the_truth_within_a_third(workers: int) -> None:
    draw = random.Random(0)
    sizes = {f"{number}.wav": round(draw.lognormvariate(12, 1)) for number in range(600)}
    free_at = [3.0 + worker / 10 for worker in range(workers)]  # models are loaded
    done = []
    for path, size in sizes.items():
        start = heapq.heappop(free_at)
        heapq.heappush(free_at, start + size / 1e6)
        done.append((start + size / 1e6, path))
    done.sort()
    end, work, throughput, told = done[-1][0], Work(sizes.items()), Throughput(workers), []
    for at, path in done:
        throughput.advance(path, work.finish(path, sizes[path] / 88_200), at=at)
        told.append((throughput.eta_s(work.left_s()), end - at))
    known = [(guess, truth) for guess, truth in told if guess is not None]
    assert len(known) > 500
    assert all(abs(guess - truth) <= truth / 3 + 1.0 for guess, truth in known)
