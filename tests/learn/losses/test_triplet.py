"""Triplet losses: hand examples, agreement with PyTorch and pytorch-metric-learning, and who may be an impostor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from soundseek.learn.losses import build_loss, cosine_scores, match_matrix, triplet_margin

torch.set_num_threads(1)

OWN = torch.eye(3, dtype=torch.bool)


def embeddings(seed: int, size: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    return text, torch.randn(size, 5, generator=generator, dtype=torch.float64)


def distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 - nn.functional.cosine_similarity(a, b)


def hardest_by_loops(scores: Tensor, positives: Tensor) -> tuple[list[int], list[int]]:
    """For each caption the hardest clip, for each clip the hardest caption."""
    size = len(scores)
    allowed = [[n for n in range(size) if not positives[m, n]] for m in range(size)]
    clips = [max(allowed[m], key=lambda n, m=m: float(scores[m, n])) for m in range(size)]
    captions = [max(allowed[m], key=lambda n, m=m: float(scores[n, m])) for m in range(size)]
    return clips, captions


def test_the_hardest_impostors_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.6], [0.1, 0.5, 0.4], [0.0, 0.7, 0.8]])
    # Captions: 1 - .9 + .6 = .7, 1 - .5 + .4 = .9, 1 - .8 + .7 = .9. Clips: .2, 1.2, .8. Their sums over 3.
    loss = triplet_margin(scores, OWN, margin=1.0, impostors="hardest")
    assert float(loss) == pytest.approx((0.7 + 0.9 + 0.9 + 0.2 + 1.2 + 0.8) / 3)
    # With margin 0.4 what is beaten by more costs nothing: .1, .3, .3 and 0 (instead of -.4), .6, .2.
    loss = triplet_margin(scores, OWN, margin=0.4, impostors="hardest")
    assert float(loss) == pytest.approx((0.1 + 0.3 + 0.3 + 0.0 + 0.6 + 0.2) / 3)


def test_a_match_is_never_an_impostor() -> None:
    # Rows 0 and 1 are one clip and row 2 the only impostor they can have, though 0 and 1 score higher.
    positives = match_matrix(torch.tensor([4, 4, 5]), torch.arange(3))
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.8, 0.9, 0.1], [0.1, 0.1, 0.9]])
    for impostors in ("random", "hardest"):
        loss = triplet_margin(scores, positives, margin=1.0, impostors=impostors)
        assert float(loss) == pytest.approx(2 * (1 - 0.9 + 0.1))


def test_a_batch_of_one_clip_has_no_impostors_and_no_loss() -> None:
    scores = torch.rand(3, 3).requires_grad_()
    for impostors in ("random", "hardest"):
        loss = triplet_margin(scores, torch.ones(3, 3, dtype=torch.bool), margin=1.0, impostors=impostors)
        assert loss.item() == 0.0
        (gradient,) = torch.autograd.grad(loss, scores)
        assert torch.equal(gradient, torch.zeros(3, 3))


@pytest.mark.parametrize("seed", range(3))
def test_the_hardest_agree_with_pytorch_given_the_same_impostors(seed: int) -> None:
    text, audio = embeddings(seed)
    positives = match_matrix(torch.tensor([0, 0, 1, 2, 2, 3, 4]), torch.arange(7))
    scores = cosine_scores(text, audio)
    clips, captions = hardest_by_loops(scores, positives)
    library = nn.TripletMarginWithDistanceLoss(distance_function=distance, margin=0.4)
    expected = library(text, audio, audio[clips]) + library(audio, text, text[captions])
    torch.testing.assert_close(triplet_margin(scores, positives, margin=0.4, impostors="hardest"), expected)


@pytest.mark.parametrize("seed", range(3))
def test_random_impostors_of_a_batch_of_two_agree_with_pytorch(seed: int) -> None:
    text, audio = embeddings(seed, size=2)  # each has one impostor only
    library = nn.TripletMarginWithDistanceLoss(distance_function=distance, margin=1.0)
    expected = library(text, audio, audio.flip(0)) + library(audio, text, text.flip(0))
    actual = triplet_margin(cosine_scores(text, audio), torch.eye(2, dtype=torch.bool), margin=1.0)
    torch.testing.assert_close(actual, expected)


def test_random_impostors_agree_on_average_with_pytorch_metric_learning_over_all_triplets() -> None:
    losses = pytest.importorskip(
        "pytorch_metric_learning.losses", reason="pytorch-metric-learning is missing"
    )
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.reducers import MeanReducer

    text, audio = embeddings(0)
    positives = torch.eye(7, dtype=torch.bool)
    row, column = torch.nonzero(~positives, as_tuple=True)  # every impostor of every row, once
    library = losses.TripletMarginLoss(margin=0.4, distance=CosineSimilarity(), reducer=MeanReducer())
    expected = library(text, ref_emb=audio, indices_tuple=(row, row, column))
    expected = expected + library(audio, ref_emb=text, indices_tuple=(row, row, column))
    generator = torch.Generator().manual_seed(0)
    draws = [
        triplet_margin(cosine_scores(text, audio), positives, margin=0.4, generator=generator)
        for _ in range(2000)
    ]
    assert torch.stack(draws).mean() == pytest.approx(float(expected), rel=0.02)


def test_each_impostor_is_drawn_equally_often() -> None:
    scores = torch.tensor([[0.0, 0.1, 0.2, 0.3]] * 4)
    positives = torch.eye(4, dtype=torch.bool)
    generator, drawn = torch.Generator().manual_seed(1), []
    for _ in range(1500):
        gradients = torch.autograd.functional.jacobian(
            lambda s: triplet_margin(s, positives, margin=1.0, generator=generator), scores
        )
        drawn.append(4 * gradients)  # 1 for each direction in which a pair served as an impostor
    share = torch.stack(drawn).mean(dim=0)
    off_diagonal = share[~positives]
    assert off_diagonal == pytest.approx(torch.full_like(off_diagonal, 2 / 3), abs=0.06)


def test_a_generator_gives_the_same_impostors_again_and_another_gives_others() -> None:
    text, audio = embeddings(3)
    scores, positives = cosine_scores(text, audio), torch.eye(7, dtype=torch.bool)
    again = [build_loss("triplet", generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    other = build_loss("triplet", generator=torch.Generator().manual_seed(6))
    assert again[0](scores, positives) == again[1](scores, positives)
    assert again[0](scores, positives) != other(scores, positives)


def test_without_a_generator_the_draws_are_torchs_own() -> None:
    text, audio = embeddings(3)
    loss, values = build_loss("triplet"), []
    for _ in range(2):
        torch.manual_seed(11)
        values.append(loss(cosine_scores(text, audio), torch.eye(7, dtype=torch.bool)))
    assert values[0] == values[1]


def test_descending_the_loss_separates_the_pairs() -> None:
    text, audio = (each.float().requires_grad_() for each in embeddings(1, size=4))
    loss = build_loss("triplet", margin=0.4)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([text, audio], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss(cosine_scores(text, audio), torch.eye(4, dtype=torch.bool)).backward()
        optimizer.step()
    scores = cosine_scores(text, audio)
    assert (scores.diagonal()[:, None] - scores)[~torch.eye(4, dtype=torch.bool)].min() > 0.3


def test_the_margin_is_that_of_the_baseline_unless_a_recipe_says_otherwise() -> None:
    scores = torch.tensor([[0.9, 0.2], [0.1, 0.5]])
    own = torch.eye(2, dtype=torch.bool)
    assert torch.equal(build_loss("triplet")(scores, own), triplet_margin(scores, own, margin=1.0))
