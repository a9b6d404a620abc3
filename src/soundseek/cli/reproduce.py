"""`soundseek reproduce`: the paper's Table I, or any recipes beside each other, in one report."""

from __future__ import annotations

import sys
from json import loads
from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import (
    CsvOption,
    DataOption,
    JsonOption,
    SplitOption,
    TableOption,
    need_captions,
    need_model,
    option,
)
from soundseek.cli.output import (
    OutputFormat,
    choose_format,
    console,
    plain_table,
    plain_text,
    printable,
    write,
    write_json_lines,
)
from soundseek.cli.progress import FeatureProgress, say_epoch


def reproduce_command(
    data: DataOption,
    out: Annotated[
        Path, typer.Option("--out", metavar="REPORT", help="The report's folder; created if missing.")
    ],
    recipes: Annotated[
        str,
        typer.Option(
            "--recipes",
            metavar="A,B,C",
            help="Recipes to compare with the first: names, YAML files, or table-one for all twelve.",
        ),
    ] = "cnn14,graph-attention,self-attention,self-attention-supervised",
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, metavar="N", help="Runs per recipe, with seeds 0, 1, 2 and so on."),
    ] = 3,
    split: SplitOption = "evaluation",
    settings: Annotated[
        list[str] | None,
        option(
            "--set",
            metavar="KEY=VALUE",
            help="Replace one value of all recipes, such as training.epochs=5, or of one: p-gat:dim=300; repeatable.",
        ),
    ] = None,
    ensembles: Annotated[
        list[str] | None,
        option(
            "--ensemble", metavar="NAME", help="Add a row for all seeds of this recipe together; repeatable."
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        option(
            "--model",
            metavar="NAME|DIR",
            help="Add a row for a model as it is, such as an exported CLAP (see: soundseek models); repeatable.",
        ),
    ] = None,
    json: JsonOption = False,
    csv: CsvOption = False,
    latex: Annotated[bool, option("--latex", help="Print a LaTeX table (booktabs).")] = False,
    table: TableOption = False,
) -> None:
    """Train recipes with several seeds, evaluate them, and write one report beside the paper's numbers.

    REPORT gets report.md, report.html, pictures, and Table I as table-one.csv, .json and .tex, written anew after every
    run; the table is printed at the end. What is done is not done again: after a stop, or with more recipes or seeds,
    give the same command.
    """
    output = choose_format(json=json, csv=csv, latex=latex, table=table)
    need_captions(data, split)
    for model in models or ():
        need_model(model)
    from soundseek.learn.experiments.plan import Observer
    from soundseek.learn.experiments.reproduce import reproduce as run

    names = [name.strip() for name in recipes.split(",") if name.strip()]
    observer = Observer(say=_say, features=FeatureProgress(), epoch=say_epoch)
    report = run(
        names,
        data,
        out,
        num_seeds=seeds,
        split=split,
        settings=settings or [],
        ensembles=ensembles or [],
        models=models or [],
        observer=observer,
    )
    _say(f"done: {report}")
    _print_table_one(report.parent, output)


def _print_table_one(folder: Path, output: OutputFormat) -> None:
    """Table I, out of the files beside the report."""
    from soundseek.learn.evaluation.rankings import METRICS
    from soundseek.learn.report import table_files

    if output == "csv":
        write((folder / table_files.CSV_FILE).read_text(encoding="utf-8"))
        return
    if output == "latex":
        write((folder / table_files.LATEX_FILE).read_text(encoding="utf-8"))
        return
    records = loads((folder / table_files.JSON_FILE).read_text(encoding="utf-8"))
    if output == "json":
        write_json_lines(records)
        return
    rows = plain_table("%", *(each for name in METRICS.values() for each in (f"{name}, paper", name)))
    for record in records:
        cells = [record["name"]]
        for metric in METRICS:
            paper, deviation = record[f"{metric}_paper"], record[f"{metric}_std"]
            spread = "" if deviation is None else f" ± {deviation:.1f}"
            cells += ["–" if paper is None else f"{paper:.1f}", f"{record[metric]:.1f}{spread}"]
        rows.add_row(*map(plain_text, cells))
    console().print(rows)


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
