"""Who teaches and who learns, and the form in which what they heard is compared.

Frames and embeddings are standardised per dimension over mixtures, so that a squared error weighs each of them alike;
a cosine on the raw, non-negative vectors is dominated by their mean.

How near a student has come to its teacher on clips that neither was taught on.

What one step teaches: the errors, their weights and the learning rate.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError
from soundseek.learn.data.waveforms import WaveformCache
from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.audio.tags import NUM_CLASSES

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


@torch.no_grad()
def agreement(student: Student, teacher: Teacher, log_mel: LogMel, cache: WaveformCache) -> dict[str, float]:
    """Agreement with the teacher on whole clips (at most 10 s of each), undamaged.

    Returns:
        `cosine`: mean cosine of pooled embeddings, in the teacher's own space; `standardised_cosine`: the same
        per standardised dimension; `retrieval_cosine`: in the heads' space, where there are heads; `tag_map`:
        mean average precision of the teacher's tags above 0.3.
    """
    student.eval()
    cosine = nn.functional.cosine_similarity
    raw, standard, embedded, scores, truth = [], [], [], [], []
    for number in range(len(cache)):
        heard = torch.from_numpy(log_mel(cache.read(number, 0, 10 * cache.sample_rate_hz)))[None]
        wanted, found = teacher(heard), student(heard)
        deviation, mean = teacher.deviation, teacher.mean
        raw.append(cosine(wanted.pooled * deviation + mean, found.pooled * deviation + mean))
        standard.append(cosine(wanted.pooled, found.pooled))
        if teacher.heads is not None:
            embedded.append(cosine(teacher.embed(wanted.pooled), teacher.embed(found.pooled)))
        scores.append(found.logits)
        truth.append(wanted.logits.sigmoid() > 0.3)
    return {
        "cosine": torch.cat(raw).mean().item(),
        "standardised_cosine": torch.cat(standard).mean().item(),
        **({"retrieval_cosine": torch.cat(embedded).mean().item()} if embedded else {}),
        "tag_map": _mean_average_precision(torch.cat(scores), torch.cat(truth)),
    }


def _mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """Mean over the tags that occur of the average precision over clips; both `(clips, tags)`."""
    precisions = []
    for tag in range(truth.shape[1]):
        if truth[:, tag].any():
            hits = truth[:, tag][scores[:, tag].argsort(descending=True)].float()
            precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
            precisions.append((precision * hits).sum() / hits.sum())
    return torch.stack(precisions).mean().item() if precisions else float("nan")


def distillation_loss(student: Targets, teacher: Targets, config: DistillConfig) -> Tensor:
    """Pooled squared error, frames' smooth L1 error and tags' cross-entropy, weighted; a scalar."""
    mse, bce = nn.functional.mse_loss, nn.functional.binary_cross_entropy_with_logits
    tags = bce(student.logits, teacher.logits.sigmoid(), reduction="none").sum(dim=1).mean()
    frames = nn.functional.smooth_l1_loss(student.frames, teacher.frames)
    pooled = mse(student.pooled, teacher.pooled)
    return config.pooled_weight * pooled + config.frames_weight * frames + config.tags_weight * tags


def retrieval_loss(student: Targets, teacher: Targets, tagger: Teacher) -> Tensor:
    """1 - mean cosine of the clips' embeddings in the space where sentences look for them; a scalar."""
    return 1 - (tagger.embed(student.pooled) * tagger.embed(teacher.pooled)).sum(dim=1).mean()


def learning_rate_factor(step: int, spent: float, config: DistillConfig) -> float:
    """Share of the learning rate at a step, when `spent` (0 to 1) of the hours are gone."""
    return min(1.0, (step + 1) / config.warmup_steps) * min(1.0, max(0.0, 1 - spent) / 0.5)
