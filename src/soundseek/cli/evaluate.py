"""`soundseek evaluate`: how well a model finds the sounds that captions describe."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.options import (
    DataOption,
    JsonOption,
    SplitOption,
    TableOption,
    argument,
    need_captions,
    need_model,
    option,
)
from soundseek.cli.output import choose_format, console, plain_table, write_json_lines
from soundseek.cli.progress import FeatureProgress
from soundseek.errors import ModelError, NotFiniteError, UsageError

if TYPE_CHECKING:
    from soundseek.learn.evaluation.ensemble import EnsembleReport
    from soundseek.learn.evaluation.evaluate import Embedder, EvaluationReport

_DIRECTIONS = {"text_to_audio": "caption to sound", "audio_to_text": "sound to captions"}


def evaluate_command(
    models: Annotated[
        list[str],
        argument(
            metavar="MODEL", help="A model's name or directory, or a run folder; several with --ensemble."
        ),
    ],
    data: DataOption,
    split: SplitOption = "evaluation",
    record: Annotated[
        bool,
        typer.Option("--record", help="Write the scores into the model directory's config.json and README."),
    ] = False,
    ensemble: Annotated[
        bool,
        option(
            "--ensemble",
            help="Evaluate the weighted sum of the models' scores; weights come from the validation split.",
        ),
    ] = False,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Measure R@1, R@5, R@10 and mAP@10 in both directions, with 95 % intervals.

    With --ensemble, each model alone, all together, and whether together they beat the best of them.
    """
    output = choose_format(json=json, table=table)
    need_captions(data, split)
    if ensemble:
        _evaluate_ensemble(models, data, split, record=record, output=output)
        return
    if len(models) > 1:
        raise UsageError(f"{len(models)} models are evaluated together with --ensemble, or one at a time")
    from soundseek.learn.evaluation.evaluate import evaluate as measure

    (model,) = models
    embedder = _embedder(model)
    directory = getattr(embedder, "directory", None)
    if record and directory is None:
        raise UsageError(f"--record needs a model directory, and {model} is a run folder; export it first")
    _say_if_learned_from(split, model, embedder)
    try:
        report = measure(embedder, data, split)
    except NotFiniteError as error:
        raise ModelError(
            f"{model} gives vectors that are not finite: its training has diverged, or its weights are damaged; train "
            "it anew with a lower training.learning_rate, or fetch it again"
        ) from error
    if record and directory is not None:
        from soundseek.learn.export.model_card import record_scores

        record_scores(directory, report.to_dict())
    if output == "json":
        write_json_lines([report.to_dict()])
    else:
        _print_table(report)


def _evaluate_ensemble(models: list[str], data: Path, split: str, *, record: bool, output: str) -> None:
    from soundseek.learn.evaluation.ensemble import VALIDATION, evaluate_ensemble

    if record:
        raise UsageError("--record writes into one model's card; leave it away with --ensemble")
    twice = sorted({model for model in models if models.count(model) > 1})
    if twice:
        raise UsageError(f"{twice[0]} is given twice; an ensemble needs different models")
    if split == VALIDATION:
        print(f"weights chosen on {split} flatter the ensemble there; ask another split", file=sys.stderr)
    members = {model: _embedder(model) for model in models}
    _say_who_learned_from(VALIDATION, members)
    report = evaluate_ensemble(members, data, split)
    if output == "json":
        write_json_lines([report.to_dict()])
    else:
        _print_ensemble(report)


def _say_if_learned_from(split: str, model: str, embedder: Embedder) -> None:
    """Warn where a model is asked what it has learned by heart."""
    from soundseek.learn.training.run_folder import has_learned_from

    if has_learned_from(getattr(embedder, "directory", None) or Path(model), split):
        print(
            f"{model} learned from {split}: these scores say what it remembers, not what it finds",
            file=sys.stderr,
        )


def _say_who_learned_from(split: str, members: Mapping[str, Embedder]) -> None:
    """Warn where weights chosen on a split favour the members that know its answers."""
    from soundseek.learn.training.run_folder import has_learned_from

    places = {name: getattr(member, "directory", None) or Path(name) for name, member in members.items()}
    learned = [name for name, place in places.items() if has_learned_from(place, split)]
    if learned:
        print(
            f"{' and '.join(learned)} learned from {split}, where weights are chosen, so they get too much weight",
            file=sys.stderr,
        )


def _embedder(model: str) -> Embedder:
    from soundseek.learn.training.run_folder import is_run

    if is_run(Path(model)):
        from soundseek.learn.evaluation.evaluate import RunEmbedder
        from soundseek.learn.training.run_folder import load_run

        return RunEmbedder(*load_run(Path(model)), report=FeatureProgress())
    from soundseek.model.registry import load_model

    need_model(model)
    return load_model(model)


def _print_ensemble(report: EnsembleReport) -> None:
    from rich.markup import escape

    from soundseek.learn.evaluation.rankings import METRICS

    whole = report.report
    title = f"{whole.split}: {whole.num_captions:,} captions of {whole.num_clips:,} sounds; caption to sound"
    rows = plain_table("%", "weight", *METRICS.values(), title=title)
    systems = [(escape(each.name), f"{each.weight:.2f}", each.report) for each in report.members]
    for name, weight, each in (*systems, ("together", "", whole)):
        intervals = [getattr(each.text_to_audio, metric) for metric in METRICS]
        rows.add_row(name, weight, *(f"[cyan]{100 * found.value:.1f}[/]" for found in intervals))
        rows.add_row(
            "", "", *(f"[dim]{100 * found.low:.1f} to {100 * found.high:.1f}[/]" for found in intervals)
        )
    console().print(rows)
    change = report.difference.difference
    console().print(
        f"together minus the best of them ({escape(report.best)}): mAP@10 {100 * change.value:+.1f} points,"
        f" 95 % interval {100 * change.low:+.1f} to {100 * change.high:+.1f}, p = {report.difference.p_value:.3f};"
        f" weights from {report.weights_from}",
        soft_wrap=True,
    )


def _print_table(report: EvaluationReport) -> None:
    from soundseek.learn.evaluation.rankings import METRICS

    title = f"{report.split}: {report.num_captions:,} captions of {report.num_clips:,} sounds"
    rows = plain_table("%", *METRICS.values(), title=title)
    for direction, shown in _DIRECTIONS.items():
        metrics = getattr(report, direction)
        intervals = [getattr(metrics, name) for name in METRICS]
        rows.add_row(shown, *(f"[cyan]{100 * each.value:.1f}[/]" for each in intervals))
        rows.add_row("", *(f"[dim]{100 * each.low:.1f} to {100 * each.high:.1f}[/]" for each in intervals))
    console().print(rows)
    if report.num_shared_captions:
        counted = report.equal_captions_count.mAP10.value
        console().print(
            f"{report.num_shared_captions:,} captions stand on several sounds word for word; where each of these is "
            f"right, mAP@10 is {100 * counted:.1f}",
            soft_wrap=True,
        )
