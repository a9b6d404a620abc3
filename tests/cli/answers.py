"""What a command answered, and what a library holds, for tests to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundseek.errors import LibraryError
from soundseek.library import Library


def records(output: bytes) -> list[dict[str, Any]]:
    """The objects of a command's JSON lines."""
    return [json.loads(line) for line in output.decode().splitlines()]


def embedded_in(library: Path) -> int:
    """Files that a library holds; none while it is still being made."""
    try:
        with Library.open(library, create=False) as opened:
            return opened.info().files
    except LibraryError:
        return 0
