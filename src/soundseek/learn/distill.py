"""A published AudioSet tagger teaches `compact` on mixtures of unlabelled clips.

The teacher hears a mixture as it is, the student a damaged copy of it (`MelDamage`), and imitates the teacher's
frames, its pooled embedding and its tags. Frames and embeddings are standardised per dimension over mixtures, so
that a squared error weighs each of them alike; a cosine on the raw, non-negative vectors is dominated by their mean.

Each process owns one core: two processes of one thread are faster than one process of two. Gradients are averaged
over processes (gloo). Random numbers depend on (seed, process, step) alone, so a resumed run sees what it would have
seen.
"""

from __future__ import annotations

import copy
import json
import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError, UsageError
from soundseek.learn.data.waveforms import WaveformCache
from soundseek.learn.encoders.compact import (
    CompactConfig,
    CompactTrunk,
    StageConfig,
    TagsConfig,
    TemporalConfig,
)
from soundseek.learn.encoders.efficientat import NUM_CLASSES, EfficientATTrunk
from soundseek.learn.mixtures import CROP_LENGTHS_S, MelDamage, clip_samples, draw_mixture

_M = TypeVar("_M", bound=nn.Module)

CHECKPOINT, TRUNK, METRICS = "checkpoint.pt", "trunk.safetensors", "metrics.jsonl"
MODEL_FILE = "model.safetensors"  # of the run folder that `heads` names


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
            StageConfig(width=160, expansion=3, kernel=3, stride=2, blocks=6),
        ),
        temporal=TemporalConfig(),
        tags=TagsConfig(),
    )


class Batch(NamedTuple):
    """What teacher and student hear: `(batch, time, mel)` each."""

    clean: Tensor
    damaged: Tensor


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


def draw_batch(
    cache: WaveformCache,
    log_mel: LogMel,
    damage: MelDamage | None,
    batch_s: float,
    generator: np.random.Generator,
) -> Batch:
    """A batch of mixtures of one random length, clean and damaged; without `damage` both are the same."""
    length_s = float(generator.choice(CROP_LENGTHS_S))
    size = min(40, max(2, round(batch_s / length_s)))
    num_samples = round(length_s * cache.sample_rate_hz)
    clean, damaged = [], []
    for _ in range(size):
        mixture = draw_mixture(cache, num_samples, generator)
        heard = features = log_mel(mixture)
        if damage and generator.random() < 0.12:
            heard = log_mel(clip_samples(mixture, generator))
        clean.append(features)
        damaged.append(damage(heard, generator) if damage else features)
    return Batch(torch.from_numpy(np.stack(clean)), torch.from_numpy(np.stack(damaged)))


def batches(
    cache: WaveformCache, log_mel: LogMel, config: DistillConfig, *, rank: int, first_step: int
) -> Iterator[Batch]:
    """Endless batches made by another thread; each depends on (seed, rank, step) alone."""
    ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=3)
    damage = MelDamage(log_mel.config) if config.damage else None

    def feed() -> None:
        step = first_step
        try:
            while True:
                generator = np.random.default_rng([config.seed, rank, step])
                ready.put(draw_batch(cache, log_mel, damage, config.batch_s, generator))
                step += 1
        except BaseException as error:  # handed to the trainer, which raises it
            ready.put(error)

    threading.Thread(target=feed, daemon=True).start()
    while True:
        item = ready.get()
        if isinstance(item, BaseException):
            raise item
        yield item


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

    @torch.no_grad()
    def agreement(self, cache: WaveformCache) -> dict[str, float]:
        """Agreement with the teacher on whole clips (at most 10 s of each), undamaged.

        Returns:
            `cosine`: mean cosine of pooled embeddings, in the teacher's own space; `standardised_cosine`: the same
            per standardised dimension; `retrieval_cosine`: in the heads' space, where there are heads; `tag_map`:
            mean average precision of the teacher's tags above 0.3.
        """
        self.averaged.eval()
        cosine = nn.functional.cosine_similarity
        raw, standard, embedded, scores, truth = [], [], [], [], []
        for number in range(len(cache)):
            log_mel = torch.from_numpy(self.log_mel(cache.read(number, 0, 10 * cache.sample_rate_hz)))[None]
            teacher, student = self.teacher(log_mel), self.averaged(log_mel)
            deviation, mean = self.teacher.deviation, self.teacher.mean
            raw.append(cosine(teacher.pooled * deviation + mean, student.pooled * deviation + mean))
            standard.append(cosine(teacher.pooled, student.pooled))
            if self.teacher.heads is not None:
                embedded.append(
                    cosine(self.teacher.embed(teacher.pooled), self.teacher.embed(student.pooled))
                )
            scores.append(student.logits)
            truth.append(teacher.logits.sigmoid() > 0.3)
        return {
            "cosine": torch.cat(raw).mean().item(),
            "standardised_cosine": torch.cat(standard).mean().item(),
            **({"retrieval_cosine": torch.cat(embedded).mean().item()} if embedded else {}),
            "tag_map": _mean_average_precision(torch.cat(scores), torch.cat(truth)),
        }


def _work(
    rank: int,
    teacher_file: Path,
    train: Path,
    validation: Path,
    out: Path,
    config: DistillConfig,
    rendezvous: Path,
) -> None:
    """The life of one process: step until the hours are spent, measure and checkpoint every five minutes."""
    torch.set_num_threads(1)
    if config.processes > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{rendezvous.resolve()}", rank=rank, world_size=config.processes
        )
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
                row |= run.agreement(held_out)
                with (out / METRICS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
            losses.clear()
    if config.processes > 1:
        dist.destroy_process_group()


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


def _mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """Mean over the tags that occur of the average precision over clips; both `(clips, tags)`."""
    precisions = []
    for tag in range(truth.shape[1]):
        if truth[:, tag].any():
            hits = truth[:, tag][scores[:, tag].argsort(descending=True)].float()
            precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
            precisions.append((precision * hits).sum() / hits.sum())
    return torch.stack(precisions).mean().item() if precisions else float("nan")
