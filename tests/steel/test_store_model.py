"""The store against a plain dictionary: whatever is done to both in whatever order, they answer alike."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from library.best_matches import best_matches
from library.stores import DIM, IDENTITY, sound_of_vectors, unit_rows
from steel.examples import few
from steel.killing import folder_in_memory

from soundseek.library.copy import copy_library
from soundseek.library.filters import parse_where
from soundseek.library.store.approximate import FROM_VARIABLE
from soundseek.library.store.base import Changes, EmbeddedSound, Failure, Move
from soundseek.library.store.sqlite import SqliteStore

FOLDERS = ("/a", "/a/b", "/c")
PATHS = [
    f"{folder}/{name}.wav" for folder in FOLDERS for name in ("kick", "Snare", "\u00e9t\u00e9", "100%", "x_y")
]
SEEDS = st.integers(0, 10_000)


def made(path: str, seed: int) -> EmbeddedSound:
    """A sound of one to three segments whose vectors, length and channels follow from a number."""
    vectors = unit_rows(np.random.default_rng(seed), 1 + seed % 3)
    return sound_of_vectors(
        path,
        vectors,
        duration_s=float(1 + seed % 50),
        channels=1 + seed % 2,
        content_hash=seed.to_bytes(16, "big"),
        size_bytes=seed,
    )


class StoreAndModel(RuleBasedStateMachine):
    """`expected` is the reference: path -> the number that its sound was made of."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=folder_in_memory()))
        self.store = SqliteStore.open(self.folder / "library", identity=IDENTITY)
        self.expected: dict[str, int] = {}
        self.failed: dict[str, str] = {}
        self.version = self.store.version()

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def commit(self, changes: Changes) -> None:
        with self.store.writing():
            self.store.commit(changes)

    @rule(sounds=st.dictionaries(st.sampled_from(PATHS), SEEDS, min_size=1, max_size=5))
    def add_or_replace(self, sounds: dict[str, int]) -> None:
        self.commit(Changes(sounds=[made(path, seed) for path, seed in sounds.items()]))
        self.expected |= sounds
        for path in sounds:
            self.failed.pop(path, None)

    @rule(paths=st.lists(st.sampled_from(PATHS), max_size=4, unique=True))
    def remove(self, paths: list[str]) -> None:
        self.commit(Changes(removed=paths))
        for path in paths:
            self.expected.pop(path, None)
            self.failed.pop(path, None)

    @rule(old=st.sampled_from(PATHS), new=st.sampled_from(PATHS))
    def move(self, old: str, new: str) -> None:
        if old in self.expected and old != new:
            self.commit(Changes(moves=[Move(old, new, 7)]))
            self.expected[new] = self.expected.pop(old)
            self.failed.pop(new, None)

    @rule(path=st.sampled_from(PATHS), keep=st.booleans(), reason=st.text(max_size=9))
    def fail(self, path: str, keep: bool, reason: str) -> None:
        failure = Failure(path, reason, "2026-01-01T00:00:00Z")
        self.commit(Changes(unread=[failure]) if keep else Changes(failures=[failure]))
        self.failed[path] = reason
        if not keep:
            self.expected.pop(path, None)

    @rule(old=st.sampled_from(FOLDERS), new=st.sampled_from(["/c", "/d", "/a"]))
    def relocate(self, old: str, new: str) -> None:
        inside = [path for path in self.expected if path.startswith(f"{old}/")]
        if new.startswith(old) or old.startswith(new) or any(p.startswith(f"{new}/") for p in self.expected):
            return
        if any(path.startswith((f"{old}/", f"{new}/")) for path in self.failed):
            return
        with self.store.writing():
            assert self.store.relocate(old, new) == len(inside)
        for path in inside:
            self.expected[new + path[len(old) :]] = self.expected.pop(path)

    @rule(share=st.sampled_from([0.0, 0.3]))
    def compact(self, share: float) -> None:
        with self.store.writing():
            self.store.compact(dead_share=share)

    @rule()
    def approximate(self) -> None:
        self.store.approximate()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = SqliteStore.open(self.folder / "library", create=False)

    @rule()
    def copy(self) -> None:
        target = SqliteStore.open(self.folder / "copy", identity=IDENTITY)
        with target.writing():  # a copy keeps what the target has beside it
            target.commit(Changes(removed=list(target.states("/"))))
        assert copy_library(self.store, target).files == len(self.expected)
        assert target.check() == []
        target.close()

    @rule(
        seed=SEEDS,
        k=st.integers(1, 40),
        per=st.sampled_from(["file", "segment"]),
        least_s=st.integers(0, 60),
        from_segments=st.sampled_from(["0", "never"]),
    )
    def search(self, seed: int, k: int, per: str, least_s: int, from_segments: str) -> None:
        query = unit_rows(np.random.default_rng(seed + 50_000), 1)[0]
        where = parse_where(f"duration >= {least_s} and channels = 1") if seed % 2 else None
        scored = []
        for path, number in self.expected.items():
            sound = made(path, number)
            if where is not None and not (sound.file.duration_s >= least_s and sound.file.channels == 1):
                continue
            scores = sound.vectors.astype(np.float16).astype(np.float32) @ query
            scored += [float(scores.max())] if per == "file" else scores.tolist()
        # Of so few segments an approximate index finds all.
        os.environ[FROM_VARIABLE] = from_segments
        try:
            found = best_matches(self.store, query, k=k, per=per, where=where)  # type: ignore[arg-type]
        finally:
            del os.environ[FROM_VARIABLE]
        np.testing.assert_allclose(
            [match.score for match in found], sorted(scored, reverse=True)[:k], atol=2e-3
        )
        for match in found:
            vectors = made(match.file.path, self.expected[match.file.path]).vectors
            assert abs(match.score - float((vectors @ query).max())) < 2e-3 or per == "segment"

    @rule(folder=st.sampled_from([*FOLDERS, "/d", "/"]))
    def list_below(self, folder: str) -> None:
        inside = {path for path in self.expected if path.startswith(f"{folder.rstrip('/')}/")}
        assert self.store.states(folder).keys() == inside
        assert {file.path for file in self.store.files(parse_where(f'folder = "{folder}"'))} == inside

    @invariant()
    def they_hold_the_same(self) -> None:
        assert {f.path: int.from_bytes(f.content_hash, "big") for f in self.store.files()} == self.expected
        assert {each.path: each.reason for each in self.store.failures()} == self.failed
        assert self.store.count() == (len(self.expected), sum(1 + n % 3 for n in self.expected.values()))
        assert self.store.version() >= self.version
        self.version = self.store.version()

    @invariant()
    def nothing_is_damaged(self) -> None:
        assert self.store.check() == []
        for path in list(self.expected)[:2]:
            sound = self.store.read(path)
            assert sound is not None and sound.vectors.shape[1] == DIM
            np.testing.assert_array_equal(
                sound.vectors, made(path, self.expected[path]).vectors.astype(np.float16)
            )


TestStoreAndModel = StoreAndModel.TestCase
TestStoreAndModel.settings = few
