from __future__ import annotations

import pytest
import torch
from torch import nn

from soundseek.errors import RecipeError
from soundseek.learn.models.dual_encoder import ResidualMLP, build_head


def test_a_linear_head_commutes_with_the_mean_and_an_mlp_does_not() -> None:
    torch.manual_seed(0)
    frames = torch.randn(2, 7, 6)
    for kind, commutes in (("linear", True), ("mlp", False), ("norm-linear", False)):
        head = build_head(kind, 6, 4)  # type: ignore[arg-type]
        assert torch.allclose(head(frames).mean(1), head(frames.mean(1)), atol=1e-6) is commutes, kind


def test_an_mlp_is_linear_relu_linear() -> None:
    head = build_head("mlp", 2, 1, hidden_width=2)
    assert isinstance(head, nn.Sequential)
    with torch.no_grad():
        head[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        head[2].weight.fill_(1.0)
        head[0].bias.zero_()
        head[2].bias.zero_()
    assert head(torch.tensor([3.0, 5.0])).item() == 3.0  # relu(3) + relu(-5)


def test_a_residual_mlp_is_a_linear_head_and_an_mlp_added_up() -> None:
    torch.manual_seed(0)
    head, features = build_head("residual-mlp", 6, 4, hidden_width=9), torch.randn(3, 6)
    assert isinstance(head, ResidualMLP)
    linear, inner, outer = head.linear, head.inner, head.outer
    assert inner.out_features == 9 and outer.bias is None
    with torch.no_grad():
        expected = linear(features) + inner(features).clamp(min=0) @ outer.weight.T
    assert torch.allclose(head(features), expected, atol=1e-6)


def test_a_norm_linear_head_forgets_the_scale() -> None:
    head = build_head("norm-linear", 6, 4)
    features = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(head(features), head(100 * features), atol=1e-4)


def test_identity_needs_features_as_wide_as_the_space() -> None:
    features = torch.randn(2, 4)
    assert build_head("identity", 4, 4)(features) is features
    with pytest.raises(RecipeError, match="6 wide and the space is 4; set dim = 6"):
        build_head("identity", 6, 4)


def test_an_unknown_head_is_named() -> None:
    with pytest.raises(
        RecipeError, match="no head 'deep'; choose one of linear, mlp, residual-mlp, norm-linear, identity"
    ):
        build_head("deep", 4, 4)  # type: ignore[arg-type]


def test_the_layer_inside_an_mlp_is_as_wide_as_the_space() -> None:
    inner, _, outer = build_head("mlp", 6, 4).children()
    assert (inner.in_features, inner.out_features, outer.out_features) == (6, 4, 4)


def test_identity_refuses_narrower_features_too() -> None:
    with pytest.raises(RecipeError, match="3 wide and the space is 4"):
        build_head("identity", 3, 4)
