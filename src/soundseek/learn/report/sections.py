"""The sections of a report, in its order: each from finished runs to blocks of a document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from soundseek.learn.evaluation.rankings import METRICS
from soundseek.learn.recipe.load import differences
from soundseek.learn.report.document import (
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
from soundseek.learn.report.paper_numbers import NUM_CAPTIONS, NUM_CLIPS, SOURCE, TABLE_ONE
from soundseek.learn.report.summary import (
    NUM_RESAMPLES,
    Difference,
    FinishedModel,
    FinishedRun,
    System,
    best_system,
    difference,
    hardest_and_easiest,
)

DASH = "–"
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


def table_one(systems: Sequence[System]) -> list[Block]:
    """Table I, ours beside the paper's, and the intervals."""
    scores = {(system.name, metric): system.score(metric) for system in systems for metric in METRICS}
    best = {
        metric: max(scores[system.name, metric].interval.value for system in systems) for metric in METRICS
    }
    rows, spans = [], []
    for system in systems:
        paper = TABLE_ONE.get(system.name)
        row: list[Inline] = [system.name]
        span: list[Inline] = [system.name]
        for metric in METRICS:
            score = scores[system.name, metric]
            cell = _percent(score.interval.value)
            if score.deviation is not None:
                cell += f" ± {_percent(score.deviation)}"
            row.append(f"{getattr(paper, metric):.1f}" if paper else DASH)
            row.append(Strong(cell) if score.interval.value == best[metric] else cell)
            span.append(f"{_percent(score.interval.low)} to {_percent(score.interval.high)}")
        rows.append(row)
        spans.append(span)
    header = ["recipe", *(name for metric in METRICS for name in (f"{metric}, paper", f"{metric}, ours"))]
    return [
        Heading("Table I"),
        Paragraph("Percent; ours: mean ± standard deviation over the seeds, the best in bold."),
        Table(header, rows),
        Paragraph(
            "95 % intervals of ours: bootstrap over the sounds, each with all its captions, of each caption's mean "
            f"over the seeds, {NUM_RESAMPLES:,} resamples."
        ),
        Table(["recipe", *METRICS], spans),
        Picture("table-one.png", "Every metric of every recipe with its interval, and the paper's number"),
        Paragraph(f"The paper's numbers: {SOURCE}."),
    ]


def comparisons(systems: Sequence[System]) -> list[Block]:
    """Who differs from the first, from the best and from whom else, by the paired bootstrap."""
    if len(systems) < 2:
        return []
    first, best = systems[0], best_system(systems)
    blocks: list[Block] = [
        Heading("Do the systems differ?"),
        Paragraph(
            f"Points above {first.name} on the same captions, with the paired bootstrap's 95 % interval over "
            "sounds; bold where p < .05. The bootstrap asks whether other test sounds would have said the same, "
            "not whether other seeds would: the last column has the difference for each seed.",
        ),
        _against(first, systems),
        Picture("differences.png", f"Every recipe's metrics minus those of {first.name}"),
    ]
    if len(systems) > 2 and best is not first:
        blocks += [Paragraph(f"The same above {best.name}, the best:"), _against(best, systems)]
    return [*blocks, *(_all_pairs(systems) if len(systems) > 2 else [])]


def models_as_they_are(first: System, models: Sequence[FinishedModel]) -> list[Block]:
    """Models that were trained elsewhere, on the same captions."""
    if not models:
        return []
    rows: list[list[Inline]] = []
    for model in models:
        found = {metric: model.interval(metric) for metric in METRICS}
        shown = (
            f"{_percent(each.value)} ({_percent(each.low)} to {_percent(each.high)})"
            for each in found.values()
        )
        rows.append([model.name, model.fingerprint, *shown, _difference(model.above(first, "mAP10"))])
    return [
        Heading("Models as they are"),
        Paragraph(
            "Percent, with the bootstrap's 95 % interval over sounds; nothing was trained for this report. What a "
            "model has learned from, its card says. The last column: mAP10 in points above "
            f"{first.name}, by the paired bootstrap, bold where p < .05."
        ),
        Table(["model", "version", *METRICS, f"above {first.name}"], rows),
    ]


def _against(other: System, systems: Sequence[System]) -> Table:
    rows = []
    for system in systems:
        if system is not other:
            found = {metric: difference(system, other, metric) for metric in METRICS}
            by_seed = " ".join(f"{100 * value:+.1f}" for value in found["mAP10"].seeds) or DASH
            p_value = f"{found['mAP10'].paired.p_value:.3f}"
            rows.append([system.name, *(_difference(found[metric]) for metric in METRICS), p_value, by_seed])
    return Table(["recipe", *METRICS, "p, mAP10", "mAP10 by seed"], rows)


def _all_pairs(systems: Sequence[System]) -> list[Block]:
    pairs = {
        (a.name, b.name): difference(a, b, "mAP10") for row, a in enumerate(systems) for b in systems[:row]
    }
    rows: list[list[Inline]] = []
    for row, a in enumerate(systems[1:], start=1):
        cells = [_points(pairs[a.name, b.name]) for b in systems[:row]]
        rows.append([a.name, *cells, *[""] * (len(systems) - 1 - row)])
    certain, chance = sum(found.paired.significant for found in pairs.values()), 0.05 * len(pairs)
    verdict = (
        f"{certain} of {len(pairs)} pairs differ significantly in mAP10; {chance:.1f} would by chance alone."
    )
    return [
        Paragraph("mAP10, row minus column, in points; bold where p < .05:"),
        Table(["", *(system.name for system in systems[:-1])], rows),
        Paragraph(verdict),
    ]


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


def _difference(found: Difference) -> Inline:
    interval = found.paired.difference
    text = f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
    return Strong(text) if found.paired.significant else text


def _points(found: Difference) -> Inline:
    text = f"{100 * found.paired.difference.value:+.1f}"
    return Strong(text) if found.paired.significant else text


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
