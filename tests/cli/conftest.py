"""A folder of small sounds, a toy model, a filled library, and `soundseek` run as its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tones import write_tone
from toy_model import make_toy_model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_model(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short sounds and one of 22 s, which has several segments."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(6):
        write_tone(folder / f"tone{number}.wav", frequency_hz=150.0 * 2**number)
    write_tone(folder / "long.wav", frequency_hz=440.0, duration_s=22.0)
    return folder


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, sounds: Path, model_directory: Path) -> Path:
    """A library that holds `sounds`; tests only read it."""
    directory = tmp_path_factory.mktemp("libraries") / "filled"
    done = _run(["index", str(sounds), "--library", str(directory), "--model", str(model_directory)], {})
    assert done.returncode == 0, done.stderr.decode()
    return directory


@pytest.fixture
def soundseek(tmp_path: Path, model_directory: Path) -> Run:
    """Run the command line in its own process, with an empty data folder and the toy as default model."""
    place = {"XDG_DATA_HOME": str(tmp_path / "data"), "SOUNDSEEK_MODEL": str(model_directory)}

    def run(*arguments: str | bytes | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
        return _run(list(arguments), {**place, **environment})

    return run


def _run(
    arguments: list[str | bytes | Path], environment: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "soundseek", *arguments]
    return subprocess.run(
        command, env={**os.environ, "COLUMNS": "120", **environment}, capture_output=True, timeout=120
    )
