"""Directions of how sounds sound: a query is turned by them; they are kept in a model directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundseek.errors import ModelError
from soundseek.model.manners import MANNERS_FILE, in_manners, read_manners, write_manners

EAST, NORTH = np.float32([1, 0]), np.float32([0, 1])


def test_a_manner_orders_sounds_that_fit_alike() -> None:
    query = in_manners(EAST, ["muffled"], {"muffled": 0.75 * NORTH})
    np.testing.assert_allclose(query, [0.8, 0.6])
    plain, muffled = np.float32([0.9, -0.1]), np.float32([0.9, 0.1])
    assert muffled @ query > plain @ query
    assert muffled @ EAST == plain @ EAST


def test_an_unknown_manner_changes_nothing() -> None:
    np.testing.assert_array_equal(in_manners(EAST, ["muffled"], {}), EAST)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_manners(tmp_path, dim=2) == {}
    write_manners(tmp_path, {"muffled": NORTH, "distant": -EAST})
    found = read_manners(tmp_path, dim=2)
    assert sorted(found) == ["distant", "muffled"]
    np.testing.assert_array_equal(found["distant"], -EAST)


def test_a_model_that_tells_no_manner_apart_is_read(tmp_path: Path) -> None:
    write_manners(tmp_path, {})
    assert (tmp_path / MANNERS_FILE).is_file() and read_manners(tmp_path, dim=2) == {}


def test_a_damaged_file_and_that_of_another_model_are_refused(tmp_path: Path) -> None:
    write_manners(tmp_path, {"muffled": NORTH})
    with pytest.raises(ModelError, match="of another model"):
        read_manners(tmp_path, dim=3)
    whole = (tmp_path / MANNERS_FILE).read_bytes()
    (tmp_path / MANNERS_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="damaged"):
        read_manners(tmp_path, dim=2)
