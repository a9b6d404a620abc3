"""The tables of a report: Table I beside the paper's, who differs from whom, and models as they are."""

from __future__ import annotations

from collections.abc import Sequence

from soundseek.learn.evaluation.rankings import METRICS
from soundseek.learn.report.document import DASH, Block, Heading, Inline, Paragraph, Picture, Strong, Table
from soundseek.learn.report.paper_numbers import SOURCE, TABLE_ONE
from soundseek.learn.report.summary import (
    NUM_RESAMPLES,
    Difference,
    FinishedModel,
    System,
    best_system,
    difference,
)


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


def _difference(found: Difference) -> Inline:
    interval = found.paired.difference
    text = f"{100 * interval.value:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
    return Strong(text) if found.paired.significant else text


def _points(found: Difference) -> Inline:
    text = f"{100 * found.paired.difference.value:+.1f}"
    return Strong(text) if found.paired.significant else text


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
