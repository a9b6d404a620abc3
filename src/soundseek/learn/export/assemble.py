"""Heads that come with soundseek + a trunk from its publisher -> a model directory, checked and whole or not there."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from torch import Tensor, nn

from soundseek._files import replacing
from soundseek._typing import Report
from soundseek.errors import ModelError, UsageError
from soundseek.learn.datasets.download import CannotFetchError, Patience, fetch, need_space
from soundseek.learn.datasets.sources import RemoteFile
from soundseek.learn.export.export import export_run
from soundseek.learn.export.golden_vectors import AGREEMENT, agreement
from soundseek.learn.export.model_card import write_readme
from soundseek.learn.export.replace import MODEL_FILES, QUERY_FILES, built_beside
from soundseek.learn.models.audio.tags import WithTags
from soundseek.learn.models.build import build_trunk
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import load_recipe, save_recipe
from soundseek.learn.training.run_folder import MODEL_FILE, RECIPE_FILE, RECORD_FILE
from soundseek.model.config import ModelConfig
from soundseek.model.registry import GOLDEN_FILE, HEADS_FILE, HEADS_RECIPE_FILE, AvailableModel

Done = Literal["made", "replaced", "mended", "here"]


@dataclass(frozen=True)
class Got:
    """What `get_model` did.

    Attributes:
        directory: The model directory.
        done: "made", "replaced" (one that gave other vectors), "mended" (a damaged one, or one without its words or
            its `match.npz`), or "here": nothing was to do.
        agreement: Least cosine between its vectors of the probes and those that it should give.
    """

    directory: Path
    done: Done
    agreement: float


def get_model(
    offered: Path,
    out: Path,
    *,
    trunk: Path | None = None,
    mirror: str | None = None,
    downloads: Path | None = None,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
    patience: Patience | None = None,
) -> Got:
    """Make the model directory of an offered model, unless it is here already.

    Everything is made in a scratch folder beside `out` and moved in one step when it is checked.

    Args:
        offered: A directory of `available_models`.
        out: The model directory.
        trunk: The trunk's file, if it shall not be downloaded: `.pt` as published, or its tensors in `.safetensors`.
        mirror: A folder on the web that has the trunk by its name.
        downloads: Where the download is kept; the user's cache folder by default.
        report: Called with the progress of the download.
        say: Called with what begins after it.
        patience: How long to try it.

    Raises:
        CannotFetchError: The trunk cannot be had; the message says how to fetch it by hand.
        DataError: No space, or the server sends something else than what was published.
        ModelError: `trunk` is another network, or the joined model does not give the vectors that it should.
        UsageError: `out` holds something else.
    """
    offer = AvailableModel.read(offered)
    before = _fingerprint_there(out, offer)
    if before == offer.fingerprint and (found := _agreement_if_whole(out, offered)) is not None:
        return Got(out, "mended" if take_further_files(offered, out) else "here", found)
    if trunk is not None:
        _check_trunk(trunk, load_recipe(offered / HEADS_RECIPE_FILE), offer)
    out.parent.mkdir(parents=True, exist_ok=True)
    need_space(out.parent, offer.working_bytes, offer.name)
    if trunk is None:
        trunk = _fetch_trunk(offer, downloads or downloads_folder(), mirror, report, patience)
    if say:
        say(f"joining {offer.name}'s heads with {trunk.name}: about a minute")
    with built_beside(out, needs_bytes=offer.working_bytes) as made:
        join(offered, trunk, made)
        found = check_golden(made, offered)
    done: Done = "made" if before is None else "mended" if before == offer.fingerprint else "replaced"
    return Got(out, done, found)


def downloads_folder() -> Path:
    """Where downloaded trunks are kept. It may be deleted."""
    return user_cache_path("soundseek", appauthor=False) / "downloads"


def join(offered: Path, trunk: Path, out: Path) -> None:
    """Export an offered model's heads with their trunk as a model directory; its vectors are not checked.

    Raises:
        ModelError: `trunk` is not the trunk that the heads were trained on, or the export fails its parity check.
    """
    offer = AvailableModel.read(offered)
    recipe = load_recipe(offered / HEADS_RECIPE_FILE)
    _check_trunk(trunk, recipe, offer)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        run = Path(folder)
        weights = run / f"trunk{trunk.suffix}"
        shutil.copyfile(trunk, weights)
        shutil.copyfile(offered / HEADS_FILE, run / MODEL_FILE)
        (run / RECORD_FILE).write_text(json.dumps(offer.training), encoding="utf-8")
        save_recipe(with_trunk(recipe, Path(weights.name)), run / RECIPE_FILE)
        export_run(run, out, precision=offer.precision, name=offer.name, with_words=False)
    card = ModelConfig.read(out)
    facts = ("license", "summary", "credits", "limits", "scores", "fingerprint")
    card = card.model_copy(update={name: getattr(offer, name) for name in facts})
    card.write(out)
    write_readme(out, card)
    take_further_files(offered, out)


def check_golden(directory: Path, offered: Path) -> float:
    """The least cosine between a joined model's vectors of the probes and the stored ones.

    Raises:
        ModelError: It is too small.
    """
    found = agreement(directory, offered / GOLDEN_FILE)
    if not found >= AGREEMENT:
        raise ModelError(
            f"the joined model gives other vectors than it should: cosine {found:.6f}, at least {AGREEMENT} "
            "expected; its scores would not hold. Please report it with the output of: pip list"
        )
    return found


def with_trunk(recipe: Recipe, weights: Path | None) -> Recipe:
    """The same recipe with other trunk weights."""
    return recipe.model_copy(update={"audio": recipe.audio.model_copy(update={"weights": weights})})


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 over names, types, shapes and values in the order of the names: one for every container."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def published_tensors(network: nn.Module) -> dict[str, Tensor]:
    """A trunk's tensors as its publisher names them, also where it is wrapped to carry its tags."""
    inner = network.trunk if isinstance(network, WithTags) else network
    return dict(inner.state_dict())


