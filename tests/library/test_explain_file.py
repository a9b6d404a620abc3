"""What an explanation says must add up: moments to the score, the score without a word to the word's part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from library.fakes import ToyEmbedder
from tones import write_tone
from toy_model import make_toy_model

from soundseek.audio.decode import AudioInfo
from soundseek.audio.segments import Segment
from soundseek.errors import DecodeError, QueryError
from soundseek.library import Library
from soundseek.library.explain import MAX_EXPLAINED_WORDS, explain_file
from soundseek.model.model import AudioEmbedding, Model

Float = npt.NDArray[np.float32]


class ToyListener(ToyEmbedder):
    """Hears a dog (first axis) in the first second and rain (second axis) in the next; words as they say."""

    def embed_file(self, path: str | Path, /) -> AudioEmbedding:
        frames = np.array([[3, 0, 0], [0, 4, 0], [0, 4, 0]], np.float16)
        spans = np.array([[0, 2], [1, 3]])
        vectors = np.array([[0.6, 0.8, 0], [0, 1, 0]], np.float32)
        segments = (Segment(0.0, 2.0), Segment(1.0, 3.0))
        info = AudioInfo(
            "x.wav", format="WAV", sample_rate_hz=8000, channels=1, duration_s=3.0, truncated=False
        )
        return AudioEmbedding(info, segments, vectors, frames, spans, 1.0)


def test_each_word_has_what_the_score_loses_without_it() -> None:
    explanation = explain_file(ToyListener(), "x.wav", "Dog rain")
    # (1, 1, 0) / sqrt 2 scores 1.4 / sqrt 2 in the first segment, 1 / sqrt 2 in the second.
    score = 1.4 / 2**0.5
    assert explanation.hit.score == pytest.approx(score)
    dog, rain = explanation.words
    assert (dog.word, dog.without, dog.contribution) == (
        "dog",
        pytest.approx(0.8),
        pytest.approx(score - 0.8),
    )
    assert (rain.word, rain.without) == ("rain", pytest.approx(0.6))
    assert [each.score for each in explanation.segments] == pytest.approx([score, 0.5**0.5])


def test_the_strongest_moment_lies_where_the_word_is_heard() -> None:
    of_dog, of_rain = (explain_file(ToyListener(), "x.wav", word).hit for word in ("dog", "rain"))
    # Frames (3, 0) and (0, 4) with mean (1.5, 2), whose length is 2.5: the dog scores 3 / 2.5 and 0.
    assert of_dog.moments == pytest.approx((1.2, 0.0)) and of_dog.moment_s == 0.5
    assert (of_rain.start_s, of_rain.score) == (1.0, 1.0)


def test_a_single_word_has_the_whole_score_and_the_empty_words_are_shown_too() -> None:
    (dog,) = explain_file(ToyListener(), "x.wav", "dog").words
    assert (dog.without, dog.contribution) == (0.0, pytest.approx(0.6))
    (twice,) = explain_file(ToyListener(), "x.wav", "dog Dog").words
    assert twice.contribution == pytest.approx(0.6)
    words = [each.word for each in explain_file(ToyListener(), "x.wav", "the dog in the rain").words]
    assert words == ["the", "dog", "in", "rain"]


def test_an_endless_query_is_explained_by_its_first_words() -> None:
    endless = " ".join(f"word{number}" for number in range(500))
    assert len(explain_file(ToyListener(), "x.wav", endless).words) == MAX_EXPLAINED_WORDS


@pytest.mark.parametrize("scope", ["local", "clip"])
def test_it_is_the_hit_that_a_search_gives(scope: str, tmp_path: Path) -> None:
    model = Model(make_toy_model(tmp_path / "toy", scope=scope))
    write_tone(tmp_path / "long.wav", frequency_hz=440, duration_s=22)
    with Library.create(tmp_path / "library", model=model) as library:
        library.index(tmp_path / "long.wav")
        (found,) = library.search("a high tone")
    explained = explain_file(model, tmp_path / "long.wav", "a high tone").hit
    assert (explained.path, explained.start_s, explained.end_s) == (found.path, found.start_s, found.end_s)
    assert explained.score == pytest.approx(found.score, abs=1e-3)  # a library keeps its vectors in float16
    assert explained.moments == pytest.approx(found.moments, abs=2e-3)


@pytest.mark.parametrize("query", ["", "  ", "?!"])
def test_no_word_is_no_query(query: str) -> None:
    with pytest.raises(QueryError, match="nothing to explain"):
        explain_file(ToyListener(), "x.wav", query)


def test_a_file_that_cannot_be_heard_is_named(tmp_path: Path) -> None:
    model = Model(make_toy_model(tmp_path / "toy"))
    with pytest.raises(DecodeError, match=r"nothing\.wav"):
        explain_file(model, tmp_path / "nothing.wav", "dog")
