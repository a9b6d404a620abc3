"""A compact trunk -> a cheaper one that says half of the same, from which a short distillation goes on.

What a smaller trunk keeps of a larger one: of each kind of channels those that weigh most (Li et al., 2017, "Pruning
filters for efficient ConvNets"), the first blocks of each stage, and, where it hears fewer log-mel frames or strides
earlier, the kernels over time resampled to its frames. What that breaks is repaired layer by layer, by least squares:
seconds that are worth many minutes of gradient steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from soundseek.learn.models.audio.compact import CompactTrunk, place_of_layers
from soundseek.learn.models.audio.compact_layers import ConvNormAct, FoldBands, InvertedResidual


@torch.no_grad()
def shrink(trunk: CompactTrunk, smaller: CompactTrunk) -> None:
    """Give `smaller` what it has room for of the weights of `trunk`.

    Args:
        trunk: Has at least as many channels and blocks everywhere, and the same width of frames and number of tags.
        smaller: Its weights are overwritten.

    Raises:
        ValueError: A layer of `smaller` has no place in `trunk`, or is larger than its own there.
    """
    places = dict(zip(place_of_layers(trunk.config), trunk.layers, strict=True))
    kept: Tensor | None = None  # which of the channels that enter a layer are there in the smaller trunk
    ratio = smaller.front_end.hop_length / trunk.front_end.hop_length
    hops = dict(zip(places, _hops_before(trunk), strict=True))
    for place, target, hop in zip(
        place_of_layers(smaller.config), smaller.layers, _hops_before(smaller), strict=True
    ):
        if place not in places:
            raise ValueError(f"layer {place} of the smaller trunk has no place in {trunk.config}")
        source = places[place]
        slower = hop * ratio / hops[place]  # how much longer the target's frames are
        if isinstance(target, InvertedResidual):
            assert isinstance(source, InvertedResidual)
            kept = _shrink_block(source, target, kept, slower)
        else:
            assert isinstance(source, ConvNormAct) and isinstance(target, ConvNormAct)
            kept = _shrink_layer(source, target, kept, slower)
    if smaller.tags is not None and trunk.tags is not None:
        _shrink_tagger(trunk.tags.classifier, smaller.tags.classifier)


def _hops_before(trunk: CompactTrunk) -> list[int]:
    """Log-mel frames from one frame to the next where they enter each layer."""
    hops, hop = [], 1
    for layer in trunk.layers:
        hops.append(hop)
        hop *= int(layer.stride)  # type: ignore[arg-type]
    return hops


def _shrink_layer(source: ConvNormAct, target: ConvNormAct, kept: Tensor | None, slower: float) -> Tensor:
    weight = _of(source.conv.weight, kept, 1)
    out = _heaviest(source.norm.weight.abs(), target.conv.out_channels)
    target.conv.weight.copy_(at_longer_frames(weight[out], slower))
    _copy_norm(source.norm, target.norm, out)
    if isinstance(target, FoldBands):
        assert isinstance(source, FoldBands)
        target.fold.weight.copy_(_of(source.fold.weight, kept, 1)[out])
        _copy_norm(source.fold_norm, target.fold_norm, out)
    return out


def _shrink_block(
    source: InvertedResidual, target: InvertedResidual, kept: Tensor | None, slower: float
) -> Tensor:
    """Inside, the channels whose way through the block weighs most; where it adds to its input, the input's."""
    expand, project = _of(source.expand.weight, kept, 1), source.project.weight
    if target.residual:
        assert kept is not None
        out = kept
    else:
        out = _heaviest(source.project_norm.weight.abs(), target.project.out_channels)
    project = project[out]
    weights = project.flatten(1).norm(dim=0) * source.depthwise_norm.weight.abs()
    inside = _heaviest(weights, target.expand.out_channels)
    target.expand.weight.copy_(expand[inside])
    _copy_norm(source.expand_norm, target.expand_norm, inside)
    target.depthwise.weight.copy_(at_longer_frames(source.depthwise.weight[inside], slower))
    _copy_norm(source.depthwise_norm, target.depthwise_norm, inside)
    target.project.weight.copy_(project[:, inside])
    _copy_norm(source.project_norm, target.project_norm, out)
    return out


def _shrink_tagger(source: Any, target: Any) -> None:
    (first, _, last), (small_first, _, small_last) = source, target
    weights = first.weight.norm(dim=1) * last.weight.norm(dim=0)
    inside = _heaviest(weights, small_first.out_features)
    small_first.weight.copy_(first.weight[inside])
    small_first.bias.copy_(first.bias[inside])
    small_last.weight.copy_(last.weight[:, inside])
    small_last.bias.copy_(last.bias)


