"""`soundseek evaluate`: how well a model finds the sounds that captions describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.options import JsonOption, TableOption
from soundseek.cli.output import choose_format, console, write_json_lines
from soundseek.cli.train import DataOption, FeatureProgress
from soundseek.errors import UsageError

if TYPE_CHECKING:
    from soundseek.learn.evaluation.evaluate import Embedder, EvaluationReport

_DIRECTIONS = {"text_to_audio": "caption to sound", "audio_to_text": "sound to captions"}
_METRICS = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "mAP10": "mAP@10"}


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model's name or directory, or a run folder.", show_default=False
        ),
    ],
    data: DataOption,
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="Which captions to ask with.")
    ] = "evaluation",
    record: Annotated[
        bool, typer.Option("--record", help="Write the scores into the model directory's card and README.")
    ] = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Measure retrieval on captioned sounds, both directions: R@1, R@5, R@10, mAP@10, 95 % intervals."""
    from soundseek.learn.evaluation.evaluate import evaluate as measure

    output = choose_format(json=json, table=table)
    embedder = _embedder(model)
    directory = getattr(embedder, "directory", None)
    if record and directory is None:
        raise UsageError(f"--record needs a model directory, and {model} is a run folder; export it first")
    report = measure(embedder, data, split)
    if record and directory is not None:
        from soundseek.learn.model_card import record_scores

        record_scores(directory, report.to_dict())
    if output == "json":
        write_json_lines([report.to_dict()])
    else:
        _print_table(report)


def _embedder(model: str) -> Embedder:
    from soundseek.learn.runs import is_run

    if is_run(Path(model)):
        from soundseek.learn.evaluation.evaluate import RunEmbedder
        from soundseek.learn.runs import load_run

        return RunEmbedder(*load_run(Path(model)), report=FeatureProgress())
    from soundseek.model.catalog import load_model

    return load_model(model)


def _print_table(report: EvaluationReport) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = f"{report.split}: {report.num_captions:,} captions of {report.num_clips:,} sounds"
    rows = Table(box=SIMPLE_HEAD, header_style="bold", title=title, title_justify="left")
    rows.add_column("%", style="bold", no_wrap=True)
    for name in _METRICS.values():
        rows.add_column(name, justify="right")
    for direction, shown in _DIRECTIONS.items():
        metrics = getattr(report, direction)
        intervals = [getattr(metrics, name) for name in _METRICS]
        rows.add_row(shown, *(f"[cyan]{100 * each.value:.1f}[/]" for each in intervals))
        rows.add_row("", *(f"[dim]{100 * each.low:.1f} to {100 * each.high:.1f}[/]" for each in intervals))
    console().print(rows)
