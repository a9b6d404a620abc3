"""What a distillation is told: its hours, what its error weighs, who learns."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from soundseek.learn.models.audio.compact import SOUNDSEEK_SMALL, CompactConfig


class DistillConfig(BaseModel):
    """One distillation run.

    Attributes:
        hours: Training time; the learning rate follows the share of it that is spent.
        clock: "wall": hours that pass; "processor": hours that the first process computes, which are the same
            however busy the machine is, so that students can be compared.
        device: Where the networks are; "cuda" is one GPU and one process.
        mixing: Who makes the mixtures: "numpy" a thread of each process, on mel power for the most part; "torch" the
            device of the networks, on samples and spectra, with all clips in its memory. A GPU takes "torch".
        processes: Processes of one thread each; as many as there are cores.
        batch_s: Seconds of sound a step and process; with "torch" the margins around every clip count.
        learning_rate: Its highest, after a warm-up.
        rate_held: Share of the hours for which it is held; then it falls to nothing as half a cosine.
        warmup_steps: Of the rate.
        norms_frozen_at: Share of the hours after which batch norms keep their mean and variance, in training too. What
            a batch says of them depends on its clips' length and damage; until they are kept, the student that is
            saved is not the one that learns.
        weight_decay: AdamW's, on matrices only.
        frames_weight: Weight of the frames' smooth L1 error.
        pooled_weight: Weight of the pooled embedding's squared error.
        tags_weight: Weight of the binary cross-entropy summed over tags.
        amplitudes_weight: Weight of the squared error of the tags' amplitudes, which are what heads see of them.
        retrieval_weight: Weight of 1 - cosine of the clips' embeddings in the space that `heads` opens.
        sentences_weight: Weight of the divergence of the student's scores of `sentences` from the teacher's.
        heads: A run folder whose heads were trained on the frozen teacher. They say which of the teacher's
            directions a sentence can ask for, so that the student spends its size on these first.
        sentences: A CSV with a column `caption`, of what may be asked for.
        start: What to grow from: a finished distillation of a student of the same widths and at most as many blocks,
            or the file of its trunk.
        damage: The student hears damaged copies; else what the teacher hears.
        ema: Share of the averaged weights that a step keeps.
        report_s: Seconds between measurements, and between checkpoints.
        seed: Of weights and mixtures.
        trunk: The student.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours: float = Field(default=2.0, gt=0)
    clock: Literal["wall", "processor"] = "wall"
    device: Literal["cpu", "cuda"] = "cpu"
    mixing: Literal["numpy", "torch"] = "numpy"
    processes: int = Field(default=2, ge=1)
    batch_s: float = Field(default=80.0, gt=0)
    learning_rate: float = 3e-3
    rate_held: float = Field(default=0.3, ge=0, le=1)
    warmup_steps: int = 300
    norms_frozen_at: float = Field(default=0.7, ge=0, le=1)
    weight_decay: float = 0.02
    frames_weight: float = 0.5
    pooled_weight: float = Field(default=1.0, ge=0)
    tags_weight: float = 0.05
    amplitudes_weight: float = Field(default=0.125, ge=0)
    retrieval_weight: float = Field(default=0.0, ge=0)
    sentences_weight: float = Field(default=0.0, ge=0)
    heads: Path | None = None
    sentences: Path | None = None
    start: Path | None = None
    damage: bool = True
    ema: float = 0.998
    report_s: float = Field(default=300.0, gt=0)
    seed: int = 0
    trunk: CompactConfig = SOUNDSEEK_SMALL
