"""Some of the power cuts that `python benchmarks/power_cuts.py` makes by the thousand."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from steel.power_loss import Disk, has_strace, replay

recorded = pytest.mark.skipif(
    not has_strace(), reason="strace records the system calls (Debian: apt install strace)"
)


@recorded
def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert replay(tmp_path, tmp_path / "left", cuts=60, seed=0) > 300


@recorded
def test_writes_that_are_never_synced_are_lost_and_it_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"lost|rows are missing|holds .* of its"):
        replay(
            tmp_path, tmp_path / "left", cuts=200, seed=0, is_left_out=lambda call: call.startswith("fsync")
        )


def quoted(text: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def test_a_disk_forgets_what_was_not_synced() -> None:
    disk = Disk(Path("/d"))
    for call, result in (
        (f"openat(AT_FDCWD, {quoted('/d/a')}, O_RDWR|O_CREAT, 0666)", 3),
        (f"openat(AT_FDCWD, {quoted('/d')}, O_RDONLY)", 4),
        (f"write(3, {quoted('safe')}, 4)", 4),
        ("fsync(3)", 0),
        ("fsync(4)", 0),
        (f"pwrite64(3, {quoted('lost')}, 4, 2)", 4),
        (f"openat(AT_FDCWD, {quoted('/d/b')}, O_RDWR|O_CREAT, 0666)", 5),
    ):
        disk.do(call, result)
    left = [disk.after_a_power_cut(random.Random(seed)) for seed in range(30)]
    assert {each["/d/a"] for each in left} == {b"safe", b"salost"}
    assert {"/d/b" in each for each in left} == {True, False}
