"""Files that can be made again, bounded in bytes."""

from __future__ import annotations

import os
from pathlib import Path

from soundseek.server.disk_cache import DiskCache


def cache_of(tmp_path: Path, most_bytes: int) -> DiskCache:
    (tmp_path / "library").mkdir(exist_ok=True)
    return DiskCache(tmp_path / "library" / "cache" / "peaks", most_bytes)


def put(cache: DiskCache, name: str, num_bytes: int, at: float) -> None:
    partial = cache.partial()
    partial.write_bytes(b"x" * num_bytes)
    os.utime(partial, (at, at))
    cache.put(name, partial)


def test_the_oldest_go_when_it_gets_too_much_and_the_new_one_stays(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, 100)
    for number, name in enumerate("abc"):
        put(cache, name, 40, at=1000.0 + number)
    assert [name for name in "abc" if cache.get(name)] == ["b", "c"]
    put(cache, "huge", 500, at=2000.0)
    assert cache.get("huge") is not None and cache.get("c") is None


def test_a_use_keeps_a_file(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, 100)
    put(cache, "a", 40, at=1000.0)
    put(cache, "b", 40, at=1001.0)
    assert cache.get("a") is not None
    put(cache, "c", 40, at=1002.0)
    assert cache.get("a") is not None and cache.get("b") is None


def test_another_process_finds_what_is_there_and_counts_it(tmp_path: Path) -> None:
    put(cache_of(tmp_path, 100), "a", 60, at=1000.0)
    cache = cache_of(tmp_path, 100)
    assert cache.get("a") is not None
    put(cache, "b", 60, at=2e9)
    assert cache.get("a") is None


def test_a_removed_library_is_not_made_again_and_a_closed_one_does_without(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, 100)
    (tmp_path / "library").rmdir()
    put(cache, "a", 10, at=1000.0)
    assert cache.get("a") is not None and not (tmp_path / "library").exists()
    (tmp_path / "library").write_text("a file in its place")
    put(cache_of_file(tmp_path), "b", 10, at=1000.0)


def cache_of_file(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "library" / "cache" / "peaks", 100)


def test_what_was_left_half_written_is_removed_after_an_hour(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, 100)
    left = cache.partial()
    os.utime(left, (1000.0, 1000.0))
    put(cache, "a", 10, at=9000.0)
    cache_of(tmp_path, 100).get("a")
    assert not left.exists()
