"""`soundseek score`: the DCASE scores of any system's output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import JsonOption, TableOption, need_file
from soundseek.cli.output import choose_format, console, plain_table, write_json_lines


def score_command(
    truth: Annotated[
        Path, typer.Option("--truth", metavar="CSV", help="Ground truth: file_name,caption_1,...,caption_5.")
    ],
    predictions: Annotated[
        Path,
        typer.Option(
            "--predictions", metavar="CSV", help="A system's output: caption,file_name_1,...,file_name_10."
        ),
    ],
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Score any system's output by the DCASE protocol, with 95 % jackknife intervals."""
    from soundseek.learn.evaluation.dcase import score_predictions

    need_file(truth, "--truth", "it takes a CSV: file_name,caption_1,...,caption_5")
    need_file(predictions, "--predictions", "it takes a CSV: caption,file_name_1,...,file_name_10")
    output = choose_format(json=json, table=table)
    scores = score_predictions(truth, predictions).to_dict()
    if output == "json":
        write_json_lines([scores])
        return
    rows = plain_table("metric", "%", "95 % interval")
    for name, interval in scores.items():
        value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
        rows.add_row(name, f"[cyan]{value:.1f}[/]", f"{low:.1f} to {high:.1f}")
    console().print(rows)
