"""PaSST (Koutini et al., Interspeech 2022): a transformer over spectrogram patches, one embedding every ten seconds.

The modules have the names of the published file `passt-s-f128-p16-s10-ap.476-swa.pt` (86 M parameters, AudioSet mAP
.476), so that it loads as it is. "S" is its structured patchout in training, not its size: the network is a ViT-B.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError
from soundseek.learn.models.attention import masked_mean
from soundseek.learn.models.audio.tags import NUM_CLASSES
from soundseek.learn.models.audio.trunk import refuse_short_clips
from soundseek.learn.models.audio.weights_file import (
    check_shapes,
    read_weights,
    save_weights,
    saved_config,
    shapes_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self

_MLP_RATIO = 4
_METADATA = "PaSSTTrunk"


class PaSSTConfig(BaseModel):
    """The shape of a PaSST; the defaults are the published file's.

    Attributes:
        front_end: Of the published weights: 32 kHz, 128 Kaldi bands from 0 to 15 kHz, `(ln + 4.5) / 5`.
        width: Of every token, and of the scene embedding.
        depth: Transformer blocks.
        num_heads: Heads of each attention.
        patch: Side of a patch, in log-mel frames and in bands.
        stride: From one patch to the next, in both directions; below `patch` they overlap.
        window_frames: Longest log-mel that is heard at once: ten seconds, or 99 patches, were trained.
        head: "tagger" adds the head that makes AudioSet's 527 tags; `logits` needs it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    front_end: FrontEndConfig = FrontEndConfig()
    width: int = Field(default=768, gt=0)
    depth: int = Field(default=12, gt=0)
    num_heads: int = Field(default=12, gt=0)
    patch: int = Field(default=16, gt=0)
    stride: int = Field(default=10, gt=0)
    window_frames: int = Field(default=1000, gt=0)
    head: Literal["none", "tagger"] = "none"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(f"width {self.width} cannot be divided among num_heads = {self.num_heads}")
        shortest = min(self.window_frames, self.front_end.num_mels)
        if shortest < self.patch:
            raise ValueError(
                f"a patch of {self.patch} is larger than window_frames = {self.window_frames} by "
                f"num_mels = {self.front_end.num_mels}"
            )
        return self

    def patches_along(self, length: int) -> int:
        """Patches that fit whole into so many frames or bands."""
        return (length - self.patch) // self.stride + 1


