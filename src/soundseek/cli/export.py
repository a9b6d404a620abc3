"""`soundseek export`: a run folder -> a model directory that the searching half reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from soundseek.cli.options import JsonOption
from soundseek.cli.output import write_json_lines
from soundseek.errors import UsageError

_PRECISIONS = ("fp32", "int8")


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder of: soundseek train", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The model directory; made if missing.")],
    precision: Annotated[
        str, typer.Option("--precision", metavar="P", help="Of the text network's matrices: fp32 or int8.")
    ] = "fp32",
    json: JsonOption = False,
) -> None:
    """Export a trained run as a model directory, and check that it gives the same vectors."""
    from soundseek.learn.export import export_run

    if precision not in _PRECISIONS:
        raise UsageError(f"no precision {precision!r}; choose one of {', '.join(_PRECISIONS)}")
    parity = export_run(run, out, precision=cast('Literal["fp32", "int8"]', precision))
    if json:
        write_json_lines([{"model": str(out), "parity": parity}])
        return
    agreement = ", ".join(f"{name} {value:.6f}" for name, value in parity.items())
    print(f"exported to {out}; least cosine between PyTorch and ONNX: {agreement}", file=sys.stderr)
