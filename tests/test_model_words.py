"""The words of the models that soundseek carries, and the script that wrote them."""

from __future__ import annotations

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from toy_learning import make_toy_data
from toy_model import make_toy_model

from soundseek.errors import UsageError
from soundseek.model.model import Model
from soundseek.model.registry import AVAILABLE, BUNDLED, DEFAULT_MODEL, AvailableModel
from soundseek.model.spelling import WORDS_FILE, Spelling, read_words

CARRIED = (BUNDLED / DEFAULT_MODEL, AVAILABLE / "soundseek-plus")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / "model_words.py"
    spec = spec_from_file_location("model_words", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("directory", CARRIED, ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("dgo barkign", "dog barking"),
        ("Thnuder and raim", "Thunder and rain"),
        ("footstpes on gravle", "footsteps on gravel"),
        ("gitar on the ocen, a whisle", "guitar on the ocean, a whistle"),
        ("thats a dog that dont bark", "thats a dog that dont bark"),
        ("walla, ribbit, djembes and wavs", "walla, ribbit, djembes and wavs"),
        ("hissy boomy clangy twangy synthy", "hissy boomy clangy twangy synthy"),
        ("a boing, a thunk, a synth, a whoosh", "a boing, a thunk, a synth, a whoosh"),
        ("boop plink doink theremin kalimba foley sfx", "boop plink doink theremin kalimba foley sfx"),
        ("mould on grey aluminium", "mould on grey aluminium"),
    ],
)
def test_what_the_carried_models_make_of_a_query(directory: Path, typed: str, read: str) -> None:
    counts = read_words(directory / WORDS_FILE)
    assert Spelling(counts).corrected(typed) == read


def test_a_word_that_the_text_tower_reads_whole_stays_though_no_dictionary_has_it() -> None:
    spelling = Spelling.of(Model(BUNDLED / DEFAULT_MODEL))
    assert spelling.corrected("an intro, a bing") == "an intro, a bing"


def test_the_script_writes_the_words_of_a_model_and_of_an_offer(script: ModuleType, tmp_path: Path) -> None:
    data = make_toy_data(tmp_path / "data")
    model = make_toy_model(tmp_path / "model")
    count = script.give_words(model, data, ("development",))
    assert count == len((model / WORDS_FILE).read_text().splitlines()) > 3
    offered = Path(shutil.copytree(AVAILABLE / "soundseek-plus", tmp_path / "offered"))
    before, removed = AvailableModel.read(offered), (offered / WORDS_FILE).stat().st_size
    script.give_words(offered, data, ("development",))
    after, added = AvailableModel.read(offered), (offered / WORDS_FILE).stat().st_size
    assert after.size_bytes == before.size_bytes + added - removed
    assert after.working_bytes == before.working_bytes + added - removed
    assert after.fingerprint == before.fingerprint


def test_the_script_refuses_what_is_no_model(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no model directory"):
        script.give_words(tmp_path, tmp_path, ("development",))
