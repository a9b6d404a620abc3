"""`soundseek robustness`: how well a model finds degraded sounds, and sounds asked for in other words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundseek.cli.options import (
    DataOption,
    JsonOption,
    SplitOption,
    TableOption,
    argument,
    need_captions,
    need_model,
)
from soundseek.cli.output import choose_format, console, plain_table, write_json_lines

if TYPE_CHECKING:
    from rich.table import Table

    from soundseek.learn.evaluation.robustness import Row


def robustness_command(
    model: Annotated[str, argument(metavar="MODEL", help="A model's name or directory.")],
    data: DataOption,
    split: SplitOption = "evaluation",
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Seed of noise, rooms and typing errors.")
    ] = 0,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Measure mAP@10 and R@10 on corrupted sounds and on reworded and mistyped captions.

    soundseek robustness soundseek-small --data DIR --json > docs/results/robustness-soundseek-small.json
    """
    from soundseek.learn.evaluation.robustness import robustness as measure
    from soundseek.learn.experiments.cost import machine
    from soundseek.learn.training.run_folder import environment
    from soundseek.model.registry import load_model

    output = choose_format(json=json, table=table)
    need_captions(data, split)
    need_model(model)
    loaded = load_model(model)
    report = measure(loaded, data, split, seed=seed, on_row=_say)
    if output == "json":
        made: dict[str, Any] = {"model": loaded.config.name, "fingerprint": loaded.fingerprint}
        made |= {"data": data.resolve().name, **report.to_dict(), "machine": machine(), **environment()}
        write_json_lines([made])
        return
    title = f"{loaded.config.name}, {split}: {report.num_captions:,} captions of {report.num_clips:,} sounds"
    console().print(_table(report.rows, title))


def _say(row: Row) -> None:
    """Progress: a row takes from seconds to minutes."""
    print(f"{row.name}: mAP@10 {100 * row.mAP10.value:.1f} %", file=sys.stderr, flush=True)


def _table(rows: tuple[Row, ...], title: str) -> Table:
    shown = plain_table("%", "changed", "mAP@10", "difference, 95 % interval", "R@10", title=title)
    for row in rows:
        shown.add_row(
            row.name,
            f"{100 * row.changed:.0f}" if row.difference else "",
            f"[cyan]{100 * row.mAP10.value:.1f}[/]",
            _difference(row),
            f"{100 * row.R10.value:.1f}",
        )
    return shown


def _difference(row: Row) -> str:
    if row.difference is None:
        return ""
    found = row.difference.difference
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
