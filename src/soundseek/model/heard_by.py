"""Which model heard the sounds that a file of a model directory is made of: vectors of another mean nothing.

Stored is `ModelConfig.hears_like`, so that what a model keeps is good for those adapted from it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from soundseek.errors import ModelError

_KEY = "heard_by"


def heard_by_array(heard_by: str) -> dict[str, Any]:
    """What `numpy.savez` stores of it; nothing where it is not known."""
    return {_KEY: np.array(heard_by, np.str_)} if heard_by else {}


def read_heard_by(path: Path, stored: Mapping[str, Any], hears_like: str) -> str:
    """The fingerprint that a file has; empty in one of before.

    Args:
        path: Of the file, for the error.
        stored: Its arrays.
        hears_like: The fingerprint of the model that the directory has; empty: not known, and not compared.

    Raises:
        ModelError: The file is of another model.
    """
    heard_by = str(stored[_KEY]) if _KEY in stored else ""
    if heard_by and hears_like and heard_by != hears_like:
        raise ModelError(
            f"{path} is of the model {heard_by}, and this directory's is {hears_like}; "
            "make it anew: soundseek calibrate"
        )
    return heard_by
