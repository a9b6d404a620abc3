"""A distillation from the first step to the last: processes, clock, metrics, checkpoints, and how it goes on.

Each process owns one core: two processes of one thread are faster than one process of two. Gradients are averaged
over processes (gloo). Random numbers depend on (seed, process, step) alone, so a resumed run sees what it would have
seen.
"""

from __future__ import annotations

import copy
import json
import os
import time
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError, UsageError
from soundseek.learn.data.waveforms import WaveformCache
from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.distill.mixtures import Batch, MelDamage, batches, draw_batch
from soundseek.learn.distill.networks import (
    Student,
    Teacher,
    agreement,
    distillation_loss,
    learning_rate_factor,
    retrieval_loss,
)
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.parallel import leave_group

_M = TypeVar("_M", bound=nn.Module)

CHECKPOINT, TRUNK, METRICS = "checkpoint.pt", "trunk.safetensors", "metrics.jsonl"


def distill(teacher_file: Path, train: Path, validation: Path, out: Path, config: DistillConfig) -> Path:
    """Teach a compact trunk; continues where an interrupted run of the same config stopped.

    Args:
        teacher_file: Published weights of the tagger (see `EfficientATTrunk.load`).
        train: Directory of a `WaveformCache` to draw mixtures from.
        validation: Directory of a `WaveformCache` to measure agreement on.
        out: Run directory: checkpoint, metrics and the trunk.
        config: The run.

    Returns:
        The file of the trunk with averaged weights.
    """
    _claim(out, config)
    # One thread a process; spawned processes read these when they load numpy and torch.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    rendezvous = out / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    spawn(  # type: ignore[no-untyped-call]
        _work, args=(teacher_file, train, validation, out, config, rendezvous), nprocs=config.processes
    )
    return out / TRUNK


def _claim(out: Path, config: DistillConfig) -> None:
    """Write the run's config, or make sure that a run to go on with is of this one; only its hours may change."""
    if config.retrieval_weight and config.heads is None:
        raise UsageError(
            f"retrieval_weight = {config.retrieval_weight} weighs an error in the space of heads; give heads, too"
        )
    if config.start and not (config.start / CHECKPOINT).is_file():
        raise ModelError(f"{config.start} holds no distillation to grow from: it has no {CHECKPOINT}")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "config.json"
    if (out / CHECKPOINT).is_file() and path.is_file():
        begun = DistillConfig.model_validate_json(path.read_text(encoding="utf-8"))
        if begun.model_copy(update={"hours": config.hours}) != config:
            raise UsageError(
                f"{out} is a distillation with other settings (see {path.name}); choose another --out"
            )
    path.write_text(config.model_dump_json(indent=2), encoding="utf-8")


