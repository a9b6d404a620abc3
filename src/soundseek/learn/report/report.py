"""One report of several systems: `report.md`, `report.html` (needs no other file), pictures, Table I as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soundseek.errors import DataError
from soundseek.learn.report import plots, sections, table_files, table_one
from soundseek.learn.report.document import Block, to_html, to_markdown
from soundseek.learn.report.sections import Asked
from soundseek.learn.report.summary import FinishedModel, FinishedRun, System, systems_of

MARKDOWN_FILE = "report.md"
HTML_FILE = "report.html"


def write_report(
    runs: Sequence[FinishedRun], asked: Asked, out: Path, *, models: Sequence[FinishedModel] = ()
) -> Path:
    """Write the report and return its Markdown file.

    Args:
        runs: At least one; systems stand in the order of their first runs, and the first is the one that the
            others are compared with.
        asked: What the reproduction was asked for.
        out: The folder; made if missing.
        models: Models that were trained elsewhere, for a section of their own.

    Raises:
        DataError: The runs, or the models, answered different questions.
    """
    for model in models:
        if not model.answers.same_questions(runs[0].answers):
            raise DataError(
                f"{model.name} and {runs[0].recipe.name} answered different captions; reproduce into another --out"
            )
    for run in runs:
        if not run.answers.same_questions(runs[0].answers):
            raise DataError(
                f"the runs of {run.recipe.name} (seed {run.seed}) and {runs[0].recipe.name} (seed {runs[0].seed}) "
                "answered different captions; reproduce into another --out"
            )
    systems = systems_of(runs)
    blocks, pictures = _blocks(systems, asked, models), _pictures(systems)
    out.mkdir(parents=True, exist_ok=True)
    for file, png in pictures.items():
        (out / file).write_bytes(png)
    page = to_html(blocks, f"Table I on {asked.data}", pictures)
    (out / HTML_FILE).write_text(page, encoding="utf-8")
    records = table_files.table_one_records(systems, models)
    (out / table_files.CSV_FILE).write_text(table_files.table_one_csv(records), encoding="utf-8")
    (out / table_files.JSON_FILE).write_text(table_files.table_one_json(records), encoding="utf-8")
    (out / table_files.LATEX_FILE).write_text(table_files.table_one_latex(records), encoding="utf-8")
    (out / MARKDOWN_FILE).write_text(to_markdown(blocks), encoding="utf-8")
    return out / MARKDOWN_FILE


def _blocks(systems: Sequence[System], asked: Asked, models: Sequence[FinishedModel]) -> list[Block]:
    return [
        *sections.introduction(systems, asked),
        *table_one.table_one(systems),
        *table_one.comparisons(systems),
        *table_one.models_as_they_are(systems[0], models),
        *sections.curves(),
        *sections.worst_and_best(systems),
        *sections.costs(systems, asked),
        *sections.recipes(systems),
        *sections.provenance(systems, asked),
    ]


def _pictures(systems: Sequence[System]) -> dict[str, bytes]:
    pictures = {
        "table-one.png": plots.plot_table(systems),
        "recall.png": plots.plot_recall(systems),
        "training.png": plots.plot_training(systems),
    }
    if len(systems) > 1:
        pictures["differences.png"] = plots.plot_differences(systems)
    return pictures
