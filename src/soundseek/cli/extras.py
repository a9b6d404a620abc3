"""Packages of an extra that are not here: which they are, and the pip command that brings them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from soundseek._install import install_command
from soundseek.errors import UsageError


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
