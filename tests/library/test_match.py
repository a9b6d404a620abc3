"""How sure hits are: among as many files as were searched, kept from `min_match` on, silent with example sounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.errors import QueryError
from soundseek.library import Library
from soundseek.model.match import MatchCalibration
from soundseek.model.registry import load_model


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """A tone of half a second and three of two, and a model by which a hit among n files is one of 1 + n."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number, duration_s in enumerate((0.5, 2.0, 2.0, 2.0)):
        write_tone(folder / f"{number}.wav", frequency_hz=300.0 * 2**number, duration_s=duration_s)
    directory = make_toy_model(tmp_path / "toy")
    model = load_model(directory)
    nothing = np.zeros((2, model.dim), np.float16)
    MatchCalibration(nothing, np.zeros(4), np.ones(4), np.array([0.0, 0, 0, 0, -1]), 1_000).write(directory)
    with Library.create(tmp_path / "library", model=model) as library:
        library.index(folder)
        yield library


def test_only_the_files_that_a_condition_lets_through_count(library: Library) -> None:
    assert [hit.match for hit in library.search("tone")] == pytest.approx([1 / 5] * 4)
    assert [hit.match for hit in library.search("tone", where="duration < 1")] == pytest.approx([1 / 2])


def test_only_the_files_that_may_answer_count(library: Library, tmp_path: Path) -> None:
    chosen = [str(tmp_path / "sounds" / f"{number}.wav") for number in (0, 2)]
    assert [hit.match for hit in library.search("tone", only=chosen)] == pytest.approx([1 / 3] * 2)


def test_hits_that_are_less_probable_are_left_out(library: Library) -> None:
    assert len(library.search("tone", min_match=0.19)) == 4
    assert library.search("tone", min_match=0.21) == []
    assert len(library.search("tone", min_match=0.21, where="duration < 1")) == 1
    with pytest.raises(QueryError, match="it is a probability"):
        library.search("tone", min_match=1.5)


def test_as_many_probable_hits_are_found_as_asked_for_though_others_stand_before_them(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = library.search("tone", duplicates="show")
    *_, third, last = (hit.score for hit in hits)
    assert third > last

    def only_the_last(query: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return np.where(scores < (third + last) / 2, 0.9, 0.1)

    monkeypatch.setattr(Library, "certainty", lambda library, num_files: only_the_last)
    assert [hit.path for hit in library.search("tone", k=1, min_match=0.5)] == [hits[-1].path]
    assert len(library.search("tone", k=2, min_match=0.5)) == 1
    assert len(library.search("tone", k=2, min_match=0.05)) == 2


def test_with_an_example_sound_no_hit_says_how_sure_it_is(library: Library, tmp_path: Path) -> None:
    example = tmp_path / "sounds" / "0.wav"
    assert {hit.match for hit in library.search(like=[example])} == {None}
    with pytest.raises(QueryError, match="min_match needs a query in words"):
        library.search("tone", like=[example], min_match=0.1)


@pytest.mark.parametrize("query", ["no music", "-dog", "everything except speech", "sans musique"])
def test_what_only_excludes_has_hits_that_do_not_say_how_sure_they_are(library: Library, query: str) -> None:
    hits = library.search(query)
    assert len(hits) == 4 and {hit.match for hit in hits} == {None}
    with pytest.raises(QueryError, match="not only what not"):
        library.search(query, min_match=0.1)


def test_words_that_ask_for_a_sound_and_keep_out_another_say_how_sure_their_hits_are(
    library: Library,
) -> None:
    assert None not in {hit.match for hit in library.search("tone no music")}
    assert None not in {hit.match for hit in library.search("tone", without=["music"])}
