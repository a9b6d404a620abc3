"""`soundseek models push`: a model directory shared on a model hub."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

from soundseek.cli.extras import need
from soundseek.cli.options import JsonOption, argument, need_folder, need_model, option
from soundseek.cli.output import printable, write_json_lines
from soundseek.errors import UsageError

_PLACE = re.compile(r"hf:([\w.-]+/[\w.-]+)")


def push_command(
    directory: Annotated[Path, argument(metavar="DIR", help="A model directory.")],
    place: Annotated[str, argument(metavar="hf:USER/REPO", help="Where it goes; made if missing.")],
    private: Annotated[bool, option("--private", help="Let only you see it, where it is made.")] = False,
    json: JsonOption = False,
) -> None:
    """Share a model directory on the model hub, with its card; others get it by: soundseek models get hf:USER/REPO

    Log in first: hf auth login, or set HF_TOKEN. HF_ENDPOINT names another hub.
    """
    need_folder(directory, "DIR", "it takes a model directory, as soundseek export makes it")
    need_model(str(directory))
    if not (found := _PLACE.fullmatch(place)):
        raise UsageError(f"{place} is no place on the hub: write hf:USER/REPO")
    need(("torch", "huggingface_hub"), extra="learn", why="sharing a model takes the hub's own client")
    from soundseek.learn.export.hub import push_model

    address = push_model(directory, found[1], private=private)
    if json:
        write_json_lines([{"directory": str(directory), "address": address}])
    else:
        print(f"shared: {printable(address)}", file=sys.stderr)
        print(f"others get it by: soundseek models get {printable(place)}", file=sys.stderr)
