"""What makes tests of the learning half quicker, and what many of them start from."""

from __future__ import annotations

from pathlib import Path

import pytest
import quick_exports  # noqa: F401
from toy_learning import make_toy_bert, make_toy_data, make_toy_trunk


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy data, a toy trunk and a toy text tower."""
    directory = tmp_path_factory.mktemp("toy")
    make_toy_data(directory / "data")
    make_toy_trunk(directory / "trunk.safetensors")
    make_toy_bert(directory / "bert")
    return directory


@pytest.fixture
def cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches lie in the place of the tests of one file."""
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))
