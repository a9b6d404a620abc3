"""`soundseek train`: a recipe and captioned sounds -> a run folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import DataOption, RecipeArgument, SetOption, need_captions, need_model, option
from soundseek.cli.output import printable
from soundseek.cli.progress import FeatureProgress, say_epoch


def train_command(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder; created if missing.")],
    settings: SetOption = None,
    start: Annotated[
        str | None,
        option(
            "--start",
            metavar="MODEL",
            help="Go on from a model (name or directory) that the same recipe made, instead of from new heads.",
        ),
    ] = None,
    resume: Annotated[
        bool, option("--resume", help="Continue a stopped run; the result is the same as without the stop.")
    ] = False,
) -> None:
    """Train a model on captioned sounds.

    Networks that the recipe keeps frozen run once over every sound and caption (remembered in a cache); any recipe
    followed by +frozen, such as self-attention+frozen, keeps both frozen, and its heads train in minutes. Next:
    soundseek evaluate RUN --data DIR, then: soundseek export RUN --out MODEL
    """
    need_captions(data)
    need_model(start)
    from soundseek.learn.recipe.load import load_recipe
    from soundseek.learn.training.train import train as run

    folder = run(
        load_recipe(recipe, settings or []),
        data,
        out,
        start=start,
        resume=resume,
        report=FeatureProgress(),
        on_epoch=say_epoch,
        say=lambda line: print(printable(line), file=sys.stderr, flush=True),
    )
    run_folder, captions = shlex.quote(str(folder)), shlex.quote(str(data))
    print(f"done: {folder}; next: soundseek evaluate {run_folder} --data {captions}", file=sys.stderr)
