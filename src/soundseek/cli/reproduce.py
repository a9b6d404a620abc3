"""`soundseek reproduce`: the paper's Table I, or any recipes beside each other, in one report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import DataOption, SetOption, need_captions, need_model, option
from soundseek.cli.output import printable
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
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="The split whose captions are the queries.")
    ] = "evaluation",
    settings: SetOption = None,
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
) -> None:
    """Train recipes with several seeds, evaluate them, and write one report beside the paper's numbers.

    REPORT gets report.md, report.html and pictures, written anew after every run. What is done is not done
    again: after a stop, or with more recipes or seeds, give the same command.
    """
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


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
