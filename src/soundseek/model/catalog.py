"""Which models are here, and where: the bundled one, and those in the user's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from soundseek.errors import UnknownModelError
from soundseek.model.card import CARD_FILE
from soundseek.model.embedder import Model
from soundseek.model.offers import offered_models

DEFAULT_MODEL = "soundseek-small"
MODEL_VARIABLE = "SOUNDSEEK_MODEL"
BUNDLED = Path(__file__).parent / "bundled"


def models_folder() -> Path:
    """Where `soundseek models get` puts models, and where names are looked up."""
    import platformdirs

    return Path(platformdirs.user_data_dir("soundseek")) / "models"


def installed_models() -> dict[str, Path]:
    """Names and directories of the models on this machine; one in the data folder hides a bundled one."""
    found: dict[str, Path] = {}
    for folder in (BUNDLED, models_folder()):
        if folder.is_dir():
            found |= {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CARD_FILE}"))}
    return found


def load_model(path: str | Path | None = None, *, threads: int = 1) -> Model:
    """A model by name or directory.

    Args:
        path: A name (`soundseek models` lists them) or a model directory; None takes the environment's
            `SOUNDSEEK_MODEL`, else the bundled soundseek-small.
        threads: Threads of each network.

    Raises:
        UnknownModelError: No such model.
        ModelError: It is incomplete, or of another version.
    """
    wanted = str(path or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL)
    directory = Path(wanted).expanduser()
    if directory.is_dir():
        return Model(directory, threads=threads)
    installed = installed_models()
    if wanted not in installed:
        if wanted in offered_models():
            raise UnknownModelError(f"{wanted} is not here yet; fetch it with: soundseek models get {wanted}")
        names = ", ".join(sorted(installed)) or "none"
        raise UnknownModelError(
            f"no model {wanted!r}: neither a directory nor one of those installed ({names})"
        )
    return Model(installed[wanted], threads=threads)
