"""CRNN, the audio trunk of the DCASE 2022 baseline: five convolutions, a bidirectional GRU, a frame every 20 ms.

The GRU reads the whole clip in both directions, so the trunk's scope is "clip". Of its 0.7 M parameters none are
published: they are drawn at random and trained with the heads. Facts are those of the public baseline (Xie et al.,
2022), whose layers are those of CDur (Dinkel et al., 2021).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError
from soundseek.learn.models.audio.trunk import refuse_short_clips
from soundseek.learn.models.audio.weights_file import read_weights, save_weights, saved_config

CRNN_FRONT_END = FrontEndConfig(
    sample_rate_hz=44_100, n_fft=2048, win_length=1764, hop_length=882, window_periodic=True, pre_emphasis=0.0,
    num_mels=64, f_min_hz=12.0, f_max_hz=8_000.0, mel_scale="slaney", floor=2.0**-52, offset=0.0, scale=1.0,
)  # fmt: skip
"""The baseline's: 44.1 kHz, 40 ms windows in an FFT of the next power of two, 20 ms hops, ln(power + epsilon)."""

_POOLS = {0: (2, 4), 2: (2, 4), 4: (1, 4)}
"""After which block there is a pooling, and over how many frames and bands."""
_TIME_POOL = 4  # log-mel frames that the poolings join into one
_BAND_POOL = 64  # the same of bands
_POWER = 4.0  # p of LPPool
# x^(1/4) has no derivative at 0, where padding is: 0 * inf would be NaN. It stands for |x| = 1e-5 throughout a window.
_LEAST_POWER_SUM = 1e-20


class CRNNConfig(BaseModel):
    """The shape of a CRNN; the defaults are the baseline's.

    Attributes:
        widths: Channels of the five convolutions.
        width: Of a frame: the GRU's two directions have half of it each. 300 is Word2Vec's.
        slope: Of the leaky ReLU for negative values.
        dropout: Share of the last map that training sets to zero.
        upsampling: "linear" interpolates the GRU's steps back to one frame a log-mel frame, as the baseline does;
            "none" leaves a frame per four log-mel frames, whose mean is the same up to the clip's last 60 ms, and
            which needs a quarter of the room in a library.
        front_end: The features.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: tuple[int, int, int, int, int] = (32, 128, 128, 128, 128)
    width: int = Field(default=300, gt=0, multiple_of=2)
    slope: float = Field(default=0.1, ge=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    upsampling: Literal["linear", "none"] = "linear"
    front_end: FrontEndConfig = CRNN_FRONT_END


class CRNNTrunk(nn.Module):
    """Log-mel `(batch, time, mel)` -> frames `(batch, time, width)`, or `time // 4` of them without upsampling.

    Raises:
        ModelError: A front end whose bands the poolings do not divide.
    """

    scope: Literal["local", "clip"] = "clip"

    def __init__(self, config: CRNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CRNNConfig()
        num_mels = config.front_end.num_mels
        if num_mels % _BAND_POOL:
            raise ModelError(
                f"a CRNN joins {_BAND_POOL} bands into one, but its front end has num_mels = {num_mels}; "
                f"set a multiple of {_BAND_POOL}"
            )
        self.front_end = config.front_end
        self.width = config.width
        self.frame_hop = 1 if config.upsampling == "linear" else _TIME_POOL
        self.context_frames = 0  # the whole clip: only trunks of scope "local" have one
        self.min_frames = _TIME_POOL
        inputs = (1, *config.widths[:-1])
        self.blocks = nn.ModuleList(
            _Block(wide, out, config.slope) for wide, out in zip(inputs, config.widths, strict=True)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(
            config.widths[-1] * (num_mels // _BAND_POOL),
            config.width // 2,
            batch_first=True,
            bidirectional=True,
        )

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames of a batch of clips.

        Args:
            log_mel: `(batch, time, mel)`.
            frame_mask: `(batch, time)` bool, True = real, real frames first; None = all real. Padding enters no
                convolution, no batch norm's statistics, no GRU step and no interpolation: outside training a clip
                gives the same frames alone and in any batch, and padding changes nothing in training either.

        Returns:
            Frames `(batch, frames, width)` and their mask `(batch, frames)`.

        Raises:
            ModelError: A clip with fewer real frames than `min_frames`.
        """
        refuse_short_clips(self, log_mel, frame_mask)
        if frame_mask is not None and bool(frame_mask.all()):
            frame_mask = None  # clips of one length, such as crops: nothing to keep out
        x, mask = log_mel.unsqueeze(1), frame_mask  # x: (batch, 1, time, mel)
        for number, block in enumerate(self.blocks):
            x = block(x, mask)
            if number in _POOLS:
                x, mask = lp_pool(x, mask, *_POOLS[number])
        maps = self.dropout(x).transpose(1, 2).flatten(2)  # (batch, step, channel and band)
        steps = self._through_gru(maps, mask)
        if frame_mask is None or mask is None:
            frame_mask = torch.ones(log_mel.shape[:2], dtype=torch.bool, device=log_mel.device)
            mask = torch.ones(steps.shape[:2], dtype=torch.bool, device=log_mel.device)
        if self.config.upsampling == "none":
            return steps, mask
        return upsample(steps, mask, frame_mask), frame_mask

    def save(self, path: Path, **facts: str) -> None:
        """Write weights and config to one safetensors file; `facts` (strings) go into its metadata."""
        save_weights(self, path, crnn=self.config.model_dump_json(), **facts)

    @classmethod
    def load(cls, path: str | Path) -> CRNNTrunk:
        """A trunk as `save` wrote it, in eval mode.

        Raises:
            ModelError: No such file, or not a CRNN of this version.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(
                f"no trunk at {path}; a CRNN has no published weights: train one, audio.weights=null"
            )
        trunk = cls(saved_config(path, "crnn", CRNNConfig))
        trunk.load_state_dict(read_weights(path))
        return trunk.eval()

    def _through_gru(self, maps: Tensor, mask: Tensor | None) -> Tensor:
        """`(batch, steps, width)`; the backward direction starts at each clip's own last real step."""
        if torch.onnx.is_in_onnx_export():
            return _onnx_gru(self.gru, maps)
        if mask is None:
            steps: Tensor = self.gru(maps)[0]
            return steps
        packed = pack_padded_sequence(maps, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False)
        steps, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=maps.shape[1])
        return steps


