"""The parts of a report that say how its numbers came about: what was asked for, what it cost, how to do it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from soundseek.learn.evaluation.document import Block, Code, Heading, Paragraph, Piece, Preformatted, Table
from soundseek.learn.evaluation.summary import FinishedRun, System
from soundseek.learn.recipe_values import differences

DASH = "–"
_PATH = re.compile(r"(?<![\w:/.])(?:~|\.{1,2}|[A-Za-z]:)?[\\/][^\s'\",;:]+")
_NEVER_COMPARED = ("name", "notes", "seed", "audio.weights")


@dataclass(frozen=True)
class Asked:
    """What a reproduction was asked for.

    Attributes:
        data: The name of the data's folder, without where it is.
        split: The split that asks.
        num_runs: Recipes times seeds.
        command: As typed, without folders.
        settings: What `--set` replaced in every recipe, without folders.
        machine: See `soundseek.learn.cost.machine`.
        failed: What could not be run, and why.
    """

    data: str
    split: str
    num_runs: int
    command: str
    settings: tuple[str, ...]
    machine: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)


def costs(systems: Sequence[System], asked: Asked) -> list[Block]:
    """Time and memory of every run, and where."""
    rows = [_cost_row(run) for system in systems for run in system.runs if run.epochs]
    machine = asked.machine
    parts = [
        machine["processor"],
        f"{machine['cores']} cores",
        f"{machine['memory_gb']} GB",
        machine["system"],
    ]
    where = f"On {', '.join(parts)}; GPU: {machine['gpu'] or 'none'}."
    return [
        Heading("Time and memory"),
        Paragraph(
            where
            + " Training: the sum of its epochs with their validation; what the frozen networks compute once "
            "and keep in the cache is not in it. Memory: the peak of the resident set, memory-mapped features "
            "included, in the process that finished the run."
        ),
        Table(
            [
                "recipe",
                "seed",
                "epochs",
                "chosen",
                "training",
                "an epoch",
                "evaluation",
                "memory",
                "GPU memory",
            ],
            rows,
        ),
    ]


def _cost_row(run: FinishedRun) -> list[Piece]:
    seconds = [epoch["seconds"] for epoch in run.epochs]
    gpu = run.cost.get("peak_gpu_bytes")
    return [
        run.recipe.name,
        str(run.seed),
        str(len(run.epochs)),
        str(run.record["best_epoch"] + 1),
        _duration(sum(seconds)),
        f"{sum(seconds) / max(1, len(seconds)):.1f} s",
        f"{run.cost['evaluation_s']:.1f} s",
        f"{run.cost['peak_bytes'] / 1e9:.2f} GB",
        f"{gpu / 1e9:.2f} GB" if gpu else DASH,
    ]


def recipes(systems: Sequence[System]) -> list[Block]:
    """In which values the recipes differ."""
    found = differences([system.runs[0].recipe for system in systems])
    rows: list[list[Piece]] = [
        [Code(key), *(_value(value) for value in values)]
        for key, values in found.items()
        if key not in _NEVER_COMPARED and not key.startswith("card.")
    ]
    if not rows:
        return []
    header = ["key", *(system.name for system in systems)]
    return [
        Heading("Where the recipes differ"),
        Table(header, rows, left=frozenset(range(len(header)))),
    ]


def provenance(systems: Sequence[System], asked: Asked) -> list[Block]:
    """Versions, commits and the command."""
    runs = [run for system in systems for run in system.runs]
    versions: dict[str, list[str]] = {}
    for run in runs:
        for name, version in run.record["versions"].items():
            known = versions.setdefault(name, [])
            if version not in known:
                known.append(version)
    commits = list(dict.fromkeys(str(run.record.get("git") or "none") for run in runs))
    told = ", ".join(f"{name} {' and '.join(known)}" for name, known in versions.items())
    return [
        Heading("Again"),
        Preformatted(asked.command),
        Paragraph(f"{told}. Commit of soundseek: ", Code(", ".join(commits)), "."),
    ]


def without_folders(text: str) -> str:
    """Text for the report: of a path that leads out of here, the name alone.

    >>> without_folders("audio.weights=../teacher/mn04.safetensors"), without_folders("all/mpnet")
    ('audio.weights=mn04.safetensors', 'all/mpnet')
    """
    return _PATH.sub(lambda found: re.split(r"[\\/]", found[0])[-1], text)


def _value(value: Any) -> str:
    return DASH if value is None else without_folders(str(value))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
