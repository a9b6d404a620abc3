"""Models that can be had: heads that come with soundseek, for a trunk that its own publisher gives out.

A directory of `offered/` holds `offer.json` (the `Offer`), `heads.safetensors` and `recipe.yaml` (for the learning
half, which joins them with the trunk), `probes.npz` (the vectors that the joined model must give) and `words.txt` (see
`model/spelling.py`).

Which models are here, and where: the bundled one, and those in the user's data folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundseek.errors import ModelError, UnknownModelError
from soundseek.model.config import CARD_FILE
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


OFFERED = Path(__file__).parent / "offered"
OFFER_FILE = "offer.json"
HEADS_FILE = "heads.safetensors"
HEADS_RECIPE_FILE = "recipe.yaml"
PROBES_FILE = "probes.npz"

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


class Offer(BaseModel):
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
    def read(cls, directory: Path) -> Offer:
        """The offer in a directory of `offered/`.

        Raises:
            ModelError: There is none, or one that this version cannot read.
        """
        path = directory / OFFER_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ModelError(f"{path} cannot be read: {error}. Install soundseek again") from error

    def write(self, directory: Path) -> None:
        """Write `offer.json`."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (directory / OFFER_FILE).write_text(text + "\n", encoding="utf-8")


def offered_models() -> dict[str, Path]:
    """Names and directories of the models that `soundseek models get` can make."""
    return {path.parent.name: path.parent for path in sorted(OFFERED.glob(f"*/{OFFER_FILE}"))}
