"""The way from embeddings to the loss, without training."""

from __future__ import annotations

import torch
from torch.nn import functional

from soundseek.learn.data.pairs import Batch, Corpus
from soundseek.learn.losses import match_matrix, nt_xent
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