def _check_trunk(trunk: Path, recipe: Recipe, offer: AvailableModel) -> None:
    if not trunk.is_file():
        raise ModelError(f"no file {trunk}; {offer.name} needs {_published(offer)}")
    network = build_trunk(recipe.audio.trunk, trunk)  # names what is missing, surplus or misshapen
    if tensors_digest(published_tensors(network)) != offer.trunk.tensors_sha256:
        raise ModelError(
            f"{trunk} is a network of the same build with other weights; {offer.name} needs {_published(offer)}"
        )


def _published(offer: AvailableModel) -> str:
    trunk = offer.trunk
    return f"{trunk.name} ({trunk.size_bytes:,} bytes, sha256 {trunk.sha256}) from {trunk.url}"


def _fetch_trunk(
    offer: AvailableModel,
    folder: Path,
    mirror: str | None,
    report: Report | None,
    patience: Patience | None,
) -> Path:
    trunk = offer.trunk
    file = RemoteFile(trunk.name, trunk.url, sha256=trunk.sha256, size_bytes=trunk.size_bytes)
    try:
        return fetch(file.at(mirror), folder, report=report, patience=patience)
    except CannotFetchError as error:
        raise CannotFetchError(
            f"{error}. {offer.name} needs {_published(offer)}. Fetch it with any browser, here or on another "
            f"machine, then: soundseek models get {offer.name} --trunk {trunk.name}"
        ) from error


def _fingerprint_there(out: Path, offer: AvailableModel) -> str | None:
    """The fingerprint of the model of that name at `out`; None where nothing is.

    Raises:
        UsageError: Something else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        card = ModelConfig.read(out)
    except ModelError:
        card = None
    if card is None or card.name != offer.name:
        raise UsageError(f"{out} is there and is no {offer.name}; move it away, or choose another --out")
    if surplus := sorted({path.name for path in out.iterdir()} - MODEL_FILES):
        raise UsageError(
            f"{out} holds more than the model ({', '.join(surplus[:3])}); move that away, or choose another --out"
        )
    return card.fingerprint


def _agreement_if_whole(directory: Path, offered: Path) -> float | None:
    """The agreement of a model directory with what is offered; None if it is damaged."""
    try:
        return check_golden(directory, offered)
    except ModelError:
        return None


def take_further_files(offered: Path, out: Path) -> bool:
    """Copy an offer's list of words and how sure its hits are, where it has them; False if they were there."""
    taken = False
    for name in QUERY_FILES:
        offers, there = offered / name, out / name
        if offers.is_file() and not (there.is_file() and there.read_bytes() == offers.read_bytes()):
            with replacing(there) as partial:
                shutil.copyfile(offers, partial)
            taken = True
    return taken
