"""Attention and pooling: hand examples, naive loops, and padding that never matters."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from soundseek.errors import RecipeError
from soundseek.learn.models import attention
from soundseek.learn.models.attention import (
    GraphAttention,
    NoAttention,
    SelfAttention,
    build_attention,
    build_pooling,
    masked_max,
    masked_mean,
)

torch.set_num_threads(1)
KINDS = ("none", "graph", "self")
LENGTHS = (5, 1, 3)


def seeded(kind: str, width: int = 4) -> nn.Module:
    torch.manual_seed(3)
    return build_attention(kind, width).double()  # type: ignore[arg-type]


def ragged_batch(width: int = 4, pad_to: int = 5, fill: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    frames = torch.full((len(LENGTHS), pad_to, width), fill, dtype=torch.float64)
    for row, length in enumerate(LENGTHS):
        frames[row, :length] = torch.randn(length, width, generator=generator, dtype=torch.float64)
    mask = torch.arange(pad_to).unsqueeze(0) < torch.tensor(LENGTHS).unsqueeze(1)
    return frames, mask


def graph_by_loops(module: GraphAttention, frames: torch.Tensor) -> torch.Tensor:
    """Eqs. 1-2 as written, with the concatenation, for one clip (time, width) without padding."""
    w1, w2 = module.w1.weight, module.w2.weight[0]
    out = frames.clone()
    for i in range(len(frames)):
        relations = []
        for j in range(len(frames)):
            r = float(w2 @ torch.cat([w1 @ frames[i], w1 @ frames[j]]))
            relations.append(r if r > 0 else 0.2 * r)
        total = sum(math.exp(r) for r in relations)
        for j, r in enumerate(relations):
            out[i] = out[i] + math.exp(r) / total * (w1 @ frames[j])
    return out


def self_by_loops(module: SelfAttention, frames: torch.Tensor) -> torch.Tensor:
    """Eqs. 3-4 as written for one clip (time, width) without padding."""
    query, key, value = (layer.weight for layer in (module.query, module.key, module.value))
    first, last = module.phi[0], module.phi[2]
    out = []
    for i in range(len(frames)):
        relations = [
            float((query @ frames[i]) @ (key @ frames[j])) / math.sqrt(frames.shape[1])
            for j in range(len(frames))
        ]
        total = sum(math.exp(r) for r in relations)
        attended = frames[i].clone()
        for j, r in enumerate(relations):
            attended = attended + math.exp(r) / total * (value @ frames[j])
        hidden = torch.clamp(first.weight @ attended + first.bias, min=0)
        out.append(last.weight @ hidden + last.bias + attended)
    return torch.stack(out)


def test_graph_attention_by_hand() -> None:
    module = GraphAttention(1)
    with torch.no_grad():
        module.w1.weight.fill_(1.0)
        module.w2.weight.copy_(torch.tensor([[5.0, -1.0]]))
    frames = torch.tensor([[[0.0], [math.log(2.0) * 5]]])
    # frame 0: relations LeakyReLU(0 - 0) = 0 and LeakyReLU(-5 ln 2) = -ln 2, so weights 2/3 and 1/3.
    # frame 1: both relations are positive, 25 ln 2 and 20 ln 2: weights 32/33 and 1/33.
    out = module(frames, torch.ones(1, 2, dtype=torch.bool))
    f = math.log(2.0) * 5
    torch.testing.assert_close(out, torch.tensor([[[f / 3], [f + f / 33]]]))


def test_self_attention_by_hand() -> None:
    module = SelfAttention(1)
    with torch.no_grad():
        module.query.weight.fill_(0.0)  # every relation 0: each frame takes the mean of the values
        module.value.weight.fill_(10.0)
        for parameter in module.phi.parameters():
            parameter.zero_()
        module.phi[2].bias.fill_(0.5)
    out = module(torch.tensor([[[1.0], [3.0]]]), torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(out, torch.tensor([[[1 + 20 + 0.5], [3 + 20 + 0.5]]]))


@pytest.mark.parametrize("kind", ["graph", "self"])
def test_attention_equals_the_equations_written_as_loops(kind: str) -> None:
    module = seeded(kind)
    naive = graph_by_loops if kind == "graph" else self_by_loops
    frames, mask = ragged_batch()
    with torch.no_grad():
        out = module(frames, mask)
        for row, length in enumerate(LENGTHS):
            expected = naive(module, frames[row, :length])  # type: ignore[arg-type]
            torch.testing.assert_close(out[row, :length], expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fill", [0.0, 1e6, math.nan, math.inf])
def test_padding_batch_order_and_batch_size_do_not_change_an_output(kind: str, fill: float) -> None:
    module, pool = seeded(kind), build_pooling("mean")
    frames, mask = ragged_batch(pad_to=9, fill=fill)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        together = pool(module(frames, mask), mask)
        reordered = pool(module(frames[order], mask[order]), mask[order])
        torch.testing.assert_close(reordered, together[order])
        for row, length in enumerate(LENGTHS):
            alone_mask = torch.ones(1, length, dtype=torch.bool)
            alone = pool(module(frames[row : row + 1, :length], alone_mask), alone_mask)
            torch.testing.assert_close(alone[0], together[row])


@pytest.mark.parametrize("kind", ["graph", "self"])
def test_no_gradient_reaches_a_padded_frame(kind: str) -> None:
    frames, mask = ragged_batch(pad_to=6)
    frames.requires_grad_()
    masked_mean(seeded(kind)(frames, mask), mask).square().sum().backward()
    assert frames.grad is not None
    assert torch.all(frames.grad[~mask] == 0)
    assert torch.any(frames.grad[mask] != 0)


def test_none_returns_the_frames() -> None:
    frames, mask = ragged_batch()
    assert isinstance(seeded("none"), NoAttention)
    assert torch.equal(seeded("none")(frames, mask), frames)


def test_graph_attention_never_builds_a_tensor_of_time_by_time_by_width() -> None:
    time, width = 40, 64
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    module = GraphAttention(width)
    with Watch():
        module(torch.randn(1, time, width), torch.ones(1, time, dtype=torch.bool))
    assert 0 < largest <= max(time * width, time * time, width * 2 * width)


def test_a_clip_without_real_frames_pools_to_zeros() -> None:
    frames, mask = torch.randn(1, 3, 4), torch.zeros(1, 3, dtype=torch.bool)
    for kind in ("mean", "length-aware-max-mean"):
        out = build_pooling(kind)(build_attention("graph", 4)(frames, mask), mask)  # type: ignore[arg-type]
        assert torch.equal(out, torch.zeros(1, 4))


def test_pooling_by_hand() -> None:
    frames = torch.tensor([[[-1.0, 4.0], [-3.0, 0.0], [50.0, 50.0]]])
    mask = torch.tensor([[True, True, False]])
    assert torch.equal(masked_mean(frames, mask), torch.tensor([[-2.0, 2.0]]))
    assert torch.equal(masked_max(frames, mask), torch.tensor([[-1.0, 4.0]]))
    assert torch.equal(build_pooling("length-aware-max-mean")(frames, mask), torch.tensor([[-3.0, 6.0]]))


def test_padding_counts_as_zeros_for_max_mean_while_it_trains_and_never_else() -> None:
    frames = torch.tensor([[[-1.0, 4.0], [-3.0, 0.0], [50.0, 50.0]]])
    mask = torch.tensor([[True, True, False]])
    pool, aware = build_pooling("max-mean"), build_pooling("length-aware-max-mean")
    assert torch.allclose(pool(frames, mask), torch.tensor([[-4 / 3, 4 + 4 / 3]]))
    assert torch.equal(aware(frames, mask), torch.tensor([[-3.0, 6.0]]))
    assert torch.equal(pool.eval()(frames, mask), aware.eval()(frames, mask))


def test_options_reach_the_modules() -> None:
    module = build_attention("self", 4, hidden_width=6, activation="gelu")
    assert isinstance(module, SelfAttention)
    assert module.phi[0].out_features == 6
    assert isinstance(module.phi[1], nn.GELU)
    graph = build_attention("graph", 4, slope=0.5)
    assert isinstance(graph, GraphAttention)
    assert graph.leaky_relu.negative_slope == 0.5


def test_graph_weights_start_xavier_uniform_with_gain_root_two() -> None:
    torch.manual_seed(0)
    module = GraphAttention(200)
    bound = math.sqrt(2.0) * math.sqrt(6 / 400)
    assert 0.99 * bound < float(module.w1.weight.detach().abs().max()) <= bound


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [("graf", {}, "graf"), ("graph", {"slop": 0.1}, "slop"), ("self", {"activation": "relo"}, "relo")],
)
def test_wrong_attention_is_named(kind: str, options: dict[str, object], named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        build_attention(kind, 4, **options)  # type: ignore[arg-type]


def test_wrong_pooling_is_named() -> None:
    with pytest.raises(RecipeError, match="median"):
        build_pooling("median")  # type: ignore[arg-type]


def test_query_key_and_value_start_xavier_uniform() -> None:
    torch.manual_seed(0)
    module = SelfAttention(200)
    bound = math.sqrt(6 / 400)  # PyTorch's own start would be 1 / sqrt(200), a little over half of it
    for layer in (module.query, module.key, module.value):
        assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that anything inside computes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


@pytest.mark.parametrize("kind", ["graph", "self"])
def test_long_clips_are_joined_a_few_rows_at_a_time_with_the_same_result(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = seeded(kind)
    generator = torch.Generator().manual_seed(2)
    frames = torch.randn(2, 200, 4, generator=generator, dtype=torch.float64)
    mask = torch.arange(200) < torch.tensor([[200], [150]])
    found = []
    for most in (2 * 200 * 200, 2 * 200 * 7):  # in one piece; 7 rows of the relation at a time
        monkeypatch.setattr(attention, "_MOST_RELATIONS", most)
        module.zero_grad()
        with Largest() as largest:
            joined = module(frames, mask)
            joined.square().sum().backward()
        assert largest.numbers <= most
        found.append([joined.detach(), *(each.grad.clone() for each in module.parameters())])  # type: ignore[union-attr]
    assert all(torch.allclose(whole, parts, atol=1e-10) for whole, parts in zip(*found, strict=True))
