"""CIDEr-D: a hand example, agreement with aac-metrics, and what makes captions alike."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundseek.errors import UsageError
from soundseek.learn.losses.cider import CiderD, tokenize

CLIPS = [
    ["A dog barks while it rains.", "A dog is barking in the rain."],
    ["Rain falls on a tin roof.", "It rains heavily on a roof."],
    ["Birds sing and a dog barks.", "Birds are chirping; birds, birds, birds."],
    ["A man doesn't speak.", "A man's voice is heard far away, then a man laughs, then a man coughs again."],
]
CAPTIONS = [caption for clip in CLIPS for caption in clip]


@pytest.fixture(scope="module")
def reference() -> Iterator[Callable[..., Any]]:
    """aac-metrics' `cider_d`, without the package around it, which imports caption models."""
    found = importlib.util.find_spec("aac_metrics")
    if found is None or found.origin is None or importlib.util.find_spec("pythonwrench") is None:
        pytest.skip("aac-metrics (with pythonwrench) is missing")
    package = Path(found.origin).parent
    before = set(sys.modules)
    for name, folder in (
        ("aac_metrics", package),
        ("aac_metrics.utils", package / "utils"),
        ("aac_metrics.functional", package / "functional"),
    ):
        module = ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module
    yield importlib.import_module("aac_metrics.functional.cider_d").cider_d
    for name in set(sys.modules) - before:
        if name.startswith("aac_metrics"):
            del sys.modules[name]


def by_the_library(cider_d: Callable[..., Any], candidates: list[str], references: list[str]) -> np.ndarray:
    """`(candidate, reference)`, one diagonal at a time; each reference is a document of its own."""
    size = len(candidates)
    scores = np.empty((size, size))
    for shift in range(size):
        shifted = [candidates[(row + shift) % size] for row in range(size)]
        _, each = cider_d(shifted, [[caption] for caption in references], tokenizer=tokenize)
        for row, score in enumerate(each["cider_d"].tolist()):
            scores[(row + shift) % size, row] = score
    return scores


def test_one_shared_word_by_hand() -> None:
    # Three documents. idf: "rain" ln(3/2), "dog" and "wind" ln 3. One word each is common and rare.
    cider = CiderD(["rain dog", "rain wind"], [["rain dog"], ["rain wind"], ["snow"]])
    common, rare = math.log(3 / 2), math.log(3)
    unigrams = common**2 / (common**2 + rare**2)  # the bigrams differ; of three and four words there are none
    assert cider.scores([0], [1])[0, 0] == pytest.approx(10 / 4 * unigrams)
    # A caption of two words shares half of its possible lengths of n-grams with itself.
    assert cider.scores([0], [0])[0, 0] == pytest.approx(10 / 4 * 2)


def test_a_longer_candidate_gains_nothing_by_repeating_a_word_by_hand() -> None:
    cider = CiderD(["rain", "rain rain rain"], [["rain", "rain rain rain"], ["snow"]])
    weight = math.log(2)
    clipped = 1 * weight * weight / (3 * weight * weight)  # min(3, 1) tf over the norms 3 and 1
    penalty = math.exp(-(2**2) / (2 * 36))
    assert cider.scores([1], [0])[0, 0] == pytest.approx(10 / 4 * penalty * clipped)
    # The other way round the reference counts thrice: min(1, 3) * 3 over the same norms.
    assert cider.scores([0], [1])[0, 0] == pytest.approx(10 / 4 * penalty * 1.0)


def test_all_pairs_agree_with_aac_metrics(reference: Callable[..., Any]) -> None:
    expected = by_the_library(reference, CAPTIONS, CAPTIONS)
    cider = CiderD(CAPTIONS, [[caption] for caption in CAPTIONS])
    everything = range(len(CAPTIONS))
    np.testing.assert_allclose(cider.scores(everything, everything), expected, atol=1e-12)
    assert expected[0, 1] > 0.1 and expected[0, 7] < expected[0, 1]


def test_documents_of_several_captions_agree_with_aac_metrics(reference: Callable[..., Any]) -> None:
    _, each = reference(
        [clip[0] for clip in CLIPS], [[*clip[1:], *clip[:1]] for clip in CLIPS], tokenizer=tokenize
    )
    cider = CiderD(CAPTIONS, CLIPS)
    for number, expected in enumerate(each["cider_d"].tolist()):
        first = 2 * number
        assert cider.scores([first], [first, first + 1]).mean() == pytest.approx(expected)


words = st.sampled_from(["a", "dog", "barks", "the", "rain", "falls", "loudly", "on", "roof", "and", "bird"])
sentences = st.lists(words, min_size=1, max_size=12).map(" ".join)


@settings(max_examples=25, deadline=None)
@given(captions=st.lists(sentences, min_size=2, max_size=7))
def test_random_sentences_agree_with_aac_metrics(reference: Callable[..., Any], captions: list[str]) -> None:
    cider = CiderD(captions, [[caption] for caption in captions])
    everything = range(len(captions))
    expected = by_the_library(reference, captions, captions)
    np.testing.assert_allclose(cider.scores(everything, everything), expected, atol=1e-12)


def test_a_part_of_the_corpus_scores_as_in_the_whole() -> None:
    cider = CiderD(CAPTIONS, CLIPS)
    whole = cider.scores(range(8), range(8))
    np.testing.assert_allclose(cider.scores([5, 2], [7, 2, 0]), whole[np.ix_([5, 2], [7, 2, 0])])


def test_a_batchs_similarity_is_symmetric_and_one_for_the_same_words() -> None:
    cider = CiderD([*CAPTIONS, "a dog barks while it RAINS"], CLIPS)
    similarity = cider.similarity(torch.tensor([0, 1, 8, 6]))
    assert similarity.dtype == torch.float32
    torch.testing.assert_close(similarity, similarity.T)
    assert similarity[0, 2] == pytest.approx(1.0) and similarity[0, 0] == pytest.approx(1.0)
    assert 0 < similarity[0, 1] < 1 and similarity[0, 3] < similarity[0, 1]


def test_a_word_of_every_clip_says_nothing() -> None:
    cider = CiderD(["a dog", "a bell"], [["a dog"], ["a bell"]])
    assert cider.scores([0], [1])[0, 0] == 0.0


def test_a_caption_without_words_is_like_none() -> None:
    cider = CiderD(["...", "a dog"], [["a dog"], ["a bell"]])
    assert cider.scores([0, 1], [0, 1])[:, 0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A Dog, barking (loudly)!", ["a", "dog", "barking", "loudly"]),
        ("It's raining; they don't mind.", ["it", "'s", "raining", "they", "do", "n't", "mind"]),
        ("the dogs' high-pitched yelps", ["the", "dogs", "high-pitched", "yelps"]),
        ("it’s 3 o'clock", ["it", "'s", "3", "o'clock"]),
        ("We're off... 'quietly'", ["we", "'re", "off", "quietly"]),
        ("", []),
    ],
)
def test_words_are_cut_as_in_the_treebank(caption: str, expected: list[str]) -> None:
    assert tokenize(caption) == expected


def test_one_clip_cannot_say_what_is_rare() -> None:
    with pytest.raises(UsageError, match="two clips or more"):
        CiderD(["a dog"], [["a dog"]])
