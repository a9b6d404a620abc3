"""Teachers: hand examples, and the scores of trained runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_learning import make_toy_data, toy_recipe

from soundseek.errors import ModelError, RecipeError
from soundseek.learn.data.caption_neighbours import unique
from soundseek.learn.data.pairs import Corpus, plan_clips, plan_mixtures
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.recipe.load import Recipe
from soundseek.learn.training.objective import Teachers
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train

torch.set_num_threads(1)


def test_the_mean_of_two_teachers_by_hand() -> None:
    # Two clips, three texts; the first teacher has two dimensions, the second one.
    first = torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 5.0], [1.0, 1.0]])
    second = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [-1.0], [1.0]])
    teachers = Teachers([first[0], second[0]], [first[1], second[1]])
    half = 0.5**0.5
    expected = torch.tensor([[(half + 1) / 2, (half - 1) / 2], [(1 + 1) / 2, (0 - 1) / 2]])
    actual = teachers.scores(torch.tensor([0, 1]), torch.tensor([2, 0]))
    torch.testing.assert_close(actual, expected)


def test_a_batch_is_the_same_part_of_all_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    teachers = Teachers(
        [torch.randn(5, 3, generator=generator), torch.randn(5, 4, generator=generator)],
        [torch.randn(6, 3, generator=generator), torch.randn(6, 4, generator=generator)],
    )
    whole = teachers.scores(torch.arange(5), torch.arange(6))
    some = teachers.scores(torch.tensor([3, 1, 3]), torch.tensor([5, 0, 2]))
    torch.testing.assert_close(some, whole[[5, 0, 2]][:, [3, 1, 3]])


def test_teachers_of_different_corpora_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"\(2, 3\), \(4, 3\)"):
        Teachers([torch.eye(2), torch.ones(4, 2)], [torch.ones(3, 2), torch.ones(3, 2)])
    with pytest.raises(RecipeError, match="one corpus"):
        Teachers([], [])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished toy runs and their data."""
    directory = tmp_path_factory.mktemp("teachers")
    make_toy_data(directory / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(directory / "cache"))
        for seed in (0, 1):
            train(toy_recipe(directory, f"seed={seed}"), directory / "data", directory / f"run-{seed}")
    return directory


@pytest.fixture(autouse=True)
def cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))


def corpus_of(place: Path, recipe: Recipe) -> Corpus:
    clips = read_split(place / "data", "development")
    examples, mixtures = plan_clips(clips, recipe.data, 0), plan_mixtures(clips, recipe.data, 0)
    texts = unique([caption for example in (*examples, *mixtures) for caption in example.captions])
    return Corpus(examples, mixtures, texts, {})


def test_runs_score_clips_and_mixtures_as_they_would_alone(place: Path) -> None:
    corpus = corpus_of(place, toy_recipe(place, "data.overlays=2", "data.degraded_versions=1"))
    assert len(corpus.clips) == 6 and len(corpus.mixtures) == 2
    teachers = Teachers.load([place / "run-0", place / "run-1"], corpus)
    scores = teachers.scores(torch.arange(8), torch.arange(len(corpus.texts)))
    expected = []
    for seed in (0, 1):
        embedder = RunEmbedder(*load_run(place / f"run-{seed}"))
        audio = np.concatenate(
            [
                embedder.embed_audio([example.sounds[0].parts[0] for example in corpus.clips]),
                embedder.embed_sounds([example.sounds[0] for example in corpus.mixtures]),
            ]
        )
        expected.append(embedder.embed_text(list(corpus.texts)) @ audio.T)
    np.testing.assert_allclose(scores.numpy(), np.mean(expected, axis=0), atol=1e-6)
    assert not np.allclose(expected[0], expected[1], atol=1e-2), "two seeds are two teachers"
    assert not np.allclose(scores[:, 6], scores[:, 0], atol=1e-5), "a mixture is no clip"


def test_a_teacher_that_is_no_run_is_named(place: Path) -> None:
    with pytest.raises(ModelError, match="nobody"):
        Teachers.load([place / "nobody"], corpus_of(place, toy_recipe(place)))
