"""Every engine selects with `--where` what plain Python does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from library.best_matches import best_matches
from library.engines import ENGINES, place_in
from library.filter_cases import ACCENTS, CASES, CONDITIONS, FILES, matches
from library.stores import DIM, IDENTITY, sound_from_frames

from soundseek.library.filters import parse_where
from soundseek.library.store import open_store
from soundseek.library.store.base import Changes, Store

ALL = {file.path: file for file in (*FILES.values(), *ACCENTS.values())}


@pytest.fixture(scope="module", params=ENGINES[1:])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("engine")
    with place_in(request.param, folder) as location:
        store = open_store(location, identity=IDENTITY, create=True)
        frames = np.eye(DIM, dtype=np.float32)[:1]
        with store.writing():
            store.commit(Changes(sounds=[sound_from_frames(file, frames, [(0, 1)]) for file in ALL.values()]))
        yield store
        store.close()


def check(store: Store, text: str) -> None:
    condition = parse_where(text)
    expected = {path for path, file in ALL.items() if matches(condition, file)}
    assert {file.path for file in store.files(condition)} == expected, text
    assert store.count(condition) == (len(expected), len(expected)), text


def test_each_kind_of_comparison(filled: Store) -> None:
    for text, _ in CASES:
        check(filled, text)
    for text in (
        "name = 'CAF\xc9*'", "folder = /m/\xdcbung", "folder != /m/U\u0308bung", "format = m4a", "name = '*%*'",
        "format = *", "modified = 1969-12-31", "rate = 16.001k", "size < 99999999TB",
        'name = "x\'); DROP TABLE files; --"',
    ):  # fmt: skip
        check(filled, text)


@given(text=CONDITIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_condition(filled: Store, text: str) -> None:
    check(filled, text)


def test_a_filter_and_a_search_select_the_same(filled: Store) -> None:
    condition = parse_where("not (duration < 5 and channels = 1)")
    found = best_matches(filled, np.eye(DIM, dtype=np.float32)[0], k=99, where=condition)
    assert {match.file.path for match in found} == {path for path, f in ALL.items() if matches(condition, f)}