class _Run:
    """One process of a distillation: state, step, checkpoint."""

    def __init__(self, rank: int, teacher_file: Path, train: Path, out: Path, config: DistillConfig) -> None:
        torch.manual_seed(config.seed)
        self.rank, self.out, self.config = rank, out, config
        trunk = CompactTrunk(config.trunk)
        tagger = EfficientATTrunk.load(teacher_file)
        if trunk.front_end != tagger.front_end:
            raise ValueError("teacher and student must share a front end: both hear one log-mel")
        self.student = _channels_last(Student(trunk, tagger.width, teacher_hop=tagger.frame_hop))
        self.averaged = copy.deepcopy(self.student).requires_grad_(False)
        self.teacher = _channels_last(Teacher(tagger, config.heads)).eval()
        matrices = [p for p in self.student.parameters() if p.ndim > 1]
        vectors = [p for p in self.student.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.step, self.elapsed_s = 0, 0.0
        self.log_mel = LogMel(trunk.front_end)
        self.cache = WaveformCache(train)
        if (out / CHECKPOINT).is_file():
            self._restore(torch.load(out / CHECKPOINT, weights_only=True))
        elif config.start:
            self._grow_from(config.start)
        else:
            damage = MelDamage(self.log_mel.config)
            some = [
                draw_batch(
                    self.cache, self.log_mel, damage, 160.0, np.random.default_rng([config.seed, 999, n])
                )
                for n in range(8)
            ]
            self.teacher.standardise([batch.clean for batch in some])

    def train_step(self, batch: Batch) -> float:
        """One step on this process's share of the batch; returns the loss."""
        factor = learning_rate_factor(self.step, self.elapsed_s / (self.config.hours * 3600), self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor
        self.student.train()
        student, teacher = self.student(batch.damaged), self.teacher(batch.clean)
        loss = distillation_loss(student, teacher, self.config)
        if self.config.retrieval_weight:
            loss = loss + self.config.retrieval_weight * retrieval_loss(student, teacher, self.teacher)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._average_gradients()
        nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        keep = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(
                self.averaged.state_dict().values(), self.student.state_dict().values(), strict=True
            ):
                if mean.is_floating_point():
                    mean.lerp_(value, 1 - keep)
        return loss.item()

    def _average_gradients(self) -> None:
        if self.config.processes == 1:
            return
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.config.processes
        pieces = torch.split(flat, [g.numel() for g in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def save(self) -> None:
        """Checkpoint and trunk, each replaced whole."""
        state = {
            "student": self.student.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "teacher_mean": self.teacher.mean,
            "teacher_deviation": self.teacher.deviation,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        torch.save(state, self.out / "checkpoint.tmp")
        (self.out / "checkpoint.tmp").replace(self.out / CHECKPOINT)
        self.averaged.trunk.save(
            self.out / "trunk.tmp", steps=str(self.step), hours=f"{self.elapsed_s / 3600:.2f}"
        )
        (self.out / "trunk.tmp").replace(self.out / TRUNK)

    def _grow_from(self, run: Path) -> None:
        """The averaged weights of another run's student, and its view of the teacher; the optimizer starts anew."""
        state = torch.load(run / CHECKPOINT, weights_only=True)
        trunk = CompactTrunk.load(run / TRUNK)
        if trunk.tags is None:
            raise ModelError(f"the student of {run} gives no tags, so its tagger cannot be taken over")
        smaller = Student(trunk, self.teacher.trunk.width)
        smaller.load_state_dict(state["averaged"])
        self.student.trunk.grow_from(smaller.trunk)
        self.student.to_frames.load_state_dict(smaller.to_frames.state_dict())
        self.averaged.load_state_dict(self.student.state_dict())
        self.teacher.mean.copy_(state["teacher_mean"])
        self.teacher.deviation.copy_(state["teacher_deviation"])

    def _restore(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state["student"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.teacher.mean.copy_(state["teacher_mean"])
        self.teacher.deviation.copy_(state["teacher_deviation"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]


def _work(
    rank: int,
    teacher_file: Path,
    train: Path,
    validation: Path,
    out: Path,
    config: DistillConfig,
    rendezvous: Path,
) -> None:
    """The life of one process, in a group if there are several."""
    torch.set_num_threads(1)
    if config.processes > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{rendezvous.resolve()}", rank=rank, world_size=config.processes
        )
    _distil(rank, teacher_file, train, validation, out, config)
    leave_group()


def _distil(
    rank: int, teacher_file: Path, train: Path, validation: Path, out: Path, config: DistillConfig
) -> None:
    """Step until the hours are spent, measure and checkpoint every five minutes."""
    run = _Run(rank, teacher_file, train, out, config)
    held_out = WaveformCache(validation)
    source = batches(run.cache, run.log_mel, config, rank=rank, first_step=run.step)
    started, next_save = seconds(config) - run.elapsed_s, run.elapsed_s + 300
    losses: list[float] = []
    while run.elapsed_s < config.hours * 3600:
        losses.append(run.train_step(next(source)))
        run.elapsed_s = _agreed(seconds(config) - started, config)
        if run.elapsed_s >= next_save or run.elapsed_s >= config.hours * 3600:
            next_save = run.elapsed_s + 300
            if rank == 0:
                run.save()
                row = {"step": run.step, "elapsed_s": round(run.elapsed_s), "loss": float(np.mean(losses))}
                row |= agreement(run.averaged, run.teacher, run.log_mel, held_out)
                with (out / METRICS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
            losses.clear()


def seconds(config: DistillConfig) -> float:
    """What the config's clock shows, from any zero."""
    return time.process_time() if config.clock == "processor" else time.monotonic()


def _agreed(elapsed_s: float, config: DistillConfig) -> float:
    """The first process's clock, so that all stop at the same step."""
    if config.processes == 1:
        return elapsed_s
    clock = torch.tensor([elapsed_s], dtype=torch.float64)
    dist.broadcast(clock, 0)
    return float(clock.item())


def _channels_last(module: _M) -> _M:
    """The memory layout in which this machine's convolutions are fastest."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
