"""Table I to paste into a paper: as CSV, as JSON and as LaTeX (booktabs), with the numbers of the report.

All numbers are percent. The rows are the recipes, in the report's order, and below them the models as they are.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from soundseek.learn.evaluation.intervals import Interval
from soundseek.learn.evaluation.rankings import METRICS
from soundseek.learn.report.paper_numbers import TABLE_ONE, PaperRow
from soundseek.learn.report.summary import FinishedModel, System

CSV_FILE = "table-one.csv"
JSON_FILE = "table-one.json"
LATEX_FILE = "table-one.tex"

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def table_one_records(
    systems: Sequence[System], models: Sequence[FinishedModel] = ()
) -> list[dict[str, Any]]:
    """A flat record a row, all with the same keys; None where there is no number.

    `seeds` counts the runs, and is None for a model that was trained elsewhere. Of every metric there are the mean over
    the seeds (`R1`), the standard deviation over them (`R1_std`), the 95 % interval over sounds (`R1_low`, `R1_high`)
    and the paper's number (`R1_paper`).
    """
    rows = []
    for system in systems:
        row: dict[str, Any] = {"name": system.name, "seeds": len(system.runs)}
        for metric in METRICS:
            score = system.score(metric)
            row |= _numbers(metric, score.interval, score.deviation, TABLE_ONE.get(system.name))
        rows.append(row)
    for model in models:
        row = {"name": model.name, "seeds": None}
        for metric in METRICS:
            row |= _numbers(metric, model.interval(metric), None, None)
        rows.append(row)
    return rows


def _numbers(
    metric: str, interval: Interval, deviation: float | None, paper: PaperRow | None
) -> dict[str, float | None]:
    return {
        metric: _percent(interval.value),
        f"{metric}_std": _percent(deviation),
        f"{metric}_low": _percent(interval.low),
        f"{metric}_high": _percent(interval.high),
        f"{metric}_paper": getattr(paper, metric, None),
    }


def table_one_csv(records: Sequence[dict[str, Any]]) -> str:
    """The records of `table_one_records` with a header line; a cell without a number is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def table_one_json(records: Sequence[dict[str, Any]]) -> str:
    """The records of `table_one_records` as one JSON array."""
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


def table_one_latex(records: Sequence[dict[str, Any]]) -> str:
    r"""The records of `table_one_records` as a `tabular` for the package booktabs: the paper's number beside ours.

    The highest number of ours in a column, as it is printed, is bold; a rule parts recipes and models.

    >>> row = {"name": "a_b", "seeds": 1}
    >>> for metric in METRICS:
    ...     row |= {metric: 7.0, f"{metric}_std": None, f"{metric}_paper": None}
    >>> print(table_one_latex([row]).splitlines()[6])
    a\_b & -- & \textbf{7.0} & -- & \textbf{7.0} & -- & \textbf{7.0} & -- & \textbf{7.0} \\
    """
    best = {metric: f"{max(row[metric] for row in records):.1f}" for metric in METRICS}
    recipes: list[str] = []
    models: list[str] = []
    for row in records:
        cells = [latex_escaped(row["name"])]
        for metric in METRICS:
            paper, deviation, ours = row[f"{metric}_paper"], row[f"{metric}_std"], f"{row[metric]:.1f}"
            shown = f"\\textbf{{{ours}}}" if ours == best[metric] else ours
            spread = "" if deviation is None else f" $\\pm$ {deviation:.1f}"
            cells += ["--" if paper is None else f"{paper:.1f}", shown + spread]
        (models if row["seeds"] is None else recipes).append(" & ".join(cells) + r" \\")
    over = "".join(f" & \\multicolumn{{2}}{{c}}{{{shown}}}" for shown in METRICS.values())
    rules = (f"\\cmidrule(lr){{{column}-{column + 1}}}" for column in range(2, 2 + 2 * len(METRICS), 2))
    lines = [
        f"\\begin{{tabular}}{{l{'rr' * len(METRICS)}}}",
        r"\toprule",
        over.strip() + r" \\",
        " ".join(rules),
        "recipe" + " & paper & ours" * len(METRICS) + r" \\",
        r"\midrule",
        *recipes,
        *([r"\midrule", *models] if models else []),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def latex_escaped(text: str) -> str:
    r"""Text as LaTeX prints it.

    >>> print(latex_escaped("a_b & 5 %"))
    a\_b \& 5 \%
    """
    return "".join(_LATEX.get(character, character) for character in text)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)
