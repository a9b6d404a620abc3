"""What a distillation is told: its hours, what its error weighs, who learns."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from soundseek.learn.models.audio.compact import BlocksConfig, CompactConfig, TemporalConfig
from soundseek.learn.models.audio.compact_layers import TagsConfig


class DistillConfig(BaseModel):
    """One distillation run.

    Attributes:
        hours: Training time; the learning rate follows the share of it that is spent.
        clock: "wall": hours that pass; "processor": hours that the first process computes, which are the same
            however busy the machine is, so that students can be compared.
        processes: Processes of one thread each; as many as there are cores.
        batch_s: Seconds of sound a step and process.
        learning_rate: Held for the first half after a warm-up, then lowered linearly to nothing.
        weight_decay: AdamW's, on matrices only.
        frames_weight: Weight of the frames' smooth L1 error.
        pooled_weight: Weight of the pooled embedding's squared error.
        tags_weight: Weight of the binary cross-entropy summed over tags.
        retrieval_weight: Weight of 1 - cosine of the clips' embeddings in the space that `heads` opens.
        heads: A run folder whose heads were trained on the frozen teacher. They say which of the teacher's
            directions a sentence can ask for, so that the student spends its size on these first.
        start: A finished distillation of a smaller student to grow from.
        damage: The student hears damaged copies; else what the teacher hears.
        ema: Share of the averaged weights that a step keeps.
        seed: Of weights and mixtures.
        trunk: The student.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours: float = Field(default=2.0, gt=0)
    clock: Literal["wall", "processor"] = "wall"
    processes: int = Field(default=2, ge=1)
    batch_s: float = Field(default=80.0, gt=0)
    learning_rate: float = 3e-3
    warmup_steps: int = 300
    weight_decay: float = 0.02
    frames_weight: float = 0.5
    pooled_weight: float = Field(default=1.0, ge=0)
    tags_weight: float = 0.05
    retrieval_weight: float = Field(default=0.0, ge=0)
    heads: Path | None = None
    start: Path | None = None
    damage: bool = True
    ema: float = 0.999
    seed: int = 0
    trunk: CompactConfig = CompactConfig(
        stages=(
            *CompactConfig().stages[:3],
            BlocksConfig(width=160, expansion=3, kernel=3, stride=2, blocks=6),
        ),
        temporal=TemporalConfig(),
        tags=TagsConfig(),
    )
