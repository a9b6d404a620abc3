"""The pip command that adds an extra to this soundseek, whichever way it was installed."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import soundseek

_CONSTRAINTS = "constraints.txt"


def install_command(extra: str) -> str:
    """The pip command that adds an extra to this soundseek, whatever folder it is given in.

    An installed wheel already fulfils the name `soundseek`, so pip fetches the extra's packages alone. In a clone, the
    constraints hold PyTorch to its CPU build.
    """
    clone, is_editable = _clone()
    if clone is None:
        return f'pip install "soundseek[{extra}]"'
    constraints = shlex.quote(str(clone / _CONSTRAINTS))
    return f"pip install -c {constraints} {'-e ' if is_editable else ''}{shlex.quote(f'{clone}[{extra}]')}"


def _clone() -> tuple[Path | None, bool]:
    """The clone that this soundseek runs in or was installed from, if it is here, and whether it runs in it."""
    source = Path(soundseek.__file__).resolve().parents[2]
    if (source / "pyproject.toml").is_file() and (source / _CONSTRAINTS).is_file():
        return source, True
    try:
        origin = json.loads(distribution("soundseek").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    folder = Path(url2pathname(urlsplit(origin.get("url", "")).path))
    is_clone = "dir_info" in origin and (folder / _CONSTRAINTS).is_file()
    return (folder, False) if is_clone else (None, False)
