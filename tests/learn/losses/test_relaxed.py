"""The relaxed loss: a hand example, the equation as loops, and the two losses that it lies between."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundseek.errors import UsageError
from soundseek.learn.losses import (
    build_loss,
    match_matrix,
    nt_xent,
    relaxed_contrastive,
    supervised_contrastive,
)

torch.set_num_threads(1)


def batch(seed: int, size: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, matches and similarities that are not symmetric."""
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.rand(size, size, generator=generator, dtype=torch.float64) - 1
    positives = match_matrix(torch.randint(4, (size,), generator=generator), torch.arange(size))
    return scores, positives, torch.rand(size, size, generator=generator, dtype=torch.float64)


def relaxed_by_loops(
    scores: Tensor, positives: Tensor, similarity: Tensor, weight: float, tau: float
) -> float:
    size = len(scores)
    target = [
        [1.0 if m == n or positives[m, n] else weight * float(similarity[m, n]) for n in range(size)]
        for m in range(size)
    ]
    total = 0.0
    for m in range(size):
        clips = sum(math.exp(float(scores[m, n]) / tau) for n in range(size))
        captions = sum(math.exp(float(scores[n, m]) / tau) for n in range(size))
        for n in range(size):
            row, column = sum(target[m]), sum(target[k][m] for k in range(size))
            total -= target[m][n] / row * (float(scores[m, n]) / tau - math.log(clips))
            total -= target[n][m] / column * (float(scores[n, m]) / tau - math.log(captions))
    return total / size


def test_half_a_match_by_hand() -> None:
    # Targets [1, .5] / 1.5 in every row and column; shares 3/4 and 1/4 (scores ln 3 and 0).
    loss = relaxed_contrastive(
        math.log(3.0) * torch.eye(2),
        torch.eye(2, dtype=torch.bool),
        torch.ones(2, 2),
        similarity_weight=0.5,
        temperature=1.0,
    )
    assert float(loss) == pytest.approx(-2 * (2 / 3 * math.log(3 / 4) + 1 / 3 * math.log(1 / 4)))


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_equals_its_equation_written_as_loops(seed: int) -> None:
    scores, positives, similarity = batch(seed)
    actual = relaxed_contrastive(scores, positives, similarity, similarity_weight=0.3, temperature=0.2)
    assert float(actual) == pytest.approx(relaxed_by_loops(scores, positives, similarity, 0.3, 0.2))


def test_captions_that_have_nothing_in_common_leave_nt_xent() -> None:
    scores, _, _ = batch(0)
    eye = torch.eye(6, dtype=torch.bool)
    actual = build_loss("relaxed", temperature=0.07)(scores, eye, torch.zeros(6, 6))
    torch.testing.assert_close(actual, nt_xent(scores, eye, temperature=0.07))


def test_symmetric_similarities_give_the_supervised_loss_with_soft_weights() -> None:
    scores, positives, similarity = batch(1)
    similarity = (similarity + similarity.T) / 2
    actual = relaxed_contrastive(scores, positives, similarity, similarity_weight=0.4, temperature=0.1)
    expected = supervised_contrastive(
        scores, positives, temperature=0.1, similarity=similarity, similarity_weight=0.4
    )
    torch.testing.assert_close(actual, expected)


def test_a_lookalike_is_pushed_away_less_than_a_stranger() -> None:
    scores = torch.zeros(3, 3, requires_grad=True)
    similarity = torch.tensor([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    loss = build_loss("relaxed", similarity_weight=0.3)(scores, torch.eye(3, dtype=torch.bool), similarity)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert 0 < gradient[0, 1] < gradient[0, 2]


def test_a_learned_temperature_is_trained() -> None:
    scores, positives, similarity = batch(2)
    loss = build_loss("relaxed", temperature_mode="learned")
    loss(scores, positives, similarity).backward()
    (parameter,) = loss.parameters()
    assert float(parameter.grad) != 0


def test_a_missing_or_misshapen_similarity_is_refused() -> None:
    scores, positives, similarity = batch(0)
    with pytest.raises(UsageError, match=r"soundseek\.learn\.losses\.cider"):
        build_loss("relaxed")(scores, positives)
    with pytest.raises(UsageError, match=r"\(6, 6\), got \(6, 5\)"):
        build_loss("relaxed")(scores, positives, similarity[:, :5])
