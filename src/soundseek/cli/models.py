"""`soundseek models`: the models on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundseek.cli.options import JsonOption, LibraryOption, TableOption, open_library
from soundseek.cli.output import choose_format, console, printable, write, write_json_lines
from soundseek.errors import LibraryError, ModelError


def models(library: LibraryOption = None, json: JsonOption = False, table: TableOption = False) -> None:
    """List the models on this machine: size, licence, scores, and which of them the library uses."""
    from soundseek.model.catalog import installed_models, models_folder

    output = choose_format(json=json, table=table)
    used = fingerprint_of_library(library)
    records = [describe(name, directory, used) for name, directory in sorted(installed_models().items())]
    if output == "json":
        write_json_lines(records)
    elif not records:
        write(f"no model is installed; put a model directory into {models_folder()}, or give --model DIR\n")
    else:
        _print_table(records)


def describe(name: str, directory: Path, used: str | None = None) -> dict[str, Any]:
    """What there is to say of a model directory; a damaged one has an `error`.

    Args:
        name: The name `--model` takes.
        directory: The model directory.
        used: Fingerprint of the model that filled the library, if there is one.
    """
    from soundseek.model.card import ModelCard

    size_bytes = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    place = {"name": name, "directory": str(directory), "size_bytes": size_bytes}
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
        cells = [record["name"], f"{record['size_bytes'] / 1e6:.1f} MB", record.get("license", ""), scores]
        rows.add_row(*map(Text, cells), Text(printable(remark)))
    console().print(rows)
