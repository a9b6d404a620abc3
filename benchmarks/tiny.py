"""How near the tiny student comes to soundseek-small without a gradient, how it finds, what it costs, what steps do.

    python benchmarks/tiny.py --data DATA --work DIR --json docs/results/tiny.json

DATA is captioned sounds in Clotho's layout. On mixtures of some of its development sounds, none of --leave-out, the
student is shrunk and repaired (`learn/models/audio/shrink.py`). Agreement is the yardstick of `soundseek distill`, on
sounds of --leave-out. Captions look for their sounds on `validation`, with the heads of soundseek-small as they are and
with a projector fitted to development sounds; differences have paired 95 % intervals over clips. Time is processor
milliseconds of one thread for ten seconds of sound, medians of turns that the models take one after another. Steps are
those of `soundseek distill`, with small batches, from the repaired student, at some rates.

Each part is kept as soon as it is measured; DIR keeps decoded sounds, the trunk and the models.
"""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from machine import keep_result
from stages import spent, timed, write_sounds
from torch import Tensor, nn

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import LogMel
from soundseek.learn.data.decoded_cache import WaveformCache
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.distill import TRUNK, DistillConfig, find_sounds
from soundseek.learn.distill.mixtures import MelDamage, draw_batch
from soundseek.learn.distill.networks import (
    Student,
    Teacher,
    Yardstick,
    distillation_losses,
    learning_rate_factor,
    load_teacher,
    read_compact_trunk,
)
from soundseek.learn.distill.run import FIRST_BATCHES
from soundseek.learn.distill.tensor_mixtures import TensorLogMel
from soundseek.learn.evaluation.intervals import paired_bootstrap
from soundseek.learn.evaluation.metrics import ranks
from soundseek.learn.models.audio.compact import SOUNDSEEK_TINY, CompactTrunk
from soundseek.learn.models.audio.shrink import repair, shrink
from soundseek.model.model import Model
from soundseek.model.registry import load_model

ROOT = Path(__file__).parents[1]
SEED = 0
REPAIR_BATCH_S, STEP_BATCH_S = 80.0, 24.0


