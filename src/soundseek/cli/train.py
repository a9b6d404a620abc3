"""`soundseek train`: a recipe and captioned sounds -> a run folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import need_captions

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Captioned sounds in Clotho's layout: captions_{split}.csv and {split}/.",
    ),
]

_LINE_EVERY_S = 5.0


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe's name or YAML file.", show_default=False)
    ],
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder; created if missing.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set one value, such as training.epochs=5; repeatable.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue a stopped run; the result is the same as without the stop.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Train a model on captioned sounds.

    Networks that the recipe keeps frozen run once over every sound and caption (remembered in a cache); any recipe
    followed by +frozen, such as self-attention+frozen, keeps both frozen, and its heads train in minutes. Next:
    soundseek evaluate RUN --data DIR, then: soundseek export RUN --out MODEL
    """
    need_captions(data)
    from soundseek.learn.recipe.load import load_recipe
    from soundseek.learn.training.train import train as run

    folder = run(
        load_recipe(recipe, settings or []),
        data,
        out,
        resume=resume,
        report=FeatureProgress(),
        on_epoch=say_epoch,
    )
    print(f"done: {folder}; next: soundseek evaluate {folder} --data {data}", file=sys.stderr)


class FeatureProgress:
    """Says on stderr, every few seconds, how many features are computed and how long the rest will take."""

    def __init__(self) -> None:
        self._what = ""
        self._began = self._last = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """One more is done."""
        now = time.monotonic()
        if what != self._what or done == 1:
            self._what, self._began, self._last = what, now, now
        if done < total and now - self._last < _LINE_EVERY_S:
            return
        self._last = now
        left_s = (now - self._began) / done * (total - done)
        print(f"{what}: {done:,} of {total:,}, {left_s / 60:.1f} min left", file=sys.stderr, flush=True)


def say_epoch(metrics: dict[str, float]) -> None:
    """Say on stderr how an epoch went."""
    scores = ""
    if "mAP10" in metrics:  # epochs that are known beforehand have no validation
        scores = f"validation mAP10 {100 * metrics['mAP10']:.1f} %  R10 {100 * metrics['R10']:.1f} %  "
    print(
        f"epoch {metrics['epoch']:.0f}  loss {metrics['loss']:.4f}  {scores}{metrics['seconds']:.1f} s",
        file=sys.stderr,
        flush=True,
    )