class PaSSTTrunk(nn.Module):
    """Log-mel `(batch, time, 128)` -> scene embeddings `(batch, windows, 768)`, one for each ten seconds.

    A clip of at most `window_frames` is one window, and the positions beyond its end are cut off. A longer one is
    heard in windows of that length, side by side; the last is moved back so that it ends with the clip and is as
    long as the others, for a rest of half a second would weigh as much as ten seconds in the clip's mean.

    Note:
        The authors' own wrapper takes a window every 2.5 s over a clip mirrored at both ends, at four times the
        work. Patchout, which drops patches in training, is not here: this system keeps the trunk frozen.
        Exported to ONNX, every window costs its ten seconds, however short the clip: the graph has one length.

    Example:
        >>> trunk = PaSSTTrunk(PaSSTConfig(width=8, depth=1, num_heads=2)).eval()
        >>> trunk(torch.zeros(1, 2500, 128))[0].shape
        torch.Size([1, 3, 8])
    """

    scope: Literal["local", "clip"] = "clip"
    context_frames = 0

    def __init__(self, config: PaSSTConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PaSSTConfig()
        self.front_end = config.front_end
        self.width = config.width
        self.frame_hop = config.window_frames
        self.min_frames = config.patch
        bands, times = (config.patches_along(n) for n in (config.front_end.num_mels, config.window_frames))
        self.patch_embed = _PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, config.width))  # of the two tokens
        # Time and frequency apart, so that a shorter clip just has fewer times.
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, config.width, bands, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, config.width, 1, times))
        self.blocks = nn.ModuleList(_Block(config.width, config.num_heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        if config.head == "tagger":
            self.head = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, NUM_CLASSES))
        self._draw()

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scene embeddings of a batch of clips.

        Args:
            log_mel: `(batch, time, mel)` of this trunk's front end.
            frame_mask: `(batch, time)` bool, True = real, real frames first; None = all real. Padding is not heard.

        Returns:
            Frames `(batch, windows, width)`, the mean of both tokens behind the last norm, and their mask.

        Raises:
            ModelError: A clip with fewer real frames than one patch.
        """
        refuse_short_clips(self, log_mel, frame_mask)
        batch, time, mel = log_mel.shape
        if frame_mask is None:
            lengths = torch.full((batch, 1), time, device=log_mel.device)
        else:
            lengths = frame_mask.sum(dim=1, keepdim=True)
        window = self.config.window_frames
        # Counted by `nonzero`, because a graph traced with several windows would refuse a clip of one otherwise.
        firsts = torch.nonzero(torch.arange(time, device=log_mel.device) % window == 0).flatten()
        starts = torch.minimum(firsts, (lengths - window).clamp(min=0))  # (batch, windows)
        # A traced graph has no branches: there every window has its full length, and what is missing is masked.
        span = window if torch.compiler.is_compiling() else min(time, window)
        index = starts.unsqueeze(2) + torch.arange(span, device=log_mel.device)  # (batch, windows, span)
        is_real = index < lengths.unsqueeze(2)
        rows = index.clamp(max=time - 1).flatten(1).unsqueeze(2).expand(-1, -1, mel)
        pieces = log_mel.gather(1, rows).view(-1, span, mel).masked_fill(~is_real.view(-1, span, 1), 0.0)
        scenes = self._scenes(pieces, is_real.view(-1, span).sum(dim=1))
        return scenes.view(batch, -1, self.width), firsts < lengths

    def logits(self, frames: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """AudioSet logits `(batch, 527)` of clips' frames `(batch, windows, width)`: the mean over the windows'."""
        if self.config.head != "tagger":
            raise ModelError("PaSSTTrunk was built without its head; set head = 'tagger'")
        if frame_mask is None:
            frame_mask = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return masked_mean(self.head(frames), frame_mask)

    def save(self, path: Path) -> None:
        """Write weights and config to one safetensors file."""
        save_weights(self, path, **{_METADATA: self.config.model_dump_json()})

    @classmethod
    def load(cls, path: str | Path, config: PaSSTConfig | None = None) -> PaSSTTrunk:
        """The trunk in a file, in eval mode.

        Args:
            path: `.safetensors` as `save` wrote it, or the published file.
            config: Of the trunk to make of the published file.

        Raises:
            ModelError: No such file, another network, or missing, surplus or misshapen tensors, which are listed.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(
                f"no weights at {path}; passt-s-f128-p16-s10-ap.476-swa.pt is published at "
                "https://github.com/kkoutini/PaSST/releases/tag/v0.0.1-audioset"
            )
        saved = path.suffix == ".safetensors"
        if saved:
            found = saved_config(path, _METADATA, PaSSTConfig)
            if config not in (None, found):
                raise ModelError(f"{path} holds a trunk with {found!r}; it cannot be read as {config!r}")
            config = found
        config = config or PaSSTConfig()
        state = read_weights(path)
        with torch.device("meta"):  # its shapes; drawing 86 million numbers in vain takes seconds
            trunk = cls(config)
        expected = shapes_of(trunk.state_dict()) | ({} if saved else _published_only(config))
        check_shapes(path, shapes_of(state), expected)
        trunk.load_state_dict({name: state[name].float() for name in trunk.state_dict()}, assign=True)
        return trunk.eval()

    def _scenes(self, pieces: Tensor, lengths: Tensor) -> Tensor:
        """Scene embeddings `(window, width)` of log-mels `(window, span, mel)` with so many real frames each."""
        patches = self.patch_embed(pieces.transpose(1, 2).unsqueeze(1))  # (window, width, band, time)
        bands, times = patches.shape[2:]
        patches = patches + self.time_new_pos_embed[..., :times] + self.freq_new_pos_embed
        # Only a patch that lies within the clip as a whole is heard.
        ends = torch.arange(times, device=pieces.device) * self.config.stride + self.config.patch
        is_heard = (ends <= lengths.unsqueeze(1)).unsqueeze(1).expand(-1, bands, -1).flatten(1)
        special = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        tokens = torch.cat(
            [special.expand(pieces.shape[0], -1, -1), patches.flatten(2).transpose(1, 2)], dim=1
        )  # (window, 2 + band * time, width)
        token_mask: Tensor | None = functional.pad(is_heard, (2, 0), value=True)
        if not torch.compiler.is_compiling() and bool(is_heard.all()):
            token_mask = None
        for block in self.blocks:
            tokens = block(tokens, token_mask)
        scenes: Tensor = self.norm(tokens[:, :2]).mean(dim=1)
        return scenes

    def _draw(self) -> None:
        """New weights, drawn as published."""
        for name, parameter in self.named_parameters():
            if name.endswith(("_token", "pos_embed")):
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)


class _PatchEmbed(nn.Module):
    """`(window, 1, mel, time)` -> `(window, width, band, time')`."""

    def __init__(self, config: PaSSTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, config.width, config.patch, config.stride)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.proj(x)
        return patches


class _Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width)

    def forward(self, tokens: Tensor, token_mask: Tensor | None) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens), token_mask)
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor, token_mask: Tensor | None) -> Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(tokens).view(batch, count, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, head, token, width / heads)
        keys = None if token_mask is None else token_mask[:, None, None, :]
        heads = functional.scaled_dot_product_attention(query, key, value, attn_mask=keys)
        out: Tensor = self.proj(heads.transpose(1, 2).reshape(batch, count, width))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


def _published_only(config: PaSSTConfig) -> dict[str, tuple[int, ...]]:
    """What the published file holds besides: a head of DeiT's that is never used, and the tagger's head."""
    norm, linear = (config.width,), (NUM_CLASSES, config.width)
    return {
        "head.0.weight": norm, "head.0.bias": norm, "head.1.weight": linear, "head.1.bias": (NUM_CLASSES,),
        "head_dist.weight": linear, "head_dist.bias": (NUM_CLASSES,),
    }  # fmt: skip