def main() -> None:
    """Make the student and measure it, part by part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, default=ROOT / "scripts" / "left_out_collections.txt")
    parser.add_argument("--sounds", type=int, default=600, help="to make mixtures of")
    parser.add_argument("--clips", type=int, default=128, help="left out, to compare on")
    parser.add_argument("--fit", type=int, default=200, help="sounds to fit the projector to")
    parser.add_argument("--batches", type=int, nargs="+", default=[32], help="of 80 s, to repair with")
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-4, 3e-5, 1e-5])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument(
        "--steps-only", action="store_true", help="from the trunk that an earlier call left in DIR"
    )
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("soundseek-small")

    def keep(part: str, **rows: Any) -> None:
        keep_result(options.json, part, {"seed": SEED, **rows})

    sounds = find_sounds([options.data], options.leave_out)
    student = _Repaired(
        model,
        _some(sounds.train, options.sounds, options.work / "train"),
        _some(sounds.yardsticks["left_out"], options.clips, options.work / "left_out"),
    )
    if options.steps_only:
        student.take(options.work / TRUNK)
    else:
        rows = student.repair(options.batches)
        keep("agreement", clips=options.clips, sounds=options.sounds, rows=rows)
        _find_and_cost(model, student, sounds.train, options, keep)
    for rate in options.rates:
        row = student.teach(rate, options.steps)
        keep(f"steps at {rate}", steps=options.steps, batch_s=STEP_BATCH_S, row=row)


def _find_and_cost(
    model: Model,
    student: _Repaired,
    sounds: list[Path],
    options: argparse.Namespace,
    keep: Callable[..., None],
) -> None:
    """How the student finds and what it costs, beside its teacher."""
    fit = [Path(each) for each in np.random.default_rng(SEED).choice(sounds, options.fit, replace=False)]
    models = {"soundseek-small": model} | student.models(options.work, fit)
    clips = read_split(options.data, "validation")
    keep("finding", clips=len(clips), fitted_to=len(fit), rows=precision(models, clips))
    del models["fitted"]  # costs what the other costs
    with tempfile.TemporaryDirectory() as folder:
        cost = timed(turns(models, Path(folder)), options.repeats)
    keep("cost", repeats=options.repeats, cpu_ms=cost)


def _some(paths: Sequence[Path], number: int, directory: Path) -> WaveformCache:
    """A random choice of some sounds, decoded."""
    chosen = sorted(np.random.default_rng(SEED).permutation(len(paths))[:number])
    return WaveformCache.build(
        [paths[each] for each in chosen], directory, sample_rate_hz=32_000, report=print
    )


class _Repaired:
    """The student of soundseek-small, and what it is held against."""

    def __init__(self, model: Model, train: WaveformCache, left_out: WaveformCache) -> None:
        self._directory, self._train = model.directory, train
        self._teacher, self._small = load_teacher(model.directory).eval(), read_compact_trunk(model.directory)
        front_end = self._small.front_end
        self._log_mel, self._damage = LogMel(front_end), MelDamage(front_end)
        num_samples = Yardstick.NUM_FRAMES * front_end.hop_length
        waveforms = [left_out.read(number, 0, num_samples) for number in range(len(left_out))]
        self._waveforms = waveforms
        self._trunk = CompactTrunk(SOUNDSEEK_TINY).eval()

    def repair(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Agreement as shrunk, and repaired with so many batches, of which the last number stays."""
        drawn = self._open(max(8, *numbers))
        shrink(self._small, self._trunk)
        rows: dict[str, Any] = {"shrunk": self._yardstick(self._student(self._trunk))}
        for number in numbers:
            shrink(self._small, self._trunk)
            began = time.process_time()
            repair(self._small, self._trunk, drawn[:number])
            cpu_s = time.process_time() - began
            heard_s = sum(len(each) * each.shape[1] for each in drawn[:number]) * self._small.front_end.hop_s
            rows[f"repaired with {number} batches"] = {
                "minutes": round(heard_s / 60, 1),
                "cpu_s": round(cpu_s, 1),
                **self._yardstick(self._student(self._trunk)),
            }
        return rows

    def take(self, trunk: Path) -> None:
        """Go on with a trunk that was repaired before."""
        self._open(8)
        self._trunk.load_state_dict(CompactTrunk.load(trunk).state_dict())

    def _open(self, number: int) -> list[Tensor]:
        """The yardstick, and undamaged mixtures, of which the first eight standardise the teacher's view."""
        generators = (np.random.default_rng([SEED, 0, FIRST_BATCHES + each]) for each in range(number))
        drawn = [
            draw_batch(self._train, self._log_mel, None, REPAIR_BATCH_S, generator).clean
            for generator in generators
        ]
        self._teacher.standardise(drawn[:8])
        device = torch.device("cpu")
        log_mel = TensorLogMel(self._small.front_end, device)
        self._yardstick = Yardstick(self._waveforms, self._teacher, log_mel, device)
        return drawn

    def models(self, work: Path, sounds: list[Path]) -> dict[str, Model]:
        """Model directories of it: with the heads as they are, and fitted to some sounds."""
        file = work / TRUNK
        self._trunk.save(file)
        write = runpy.run_path(str(ROOT / "scripts" / "tiny_model.py"))["write_tiny_model"]
        for name, fit in (("tiny", []), ("fitted", sounds)):
            shutil.rmtree(work / name, ignore_errors=True)
            write(file, self._directory, work / name, fit)
        return {name: load_model(work / name) for name in ("tiny", "fitted")}

    def teach(self, rate: float, steps: int) -> dict[str, float]:
        """Agreement after some steps from the repaired trunk, at the rate that a long run holds after its warm-up."""
        trunk = CompactTrunk(SOUNDSEEK_TINY)
        trunk.load_state_dict(self._trunk.state_dict())
        student = self._student(trunk)
        config = DistillConfig(
            learning_rate=rate,
            warmup_steps=50,
            norms_frozen_at=0.0,
            retrieval_weight=2.0,
            trunk=SOUNDSEEK_TINY,
        )
        learned = [each for each in student.parameters() if each.requires_grad]
        optimizer = torch.optim.AdamW(learned, rate, betas=(0.9, 0.98), weight_decay=config.weight_decay)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * learning_rate_factor(step, 0.0, config)
            generator = np.random.default_rng([SEED, 0, step])
            batch = draw_batch(self._train, self._log_mel, self._damage, STEP_BATCH_S, generator)
            student.eval()  # the norms keep what the repair measured
            errors = distillation_losses(
                student(batch.damaged), self._teacher(batch.clean), self._teacher, config
            )
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(errors.values())).sum().backward()
            nn.utils.clip_grad_norm_(learned, 5.0)
            optimizer.step()
        return self._yardstick(student)

    def _student(self, trunk: CompactTrunk) -> Student:
        teacher: Teacher = self._teacher
        student = Student(trunk, teacher.width, teacher_hop=teacher.hop, front_end=teacher.front_end)
        student.keep_translation(teacher)
        student.to_frames.requires_grad_(False)
        return student


def precision(models: dict[str, Model], clips: Sequence[Clip]) -> dict[str, dict[str, Any]]:
    """mAP@10 and R@10 of each model, and how they differ from the first one's, whose words all of them have."""
    captions = [caption for clip in clips for caption in clip.captions]
    own = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    text = next(iter(models.values())).embed_text(captions)
    rows: dict[str, dict[str, Any]] = {}
    plain: dict[str, Any] = {}
    for name, model in models.items():
        found = ranks(text, model.embed_audio([clip.path for clip in clips]), own)
        values = {"mAP10": found.average_precision_at(10), "R10": found.recall_at(10)}
        plain = plain or values
        rows[name] = {"fingerprint": model.fingerprint}
        for metric, each in values.items():
            gap = paired_bootstrap(each, plain[metric], np.random.default_rng(SEED), groups=own).difference
            rows[name][metric] = float(each.mean())
            rows[name][f"{metric}_difference"] = [gap.value, gap.low, gap.high]
    return rows


def turns(models: dict[str, Model], folder: Path) -> dict[str, Callable[[], float]]:
    """What to time of each model, by its name and that of the stage."""
    sounds = write_sounds(folder)
    stages: dict[str, Callable[[], float]] = {}
    for name, model in models.items():
        log_mel = LogMel(model.front_end)
        waveform = read_audio(sounds["wav-alike"], sample_rate_hz=model.front_end.sample_rate_hz)
        features = log_mel(waveform)
        stages[f"{name}: level and log-mel"] = spent(
            lambda log_mel=log_mel, waveform=waveform: log_mel(waveform)
        )
        stages[f"{name}: network"] = spent(lambda model=model, features=features: model._run_audio(features))
        for kind, told in (("wav-alike", "wav"), ("mp3", "mp3")):
            stages[f"{name}: from {told}"] = spent(
                lambda model=model, path=sounds[kind]: model.embed_audio(path)
            )
    return stages


if __name__ == "__main__":
    main()
