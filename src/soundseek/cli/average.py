"""`soundseek average`: runs that differ in their seed -> one run of the same size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import argument, need_run


def average_command(
    runs: Annotated[
        list[Path], argument(metavar="RUN", help="Finished runs of one recipe, each with another seed.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder to create.")],
) -> None:
    """Average runs that differ only in their seed into one model of the same size.

    Their scores are averaged, not their weights. For linear heads on frozen towers; give the runs one data.seed, and
    their sounds are made once.
    """
    for run in runs:
        need_run(run)

    from soundseek.learn.experiments.average import average as average_runs

    average_runs(runs, out)
    print(f"the average of {len(runs)} runs is in {out}; evaluate or export it", file=sys.stderr)
