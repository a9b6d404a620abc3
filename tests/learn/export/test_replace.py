"""A model directory takes its place in one step, or what was there stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundseek.errors import StorageError
from soundseek.learn.export.replace import built_beside


def test_a_link_to_a_model_stays_and_leads_to_the_new_one(tmp_path: Path) -> None:
    first, link = tmp_path / "first", tmp_path / "current"
    first.mkdir()
    (first / "config.json").write_text("old")
    link.symlink_to(first)
    with built_beside(link) as made:
        made.mkdir()
        (made / "config.json").write_text("new")
    assert link.is_symlink() and not first.is_symlink()
    assert (first / "config.json").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"first", "current"}


def test_a_place_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(StorageError, match="cannot be written"),
        built_beside(tmp_path / "file" / "model") as made,
    ):
        made.mkdir()
    assert (tmp_path / "file").read_text() == "x"