def at_longer_frames(kernel: Tensor, slower: float) -> Tensor:
    """A kernel `(out, in, time, band)` for frames that are `slower` times as long, with as many taps.

    Every old tap is shared by the two new ones nearest to it in time, so that a map that changes linearly is answered
    to as before.

    Raises:
        ValueError: `slower` is below 1: the taps would lie where nothing is known.

    Example:
        >>> at_longer_frames(torch.tensor([4.0, 1.0, 2.0]).view(1, 1, 3, 1), 2.0).flatten().tolist()
        [2.0, 4.0, 1.0]
    """
    if slower < 1:
        raise ValueError(f"frames that are {slower} times as long are shorter")
    taps = kernel.shape[2]
    middle = taps // 2
    at = (torch.arange(taps) - middle) / slower + middle
    below = at.floor().long()
    share = at - below
    resampled = torch.zeros_like(kernel)
    resampled.index_add_(2, below, kernel * (1 - share).view(-1, 1).to(kernel))
    resampled.index_add_(2, (below + 1).clamp(max=taps - 1), kernel * share.view(-1, 1).to(kernel))
    return resampled


def _heaviest(weights: Tensor, number: int) -> Tensor:
    """The places of the `number` largest of some weights, in their order."""
    if number > len(weights):
        raise ValueError(f"{number} channels are wanted of a layer that has {len(weights)}")
    return weights.topk(number).indices.sort().values


def _of(weight: Tensor, kept: Tensor | None, dim: int) -> Tensor:
    return weight if kept is None else weight.index_select(dim, kept)


def _copy_norm(source: nn.BatchNorm2d, target: nn.BatchNorm2d, channels: Tensor) -> None:
    for name, value in source.state_dict().items():
        getattr(target, name).copy_(value[channels] if value.ndim else value)


@torch.no_grad()
def repair(
    trunk: CompactTrunk, smaller: CompactTrunk, log_mels: Sequence[Tensor], *, ridge: float = 0.003
) -> None:
    """Fit each layer of a shrunk trunk to what `trunk` says behind that layer, one after another, without gradients.

    Batch norms inside the blocks are measured anew. Then the linear map at the end of a layer moves from the weights
    that it has to the least squares between what now enters it and what should leave it (compare He, Zhang and Sun,
    2017, "Channel pruning for accelerating very deep neural networks"). The last block of a stage makes up for those
    that `smaller` lacks.

    Args:
        trunk: As given to `shrink`, in eval mode.
        smaller: As `shrink` has left it, with as many channels between its blocks as `trunk`; in eval mode afterwards.
        log_mels: Batches `(batch, time, mel)` of the log-mel of `trunk`, heard without margins.
        ridge: What holds the weights where they are, as a share of the inputs' mean square.
    """
    smaller.eval()
    hop, small_hop = 1, smaller.front_end.hop_length // trunk.front_end.hop_length
    wanted = [each.unsqueeze(1) for each in log_mels]  # (batch, channel, time, band)
    found = [each[:, :, ::small_hop] for each in wanted]
    own, places = place_of_layers(smaller.config), place_of_layers(trunk.config)
    following = iter(zip(places, trunk.layers, strict=True))
    for number, layer in enumerate(smaller.layers):
        stage, _ = own[number]
        is_last = number + 1 == len(own) or own[number + 1][0] != stage
        small_hop *= int(layer.stride)  # type: ignore[arg-type]
        until = max(place for place in places if place[0] == stage) if is_last else own[number]
        entering: list[Tensor] = []
        for place, source in following:
            entering, wanted = wanted, [source(each) for each in wanted]
            hop *= int(source.stride)  # type: ignore[arg-type]
            if place == until:
                break
        step = small_hop // hop
        if isinstance(layer, InvertedResidual):
            _repair_block(layer, found, [each[:, :, ::step] for each in wanted], ridge)
        else:
            assert isinstance(layer, ConvNormAct) and isinstance(source, ConvNormAct)
            _repair_layer(source, layer, entering, found, step, ridge)
        found = [layer(each) for each in found]
    if smaller.tags is not None and trunk.tags is not None:
        classifier: Any = smaller.tags.classifier
        first, bend, last = classifier
        inputs = [bend(first(_as_frames(each))) for each in found]
        logits = [trunk.tags.classifier(_as_frames(each)) for each in wanted]
        weight, bias = moved_to_fit(last.weight, inputs, logits, ridge)
        last.weight.copy_(weight)
        last.bias.copy_(bias)


