"""One writer and readers beside it, for some seconds; `python benchmarks/readers.py` lets eight run for ten minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from library.stores import IDENTITY
from steel.readers import by_list, by_means, by_search, one_writer_many_readers, sounds_of

from soundseek.library.store.base import Changes
from soundseek.library.store.sqlite import SqliteStore


def test_readers_beside_a_writer_see_whole_commits(tmp_path: Path) -> None:
    writer, readers = one_writer_many_readers(tmp_path / "library", readers=2, seconds=2.0)
    assert [each.wrong for each in (writer, *readers)] == [None] * 3
    assert writer.steps > 5 and all(reader.versions > 1 for reader in readers)


@pytest.mark.parametrize("look", [by_search, by_list, by_means])
def test_a_part_of_a_commit_would_be_noticed(look: object, tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "library", identity=IDENTITY)
    with store.writing():
        store.commit(Changes(sounds=sounds_of(3)))
        assert callable(look) and look(store) == 3
        store.commit(Changes(sounds=sounds_of(4)[:2]))
    with pytest.raises(AssertionError):
        look(store)
    store.close()
