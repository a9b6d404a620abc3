"""The files of an approximate index: what a checksum sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soundseek.library.store.approximate_files import checksum_of


def test_the_checksum_sees_every_bit_and_the_order_of_blocks(tmp_path: Path) -> None:
    held = np.random.default_rng(0).integers(0, 256, (2 << 20) + 12345, np.uint8)
    sums = set()
    for change in ("none", "first", "last", "blocks", "shorter"):
        other = held.copy()
        if change in {"first", "last"}:
            other[0 if change == "first" else -1] ^= 1
        if change == "blocks":
            other[: 1 << 20], other[1 << 20 : 2 << 20] = held[1 << 20 : 2 << 20], held[: 1 << 20]
        path = tmp_path / change
        path.write_bytes(other[:-1].tobytes() if change == "shorter" else other.tobytes())
        sums.add(checksum_of(path))
    assert len(sums) == 5
