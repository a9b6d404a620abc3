"""The sections of a report beside its tables, in its order: each from finished runs to blocks of a document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from soundseek.learn.recipe.load import differences
from soundseek.learn.report.document import (
    DASH,
    Block,
    Code,
    Heading,
    Inline,
    Listed,
    Paragraph,
    Picture,
    Preformatted,
    Strong,
    Table,
)
from soundseek.learn.report.paper_numbers import NUM_CAPTIONS, NUM_CLIPS, TABLE_ONE
from soundseek.learn.report.summary import (
    FinishedRun,
    System,
    best_system,
    hardest_and_easiest,
)

_NUM_QUERIES = 10  # shown of the hardest and the easiest
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
        machine: See `soundseek.learn.experiments.cost.machine`.
        failed: What could not be run, and why.
    """

    data: str
    split: str
    num_runs: int
    command: str
    settings: tuple[str, ...]
    machine: dict[str, Any]
    failed: dict[str, str] = field(default_factory=dict)


def introduction(systems: Sequence[System], asked: Asked) -> list[Block]:
    """What was done, and what has to be known before the numbers are read."""
    runs = [run for system in systems for run in system.runs]
    answers, seeds = systems[0].answers, sorted({run.seed for run in runs})
    says = (
        f"{_several(len(systems), 'recipe')}, {_several(len(seeds), 'seed')}. Trained on {_counted(runs)} of ",
        Code(asked.data),
        f"; asked with all {len(answers.captions):,} captions of the {len(answers.files):,} sounds of its split ",
        Code(asked.split),
        ", each caption for the one sound that it was written for.",
    )
    blocks: list[Block] = [Heading(f"Table I on {asked.data}", 1), Paragraph(*says)]
    if len(runs) < asked.num_runs:
        blocks.append(Paragraph(Strong(f"{len(runs)} of {asked.num_runs} runs are finished.")))
    if asked.failed:
        blocks.append(
            Listed(
                [
                    (Strong(name), f" could not be run: {without_folders(why)}")
                    for name, why in asked.failed.items()
                ]
            )
        )
    return [*blocks, Listed(list(_remarks(runs, asked)))]


def _remarks(runs: Sequence[FinishedRun], asked: Asked) -> list[tuple[Inline, ...]]:
    answers = runs[0].answers
    remarks: list[tuple[Inline, ...]] = []
    if (len(answers.files), len(answers.captions)) != (NUM_CLIPS, NUM_CAPTIONS):
        other = (
            f" The paper's numbers are for Clotho's evaluation split ({NUM_CLIPS:,} sounds, {NUM_CAPTIONS:,} captions),"
            " ours for the data above. Compare how the rows differ, not the numbers in a row."
        )
        remarks.append((Strong("This is not Clotho."), other))
    remarks.extend(_trunks(runs))
    if asked.settings:
        remarks.append((Strong("Set in every recipe:"), " ", Code(" ".join(asked.settings)), "."))
    repeated = len(answers.captions) - len(set(answers.captions.tolist()))
    if repeated:
        share = f"{repeated:,} of the {len(answers.captions):,} captions repeat another's words"
        remarks.append((f"{share}. Only the sound that a caption was written for counts as found.",))
    notes = dict.fromkeys(run.recipe.notes.strip() for run in runs if run.recipe.notes.strip())
    remarks.extend((Strong("From the recipes:"), f" {note}") for note in notes)
    return remarks


def _trunks(runs: Sequence[FinishedRun]) -> list[tuple[Inline, ...]]:
    """What stands in CNN14's place, if anything does."""
    found: dict[str, tuple[Inline, ...]] = {}
    for run in runs:
        audio = run.recipe.audio
        if audio.trunk == "cnn14" or run.recipe.name not in TABLE_ONE:
            continue
        weights = audio.weights.name if audio.weights else "its weights"
        digest = str(run.record.get("trunk_sha256") or "")[:16]
        found.setdefault(
            f"{audio.trunk} {weights}",
            (
                Strong("The audio trunk is not CNN14"),
                f" but {audio.trunk}, with the weights ",
                Code(weights),
                f" (sha256 {digest}…)." if digest else ".",
            ),
        )
    return list(found.values())


def curves() -> list[Block]:
    """Recall at every k, and the training curves."""
    return [
        Heading("Recall"),
        Picture("recall.png", "Share of captions whose sound is among the first k, for k from 1 to 50"),
        Heading("Training"),
        Paragraph(
            "Mean over the seeds, shaded from the least to the most; runs that stopped early end early. The weights "
            "that are evaluated are those of the epoch with the best validation mAP10."
        ),
        Picture("training.png", "Training loss and validation mAP10 by epoch"),
    ]


def worst_and_best(systems: Sequence[System]) -> list[Block]:
    """The captions that the best system finds hardest and easiest."""
    system = best_system(systems)
    hardest, easiest = hardest_and_easiest(system, _NUM_QUERIES)
    return [
        Heading("Worst and best questions"),
        Paragraph(
            f"Of {system.name}, the recipe with the highest mAP10. The rank is the median over the seeds, the top hit "
            f"that of seed {system.runs[0].seed}; below a file stands the first of its captions. At most one "
            "caption of a sound; among equal ranks those come first whose own sound is furthest from the best other."
        ),
        Heading("Worst", 3),
        _queries(system, hardest),
        Heading("Best", 3),
        _queries(system, easiest),
    ]


def _queries(system: System, queries: Sequence[int]) -> Table:
    answers, ranks = system.answers, system.ranks()
    first_caption = np.searchsorted(answers.own, np.arange(len(answers.files)))

    def told(clip: int) -> str:
        return f"{answers.files[clip]}: {answers.captions[first_caption[clip]]}"

    rows = [
        [
            f"{ranks[query]:.0f}",
            str(answers.captions[query]),
            told(answers.own[query]),
            told(answers.top[query]),
        ]
        for query in queries
    ]
    return Table(["rank", "caption", "its sound", "top hit"], rows, left=frozenset({1, 2, 3}))


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


def _cost_row(run: FinishedRun) -> list[Inline]:
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
    rows: list[list[Inline]] = [
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


def _counted(runs: Sequence[FinishedRun]) -> str:
    counts = sorted({int(run.record["clips"]) for run in runs})
    splits = dict.fromkeys("+".join(run.recipe.data.train_splits) for run in runs)
    return f"{' or '.join(f'{count:,}' for count in counts)} sounds ({' or '.join(splits)})"


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
