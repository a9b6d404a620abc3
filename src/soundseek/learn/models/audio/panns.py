"""What the PANNs trunks share: log-mel -> bn0 -> SpecAugment -> convolutions -> mean over bands (Kong et al., 2020).

The modules have the names of the published files, so that these load as they are: a pickled dict whose "model" holds
a tagger's tensors and its front end. Everything here is local: a frame depends on its neighbourhood alone, so long
files stream in one pass and moments are exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, field_validator
from torch import Tensor, nn
from torch.nn import functional

from soundseek.audio.logmel import PANNS_FRONT_END, PAPER_FRONT_END, FrontEndConfig, mel_matrix, padded_window
from soundseek.errors import ModelError
from soundseek.learn.models.attention import masked_max, masked_mean
from soundseek.learn.models.audio.spec_augment import SpecAugment
from soundseek.learn.models.audio.tags import NUM_CLASSES
from soundseek.learn.models.audio.trunk import refuse_short_clips
from soundseek.learn.models.audio.weights_file import (
    Shapes,
    check_shapes,
    read_weights,
    save_weights,
    saved_config,
    shapes_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self


_TOLERANCE = 1e-5
"""Largest difference from our front end, as a share of a matrix's largest entry: far above float32's rounding, far
below what another window, scale or norm makes."""


def read_published(path: Path, expected: Shapes) -> dict[str, Tensor]:
    """The network's tensors in a published file, which must hold exactly the expected ones and the front end.

    Args:
        path: Such as `Cnn14_mAP=0.431.pth`.
        expected: Names and shapes of the network's tensors, without the front end's.

    Raises:
        ModelError: Not such a file; missing, surplus or misshapen tensors, which are listed; or a front end that
            differs from `PANNS_FRONT_END`.
    """
    state = read_weights(path, under="model")
    fixed = fixed_matrices(PANNS_FRONT_END)
    shapes = {name: tuple(matrix.shape) for name, matrix in fixed.items()} | dict(expected)
    check_shapes(path, shapes_of(state), shapes)
    for name, ours in fixed.items():
        theirs = state.pop(name).double().numpy()
        difference = float(np.abs(theirs - ours).max() / np.abs(ours).max())
        if not difference <= _TOLERANCE:
            raise ModelError(
                f"{path} was trained on another front end: {name} differs from that of {PANNS_FRONT_END!r} by "
                f"{difference:.2g} of its largest entry"
            )
    return state


def fixed_matrices(config: FrontEndConfig) -> dict[str, npt.NDArray[np.float64]]:
    """The tensors that stand for a front end in a published file, computed from our own.

    A windowed Fourier transform is written as two convolutions, `(n_fft // 2 + 1, 1, n_fft)` each.
    """
    n_fft = config.n_fft
    # k n modulo N keeps the angle small, so the last bins are as exact as the first.
    turns = np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) % n_fft / n_fft
    window = padded_window(config).astype(np.float64)
    return {
        "spectrogram_extractor.stft.conv_real.weight": (np.cos(2 * np.pi * turns) * window)[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": (-np.sin(2 * np.pi * turns) * window)[:, None],
        "logmel_extractor.melW": mel_matrix(config).astype(np.float64),
    }


FRONT_ENDS = {"published": PANNS_FRONT_END, "paper": PAPER_FRONT_END}
"""The names that a recipe may give a PANNs trunk's front end by."""


