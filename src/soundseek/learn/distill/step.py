"""What one step teaches: the errors, their weights and the learning rate."""

from __future__ import annotations

from torch import Tensor, nn

from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.distill.networks import Targets, Teacher


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
