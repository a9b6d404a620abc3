"""Parts of the training step that can be looked at alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from soundseek.learn.data.pairs import pad
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.training import module
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


@pytest.mark.parametrize("train_text", [False, True])
def test_processes_draw_dropout_of_their_own_and_an_epoch_the_same_again(
    monkeypatch: pytest.MonkeyPatch, train_text: bool
) -> None:
    layers = [torch.nn.Parameter(torch.zeros(1))] if train_text else []
    stub = SimpleNamespace(
        model=DualEncoder(dim=4, audio_width=6, text_width=3),
        recipe=SimpleNamespace(seed=3),
        current_epoch=2,
        _text_layers=layers,
    )
    drawn = []
    for rank in (0, 1, 0):
        monkeypatch.setattr(module, "process_rank", lambda rank=rank: rank)
        module.RetrievalTraining.on_train_epoch_start(stub)  # type: ignore[arg-type]
        drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])


def test_one_long_clip_among_short_ones_is_computed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 600)
    seen = []

    def embed(frames: Tensor, frame_mask: Tensor) -> Tensor:
        seen.append(tuple(frames.shape[:2]))
        return frames.sum(dim=1)

    lengths = torch.tensor([2000, *[5] * 59])
    frames = (
        torch.arange(60.0)[:, None, None].expand(60, 2000, 1)
        * (torch.arange(2000) < lengths[:, None])[..., None]
    )
    embedded = by_length(embed, frames, torch.arange(2000) < lengths[:, None])
    assert (1, 2000) in seen and all(rows * time <= 600 for rows, time in seen if rows > 1)
    assert torch.equal(embedded[:, 0], torch.arange(60.0) * lengths)


def test_padding_takes_no_memory_before_it_is_read() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clips = [np.ones((length, 64), np.float32) for length in (100_000, *[3] * 59)]
    frames, frame_mask = pad(clips)
    assert frames.shape == (60, 100_000, 64) and int(frame_mask.sum()) == 100_177
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
    )  # KB; padded it would be 1.5 GB
