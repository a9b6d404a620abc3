"""A distillation from the first step to the last: clock, metrics, checkpoints, and how it goes on.

On CPUs each process owns one core: two processes of one thread are faster than one process of two, and gradients are
averaged over processes (gloo). A GPU has one process. Random numbers depend on (seed, process, step) alone, so a
resumed run sees what it would have seen.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from soundseek._files import append_line, locked, replace_text, replacing
from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError, UsageError
from soundseek.learn.checkpoint import write_checkpoint
from soundseek.learn.data.decoded_cache import WaveformCache
from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.distill.mixtures import MelDamage, MixtureBatch, draw_batch, prefetched
from soundseek.learn.distill.networks import (
    Student,
    Yardstick,
    distillation_losses,
    learning_rate_factor,
    load_teacher,
    read_compact_trunk,
)
from soundseek.learn.distill.tensor_mixtures import ClipPool, TensorLogMel, TensorMixer
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.audio.shrink import repair, shrink
from soundseek.learn.parallel import leave_group

_M = TypeVar("_M", bound=nn.Module)

CHECKPOINT, TRUNK, METRICS = "checkpoint.pt", "trunk.safetensors", "metrics.jsonl"
_IN_A_CHECKPOINT = (
    "student", "averaged", "optimizer", "teacher_mean", "teacher_deviation", "step", "elapsed_s", "heard_s"
)  # fmt: skip
FIRST_BATCHES = 10**9  # steps that are never reached: what standardises the teacher's view
REPAIR_S, REPAIR_BATCHES = 2560.0, 32  # of sound, and at most: 2 GB of maps meanwhile
YARDSTICK_CLIPS = 300  # of the clips that are trained on, as many as stand beside those that are not


def distill(
    teacher_file: Path, train: Path, yardsticks: Mapping[str, Path], out: Path, config: DistillConfig
) -> Path:
    """Teach a compact trunk; continues where an interrupted run of the same config stopped.

    Args:
        teacher_file: Published weights of the tagger, or a model directory (see `load_teacher`), whose trunk the
            student then begins from, shrunk.
        train: Directory of a `WaveformCache` to draw mixtures from.
        yardsticks: Name -> directory of a `WaveformCache` to measure agreement on, beside some clips of `train`.
        out: Run directory: checkpoint, metrics and the trunk.
        config: The run.

    Returns:
        The file of the trunk with averaged weights.

    Raises:
        UsageError: `out` is a run of another config or is being written by another process, or the device is not there.
        ModelError: Teacher, heads or start do not fit, a checkpoint is damaged, or the loss is no longer a number.
        StorageError: The disk of `out` is full, or the folder cannot be written to; what was there before stays.
    """
    with locked(out, "distillation"):
        return _distill_locked(_Places(teacher_file, train, dict(yardsticks), out), config)


@dataclass(frozen=True)
class _Places:
    """The places that `distill` is given, for every process."""

    teacher_file: Path
    train: Path
    yardsticks: Mapping[str, Path]
    out: Path


def _distill_locked(places: _Places, config: DistillConfig) -> Path:
    out = places.out
    _claim(out, config, has_heads=places.teacher_file.is_dir())
    if config.processes == 1:
        threads = torch.get_num_threads()
        try:
            _work(0, places, config, None)
        finally:
            torch.set_num_threads(threads)
        return out / TRUNK
    # One thread a process; spawned processes read these when they load numpy and torch.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    rendezvous = out / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    spawn(_work, args=(places, config, rendezvous), nprocs=config.processes)  # type: ignore[no-untyped-call]
    return out / TRUNK


def _claim(out: Path, config: DistillConfig, *, has_heads: bool) -> None:
    """Write the run's config, or make sure that a run to go on with is of this one; only its hours may change.

    `has_heads`: the teacher brings some.
    """
    if (config.retrieval_weight or config.sentences_weight) and config.heads is None and not has_heads:
        raise UsageError(
            "retrieval_weight and sentences_weight weigh errors in the space of heads; give heads, too"
        )
    if config.sentences_weight and config.sentences is None:
        raise UsageError(f"sentences_weight = {config.sentences_weight} takes a file of sentences; give one")
    if config.device == "cuda" and (config.processes > 1 or config.mixing != "torch"):
        raise UsageError(
            "a GPU takes one process (processes = 1) and makes its own mixtures (mixing = 'torch')"
        )
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("PyTorch finds no GPU here; take the CPU: --device cpu")
    start = config.start
    if start and not (start.is_file() or (start / CHECKPOINT).is_file()):
        raise ModelError(f"{start} holds no distillation to grow from: it has no {CHECKPOINT}")
    path = out / "config.json"
    if (out / CHECKPOINT).is_file() and path.is_file():
        begun = DistillConfig.model_validate_json(path.read_text(encoding="utf-8"))
        if begun.model_copy(update={"hours": config.hours}) != config:
            raise UsageError(
                f"{out} is a distillation with other settings (see {path.name}); choose another --out"
            )
    replace_text(path, config.model_dump_json(indent=2))


class _Run:
    """One process of a distillation: state, step, checkpoint."""

    def __init__(self, rank: int, places: _Places, config: DistillConfig) -> None:
        torch.manual_seed(config.seed)
        out = places.out
        self.rank, self.out, self.config = rank, out, config
        self.device = torch.device(config.device)
        trunk = CompactTrunk(config.trunk)
        teacher = load_teacher(places.teacher_file, config.heads, config.sentences)
        self.student = self._placed(
            Student(trunk, teacher.width, teacher_hop=teacher.hop, front_end=teacher.front_end)
        )
        self.student.to_frames.requires_grad_(not teacher.is_compact)
        self.averaged = copy.deepcopy(self.student).requires_grad_(False)
        self.teacher = self._placed(teacher).eval()
        self.norms = [module for module in self.student.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in self.norms:
            norm.momentum = 0.03  # lengths and damage differ from batch to batch: some thirty are remembered
        self.optimizer = self._optimizer()
        self.step, self.elapsed_s, self.heard_s = 0, 0.0, 0.0
        self.cache = WaveformCache(places.train)
        self.draw = self._mixing(rank)
        if (out / CHECKPOINT).is_file():
            self._restore(_read_checkpoint(out / CHECKPOINT, self.device))
        elif config.start and config.start.is_dir():
            self._grow_from(config.start)
        else:
            self.teacher.standardise(self._first_batches(8))
            if self.teacher.is_compact:
                self._shrink(read_compact_trunk(places.teacher_file))
                self.student.keep_translation(self.teacher)
                self.averaged.load_state_dict(self.student.state_dict())
            elif config.start:
                self.student.trunk.grow_from(CompactTrunk.load(config.start))
                self.student.fit_translation(self.teacher, self._first_batches(16))
                self.averaged.load_state_dict(self.student.state_dict())
        self.yardsticks = self._open(places.yardsticks) if rank == 0 else {}

    def run(self) -> None:
        """Step until the hours are spent; measure and checkpoint now and then."""
        config, hours_s = self.config, self.config.hours * 3600
        source: Iterator[MixtureBatch] = (
            prefetched(self.draw, self.step) if config.mixing == "numpy" else map(self.draw, count(self.step))
        )
        started, next_report = seconds(config) - self.elapsed_s, self.elapsed_s + config.report_s
        losses: list[Tensor] = []
        while self.elapsed_s < hours_s:
            losses.append(self.train_step(next(source)))
            self.elapsed_s = _agreed(seconds(config) - started, config)
            if self.elapsed_s >= next_report or self.elapsed_s >= hours_s:
                next_report = self.elapsed_s + config.report_s
                if self.rank == 0:
                    self._report(torch.stack(losses).mean(dim=0))
                losses.clear()

    def train_step(self, batch: MixtureBatch) -> Tensor:
        """One step on this process's share of the batch; returns the errors in the order of `self.errors`."""
        spent = self.elapsed_s / (self.config.hours * 3600)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * learning_rate_factor(self.step, spent, self.config)
        self.student.train()
        if spent >= self.config.norms_frozen_at:
            for norm in self.norms:
                norm.eval()
        student, teacher = self.student(batch.damaged), self.teacher(batch.clean)
        errors = distillation_losses(student, teacher, self.teacher, self.config)
        self.errors = list(errors)
        values = torch.stack(list(errors.values()))
        self.optimizer.zero_grad(set_to_none=True)
        values.sum().backward()  # type: ignore[no-untyped-call]
        self._average_gradients()
        nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self.heard_s += len(batch.clean) * batch.clean.shape[1] * self.teacher.front_end.hop_s
        keep = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(_floating(self.averaged), _floating(self.student), 1 - keep)
        return values.detach()

    def _mixing(self, rank: int) -> Callable[[int], MixtureBatch]:
        """What draws the batch of a step of some process."""
        config, front_end = self.config, self.teacher.front_end
        if config.mixing == "torch":
            pool = ClipPool(self.cache, self.device)
            return TensorMixer(
                pool, front_end, seed=config.seed + 100_000 * rank, batch_s=config.batch_s, damage=config.damage,
                margin_frames=config.trunk.margin_frames,
            ).draw  # fmt: skip
        log_mel, damage = LogMel(front_end), MelDamage(front_end) if config.damage else None
        return lambda step: draw_batch(
            self.cache, log_mel, damage, config.batch_s, np.random.default_rng([config.seed, rank, step])
        )

    def _first_batches(self, number: int) -> Iterator[Tensor]:
        """Mixtures that no step will hear, undamaged; in all processes the same, for all begin alike."""
        draw = self.draw if self.rank == 0 else self._mixing(0)
        return (draw(FIRST_BATCHES + each).clean for each in range(number))

    def _shrink(self, trunk: CompactTrunk) -> None:
        """Begin with as much of the teacher's trunk as the student has room for."""
        smaller = CompactTrunk(self.config.trunk)
        shrink(trunk, smaller)
        number = min(REPAIR_BATCHES, max(1, round(REPAIR_S / self.config.batch_s)))  # a GPU's are large
        repair(trunk, smaller, [each.cpu() for each in self._first_batches(number)])
        self.student.trunk.load_state_dict(smaller.state_dict())

    def _open(self, yardsticks: Mapping[str, Path]) -> dict[str, Yardstick]:
        """The clips to compare on, and as many of those that are trained on."""
        log_mel = TensorLogMel(self.teacher.front_end, self.device)
        length = Yardstick.NUM_FRAMES * log_mel.config.hop_length
        caches = {name: WaveformCache(directory) for name, directory in yardsticks.items()} | {
            "trained": self.cache
        }
        opened = {}
        for name, cache in caches.items():
            numbers = np.random.default_rng(self.config.seed).permutation(len(cache))
            if name == "trained":
                numbers = numbers[:YARDSTICK_CLIPS]
            waveforms = [cache.read(number, 0, length) for number in sorted(numbers)]
            opened[name] = Yardstick(waveforms, self.teacher, log_mel, self.device)
        return opened

    def _report(self, errors: Tensor) -> None:
        """A line of metrics; then the checkpoint, unless the run has gone astray."""
        row = {
            "step": self.step,
            "elapsed_s": round(self.elapsed_s, 1),
            "hours_of_sound": round(float(self.cache.starts[-1]) / self.cache.sample_rate_hz / 3600, 3),
            "hours_heard": round(self.heard_s * self.config.processes / 3600, 3),
            "loss": {name: round(error, 5) for name, error in zip(self.errors, errors.tolist(), strict=True)},
        }
        if not bool(errors.isfinite().all()):
            raise ModelError(
                f"the loss is no longer a number at step {self.step} ({row['loss']}); {self.out / CHECKPOINT} is of "
                "before. Go on from there with the same command, or begin anew with a lower learning rate"
            )
        row |= {name: measure(self.averaged) for name, measure in self.yardsticks.items()}
        append_line(self.out / METRICS, json.dumps(row))
        print(json.dumps(row), flush=True)
        self.save()

    def _optimizer(self) -> torch.optim.Optimizer:
        matrices = [p for p in self.student.parameters() if p.ndim > 1]
        vectors = [p for p in self.student.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        config = self.config
        return torch.optim.AdamW(
            groups, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay,
            fused=self.device.type == "cuda",
        )  # fmt: skip

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
        """Checkpoint and trunk, each whole or not there.

        Raises:
            StorageError: The disk is full; what was saved before stays.
        """
        state = {
            "student": self.student.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "teacher_mean": self.teacher.mean,
            "teacher_deviation": self.teacher.deviation,
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "heard_s": self.heard_s,
        }
        write_checkpoint(state, self.out / CHECKPOINT)
        facts = {"steps": str(self.step), "hours": f"{self.elapsed_s / 3600:.2f}"}
        with replacing(self.out / TRUNK) as partial:
            self.averaged.trunk.save(partial, **facts)

    def _grow_from(self, run: Path) -> None:
        """The averaged weights of another run's student, and its view of the teacher; the optimizer starts anew."""
        state = _read_checkpoint(run / CHECKPOINT, torch.device("cpu"))
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
        self.step, self.elapsed_s, self.heard_s = state["step"], state["elapsed_s"], state["heard_s"]

    def _placed(self, module: _M) -> _M:
        """On the device, in the memory layout in which convolutions are fastest."""
        return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _work(rank: int, places: _Places, config: DistillConfig, rendezvous: Path | None) -> None:
    """The life of one process, in a group if there are several, which meet at a file."""
    torch.set_num_threads(1)
    if rendezvous:
        dist.init_process_group(
            "gloo", init_method=f"file://{rendezvous.resolve()}", rank=rank, world_size=config.processes
        )
    _Run(rank, places, config).run()
    leave_group()


def _read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """The state of a run.

    Raises:
        ModelError: It is damaged, or another version's.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    # A damaged archive, a foreign pickle and an empty file share no nearer base.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise _other_checkpoint(path, reason) from error
    lacking = [key for key in _IN_A_CHECKPOINT if not isinstance(state, dict) or key not in state]
    if lacking:
        raise _other_checkpoint(path, f"it has no {lacking[0]!r}")
    return state


def _other_checkpoint(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path} is damaged, or of another version of soundseek: {reason}; remove it to begin this distillation anew, "
        "or choose another --out"
    )


def find_device(wanted: str) -> Literal["cpu", "cuda"]:
    """Where a run computes: as `wanted`, or with "auto" on a GPU if there is one."""
    if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()):
        return "cuda"
    return "cpu"


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


def _floating(module: nn.Module) -> list[Tensor]:
    """Weights and running statistics; not the counters."""
    return [value for value in module.state_dict().values() if value.is_floating_point()]
