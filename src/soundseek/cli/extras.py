"""Packages of an extra that are not here: which they are, and the pip command that brings them."""

from __future__ import annotations

import importlib.util
import json
import shlex
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import soundseek
from soundseek.errors import UsageError

_CONSTRAINTS = "constraints.txt"


def need(modules: Sequence[str], *, extra: str, why: str) -> None:
    """Nothing if all modules are here.

    Args:
        modules: As they are imported.
        extra: The extra of soundseek that brings them.
        why: What they are needed for, a sentence without its full stop.

    Raises:
        UsageError: Some are missing; it says which, and how to install them.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"{why}, and {not_installed(missing)}: {install_command(extra)}")


def not_installed(modules: Sequence[str]) -> str:
    """What is missing, as a clause.

    Example:
        >>> not_installed(["torch"]), not_installed(["torch", "onnx", "yaml"])
        ('torch is not installed', 'torch, onnx and yaml are not installed')
    """
    *first, last = modules
    return f"{', '.join(first)} and {last} are not installed" if first else f"{last} is not installed"


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
