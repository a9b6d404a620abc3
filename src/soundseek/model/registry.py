"""The models there are: bundled, in the user's data folder, or available (`soundseek models get` makes them).

A directory of `offered/` is an available model: `offer.json` (`AvailableModel`), `heads.safetensors` and `recipe.yaml`
(for the learning half, which puts them on the trunk that its publisher gives out), `probes.npz` (golden vectors: what
the finished model must give) and `words.txt` (see `model/spelling.py`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundseek.errors import ModelError, UnknownModelError, UsageError
from soundseek.model.config import CONFIG_FILE
from soundseek.model.model import Model

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
            found |= {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG_FILE}"))}
    return found


def list_models() -> list[str]:
    """Names that `load_model` takes on this machine, sorted.

    Example:
        >>> "soundseek-small" in list_models()
        True
    """
    return sorted(installed_models())


def load_model(name_or_dir: str | Path | None = None, *, threads: int = 1) -> Model:
    """A model by name or directory.

    Args:
        name_or_dir: A name (`soundseek models` lists them) or a model directory; None takes the environment's
            `SOUNDSEEK_MODEL`, else the bundled soundseek-small.
        threads: Threads of each network.

    Raises:
        UnknownModelError: No such model.
        ModelError: It is incomplete, or of another version.
        UsageError: Neither a text nor a path.
    """
    if name_or_dir is not None and not isinstance(name_or_dir, str | Path):
        raise UsageError(f"load_model takes a name or a directory, not {type(name_or_dir).__name__}")
    wanted = str(name_or_dir or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL)
    directory = Path(wanted).expanduser()
    if directory.is_dir():
        return Model(directory, threads=threads)
    installed = installed_models()
    if wanted not in installed:
        if wanted in available_models():
            raise UnknownModelError(f"{wanted} is not here yet; fetch it with: soundseek models get {wanted}")
        names = ", ".join(sorted(installed)) or "none"
        raise UnknownModelError(
            f"no model {wanted!r}: neither a directory nor one of those installed ({names})"
        )
    return Model(installed[wanted], threads=threads)


AVAILABLE = Path(__file__).parent / "offered"
AVAILABLE_FILE = "offer.json"
HEADS_FILE = "heads.safetensors"
HEADS_RECIPE_FILE = "recipe.yaml"
GOLDEN_FILE = "probes.npz"

_Digest = Field(pattern="^[0-9a-f]{64}$")


class TrunkFile(BaseModel):
    """A trunk as its publisher gives it out.

    Attributes:
        name: Its file name.
        url: Where it is.
        size_bytes: Its length.
        sha256: Of the file.
        tensors_sha256: Of names and values, whatever the container; see `tensors_digest`.
        license: Of the weights, as an SPDX expression.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    url: str
    size_bytes: int = Field(gt=0)
    sha256: str = _Digest
    tensors_sha256: str = _Digest
    license: str


class AvailableModel(BaseModel):
    """The whole of `offer.json`.

    Attributes:
        name: What `soundseek models get` and `--model` take.
        license: Of the heads, as an SPDX expression.
        summary: One line.
        credits: Whose work is in the joined model.
        limits: What it is bad at.
        trunk: What is downloaded.
        precision: Of the text network's matrices in the joined model.
        fingerprint: Of the joined model. It is made of heads, trunk and front end and not of the exported files,
            whose bytes differ between versions of the exporter while the vectors do not.
        size_bytes: Of the joined model on disk.
        working_bytes: What joining needs on disk meanwhile.
        scores: As in a model's card.
        training: As in a model's card.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    license: str
    summary: str
    credits: tuple[str, ...]
    limits: tuple[str, ...] = ()
    trunk: TrunkFile
    precision: Literal["fp32", "int8"]
    fingerprint: str
    size_bytes: int = Field(gt=0)
    working_bytes: int = Field(gt=0)
    scores: dict[str, float] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> AvailableModel:
        """The offer in a directory of `offered/`.

        Raises:
            ModelError: There is none, or one that this version cannot read.
        """
        path = directory / AVAILABLE_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ModelError(f"{path} cannot be read: {error}. Install soundseek again") from error

    def write(self, directory: Path) -> None:
        """Write `offer.json`."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (directory / AVAILABLE_FILE).write_text(text + "\n", encoding="utf-8")


def available_models() -> dict[str, Path]:
    """Names and directories of the models that `soundseek models get` can make."""
    return {path.parent.name: path.parent for path in sorted(AVAILABLE.glob(f"*/{AVAILABLE_FILE}"))}