class PannsConfig(BaseModel):
    """What is open in every PANNs trunk.

    Attributes:
        front_end: "published": `PANNS_FRONT_END`, which the published weights were trained on; "paper":
            `PAPER_FRONT_END`, the paper's own, onto which these weights are loaded all the same; or any other.
        head: "tagger" adds the two layers that make AudioSet's 527 tags of the frames; `logits` needs them.
        norms: In training, "batch" takes the statistics of the batch as the published systems do; "frozen" keeps
            those of the weights, so that a clip's embedding is the same in any batch there, too.
        spec_augment: Whether training takes stripes out of the log-mel, as the published systems do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    front_end: FrontEndConfig = PANNS_FRONT_END
    head: Literal["none", "tagger"] = "none"
    norms: Literal["batch", "frozen"] = "batch"
    spec_augment: bool = True

    @field_validator("front_end", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in FRONT_ENDS:
            raise ValueError(
                f"no front end of this name; choose one of {', '.join(FRONT_ENDS)}, or give its fields"
            )
        return FRONT_ENDS[value] if isinstance(value, str) else value


class PannsTrunk(nn.Module, ABC):
    """Log-mel `(batch, time, mel)` -> frames `(batch, time // frame_hop, width)`; a subclass adds the convolutions.

    Args:
        config: See there.
        maps_width: Channels of the last feature map.
        frame_hop: Log-mel frames per frame.
        reach: Log-mel frames on either side of its own that a frame depends on.
        spec_augment: Acts in training only, where the config asks for it; by default the stripes come from a
            generator seeded with 0. `soundseek.learn.models.audio.spec_augment.reseed` sets it anew for a step.
    """

    scope: Literal["local", "clip"] = "local"
    config_type: ClassVar[type[PannsConfig]]
    published_file: ClassVar[str]

    def __init__(
        self,
        config: PannsConfig,
        *,
        maps_width: int,
        frame_hop: int,
        reach: int,
        spec_augment: SpecAugment | None = None,
    ) -> None:
        super().__init__()
        if config.front_end.num_mels < frame_hop:
            raise ModelError(
                f"{type(self).__name__} halves the bands until {frame_hop} are one, but its front end has only "
                f"num_mels = {config.front_end.num_mels}"
            )
        self.config = config
        self.front_end = config.front_end
        self.width = maps_width
        self.frame_hop = self.min_frames = frame_hop
        # Rounded up to whole frames, so that a streamed chunk stays on the frame grid.
        self.context_frames = -(-reach // frame_hop) * frame_hop
        self.bn0 = nn.BatchNorm2d(config.front_end.num_mels)
        self.spec_augment = spec_augment or SpecAugment(torch.Generator().manual_seed(0))
        if config.head == "tagger":
            self.fc1 = nn.Linear(maps_width, maps_width)
            self.fc_audioset = nn.Linear(maps_width, NUM_CLASSES)

    @abstractmethod
    def maps(self, x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The last feature map `(batch, channels, frames, band)` of `(batch, 1, time, mel)`, and its mask."""

    def reduce(self, frames: Tensor) -> Tensor:
        """What happens to each frame behind the mean over bands; nothing, unless a subclass says so."""
        return frames

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames of a batch of clips.

        Args:
            log_mel: `(batch, time, mel)` of this trunk's front end.
            frame_mask: `(batch, time)` bool, True = real, real frames first; None = all real. Padding is taken as the
                zeros that a convolution sees beyond the end of a clip, and frames that a pooling would drop at the
                end of a clip alone are dropped, so outside training padding never changes a frame.

        Returns:
            Frames `(batch, time // frame_hop, width)` and their mask.

        Raises:
            ModelError: A clip with fewer real frames than `min_frames`: it would have no frame at all.
        """
        refuse_short_clips(self, log_mel, frame_mask)
        bands = log_mel.transpose(1, 2).unsqueeze(3)  # (batch, mel, time, 1): bn0 has a mean for every band
        x = self.bn0(bands).squeeze(3).transpose(1, 2)
        if self.training and self.config.spec_augment:
            real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
            x = self.spec_augment(x, real if frame_mask is None else frame_mask)
        x, frame_mask = self.maps(x.unsqueeze(1), frame_mask)
        frames = self.reduce(x.mean(dim=3).transpose(1, 2))  # (batch, frames, width)
        if frame_mask is None:
            frame_mask = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return frames, frame_mask

    def logits(self, frames: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """AudioSet logits `(batch, 527)` of clips' frames `(batch, frames, width)`; needs `head: tagger`."""
        if self.config.head != "tagger":
            raise ModelError(f"{type(self).__name__} was built without its head; set head = 'tagger'")
        if frame_mask is None:
            frame_mask = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        pooled = masked_max(frames, frame_mask) + masked_mean(frames, frame_mask)
        hidden = functional.relu(self.fc1(functional.dropout(pooled, 0.5, self.training)))
        logits: Tensor = self.fc_audioset(functional.dropout(hidden, 0.5, self.training))
        return logits

    def train(self, mode: bool = True) -> Self:
        """As every module's, but frozen norms stay as they are."""
        super().train(mode)
        if self.config.norms == "frozen":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def save(self, path: Path) -> None:
        """Write weights and config to one safetensors file."""
        save_weights(self, path, **{type(self).__name__: self.config.model_dump_json()})

    @classmethod
    def load(cls, path: str | Path, config: PannsConfig | None = None) -> Self:
        """The trunk in a file, in eval mode.

        Args:
            path: `.safetensors` as `save` wrote it, or the published file.
            config: Of the trunk to make of the published file; the default is its `config_type`'s. A layer that the
                published network lacks (`CNN14Config.reduction`) is drawn with a fixed seed: a file is one network.

        Raises:
            ModelError: No such file, another network, or missing, surplus or misshapen tensors, which are listed.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(
                f"no weights at {path}; {cls.published_file} is published at https://zenodo.org/records/3987831"
            )
        if path.suffix == ".safetensors":
            return cls._load_saved(path, config)
        config = config or cls.config_type()
        with torch.device("meta"):  # the whole published network, without its memory
            published = cls._make(cls._published(config))
        state = read_published(path, shapes_of(published.state_dict()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trunk = cls._make(config)
        own = trunk.state_dict()
        own.update({name: tensor for name, tensor in state.items() if name in own})
        trunk.load_state_dict(own)
        return trunk.eval()

    @classmethod
    def _load_saved(cls, path: Path, config: PannsConfig | None) -> Self:
        saved = saved_config(path, cls.__name__, cls.config_type)
        if config not in (None, saved):
            raise ModelError(f"{path} holds a trunk with {saved!r}; it cannot be read as {config!r}")
        trunk = cls._make(saved)
        state = read_weights(path)
        check_shapes(path, shapes_of(state), shapes_of(trunk.state_dict()))
        trunk.load_state_dict(state)
        return trunk.eval()

    @classmethod
    def _make(cls, config: PannsConfig) -> Self:
        build: Any = cls  # every subclass is made of its own config alone
        trunk: Self = build(config)
        return trunk

    @classmethod
    def _published(cls, config: PannsConfig) -> PannsConfig:
        """The config of the network whose tensors the published file holds, at the widths of `config`."""
        return config.model_copy(update={"head": "tagger"})


class ConvBlock(nn.Module):
    """Twice 3x3 convolution, batch norm and ReLU; then average pooling.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        pool: Side of the pooling; 1 = none.
    """

    def __init__(self, inputs: int, outputs: int, *, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.conv1 = conv3x3(inputs, outputs)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, frame_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """`x` is `(batch, channels, time, band)`, the mask `(batch, time)`; both come back pooled."""
        x = functional.relu(self.bn1(self.conv1(silence_padding(x, frame_mask))))
        x = functional.relu(self.bn2(self.conv2(silence_padding(x, frame_mask))))
        return average_pool(x, frame_mask, self.pool)


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution without bias, drawn as PANNs draw it."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.xavier_uniform_(conv.weight)
    return conv


def silence_padding(x: Tensor, frame_mask: Tensor | None) -> Tensor:
    """`(batch, channels, time, band)` with 0 in every frame that is not real."""
    return x if frame_mask is None else x.masked_fill(~frame_mask[:, None, :, None], 0.0)


def average_pool(x: Tensor, frame_mask: Tensor | None, side: int) -> tuple[Tensor, Tensor | None]:
    """Means over squares of time and band; one is real if all its frames are, as at the end of a clip alone."""
    if side == 1:
        return x, frame_mask
    pooled = functional.avg_pool2d(x, side)
    return pooled, None if frame_mask is None else frame_mask[:, side - 1 :: side]
