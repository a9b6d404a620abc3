"""HTS-AT as transformers' `ClapAudioModel` computes it, written so that ONNX Runtime has less to do.

Swin Transformers (Liu et al., ICCV 2021), of which HTS-AT is one (Chen et al., ICASSP 2022), cut their tokens into
windows, shift these in every second block, and put the tokens back each time. But for attention and the merging of
patches nothing depends on the order of tokens, so here they stay in the order of the windows, and one gather brings
them into the next block's. The scale of the scores is in the weights of the queries; relative positions and the mask of
shifted windows are one constant; each of queries, keys and values is transposed once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ClapAudioModel

MASKED = -10_000.0
"""In place of -100, of which a softmax leaves e^-100: with such denormal numbers a processor is many times slower."""


def htsat(model: ClapAudioModel) -> nn.Module:
    """Log-mel `(1, time, mel)`, with as many frames as the network takes -> the clip's features `(1, width)`."""
    return Htsat(model) if can_be_rewritten(model) else _AsItIs(model)


class _AsItIs(nn.Module):
    def __init__(self, model: ClapAudioModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> Tensor:
        found: Tensor = self.model(input_features=log_mel[:, None]).pooler_output
        return found


def can_be_rewritten(model: ClapAudioModel) -> bool:
    """Whether an HTS-AT has the shape of all published ones: patches side by side, windows without padding."""
    config: Any = model.config
    patches = model.audio_encoder.patch_embed
    (height, width), stride = patches.grid_size, tuple(patches.patch_stride)
    sizes = [min(height, width) >> stage for stage in range(len(config.depths))]
    return (
        not config.enable_fusion
        and patches.proj.padding == (0, 0)
        and patches.proj.in_channels == 1
        and patches.proj.kernel_size == stride
        and height == width
        and all(size and size % config.window_size == 0 for size in sizes)
        and height % (1 << (len(config.depths) - 1)) == 0
        and config.num_mel_bins % stride[0] == 0
    )


class Htsat(nn.Module):
    """Log-mel `(1, time, mel)`, with as many frames as the network takes -> the clip's features `(1, width)`.

    Args:
        model: A network of which `can_be_rewritten` is true.
    """

    scale: Tensor
    shift: Tensor
    first_order: Tensor

    def __init__(self, model: ClapAudioModel) -> None:
        super().__init__()
        config: Any = model.config
        encoder: Any = model.audio_encoder
        norm = encoder.batch_norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale.detach())
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale).detach())
        self.patches = _linear(
            encoder.patch_embed.proj.weight[:, 0].transpose(1, 2).flatten(1), encoder.patch_embed.proj.bias
        )
        self.patch_norm = encoder.patch_embed.norm
        self.patch_size = encoder.patch_embed.patch_stride[0]
        self.ratio = encoder.freq_ratio
        size = encoder.patch_embed.grid_size[0]
        order = window_order(size, config.window_size, 0)
        self.register_buffer("first_order", order)
        self.stages = nn.ModuleList()
        for stage in encoder.layers:
            blocks = _Stage(stage, size, order)
            self.stages.append(blocks)
            if stage.downsample is not None:
                half = size // 2
                order = window_order(half, config.window_size, 0)
                self.stages.append(_Merging(stage.downsample, size, blocks.last_order, order))
                size = half
        self.norm = encoder.norm

    def forward(self, log_mel: Tensor) -> Tensor:
        log_mel = log_mel[0] * self.scale + self.shift  # (time, mel)
        time, mel, patch = log_mel.shape[0], log_mel.shape[1], self.patch_size
        # A row of the image is a band of one of `ratio` stretches of time; a token's features are (time, mel).
        patches = log_mel.reshape(self.ratio, time // self.ratio // patch, patch, mel // patch, patch)
        patches = patches.permute(0, 3, 1, 2, 4).reshape(-1, patch * patch)
        tokens = self.patch_norm(self.patches(patches.index_select(0, self.first_order)))  # (tokens, width)
        for stage in self.stages:
            tokens = stage(tokens)
        found: Tensor = self.norm(tokens).mean(dim=0, keepdim=True)
        return found


class _Stage(nn.Module):
    """Blocks of one resolution: tokens `(tokens, width)` in the order of unshifted windows -> in `last_order`."""

    def __init__(self, stage: Any, size: int, order: Tensor) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for block in stage.blocks:
            block.set_shift_and_window_size((size, size))
            wanted = window_order(size, int(block.window_size), int(block.shift_size))
            self.blocks.append(_Block(block, size, _moves(order, wanted)))
            order = wanted
        self.last_order = order

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class _Block(nn.Module):
    """One block; `moves` brings its tokens into the order of its windows."""

    moves: Tensor
    bias: Tensor
    mask: Tensor

    def __init__(self, block: Any, size: int, moves: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("moves", moves)
        self.norm_before, self.norm_after = block.layernorm_before, block.layernorm_after
        attention = block.attention.self
        self.heads, self.width = attention.num_attention_heads, attention.attention_head_size
        scale = self.width**-0.5
        query = attention.query
        bias = None if query.bias is None else query.bias * scale
        self.query = _linear(query.weight * scale, torch.zeros(len(query.weight)) if bias is None else bias)
        self.key, self.value = attention.key, attention.value
        self.window = int(block.window_size) ** 2
        index = attention.relative_position_index.view(-1)
        bias = attention.relative_position_bias_table[index].view(self.window, self.window, -1)
        self.register_buffer(
            "bias", bias.permute(2, 0, 1)[None].detach().contiguous()
        )  # (1, head, token, token)
        mask = block.get_attn_mask(size, size, dtype=torch.float32, device="cpu")
        if mask is not None:
            mask = torch.where(mask == 0, 0.0, MASKED)[:, None]  # (window, 1, token, token)
        self.register_buffer("mask", mask)
        self.output = block.attention.output.dense
        self.wide, self.narrow = block.intermediate.dense, block.output.dense
        self.activation = block.intermediate.intermediate_act_fn

    def forward(self, tokens: Tensor) -> Tensor:
        if self.moves is not None:
            tokens = tokens.index_select(0, self.moves)
        tokens = tokens + self.output(self._attend(self.norm_before(tokens)))
        found: Tensor = tokens + self.narrow(self.activation(self.wide(self.norm_after(tokens))))
        return found

    def _attend(self, tokens: Tensor) -> Tensor:
        # One transpose each brings them to (window, head, token, width), and the keys to (window, head, width, token).
        query, key, value = (
            layer(tokens).reshape(-1, self.window, self.heads, self.width).permute(order)
            for layer, order in (
                (self.query, (0, 2, 1, 3)),
                (self.key, (0, 2, 3, 1)),
                (self.value, (0, 2, 1, 3)),
            )
        )
        bias = self.bias if self.mask is None else self.bias + self.mask
        found = torch.matmul(functional.softmax(torch.matmul(query, key) + bias, dim=-1), value)
        return found.transpose(1, 2).reshape(-1, self.heads * self.width)


class _Merging(nn.Module):
    """Four tokens -> one of twice the width, in the order of the next stage's windows."""

    places: Tensor

    def __init__(self, merging: Any, size: int, order: Tensor, wanted: Tensor) -> None:
        super().__init__()
        self.norm, self.reduction = merging.norm, merging.reduction
        grid = _inverse(order).view(size, size)
        # In transformers' order: rows change faster than columns.
        four = torch.stack([grid[row::2, column::2] for column in range(2) for row in range(2)], dim=-1)
        self.register_buffer("places", four.reshape(-1, 4)[wanted].reshape(-1))

    def forward(self, tokens: Tensor) -> Tensor:
        four = tokens.index_select(0, self.places).reshape(-1, 4 * tokens.shape[1])
        found: Tensor = self.reduction(self.norm(four))
        return found


def window_order(size: int, window: int, shift: int) -> Tensor:
    """`(tokens,)` int64: the tokens of a square, counted row by row, window by window after it was shifted.

    >>> window_order(4, 2, 0).tolist()
    [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    >>> window_order(4, 2, 1).tolist()[:4]
    [5, 6, 9, 10]
    """
    grid = torch.arange(size * size).view(size, size).roll((-shift, -shift), (0, 1))
    return grid.view(size // window, window, size // window, window).permute(0, 2, 1, 3).reshape(-1)


def _moves(order: Tensor, wanted: Tensor) -> Tensor | None:
    """Where each token of an order is found in another; None where they are the same."""
    return None if torch.equal(order, wanted) else _inverse(order)[wanted]


def _inverse(order: Tensor) -> Tensor:
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    return places


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    return layer
