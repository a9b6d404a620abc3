"""Back-translation with two toy models: real loading, tokenising and beam search, of words without meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_marian import make_toy_marian

from soundseek.errors import RecipeError
from soundseek.learn.data.back_translation import cached_paraphrases, paraphrases

CAPTIONS = ["A dog barks.", "Rain falls on a roof.", "Birds are singing while a dog barks."]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sentencepiece", reason="sentencepiece is missing")
    directory = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("there", "back")):
        make_toy_marian(directory / name, CAPTIONS, seed)
    return directory


def test_captions_come_back_in_other_words_and_always_the_same(models: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = paraphrases(CAPTIONS, models, report=lambda *each: told.append(each))
    assert found and set(found) <= set(CAPTIONS)
    assert all(text.strip() == text and text and text != caption for caption, text in found.items())
    assert paraphrases(CAPTIONS, models) == found
    assert told == [("captions translated", 3, 3)]


def test_the_way_back_is_by_the_other_model(models: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned"
    turned.mkdir()
    (turned / "there").symlink_to(models / "back")
    (turned / "back").symlink_to(models / "there")
    assert paraphrases(CAPTIONS, turned) != paraphrases(CAPTIONS, models)


def test_what_was_translated_is_not_translated_again(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path))
    told: list[int] = []
    first = cached_paraphrases(CAPTIONS, models, report=lambda what, done, total: told.append(done))
    assert cached_paraphrases(CAPTIONS, models, report=lambda what, done, total: told.append(done)) == first
    assert told == [3]
    cached_paraphrases(CAPTIONS[:2], models, report=lambda what, done, total: told.append(done))
    assert told == [3, 2]  # other captions are another question


def test_a_missing_or_damaged_model_is_named(models: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="opus-mt-en-de"):
        paraphrases(CAPTIONS, tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").write_text('{"model_type": "marian"}')
    with pytest.raises(RecipeError, match="there cannot be loaded"):
        paraphrases(CAPTIONS, tmp_path)
