"""`soundseek models`: the models on this machine, and those that can be had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from soundseek.cli.get import get_command
from soundseek.cli.main import commands_of, plain_errors
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, console, dense_table, printable, write, write_json_lines
from soundseek.cli.push import push_command
from soundseek.errors import LibraryError, ModelError

if TYPE_CHECKING:
    from rich.table import Table

    from soundseek.model.published import PublishedModel

models_command = commands_of(name="models")
models_command.command("get")(plain_errors(get_command))
models_command.command("push")(plain_errors(push_command))


@models_command.callback(invoke_without_command=True)
@plain_errors
def list_models_command(
    context: typer.Context,
    library: LibraryOption = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """List installed and available models, with size, licence and scores.

    A model to be had is made by: soundseek models get NAME
    """
    from soundseek.model.registry import installed_models, models_folder

    if context.invoked_subcommand is not None:
        return
    output = choose_format(json=json, table=table)
    used = fingerprint_of_library(library)
    installed = installed_models()
    records = [describe_model(name, directory, used) for name, directory in sorted(installed.items())]
    records = _with_offers(records)
    if output == "json":
        write_json_lines(records)
    elif not records:
        write(f"no model is installed; put a model directory into {models_folder()}, or give --model DIR\n")
    else:
        _print_table(records)


def _with_offers(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The installed models, and behind them what can be had and is not here; an outdated one says so."""
    from soundseek.model.published import PUBLISHED
    from soundseek.model.registry import AvailableModel, available_models

    by_name = {record["name"]: record for record in records}
    for name, directory in available_models().items():
        offer = AvailableModel.read(directory)
        here = by_name.setdefault(name, {"name": name, "installed": False, **_describe_offer(offer)})
        if here["installed"] and here.get("fingerprint") != offer.fingerprint:
            here["get"] = _command(name)
    for name, model in PUBLISHED.items():
        by_name.setdefault(name, {"name": name, "installed": False, **_describe_published(model)})
    return list(by_name.values())


def _describe_offer(offer: Any) -> dict[str, Any]:
    return {
        "size_bytes": offer.size_bytes,
        "download_bytes": offer.trunk.size_bytes,
        "license": offer.license,
        "scores": offer.scores,
        "summary": offer.summary,
        "fingerprint": offer.fingerprint,
        "get": _command(offer.name),
    }


def _describe_published(model: PublishedModel) -> dict[str, Any]:
    return {
        "size_bytes": model.size_bytes,
        "download_bytes": model.download_bytes,
        "license": model.license,
        "scores": model.scores,
        "scores_source": model.scores_source,
        "summary": model.summary,
        "get": _command(model.name),
    }


def _command(name: str) -> str:
    return f"soundseek models get {name}"


def describe_model(name: str, directory: Path, used: str | None = None) -> dict[str, Any]:
    """What there is to say of a model directory; a damaged one has an `error`.

    Args:
        name: The name `--model` takes.
        directory: The model directory.
        used: Fingerprint of the model that filled the library, if there is one.
    """
    from soundseek.model.config import ModelConfig

    size_bytes = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    place = {"name": name, "installed": True, "directory": str(directory), "size_bytes": size_bytes}
    try:
        card = ModelConfig.read(directory)
    except ModelError as error:
        return {**place, "error": str(error)}
    return {
        **place,
        "version": card.version,
        "license": card.license,
        "dim": card.dim,
        "scores": card.scores,
        "summary": card.summary,
        "fingerprint": card.fingerprint,
        "used_by_library": used is not None and card.fingerprint == used,
    }


def fingerprint_of_library(directory: str | Path | None) -> str | None:
    """Fingerprint of the model that filled a library; None if there is no library yet."""
    try:
        with open_library(directory, None, create=False) as opened:
            return opened.info().fingerprint
    except (LibraryError, ModelError):
        return None


def _print_table(records: list[dict[str, Any]]) -> None:
    """A row a model with its scores in percent, and below what there is to say of each."""
    from rich.table import Table
    from rich.text import Text

    terminal = console()
    terminal.print(_scores_table(records))
    if any(record.get("scores") for record in records):
        terminal.print(
            Text(
                "\nIn percent. R1, R5, R10, mAP10: on captioned sounds kept apart; evaluation: of collections that the "
                "model has heard others of; never met: of twelve collections that models trained alike had not, and "
                "harder ones. With listeners' sentences about other recordings soundseek-plus was ahead, so try it, "
                "too, on sounds of your own. Scores of others' models are as published, and were not measured here.",
                style="dim",
            )
        )
    remarks = Table(box=None, show_header=False, padding=(1, 2, 0, 0), pad_edge=False)
    remarks.add_column(style="bold", overflow="fold")
    remarks.add_column(overflow="fold")
    for record in records:
        remarks.add_row(Text(printable(record["name"])), Text(printable(_remark(record))))
    terminal.print(remarks)


def _scores_table(records: list[dict[str, Any]]) -> Table:
    from rich.text import Text

    scores = [_by_split(record.get("scores", {})) for record in records]
    metrics = list(dict.fromkeys(name for each in scores for values in each.values() for name in values))
    rows = dense_table()
    rows.add_column("model", no_wrap=True)
    rows.add_column("size", justify="right", no_wrap=True)
    rows.add_column("licence", overflow="fold")
    if metrics:
        rows.add_column("scores on", no_wrap=True)
    for metric in metrics:
        rows.add_column(printable(metric), justify="right", style="cyan", no_wrap=True)
    for record, by_split in zip(records, scores, strict=True):
        facts = [record["name"], _megabytes(record["size_bytes"]), record.get("license", "")]
        for split, values in (by_split or {"": {}}).items():
            numbers = [_percent(values[metric]) if metric in values else "" for metric in metrics]
            cells = [*facts, *([split] if metrics else []), *numbers]
            rows.add_row(*(Text(printable(cell)) for cell in cells))
            facts = [""] * len(facts)
    return rows


def _megabytes(size_bytes: int) -> str:
    """A size; tenths only where they matter.

    Example:
        >>> _megabytes(39_460_000), _megabytes(618_000_000)
        ('39.5 MB', '618 MB')
    """
    amount = size_bytes / 1e6
    return f"{amount:.0f} MB" if amount >= 100 else f"{amount:.1f} MB"


def _percent(share: float) -> str:
    """A share with one decimal of its percents, a half rounded up as on paper (in binary, 39.25 may be below itself).

    Example:
        >>> _percent(0.18), _percent(0.3925)
        ('18.0', '39.3')
    """
    return f"{100 * share + 1e-9:.1f}"


def _by_split(scores: dict[str, float]) -> dict[str, dict[str, float]]:
    """Scores as a card names them ("evaluation R1"), as split -> metric -> share."""
    found: dict[str, dict[str, float]] = {}
    for name, value in scores.items():
        split, _, metric = name.rpartition(" ")
        found.setdefault(split, {})[metric] = value
    return found


def _remark(record: dict[str, Any]) -> str:
    remark: str = record.get("error") or record["summary"]
    if record.get("used_by_library"):
        remark = f"used by the library. {remark}"
    if not record["installed"]:
        source = f" Scores: {record['scores_source']}." if record.get("scores_source") else ""
        download = f"{record['download_bytes'] / 1e6:.1f} MB to download"
        return f"to be had: {record['get']} ({download}). {remark}{source}"
    return f"another version is to be had: {record['get']}. {remark}" if "get" in record else remark
