"""Who teaches and who learns, and the form in which what they heard is compared.

Frames and embeddings are standardised per dimension over mixtures, so that a squared error weighs each of them alike;
a cosine on the raw, non-negative vectors is dominated by their mean.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from soundseek.errors import ModelError
from soundseek.learn.encoders.audioset import NUM_CLASSES
from soundseek.learn.encoders.compact import CompactTrunk
from soundseek.learn.encoders.efficientat import EfficientATTrunk

MODEL_FILE = "model.safetensors"  # of the run folder that `heads` names


class Targets(NamedTuple):
    """The teacher's view: frames `(batch, frames, width)`, pooled `(batch, width)`, tag logits `(batch, 527)`."""

    frames: Tensor
    pooled: Tensor
    logits: Tensor


class Teacher(nn.Module):
    """The tagger with batch norms folded into its convolutions and its targets standardised."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, trunk: EfficientATTrunk, heads: Path | None = None) -> None:
        super().__init__()
        self.trunk = _folded(trunk).requires_grad_(False)
        self.heads = _linear_heads(heads, trunk.width) if heads else None
        self.register_buffer("mean", torch.zeros(trunk.width))
        self.register_buffer("deviation", torch.ones(trunk.width))

    @torch.no_grad()
    def forward(self, log_mel: Tensor) -> Targets:
        frames, _ = self.trunk(log_mel)
        logits = self.trunk.logits(frames)
        frames = (frames - self.mean) / self.deviation
        return Targets(frames, frames.mean(dim=1), logits)

    def embed(self, pooled: Tensor) -> Tensor:
        """Unit vectors `(batch, dim)` where the heads put standardised pooled embeddings `(batch, width)`."""
        assert self.heads is not None  # the config asks for heads with retrieval_weight
        return nn.functional.normalize(self.heads(pooled * self.deviation + self.mean), dim=-1)

    @torch.no_grad()
    def standardise(self, batches: list[Tensor]) -> None:
        """Set the per-dimension mean and deviation of pooled embeddings from some batches."""
        pooled = torch.cat([self.trunk(log_mel)[0].mean(dim=1) for log_mel in batches])
        self.mean.copy_(pooled.mean(dim=0))
        self.deviation.copy_(pooled.std(dim=0).clamp_min(1e-3))


class Student(nn.Module):
    """The trunk with its tagger, and the layer that translates its frames into the teacher's, which is not kept."""

    def __init__(self, trunk: CompactTrunk, teacher_width: int, *, teacher_hop: int = 32) -> None:
        super().__init__()
        if teacher_hop % trunk.frame_hop:
            raise ValueError(
                f"the teacher gives a frame every {teacher_hop} of the log-mel's, the student every {trunk.frame_hop}; "
                "choose strides so that a whole number of the student's makes one of the teacher's"
            )
        if trunk.tags is None or trunk.tags.classifier[-1].out_features != NUM_CLASSES:
            raise ValueError(
                f"the student learns all tags of its teacher: trunk.tags.num_tags = {NUM_CLASSES}"
            )
        self.trunk = trunk
        self.frames_per_frame = teacher_hop // trunk.frame_hop
        self.to_frames = nn.Linear(trunk.config.width, teacher_width)

    def forward(self, log_mel: Tensor) -> Targets:
        features, _ = self.trunk.features(log_mel)
        translated = self.to_frames(features)
        logits = self.trunk.tags.classifier(features.mean(dim=1))  # type: ignore[union-attr]  # checked above
        return Targets(self._at_the_teachers_rate(translated), translated.mean(dim=1), logits)

    def _at_the_teachers_rate(self, frames: Tensor) -> Tensor:
        """Means of neighbouring frames `(batch, frames, width)` where the student gives more than one for each."""
        if self.frames_per_frame == 1:
            return frames
        size = self.frames_per_frame
        fewer: Tensor = nn.functional.avg_pool1d(frames.transpose(1, 2), size, size, ceil_mode=True)
        return fewer.transpose(1, 2)


def _linear_heads(run: Path, width: int) -> nn.Linear:
    """The audio projector of a run folder, with the standardisation of its frames worked into it; frozen."""
    state = load_file(run / MODEL_FILE)
    if "audio_projector.weight" not in state:
        raise ModelError(
            f"{run / MODEL_FILE} has no linear audio projector; choose a run whose audio.head is linear"
        )
    if state["audio_projector.weight"].shape[1] != width:
        raise ModelError(
            f"the heads of {run} take {state['audio_projector.weight'].shape[1]} features, the teacher gives {width}; "
            "choose a run on the teacher's own frames: soundseek train frozen-mn04"
        )
    weight = state["audio_projector.weight"] * state["audio_scale"]
    heads = nn.Linear(weight.shape[1], weight.shape[0]).requires_grad_(False)
    heads.weight.copy_(weight)
    heads.bias.copy_(state["audio_projector.bias"] - weight @ state["audio_mean"])
    return heads


def _folded(trunk: EfficientATTrunk) -> EfficientATTrunk:
    """A copy for inference only: batch norms folded into convolutions, activations in place."""
    folded = copy.deepcopy(trunk).eval()
    for module in folded.modules():
        if isinstance(module, nn.ReLU | nn.Hardswish):
            module.inplace = True
        if isinstance(module, nn.Sequential) and len(module) >= 2 and isinstance(module[1], nn.BatchNorm2d):
            convolution = module[0]
            assert isinstance(convolution, nn.Conv2d)
            module[0], module[1] = fuse_conv_bn_eval(convolution, module[1]), nn.Identity()
    return folded
