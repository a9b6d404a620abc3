"""Which pairs of a batch are set against each other, by hand."""

from __future__ import annotations

import math

import torch

from soundseek.learn.losses import match_matrix
from soundseek.learn.losses.negatives import drawn_negatives, hardest_negatives


def test_match_matrix_joins_clips_and_identical_captions() -> None:
    matches = match_matrix(torch.tensor([1, 1, 2, 3]), torch.tensor([10, 11, 12, 12]))
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert matches.int().tolist() == expected


def test_the_hardest_negative_is_the_highest_score_that_does_not_match() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.3], [0.1, 0.8, 0.7], [0.4, 0.5, 0.6]])
    taken = torch.eye(3, dtype=torch.bool)
    assert hardest_negatives(scores, taken).tolist() == torch.tensor([0.3, 0.7, 0.5]).tolist()
    assert hardest_negatives(scores, torch.ones(3, 3, dtype=torch.bool)).tolist() == [-math.inf] * 3


def test_a_drawn_negative_is_any_that_does_not_match_and_nothing_else() -> None:
    scores = torch.tensor([[0.9, 0.2, 0.3], [0.1, 0.8, 0.7], [0.4, 0.5, 0.6]])
    taken = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([drawn_negatives(scores, taken, generator=generator) for _ in range(30)])
    assert set(drawn[:, 0].tolist()) == set(scores[0, 1:].tolist())
    assert set(drawn[:, 1].tolist()) == {scores[1, 2].item()}
    assert set(drawn[:, 2].tolist()) == {-math.inf}
