"""Models by name: the bundled ones, those in the data folder, and a plain directory."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest
from toy_model import make_toy_model

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError
from soundseek.model.config import (
    AUDIO_FILE,
    CONFIG_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    ModelConfig,
    fingerprint,
)
from soundseek.model.registry import DEFAULT_MODEL, MODEL_VARIABLE, installed_models, load_model


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda name: str(tmp_path / name))
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    return tmp_path / "soundseek" / "models"


def test_a_model_in_the_data_folder_is_found_by_name(data_folder: Path) -> None:
    make_toy_model(data_folder / "mine", name="mine")
    assert installed_models()["mine"] == data_folder / "mine"
    assert load_model("mine").config.name == "mine"


def test_a_directory_is_a_model_too_and_the_environment_may_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_toy_model(tmp_path / "anywhere")
    assert load_model(directory).directory == directory
    monkeypatch.setenv(MODEL_VARIABLE, str(directory))
    assert load_model().directory == directory


def test_without_a_word_the_bundled_model_is_taken() -> None:
    assert load_model().config.name == DEFAULT_MODEL


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ModelError, match=f"no model 'nope'.*{DEFAULT_MODEL}"):
        load_model("nope")


def test_the_fingerprint_changes_with_the_networks_and_the_front_end(tmp_path: Path) -> None:
    first, second = make_toy_model(tmp_path / "a"), make_toy_model(tmp_path / "b", seed=1)
    card = ModelConfig.read(first)
    assert card.fingerprint == fingerprint(first, card.front_end) != ModelConfig.read(second).fingerprint
    assert fingerprint(first, card.front_end.model_copy(update={"floor": 1e-6})) != card.fingerprint


def test_a_fingerprint_stays_what_it_was_when_a_front_end_learns_something_new(tmp_path: Path) -> None:
    """A library asks for the model with the fingerprint that filled it, whatever version made that."""
    for name in (AUDIO_FILE, TEXT_FILE, TOKENIZER_FILE):
        (tmp_path / name).write_text(name)
    assert fingerprint(tmp_path, FrontEndConfig()) == "41400e7002f2"
    assert fingerprint(tmp_path, FrontEndConfig(peak_dbfs=-6.0)) != "41400e7002f2"


def test_a_model_of_the_users_own_hides_the_bundled_one_of_its_name(data_folder: Path) -> None:
    make_toy_model(data_folder / DEFAULT_MODEL, name="mine")
    assert installed_models()[DEFAULT_MODEL] == data_folder / DEFAULT_MODEL
    assert load_model().config.name == "mine"


def test_a_format_that_this_version_does_not_know_is_refused(tmp_path: Path) -> None:
    directory = make_toy_model(tmp_path / "later")
    config = directory / CONFIG_FILE
    config.write_text(config.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ModelError, match="cannot be read by this version"):
        load_model(directory)
