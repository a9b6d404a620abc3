"""Parts of the training step that can be looked at alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.training.module import by_length


@pytest.mark.parametrize("attention", ["graph", "self"])
def test_clips_of_similar_length_together_get_the_embeddings_and_gradients_of_one_batch(
    attention: str,
) -> None:
    torch.manual_seed(0)
    model = DualEncoder(dim=4, audio_width=6, text_width=3, attention=attention)
    lengths = torch.tensor([9, 2, 30, 1, 4, 4, 7, 3, 12, 5])
    mask = torch.arange(30) < lengths[:, None]
    frames = torch.randn(10, 30, 6) * mask[..., None]
    direction = torch.randn(10, 4)
    found = []
    for embedded in (by_length(model.encode_audio, frames, mask), model.encode_audio(frames, mask)):
        model.zero_grad()
        (embedded * direction).sum().backward()
        found.append([embedded.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-3)


def test_most_of_the_padding_is_never_computed() -> None:
    seen = []

    def embed(frames: Tensor, frame_mask: Tensor) -> Tensor:
        seen.append(frames.shape[0] * frames.shape[1])
        return frames.sum(dim=1)

    lengths = torch.tensor([30, *[5] * 59])
    by_length(embed, torch.zeros(60, 30, 2), torch.arange(30) < lengths[:, None])
    assert sum(seen) == 50 * 5 + 10 * 30  # instead of 60 * 30
