"""`soundseek export`: a run folder -> a model directory that the searching half reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from soundseek.cli.options import JsonOption, TableOption, argument, need_run, option
from soundseek.cli.output import choose_format, printable, write, write_json_lines
from soundseek.errors import UsageError

_PRECISIONS = ("fp32", "int8")
_AUDIO_PRECISIONS = ("fp32", "int8-weights", "int8")


def export_command(
    run: Annotated[Path, argument(metavar="RUN", help="A run folder of soundseek train.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The model directory; created if missing.")
    ],
    precision: Annotated[
        str, typer.Option("--precision", metavar="P", help="Precision of the text network: fp32 or int8.")
    ] = "fp32",
    audio_precision: Annotated[
        str,
        typer.Option(
            "--audio-precision",
            metavar="P",
            help="Precision of the audio network: fp32, int8-weights or int8 (faster for networks such as CNN14).",
        ),
    ] = "fp32",
    calibrate: Annotated[
        Path | None,
        option(
            "--calibrate",
            metavar="FOLDER",
            help="Folder of a few dozen sounds that set the ranges of int8; default: synthetic sounds.",
        ),
    ] = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Export a run as a model directory and check that it gives the same vectors."""
    output = choose_format(json=json, table=table)
    need_run(run)
    text = cast('Literal["fp32", "int8"]', _one_of("--precision", precision, _PRECISIONS))
    audio = cast(
        'Literal["fp32", "int8-weights", "int8"]',
        _one_of("--audio-precision", audio_precision, _AUDIO_PRECISIONS),
    )
    if calibrate is not None and audio != "int8":
        raise UsageError("--calibrate sets the ranges of int8 convolutions; add --audio-precision int8")

    from soundseek.learn.export.export import export_run
    from soundseek.learn.export.quantize import find_calibration_sounds

    skipped: list[str] = []
    sounds = [] if calibrate is None else find_calibration_sounds(calibrate, report=skipped.append)
    for line in skipped:
        print(line, file=sys.stderr)
    parity = export_run(run, out, precision=text, audio_precision=audio, calibration=sounds)
    if output == "json":
        write_json_lines([{"model": str(out), "parity": parity}])
        return
    agreement = ", ".join(f"{name} {value:.6f}" for name, value in parity.items())
    write(printable(f"exported to {out}; least cosine between PyTorch and ONNX: {agreement}") + "\n")


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageError(f"no precision {value!r} for {option}; choose one of {', '.join(choices)}")
    return value
