"""Text augmentation: each edit alone by hand, shares over many draws, and what never happens."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_marian import make_toy_marian
from toy_wordnet import make_toy_wordnet

from soundseek.errors import RecipeError, UsageError
from soundseek.learn.data.text_augment import TextAugment, build_text_augment
from soundseek.learn.recipe.keys import TextAugmentConfig

SYNONYMS = {"dog": ("hound", "canine"), "loudly": ("aloud",), "barks": ("yaps",)}
CAPTION = "A dog barks loudly, far away."


def augment(**probabilities: float) -> TextAugment:
    return TextAugment(TextAugmentConfig(**probabilities), SYNONYMS)


def draws(change: TextAugment, count: int = 400) -> list[str]:
    return [change(CAPTION, np.random.default_rng(seed)) for seed in range(count)]


def test_without_probabilities_a_caption_stays_as_it_is() -> None:
    assert set(draws(augment(), 20)) == {CAPTION}


def test_every_word_that_has_synonyms_gives_way_and_keeps_its_comma() -> None:
    expected = {"A hound yaps aloud, far away.", "A canine yaps aloud, far away."}
    assert set(draws(augment(synonym=1.0), 40)) == expected


def test_neighbours_change_places_and_none_moves_twice() -> None:
    assert augment(swap=1.0)("a b c d e", np.random.default_rng(0)) == "b a d c e"
    assert augment(swap=1.0)("A b c", np.random.default_rng(0)) == "B a c"  # the capital stays in front


def test_a_synonym_is_put_before_each_word() -> None:
    words = augment(insert=1.0)("dog rain.", np.random.default_rng(1))
    first, dog, second, rain = words.split()
    assert (dog, rain) == ("dog", "rain.") and {first, second} <= {"hound", "canine"}
    assert augment(insert=1.0)("it rains", np.random.default_rng(1)) == "it rains"  # nothing to put in


def test_words_are_left_out_as_often_as_asked_and_one_stays() -> None:
    left = [len(each.split()) for each in draws(augment(delete=0.25), 2000)]
    assert np.mean(left) == pytest.approx(0.75 * 6, abs=0.1)
    assert min(len(each.split()) for each in draws(augment(delete=0.99))) == 1


def test_synonyms_come_as_often_as_asked_and_each_alike() -> None:
    changed = draws(augment(synonym=0.3), 3000)
    hounds, canines = (np.mean([word in each for each in changed]) for word in ("hound", "canine"))
    assert hounds == pytest.approx(0.15, abs=0.02) and canines == pytest.approx(0.15, abs=0.02)


@given(
    caption=st.text(min_size=1).filter(lambda text: bool(text.split())),
    seed=st.integers(0, 1000),
    probability=st.floats(0, 0.99),
)
def test_no_caption_becomes_empty_and_one_generator_gives_one_caption(
    caption: str, seed: int, probability: float
) -> None:
    change = augment(synonym=probability, swap=probability, delete=probability, insert=probability)
    first = change(caption, np.random.default_rng(seed))
    assert first.strip()
    assert change(caption, np.random.default_rng(seed)) == first


def test_names_and_abbreviations_keep_their_letters() -> None:
    assert augment(swap=1.0)("I hear UFOs", np.random.default_rng(0)).split()[:2] == ["Hear", "I"]
    assert augment(swap=1.0)("UFO lands", np.random.default_rng(0)) == "lands UFO"


def test_paraphrases_stand_in_for_half_of_the_captions() -> None:
    change = TextAugment(TextAugmentConfig(), {}, {CAPTION: "A hound is heard."})
    changed = draws(change, 1000)
    assert np.mean([each == "A hound is heard." for each in changed]) == pytest.approx(0.5, abs=0.05)
    assert change("Rain.", np.random.default_rng(0)) == "Rain."


def test_it_can_be_sent_to_a_worker_process() -> None:
    change = augment(synonym=0.5)
    assert draws(pickle.loads(pickle.dumps(change)), 20) == draws(change, 20)


def test_a_recipe_gets_synonyms_of_its_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSEEK_WORDNET", str(make_toy_wordnet(tmp_path / "wordnet")))
    change = build_text_augment(TextAugmentConfig(synonym=1.0), ["Two cars, talking.", "Rain!"])
    assert dict(change.synonyms) == {
        "cars": ("autos", "automobiles"),
        "talking": ("speaking", "verbalizing"),
        "rain": ("rainfall",),
    }
    assert change("Rain!", np.random.default_rng(0)) == "Rainfall!"


def test_a_recipe_gets_paraphrases_by_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentencepiece", reason="sentencepiece is missing")
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    for seed, name in enumerate(("there", "back")):
        make_toy_marian(tmp_path / "models" / name, [CAPTION, "Rain falls."], seed)
    config = TextAugmentConfig(back_translation=tmp_path / "models")
    change = build_text_augment(config, [CAPTION, "Rain falls.", CAPTION])
    assert change.paraphrases and set(change.paraphrases) <= {CAPTION, "Rain falls."}


def test_edits_without_synonyms_need_no_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSEEK_WORDNET", str(tmp_path / "nothing"))
    assert build_text_augment(TextAugmentConfig(swap=0.1, delete=0.1), [CAPTION]).synonyms == {}
    with pytest.raises(RecipeError, match="WordNet"):
        build_text_augment(TextAugmentConfig(insert=0.1), [CAPTION])


def test_a_caption_of_punctuation_alone_stays() -> None:
    assert augment(delete=0.5, swap=0.5)("...", np.random.default_rng(0)) == "..."


def test_a_caption_without_words_is_refused() -> None:
    with pytest.raises(UsageError, match="must not be empty"):
        augment()("  ", np.random.default_rng(0))
