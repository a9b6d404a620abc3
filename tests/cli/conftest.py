"""A folder of small sounds, a toy model, a filled library, and `soundseek` run within the test's process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tones import write_tones
from toy_model import make_toy_model

from soundseek.cli.main import group
from soundseek.library import Library
from soundseek.model.registry import load_model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_model(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, sounds: Path, model_directory: Path) -> Path:
    """A library that holds `sounds`; tests only read it."""
    directory = tmp_path_factory.mktemp("libraries") / "filled"
    with Library.create(directory, model=load_model(model_directory)) as library:
        library.index(sounds)
    return directory


@pytest.fixture
def soundseek(
    tmp_path: Path,
    model_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Run a command as from a shell, with an empty data folder and the toy as default model."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str | bytes | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
        for name, value in {"SOUNDSEEK_MODEL": str(model_directory), **environment}.items():
            monkeypatch.setenv(name, value)
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            group()([os.fsdecode(each) for each in arguments], prog_name="soundseek")
        shown = capfdbinary.readouterr()
        return subprocess.CompletedProcess(list(arguments), ended.value.code or 0, shown.out, shown.err)

    return run