def _repair_block(block: InvertedResidual, found: list[Tensor], wanted: list[Tensor], ridge: float) -> None:
    hidden = [block.expand(each) for each in found]
    _measure(block.expand_norm, hidden)
    hidden = [block.depthwise(nn.functional.hardswish(block.expand_norm(each))) for each in hidden]
    _measure(block.depthwise_norm, hidden)
    hidden = [nn.functional.hardswish(block.depthwise_norm(each)) for each in hidden]
    if block.residual:
        wanted = [target - each for target, each in zip(wanted, found, strict=True)]
    _fit(block.project, block.project_norm, hidden, wanted, ridge)


def _repair_layer(
    source: ConvNormAct,
    layer: ConvNormAct,
    entering: list[Tensor],
    found: list[Tensor],
    step: int,
    ridge: float,
) -> None:
    """The stem, or what folds bands: their convolutions to what `source` has before its bend."""
    before = [source.norm(source.conv(each))[:, :, ::step] for each in entering]
    _fit(layer.conv, layer.norm, found, before, ridge)
    if isinstance(layer, FoldBands):
        assert isinstance(source, FoldBands)
        folded = [source.fold_norm(source.fold(each))[:, :, ::step] for each in entering]
        _fit(layer.fold, layer.fold_norm, found, folded, ridge)


def _fit(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d, inputs: list[Tensor], wanted: list[Tensor], ridge: float
) -> None:
    """Set a convolution and the norm behind it to the map from `inputs` to `wanted`.

    Both are maps `(batch, channel, time, band)`. The norm measures what the convolution gives, so that it does the
    same in training.
    """
    size, stride, padding = convolution.kernel_size, convolution.stride, convolution.padding
    assert isinstance(padding, tuple)
    patches = [nn.functional.unfold(x, size, padding=padding, stride=stride).transpose(1, 2) for x in inputs]
    targets = [each.flatten(2).transpose(1, 2) for each in wanted]
    deviation = _deviation(norm)
    present = convolution.weight.flatten(1) * (norm.weight / deviation).unsqueeze(1)
    weight, bias = moved_to_fit(present, patches, targets, ridge)
    # Rows stay as long as they were: steps of Adam are as long as its rate, whatever they change, and undo short rows.
    before = convolution.weight.flatten(1).norm(dim=1)
    longer = (before / weight.norm(dim=1).clamp_min(1e-9)).clamp(1e-3, 1e3)
    convolution.weight.copy_((weight * longer.unsqueeze(1)).view_as(convolution.weight))
    given = [convolution(each) for each in inputs]
    _measure(norm, given)
    norm.weight.copy_(_deviation(norm) / longer)
    assert norm.running_mean is not None
    norm.bias.copy_(norm.running_mean / longer + bias)


def moved_to_fit(
    present: Tensor, inputs: list[Tensor], wanted: list[Tensor], ridge: float
) -> tuple[Tensor, Tensor]:
    """A weight `(out, in)` and its bias, from `present` towards the least squares of `(batch, place, in or out)`."""
    width = present.shape[1]
    count, outputs = 0, wanted[0].shape[2]
    total = torch.zeros(width + outputs, dtype=torch.float64)
    gram, product = total.new_zeros(width, width), total.new_zeros(width, outputs)
    for each, target in zip(inputs, wanted, strict=True):
        rows, goal = each.flatten(0, 1), target.flatten(0, 1)
        count += len(rows)
        total += torch.cat([rows.double().sum(dim=0), goal.double().sum(dim=0)])
        gram += rows.T @ rows
        product += rows.T @ goal
    mean = total / count
    centred = gram / count - torch.outer(mean[:width], mean[:width])
    crossed = product / count - torch.outer(mean[:width], mean[width:])
    held = ridge * centred.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    weight = torch.linalg.solve(centred + held, crossed + held @ present.T.double()).T
    return weight.to(present), (mean[width:] - weight @ mean[:width]).to(present)


def _measure(norm: nn.BatchNorm2d, given: list[Tensor]) -> None:
    """The mean and variance of what a batch norm gets."""
    count = sum(each.numel() // each.shape[1] for each in given)
    mean = torch.stack([each.double().sum(dim=(0, 2, 3)) for each in given]).sum(dim=0) / count
    square = torch.stack([each.double().square().sum(dim=(0, 2, 3)) for each in given]).sum(dim=0) / count
    norm.running_mean.copy_(mean)  # type: ignore[union-attr]
    norm.running_var.copy_((square - mean.square()).clamp_min(1e-6))  # type: ignore[union-attr]


def _deviation(norm: nn.BatchNorm2d) -> Tensor:
    """What a batch norm divides by."""
    assert norm.running_var is not None  # all of a trunk keep their statistics
    return (norm.running_var + norm.eps).sqrt()


def _as_frames(maps: Tensor) -> Tensor:
    """Maps `(batch, width, time, band)` -> frames `(batch, time, width)`."""
    return maps.mean(dim=3).transpose(1, 2)
