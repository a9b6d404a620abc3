"""What tests of a model directory share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy_model import make_toy_model

from soundseek.model.model import Model

RATE = 32_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(make_toy_model(tmp_path_factory.mktemp("toy"), context=64))


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """132 s of noise whose level wanders: more than three chunks."""
    generator = np.random.default_rng(0)
    level = np.repeat(generator.uniform(0.01, 0.5, 132), RATE)
    path = tmp_path_factory.mktemp("sounds") / "long.wav"
    soundfile.write(path, generator.uniform(-1, 1, len(level)) * level, RATE)
    return path
