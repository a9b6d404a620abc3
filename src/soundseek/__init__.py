"""Find recorded sounds by describing them in words.

The public names are imported when they are first used, so `import soundseek` itself costs next to nothing.

Example:
    >>> import soundseek
    >>> soundseek.Hit(path="rain.ogg", start_s=0.0, end_s=2.0, score=0.5, moments=(0.4, 0.6)).path
    'rain.ogg'
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from soundseek import errors as errors
from soundseek._lazy import lazy_names

if TYPE_CHECKING:
    from soundseek.library import Hit as Hit
    from soundseek.library import Library as Library
    from soundseek.model.model import Model as Model
    from soundseek.model.model import similarity as similarity
    from soundseek.model.registry import list_models as list_models
    from soundseek.model.registry import load_model as load_model

    __version__: str

# Since 1.29 ONNX Runtime tells its maker of the machine and of the models that it runs, unless this is set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "Hit": "soundseek.library",
    "Library": "soundseek.library",
    "Model": "soundseek.model.model",
    "list_models": "soundseek.model.registry",
    "load_model": "soundseek.model.registry",
    "similarity": "soundseek.model.model",
}

__all__ = [*_HOMES, "__version__", "errors"]

_get, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "") | _HOMES)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _get(name)
    from importlib.metadata import version

    return version("soundseek")
