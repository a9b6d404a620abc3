"""A second decoder goes on where the first stumbles, to the sample, and only where it comes further."""

from __future__ import annotations

import numpy as np
import pytest

from soundseek._typing import FloatArray
from soundseek.audio.combined_sources import ContinuedSource
from soundseek.errors import DecodeError


class Counting:
    """Samples 0, 1, 2 ... in pieces of one length, up to where it ends or stumbles."""

    def __init__(
        self,
        name: str,
        *,
        piece: int,
        stumbles_at: int = 1 << 30,
        ends_at: int = 1 << 30,
        rate_hz: int = 8000,
    ):
        self.name, self._piece, self._at = name, piece, 0
        self._stumbles_at, self._ends_at = stumbles_at, ends_at
        self.format, self.sample_rate_hz, self.channels, self.declared_s = "COUNTING", rate_hz, 1, None
        self.closed = False

    def read(self) -> FloatArray:
        if self._at >= self._stumbles_at:
            raise DecodeError("x", f"{self.name} stumbles")
        end = min(self._at + self._piece, self._ends_at)
        piece = np.arange(self._at, end, dtype=np.float32)[:, None]
        self._at = end
        return piece

    def close(self) -> None:
        self.closed = True


def samples(source: ContinuedSource) -> list[float]:
    found: list[float] = []
    while len(piece := source.read()):
        found += piece[:, 0].tolist()
    return found


@pytest.mark.parametrize("piece", [1, 4, 7, 100])
def test_every_sample_comes_once(piece: int) -> None:
    first, second = Counting("first", piece=10, stumbles_at=20), Counting("second", piece=piece, ends_at=50)
    source = ContinuedSource(first, lambda: second)
    assert samples(source) == list(range(50))
    assert first.closed and not second.closed
    source.close()
    assert second.closed


@pytest.mark.parametrize(
    "second",
    [
        Counting("second", piece=5, stumbles_at=10),
        Counting("second", piece=5, ends_at=20),
        Counting("second", piece=5, rate_hz=16_000),
    ],
    ids=["stumbles before", "ends there", "another rate"],
)
def test_where_the_second_comes_no_further_the_firsts_error_stands(second: Counting) -> None:
    source = ContinuedSource(Counting("first", piece=10, stumbles_at=20), lambda: second)
    with pytest.raises(DecodeError, match="first stumbles"):
        samples(source)


def test_where_the_second_cannot_be_opened_the_firsts_error_stands() -> None:
    def opener() -> Counting:
        raise DecodeError("x", "needs one more package")

    source = ContinuedSource(Counting("first", piece=10, stumbles_at=20), opener)
    with pytest.raises(DecodeError, match="first stumbles"):
        samples(source)


def test_the_second_is_asked_once() -> None:
    opened: list[Counting] = []

    def opener() -> Counting:
        opened.append(Counting("second", piece=10, stumbles_at=40))
        return opened[-1]

    source = ContinuedSource(Counting("first", piece=10, stumbles_at=20), opener)
    with pytest.raises(DecodeError, match="second stumbles"):
        samples(source)
    assert len(opened) == 1
