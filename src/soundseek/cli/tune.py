"""`soundseek tune`: values of a recipe found by trying, chosen by the validation split."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import (
    DataOption,
    JsonOption,
    RecipeArgument,
    SetOption,
    need_captions,
    need_file,
    option,
)
from soundseek.cli.output import printable, write_json_lines
from soundseek.cli.progress import FeatureProgress


def tune_command(
    recipe: RecipeArgument,
    data: DataOption,
    out: Annotated[
        Path, typer.Option("--out", metavar="STUDY", help="The study's folder; created if missing.")
    ],
    trials: Annotated[
        int,
        typer.Option("--trials", min=1, metavar="N", help="Total number of trials, including earlier ones."),
    ] = 20,
    space: Annotated[
        Path | None,
        option(
            "--space",
            metavar="FILE",
            help="YAML file of the search space; default: tune/RECIPE.yaml beside the recipe.",
        ),
    ] = None,
    settings: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Search for the recipe's values with the best validation mAP@10.

    STUDY gets a run folder for every trial, a picture, and the best values. After a stop, or for more trials,
    give the same command. Then: soundseek train RECIPE --set ... with the values printed.
    """
    need_captions(data)
    need_file(space, "--space", "it takes a YAML file that says what to try")
    from soundseek.learn.experiments.plan import Observer
    from soundseek.learn.experiments.tune import find_space, load_space
    from soundseek.learn.experiments.tune import tune as run

    observer = Observer(say=_say, features=FeatureProgress())
    chosen = load_space(space or find_space(recipe))
    result = run(recipe, chosen, data, out, num_trials=trials, settings=settings or [], observer=observer)
    if json:
        fields = {"trials": result.num_trials, "best_trial": result.best_trial, "mAP10": result.mAP10}
        write_json_lines([{**fields, "set": list(result.settings)}])
        return
    for setting in result.settings:
        print(f"--set {shlex.quote(setting)}")
    _say(
        f"best of {result.num_trials}: trial {result.best_trial + 1}, validation mAP10 {100 * result.mAP10:.1f} %;"
        f" see {result.folder}"
    )


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