class _Block(nn.Module):
    """Batch norm, 3x3 convolution without bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.activation = nn.LeakyReLU(slope)
        nn.init.kaiming_normal_(self.conv.weight)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x` is `(batch, channels, time, band)`, the mask `(batch, time)`."""
        return self.activation(self.conv(self._normalised(x, mask)))  # type: ignore[no-any-return]

    def _normalised(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Zeros in the padding, which the norm would have moved: that is what the convolution sees beyond an end."""
        if mask is None:
            return self.norm(x)  # type: ignore[no-any-return]
        if not self.training:
            return self.norm(x).masked_fill(~mask[:, None, :, None], 0.0)  # type: ignore[no-any-return]
        real = self.norm(x.transpose(1, 2)[mask].unsqueeze(3))  # (real frame, channel, band, 1)
        out = real.new_zeros(x.transpose(1, 2).shape)
        out[mask] = real.squeeze(3)
        return out.transpose(1, 2)  # type: ignore[no-any-return]


def lp_pool(x: Tensor, mask: Tensor | None, time: int, bands: int) -> tuple[Tensor, Tensor | None]:
    """The fourth root of the sum of fourth powers over windows of a map: LPPool, safe where a window is silent.

    Args:
        x: `(batch, channels, time, band)`.
        mask: `(batch, time)`; a pooled frame is real if all its frames are, as at the end of a clip alone.
        time: Frames of a window.
        bands: Bands of a window.
    """
    sums = functional.avg_pool2d(x.pow(_POWER), (time, bands)) * (time * bands)
    pooled = sums.clamp(min=_LEAST_POWER_SUM).pow(1 / _POWER)
    return pooled, None if mask is None else mask[:, time - 1 :: time]


def upsample(steps: Tensor, step_mask: Tensor, frame_mask: Tensor) -> Tensor:
    """Steps interpolated linearly over time, each clip from its own number of steps to its own number of frames.

    The same as `interpolate(..., mode="linear", align_corners=False)` on each clip alone.

    Args:
        steps: `(batch, step, width)`.
        step_mask: `(batch, step)` bool, True = real, real ones first.
        frame_mask: `(batch, frame)`, the same of the frames.

    Returns:
        `(batch, frame, width)`; zeros in the padding.
    """
    num_steps = step_mask.sum(dim=1, keepdim=True)
    num_frames = frame_mask.sum(dim=1, keepdim=True)
    frame = torch.arange(frame_mask.shape[1], device=steps.device)
    # Centres of frames on the steps' axis; beyond the outermost steps' own centres nothing changes any more.
    position = ((frame + 0.5) * num_steps / num_frames - 0.5).clamp(min=0)  # (batch, frame)
    before = position.floor().long().minimum(num_steps - 1)
    after = (before + 1).minimum(num_steps - 1)
    share = (position - before).clamp(0, 1).to(steps.dtype).unsqueeze(2)
    frames = torch.lerp(_take(steps, before), _take(steps, after), share)
    return frames * frame_mask.unsqueeze(2)


def _take(steps: Tensor, index: Tensor) -> Tensor:
    """`(batch, frame, width)`: the steps that `index` `(batch, frame)` names."""
    return steps.gather(1, index.unsqueeze(2).expand(-1, -1, steps.shape[2]))


def _onnx_gru(gru: nn.GRU, maps: Tensor) -> Tensor:
    """The GRU as ONNX's own operator: the exporter would unroll PyTorch's over a time that must stay open."""
    weights = [_update_gate_first(gru, f"weight_{part}_l0") for part in ("ih", "hh")]
    # ONNX holds the biases of input and state in one row.
    bias = torch.cat([_update_gate_first(gru, f"bias_{part}_l0") for part in ("ih", "hh")], dim=1)
    batch, steps, _ = maps.shape
    out = torch.onnx.ops.symbolic(
        "GRU",
        (maps.transpose(0, 1), *weights, bias),
        {"hidden_size": gru.hidden_size, "direction": "bidirectional", "linear_before_reset": 1},
        dtype=maps.dtype,
        shape=(steps, 2, batch, gru.hidden_size),
    )
    return out.permute(2, 0, 1, 3).flatten(2)  # (batch, step, direction and unit)


def _update_gate_first(gru: nn.GRU, name: str) -> Tensor:
    """A parameter of both directions, `(2, 3 hidden, ...)`. PyTorch's gates are reset, update, new; ONNX's update
    first.
    """
    both = []
    for direction in ("", "_reverse"):
        # Slices, not chunks: the exporter folds them into constants.
        gates: Tensor = getattr(gru, name + direction)
        reset, update, new = (
            gates[gate * gru.hidden_size : (gate + 1) * gru.hidden_size] for gate in range(3)
        )
        both.append(torch.cat([update, reset, new]))
    return torch.stack(both)
