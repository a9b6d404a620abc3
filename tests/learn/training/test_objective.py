"""The way from embeddings to the loss, without training."""

from __future__ import annotations

import torch
from torch.nn import functional

from soundseek.learn.data.pairs import Batch, Corpus
from soundseek.learn.losses import copy_order, match_matrix, nt_xent
from soundseek.learn.recipe.keys import LossConfig
from soundseek.learn.training.objective import Objective


def test_mixed_precision_leaves_scores_and_loss_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    text, audio = (functional.normalize(torch.randn(6, 32, generator=generator), dim=1) for _ in range(2))
    ids = torch.arange(6)
    batch = Batch(torch.zeros(6, 1, 1), torch.ones(6, 1, dtype=torch.bool), text, None, text, ids, ids)
    objective = Objective(LossConfig(), Corpus([], [], {}, {}))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = objective(text, audio, batch)
    expected = nt_xent(text @ audio.T, match_matrix(ids, ids))
    torch.testing.assert_close(mixed, expected, atol=1e-6, rtol=0)


def test_a_sentence_that_says_how_is_pushed_towards_its_copy_and_away_from_the_clip() -> None:
    text = functional.normalize(torch.tensor([[1.0, 0.2], [1.0, 0.0], [0.0, 1.0]]), dim=1).requires_grad_()
    audio = functional.normalize(torch.tensor([[0.8, 0.6], [1.0, 0.1], [0.1, 1.0]]), dim=1)
    clip_ids, origin_ids = torch.tensor([3, 0, 1]), torch.tensor([0, 0, 1])  # row 0 is a copy of row 1's clip
    says_how = torch.tensor([True, False, False])
    batch = Batch(
        audio[:, None], torch.ones(3, 1, dtype=torch.bool), text, None, text, clip_ids, torch.arange(3),
        origin_ids, says_how,
    )  # fmt: skip
    corpus = Corpus([], [], {}, {})
    plain, ordered = (Objective(LossConfig(copy_order=weight), corpus) for weight in (0.0, 2.0))
    difference = ordered(text, audio, batch) - plain(text, audio, batch)
    scores = text @ audio.T
    expected = 2.0 * torch.log1p(torch.exp((scores[0, 1] - scores[0, 0]) / 0.07))
    torch.testing.assert_close(difference, expected)
    (gradient,) = torch.autograd.grad(difference, text)
    assert gradient[0] @ (audio[0] - audio[1]) < 0  # one step down brings the sentence nearer to the copy
    assert not gradient[1:].any()  # no other sentence says how


def test_without_altered_copies_in_a_batch_their_order_costs_nothing() -> None:
    ids, says_how = torch.arange(4), torch.tensor([True, False, False, True])
    assert copy_order(torch.eye(4), ids, ids, says_how) == 0
