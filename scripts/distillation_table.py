"""What helps the trunk: distillations of equal processor time that differ in one thing, each a row of a table.

    python scripts/distillation_table.py --teacher mn04.safetensors --train runs/cache/development \
        --validation runs/cache/validation --run runs/distill

TRAIN and VALIDATION are waveform caches, as `soundseek distill` makes them. Every student starts from random weights
and has the same few minutes of one core: the table ranks choices, not what hours would make of them. `--run FOLDER`
adds a finished distillation as it is. Stopped, it goes on row by row with the same command. The table is in
docs/results/distillation.json; `python scripts/results_page.py` shows it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from soundseek.audio.logmel import LogMel
from soundseek.learn.data.decoded_cache import WaveformCache
from soundseek.learn.distill import METRICS, TRUNK, DistillConfig, distill
from soundseek.learn.experiments.cost import machine
from soundseek.learn.export.export import export_audio
from soundseek.learn.models.audio.compact import CompactConfig, CompactTrunk
from soundseek.learn.models.audio.compact_layers import TagsConfig
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.training.run_folder import environment

Float = npt.NDArray[np.float32]

ROOT = Path(__file__).parents[1]
HEARD_S = 10
TIMED_S = 2.0  # processor seconds over which a trunk's speed is measured
RIDGE = 300.0  # of the linear map: heavy, for half of the recordings are fewer than the features
# A few hundred steps need another schedule than the hours of soundseek distill: smaller batches, averages that forget.
SHORT = {"processes": 1, "clock": "processor", "batch_s": 40.0, "warmup_steps": 30, "ema": 0.98}

NARROW = CompactConfig(
    stem_width=16,
    stages=tuple(
        stage.model_copy(update={"width": width})
        for stage, width in zip(CompactConfig().stages, (16, 32, 64, 104), strict=True)
    ),
    tags=TagsConfig(),
)
MIDDLE = CompactConfig(tags=TagsConfig())
WIDE = DistillConfig().trunk
FINE = MIDDLE.model_copy(
    update={"stages": (*MIDDLE.stages[:3], MIDDLE.stages[3].model_copy(update={"stride": 1}))}
)
NOTHING = {"frames_weight": 0.0, "pooled_weight": 0.0, "tags_weight": 0.0, "amplitudes_weight": 0.0}

ROWS: dict[str, dict[str, Any]] = {
    "middle": {"trunk": MIDDLE},
    "narrow": {"trunk": NARROW},
    "wide, blocks over time": {"trunk": WIDE},
    "middle, a frame every 160 ms": {"trunk": FINE},
    "middle, tags alone": {"trunk": MIDDLE, **NOTHING, "tags_weight": 0.05},
    "middle, pooled alone": {"trunk": MIDDLE, **NOTHING, "pooled_weight": 1.0},
    "middle, frames alone": {"trunk": MIDDLE, **NOTHING, "frames_weight": 0.5},
    "middle, undamaged": {"trunk": MIDDLE, "damage": False},
    "middle, no average of weights": {"trunk": MIDDLE, "ema": 0.0},
}
"""Name -> what differs from `SHORT` and the defaults of `DistillConfig`."""

COLUMNS = {
    "parameters_m": "parameters, M",
    "frame_ms": "a frame, ms",
    "real_time": "× real time",
    "cosine": "cosine",
    "standardised_cosine": "standardised",
    "linear_cosine": "linear",
    "tag_map": "mAP of tags",
    "steps": "steps",
    "minutes": "minutes",
}


def main() -> None:
    """Distil and measure the rows that the table lacks."""
    arguments = parse()
    torch.set_num_threads(1)
    heard = Heard(arguments.validation, arguments.teacher)
    table = Table(arguments.results, {"minutes": arguments.minutes, "seed": arguments.seed})
    for name, changes in ROWS.items():
        if arguments.only not in name or name in table:
            continue
        common = {**SHORT, "hours": arguments.minutes / 60, "seed": arguments.seed}
        config = DistillConfig(**{**common, **changes})
        run = arguments.work / name.replace(" ", "-")
        distill(arguments.teacher, arguments.train, {"validation": arguments.validation}, run, config)
        table.add(name, measured(run, heard))
        table.save(arguments.chosen)
        shutil.rmtree(run)
        print(name, table.path, file=sys.stderr, flush=True)
    for run in arguments.run:
        table.add(f"as shipped: {run.name}", measured(run, heard))
    if table.rows:
        table.save(arguments.chosen)


class Heard:
    """The clips of the validation split, at most ten seconds of each, and what the teacher makes of them.

    Attributes:
        teacher: `(clip, width)` its pooled embeddings, standardised per dimension over the clips.
    """

    def __init__(self, cache: Path, teacher_file: Path) -> None:
        self.cache = WaveformCache(cache)
        teacher = EfficientATTrunk.load(teacher_file)
        self._log_mel = LogMel(teacher.front_end)
        self.teacher = standardised(self.pooled(teacher))

    @torch.no_grad()
    def pooled(self, trunk: Any) -> Float:
        """`(clip, width)` mean frames, as a trunk hears each clip."""
        means = []
        for number in range(len(self.cache)):
            waveform = self.cache.read(number, 0, HEARD_S * self.cache.sample_rate_hz)
            frames, _ = trunk(torch.from_numpy(self._log_mel(waveform))[None])
            means.append(frames[0].mean(dim=0).numpy())
        return np.stack(means)


def measured(run: Path, heard: Heard) -> dict[str, float | None]:
    """The columns of a finished run; what its student never imitated has no value."""
    trunk = CompactTrunk.load(run / TRUNK)
    last = json.loads((run / METRICS).read_text(encoding="utf-8").splitlines()[-1])
    last |= last.get("validation", {})  # runs of before had nothing else to be judged on
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    imitates_frames = config["frames_weight"] > 0 or config.get("pooled_weight", 1.0) > 0
    student = heard.pooled(trunk)[:, : trunk.config.width]
    hop_s = trunk.frame_hop * trunk.front_end.hop_s
    return {
        "parameters_m": round(sum(weights.numel() for weights in trunk.layers.parameters()) / 1e6, 2),
        "frame_ms": round(1000 * hop_s),
        "real_time": round(real_time(trunk)),
        "cosine": round(last["cosine"], 3) if imitates_frames else None,
        "standardised_cosine": round(last["standardised_cosine"], 3) if imitates_frames else None,
        "linear_cosine": round(linear_cosine(standardised(student), heard.teacher), 3),
        "tag_map": round(last["tag_map"], 3) if config["tags_weight"] > 0 else None,
        "steps": last["step"],
        "minutes": round(last["elapsed_s"] / 60, 1),
    }


def standardised(rows: Float) -> Float:
    """Each column with zero mean and unit variance."""
    centred: Float = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-3)
    return centred


def linear_cosine(student: Float, teacher: Float) -> float:
    """Mean cosine of the teacher's embeddings and a linear map of the student's, fitted on the clips of the other half.

    It asks what a linear head could find in the student's features, whatever they were taught.

    Args:
        student: `(clip, width)`, standardised.
        teacher: `(clip, teacher_width)`, standardised.
    """
    found = []
    for half in (0, 1):
        fitted, asked = student[half::2], student[1 - half :: 2]
        gram = fitted @ fitted.T + RIDGE * np.eye(len(fitted), dtype=np.float32)
        mapped = asked @ fitted.T @ np.linalg.solve(gram, teacher[half::2])
        truth = teacher[1 - half :: 2]
        norms = np.linalg.norm(mapped, axis=1) * np.linalg.norm(truth, axis=1)
        found.append((mapped * truth).sum(axis=1) / np.maximum(norms, 1e-9))
    return float(np.concatenate(found).mean())


def real_time(trunk: CompactTrunk) -> float:
    """Seconds of sound a processor second, ten seconds at a time, in ONNX Runtime on one thread with a linear head."""
    model = DualEncoder(dim=512, audio_width=trunk.width, text_width=8, trunk=trunk).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with TemporaryDirectory() as folder:
        path = Path(folder) / "audio.onnx"
        export_audio(model, path)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    front_end = trunk.front_end
    shape = (1, round(HEARD_S / front_end.hop_s), front_end.num_mels)
    log_mel = np.random.default_rng(0).standard_normal(shape, np.float32)
    session.run(None, {"log_mel": log_mel})
    took: list[float] = []
    while sum(took) < TIMED_S:
        started = time.process_time()
        session.run(None, {"log_mel": log_mel})
        took.append(time.process_time() - started)
    return HEARD_S / float(np.median(took))


class Table:
    """The rows so far, in docs/results; a row counts only with the time and seed of the others."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path, self.facts = path, facts
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"tried": []}
        same = all(before.get(key) == value for key, value in facts.items())
        kept = [each for each in before["tried"] if same and list(each["scores"]) == list(COLUMNS)]
        self.rows: dict[str, dict[str, Any]] = {each["name"]: each for each in kept}

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def add(self, name: str, scores: dict[str, float | None]) -> None:
        """Put a row in its place, or in place of the one with its name."""
        self.rows[name] = {"name": name, "scores": scores, "git": environment()["git"], "machine": machine()}
        order = [*ROWS, *(other for other in self.rows if other not in ROWS)]
        self.rows = {each: self.rows[each] for each in order if each in self.rows}

    def save(self, chosen: str | None) -> None:
        """The whole file, with what the columns mean."""
        tried, names = list(self.rows.values()), list(self.rows)
        report = {
            "says": says(self.facts, tried),
            "columns": ["student", *COLUMNS.values()],
            "rows": [[each["name"], *each["scores"].values()] for each in tried],
            **({"chosen": names.index(chosen)} if chosen in names else {}),
            **self.facts,
            "tried": tried,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def says(facts: dict[str, Any], tried: Sequence[dict[str, Any]]) -> str:
    """What was compared, on what, by what."""
    commits = ", ".join(sorted({str(row["git"])[:7] for row in tried}))
    return (
        f"Students of EfficientAT's `mn04_as`, each taught for {facts['minutes']:g} minutes of one core from random "
        f"weights, seed {facts['seed']} (*as shipped*: a finished run, its minutes by the clock on the wall), compared "
        "with their teacher on the recordings of `validation`, at most ten seconds of each. *Cosine*: of pooled "
        "embeddings; *standardised*: the same per standardised dimension; *linear*: the same after a linear map fitted "
        "on the other half of the recordings: what a head could find in features, whatever they were taught; *mAP of "
        "tags*: of those that the teacher hears with .3 or more. Parameters are without the tagger's half a million. "
        "Speed: log-mel to projected frames, ONNX Runtime, one thread, by its processor time. Again: "
        f"`python scripts/distillation_table.py`. Measured: {tried[0]['machine']['processor']}, commit {commits}."
    )


def parse() -> argparse.Namespace:
    """The command line."""
    described: Any = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(**described)
    add = parser.add_argument
    add("--teacher", type=Path, required=True, help="weights of EfficientAT's mn04_as")
    add("--train", type=Path, required=True, help="waveform cache to draw mixtures from")
    add("--validation", type=Path, required=True, help="waveform cache to compare on")
    add("--minutes", type=float, default=3.0, help="of one core, for each student")
    add("--only", default="", metavar="WORD", help="rows whose name has it")
    add("--run", type=Path, action="append", default=[], metavar="FOLDER", help="a finished distillation")
    add("--chosen", metavar="NAME", help="the row that became the shipped trunk")
    add("--seed", type=int, default=0)
    add("--work", type=Path, default=ROOT / "runs" / "distillation", help="where unfinished runs are")
    add("--results", type=Path, default=ROOT / "docs" / "results" / "distillation.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
