from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soundseek.errors import DataError, RecipeFileError
from soundseek.learn.data.caption_neighbours import (
    add_terms,
    cached_nearest,
    nearest_sentences,
    read_sentences,
    terms_learned,
    unique,
)
from soundseek.learn.recipe.keys import LexiconConfig


def at(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_nearest_come_first_and_the_far_ones_not_at_all() -> None:
    found = nearest_sentences(at(0), at(50, 10, 30, 90), neighbours=4, min_cosine=np.cos(np.deg2rad(60)))
    assert found == [(1, 2, 0)]


def test_no_more_than_the_wanted_neighbours() -> None:
    assert nearest_sentences(at(0), at(50, 10, 30), neighbours=2, min_cosine=0.1) == [(1, 2)]


def test_length_does_not_matter() -> None:
    assert nearest_sentences(5 * at(0), 0.1 * at(10), neighbours=1, min_cosine=0.9) == [(0,)]


def test_chunks_change_nothing() -> None:
    generator = np.random.default_rng(0)
    queries, sentences = (generator.normal(size=(20, 8)).astype(np.float32) for _ in range(2))
    whole = nearest_sentences(queries, sentences, neighbours=3, min_cosine=0.01)
    assert nearest_sentences(queries, sentences, neighbours=3, min_cosine=0.01, chunk=7) == whole
    assert len(whole) == 20


def test_it_agrees_with_a_loop() -> None:
    generator = np.random.default_rng(1)
    queries, sentences = generator.normal(size=(5, 4)), generator.normal(size=(9, 4))
    found = nearest_sentences(
        queries.astype(np.float32), sentences.astype(np.float32), neighbours=9, min_cosine=0.2
    )
    for query, indices in zip(queries, found, strict=True):
        cosines = [query @ each / np.linalg.norm(query) / np.linalg.norm(each) for each in sentences]
        assert list(indices) == [i for i in np.argsort(cosines)[::-1] if cosines[i] >= 0.2]


def test_the_cache_gives_the_same_and_notices_changes(tmp_path: Path) -> None:
    wanted = {"neighbours": 3, "min_cosine": 0.5, "directory": tmp_path}
    first = cached_nearest(at(0, 75), at(10, 20), **wanted)  # 75 to 20 degrees: cosine .57; to 10: .42
    assert first == [(0, 1), (1,)]
    assert cached_nearest(at(0, 75), at(10, 20), **wanted) == first
    assert len(list(tmp_path.iterdir())) == 1
    cached_nearest(at(0, 75), at(10, 21), **wanted)
    assert len(list(tmp_path.iterdir())) == 2


def test_sentences_are_read_once_each(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_text("youtube_id,caption\na,A dog\nb,\nc, A dog \nd,A cat\n", encoding="utf-8-sig")
    assert read_sentences(path) == ["A dog", "A cat"]


def test_a_sentence_with_an_unquoted_comma_is_refused_not_cut(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("caption\nA dog barks, then rain\n")
    with pytest.raises(DataError, match=r"c.csv, line 2: 2 cells, and the header has 1"):
        read_sentences(tmp_path / "c.csv")


def test_a_table_without_captions_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_text("id,text\n")
    with pytest.raises(DataError, match="expected a column 'caption'"):
        read_sentences(path)
    with pytest.raises(DataError, match="no file"):
        read_sentences(tmp_path / "none.csv")
    path.write_text("id,caption\n1,\n")
    with pytest.raises(DataError, match="has no sentence in its column 'caption'"):
        read_sentences(path)


def test_unique_numbers_texts_in_order() -> None:
    assert unique(["b", "a", "b", "c"]) == {"b": 0, "a": 1, "c": 2}


def test_terms_that_are_held_out_are_not_learned(tmp_path: Path) -> None:
    every = terms_learned(LexiconConfig())
    assert ("walla", "crowd of people murmuring") in every and ("air brst", "x") not in every
    assert "air burst" in dict(every)  # UCS' names
    (tmp_path / "held.txt").write_text("Walla\n", encoding="utf-8")
    kept = terms_learned(LexiconConfig(hold_out=tmp_path / "held.txt"))
    assert {term for term, _ in every} - {term for term, _ in kept} == {"walla"}
    with pytest.raises(RecipeFileError, match=r"data.lexicon.hold_out: no file .*none.txt"):
        terms_learned(LexiconConfig(hold_out=tmp_path / "none.txt"))


def test_a_term_means_the_same_as_captions_near_its_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path))
    directions = {"murmuring": 0, "rain": 90, "crowd of people murmuring": 10}
    monkeypatch.setattr("soundseek.learn.data.caption_neighbours.caption_judge", lambda: None)
    monkeypatch.setattr("soundseek.learn.data.caption_neighbours.text_store", lambda _: None)
    monkeypatch.setattr(
        "soundseek.learn.data.caption_neighbours.extract_texts",
        lambda texts, *_, **__: at(*(directions.get(text, 180) for text in texts)),
    )
    captions = ["rain", "murmuring"]
    texts, jargon = add_terms(unique(captions), captions, LexiconConfig(neighbours=1))
    names = {number: text for text, number in texts.items()}
    assert list(jargon) == [texts["murmuring"]]
    assert "walla" in {names[term] for term in jargon[texts["murmuring"]]}
