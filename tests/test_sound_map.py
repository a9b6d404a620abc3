"""The map: neighbours stay neighbours, names stand where a kind lies together, and the README shows it."""

from __future__ import annotations

import struct
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from toy_model import make_toy_model

from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.tables import TableError
from soundseek.learn.export.model_card import MAP_FILE, README_FILE
from soundseek.model.config import ModelConfig

_SPEC = spec_from_file_location("sound_map", Path(__file__).parents[1] / "scripts" / "sound_map.py")
assert _SPEC is not None and _SPEC.loader is not None
sound_map = module_from_spec(_SPEC)
sys.modules["sound_map"] = sound_map  # dataclasses look their module up
_SPEC.loader.exec_module(sound_map)
SoundKind, compact_kinds, draw = sound_map.SoundKind, sound_map.compact_kinds, sound_map.draw
project, read_kinds, record_map = sound_map.project, sound_map.read_kinds, sound_map.record_map

PNG = b"\x89PNG\r\n\x1a\n"


def groups(num: int = 12, dim: int = 16) -> tuple[np.ndarray, list[SoundKind]]:
    """Three groups of unit vectors about three axes."""
    generator = np.random.default_rng(0)
    vectors = np.repeat(np.eye(dim)[:3], num, axis=0) + 0.05 * generator.standard_normal((3 * num, dim))
    names = ("animal", "water", "music")
    kinds = [SoundKind(name, f"{name} sound") for name in names for _ in range(num)]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), kinds


def test_groups_that_lie_apart_lie_apart_on_the_map_and_a_seed_gives_one_map() -> None:
    vectors, kinds = groups()
    points = project(vectors)
    assert points.shape == (36, 2) and np.array_equal(points, project(vectors))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(36) * 1e9
    nearest = distance.argmin(axis=1)
    assert all(kinds[row].category == kinds[near].category for row, near in enumerate(nearest))


def test_a_handful_of_sounds_is_no_map() -> None:
    with pytest.raises(UsageError, match="at least 10 sounds, not 3"):
        project(np.eye(3, dtype=np.float32))


def test_kinds_that_lie_together_come_first_and_a_stray_sound_moves_no_name() -> None:
    points = np.array([[0, 0], [0, 1], [1, 0], [90, 90], [5, 5], [9, 5], [5, 9], [50, 1]], float)
    kinds = [SoundKind("x", label) for label in ["dog"] * 4 + ["rain"] * 3 + ["once"]]
    (dog, dogs), (rain, _) = compact_kinds(points, kinds)
    assert (dog, rain) == ("dog", "rain")  # "once" has too few sounds for a name
    assert dogs.max() <= 1


def test_the_picture_is_a_png_of_a_modest_size_with_many_categories() -> None:
    generator = np.random.default_rng(0)
    kinds = [SoundKind(f"category {n % 16}", f"label {n % 40}") for n in range(400)]
    png = draw(generator.standard_normal((400, 2)), kinds, "400 sounds")
    assert png.startswith(PNG) and len(png) < 200_000
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (1035, 720)


def test_every_category_changes_the_picture() -> None:
    points = np.random.default_rng(0).standard_normal((20, 2))
    one, two = ([SoundKind(f"{n % many}", "x") for n in range(20)] for many in (1, 2))
    assert draw(points, one, "t") != draw(points, two, "t")


def test_kinds_come_from_metadata_in_the_order_asked_for(tmp_path: Path) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text("file_name,label,category\na.ogg,dog,animal\nb.ogg,rain,weather\n")
    assert read_kinds(tmp_path, ["b.ogg", "a.ogg"]) == [
        SoundKind("weather", "rain"),
        SoundKind("animal", "dog"),
    ]
    with pytest.raises(DataError, match=r"lacks 1 of the sounds, c\.ogg"):
        read_kinds(tmp_path, ["a.ogg", "c.ogg"])
    table.write_text("file_name,label\na.ogg,dog\n")
    with pytest.raises(TableError, match="category"):
        read_kinds(tmp_path, ["a.ogg"])
    table.unlink()
    with pytest.raises(TableError, match=r"metadata\.csv"):
        read_kinds(tmp_path, ["a.ogg"])


def test_the_readme_shows_a_map_where_there_is_one(tmp_path: Path) -> None:
    directory = make_toy_model(tmp_path / "toy")
    record_map(directory, PNG, split="validation", num_sounds=1234)
    readme = (directory / README_FILE).read_text()
    assert f"]({MAP_FILE})" in readme and "The 1,234 sounds of the split `validation`" in readme
    assert (directory / MAP_FILE).read_bytes() == PNG
    assert "How it was made" not in readme  # the map is no fact of the training
    assert ModelConfig.read(directory).training["map"]["num_sounds"] == 1234
