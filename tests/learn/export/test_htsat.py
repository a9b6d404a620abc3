"""HTS-AT written for ONNX Runtime gives the features of transformers' own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import ClapAudioConfig, ClapAudioModel

from soundseek.learn.export.htsat import Htsat, htsat

SMALL: dict[str, Any] = {
    "spec_size": 64, "num_mel_bins": 16, "window_size": 4, "patch_embeds_hidden_size": 8, "depths": [2, 3, 1],
    "num_attention_heads": [2, 2, 4], "num_hidden_layers": 3, "hidden_size": 32,
}  # fmt: skip


def network(**changes: Any) -> ClapAudioModel:
    """A tiny HTS-AT of random numbers, those too that begin at zero or one."""
    config = ClapAudioConfig(**{**SMALL, **changes})
    config._attn_implementation = "eager"
    model = ClapAudioModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return model


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"window_size": 2},
        {"depths": [1, 2], "num_hidden_layers": 2, "num_attention_heads": [1, 2], "hidden_size": 16},
    ],
)
@torch.no_grad()
def test_the_features_are_those_of_transformers(changes: dict[str, Any]) -> None:
    model = network(**changes)
    ours = htsat(model)
    assert isinstance(ours, Htsat)
    log_mel = torch.randn((1, 256, 16), generator=torch.Generator().manual_seed(1)) * 20 - 40
    theirs = model(input_features=log_mel[:, None]).pooler_output
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours(log_mel), theirs, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_network_of_another_shape_stays_as_it_is() -> None:
    model = network(window_size=3)  # its windows need padding
    ours = htsat(model)
    assert not isinstance(ours, Htsat)
    log_mel = torch.randn((1, 256, 16), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(log_mel), model(input_features=log_mel[:, None]).pooler_output)


def test_no_mask_leaves_denormal_numbers() -> None:
    masks = [block.mask for block in htsat(network()).modules() if getattr(block, "mask", None) is not None]
    assert masks and all(set(mask.unique().tolist()) == {0.0, -10_000.0} for mask in masks)
    assert torch.softmax(torch.tensor([0.0, -10_000.0]), dim=0).tolist() == [1.0, 0.0]
