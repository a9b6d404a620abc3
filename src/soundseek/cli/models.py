"""`soundseek models`: the models on this machine, and those that can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from soundseek.cli.get import get
from soundseek.cli.main import plain_errors
from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, console, printable, write, write_json_lines
from soundseek.errors import LibraryError, ModelError

models = typer.Typer(
    name="models",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models.command("get")(plain_errors(get))


@models.callback(invoke_without_command=True)
@plain_errors
def list_models(
    context: typer.Context,
    library: LibraryOption = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """List the models here and those to be had: size, licence, scores, and which of them the library uses.

    A model to be had is made by: soundseek models get NAME
    """
    from soundseek.model.catalog import installed_models, models_folder

    if context.invoked_subcommand is not None:
        return
    output = choose_format(json=json, table=table)
    used = fingerprint_of_library(library)
    installed = installed_models()
    records = [describe(name, directory, used) for name, directory in sorted(installed.items())]
    records = _with_offers(records)
    if output == "json":
        write_json_lines(records)
    elif not records:
        write(f"no model is installed; put a model directory into {models_folder()}, or give --model DIR\n")
    else:
        _print_table(records)


def _with_offers(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The installed models, and behind them what can be had and is not here; an outdated one says so."""
    from soundseek.model.offers import Offer, offered_models

    by_name = {record["name"]: record for record in records}
    for name, directory in offered_models().items():
        offer = Offer.read(directory)
        here = by_name.setdefault(name, {"name": name, "installed": False, **_describe_offer(offer)})
        if here["installed"] and here.get("fingerprint") != offer.fingerprint:
            here["get"] = _command(name)
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


def _command(name: str) -> str:
    return f"soundseek models get {name}"


def describe(name: str, directory: Path, used: str | None = None) -> dict[str, Any]:
    """What there is to say of a model directory; a damaged one has an `error`.

    Args:
        name: The name `--model` takes.
        directory: The model directory.
        used: Fingerprint of the model that filled the library, if there is one.
    """
    from soundseek.model.card import ModelCard

    size_bytes = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    place = {"name": name, "installed": True, "directory": str(directory), "size_bytes": size_bytes}
    try:
        card = ModelCard.read(directory)
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


def fingerprint_of_library(directory: Path | None) -> str | None:
    """Fingerprint of the model that filled a library; None if there is no library yet."""
    try:
        with open_library(directory, None, create=False) as opened:
            return opened.info().fingerprint
    except (LibraryError, ModelError):
        return None


def _print_table(records: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=SIMPLE_HEAD, show_edge=False, header_style="bold")
    for column in ("model", "size", "licence", "scores", ""):
        rows.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for record in records:
        scores = "\n".join(f"{name} {value:.3g}" for name, value in record.get("scores", {}).items())
        remark = record.get("error") or record["summary"]
        if record.get("used_by_library"):
            remark = f"used by the library. {remark}"
        if not record["installed"]:
            download_mb = record["download_bytes"] / 1e6
            remark = f"to be had ({download_mb:.1f} MB to download): {record['get']}. {remark}"
        elif "get" in record:
            remark = f"another version is to be had: {record['get']}. {remark}"
        cells = [record["name"], f"{record['size_bytes'] / 1e6:.1f} MB", record.get("license", ""), scores]
        rows.add_row(*map(Text, cells), Text(printable(remark)))
    console().print(rows)
