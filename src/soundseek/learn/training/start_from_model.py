"""A model directory -> the run folder that training goes on from.

`model.safetensors` of a model directory holds trunk and heads in float16. A frozen text tower is built anew as its
publisher gives it out; word vectors, which may be gigabytes there, are read back from `text.onnx`, which has them as
they were learned with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from soundseek._files import naming_the_disk
from soundseek.errors import ModelError, UsageError
from soundseek.learn.models.audio.weights_file import reading_weights
from soundseek.learn.models.build import (
    WORD2VEC,
    build_recipe_text,
    feature_width,
    split_trunk,
    trunk_from_tensors,
    weights_digest,
)
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.models.text.word2vec import save_exported_words
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import changed, network_differences, save_recipe, stage_recipes
from soundseek.learn.training.run_folder import (
    MODEL_FILE,
    RECIPE_FILE,
    WORDS_FILE,
    build_dual_encoder,
    is_run,
    read_recipe,
    read_record,
    save_model,
    update_record,
)
from soundseek.model.config import TEXT_FILE, TOKENIZER_FILE, ModelConfig
from soundseek.model.model import Model

START_FOLDER = "start"
"""Inside a run folder: the run folder of what it started from."""

_TRUNK_FILE = "trunk.safetensors"
_SENTENCES = ["a dog barks while it rains", "a low tone", "footsteps"]
_SAME_TOWER = 0.97  # 8 bits in text.onnx cost up to .01


@contextmanager
def unpacked(model: Path, *, tower: str | None = None) -> Iterator[Path]:
    """Inside, a run folder of a model directory; see `unpack_model`."""
    with TemporaryDirectory(prefix="soundseek-start-") as folder:
        run = Path(folder) / START_FOLDER
        unpack_model(model, run, tower=tower)
        yield run


def unpack_model(model: Path, out: Path, *, tower: str | None = None) -> None:
    """Write the run folder of a model directory: recipe, trunk and heads, and in its record what they come from.

    Args:
        model: A model directory that soundseek has exported.
        out: A folder that does not exist yet.
        tower: Where its text tower is, if it was a local directory, of which a model directory keeps the name alone.

    Raises:
        ModelError: It has no `model.safetensors`, a damaged one, or one that lacks what the recipe needs; or its text
            tower is another than the one that is here.
        RecipeError: The text tower of its recipe is not here.
    """
    config = ModelConfig.read(model)
    path = model / MODEL_FILE
    if not path.is_file():
        raise ModelError(
            f"{model} has no {MODEL_FILE}, which is what training goes on from; a model that soundseek export has "
            "made has one"
        )
    with reading_weights(path):
        tensors = {name: _widened(tensor) for name, tensor in load_file(path).items()}
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    recipe = _recipe_of(path, metadata)
    if tower and Path(tower).name == recipe.text.tower:
        recipe = changed(recipe, {"text.tower": tower})
    inside = {
        name.removeprefix("trunk."): each for name, each in tensors.items() if name.startswith("trunk.")
    }
    said = json.loads(metadata["trunk"]) if "trunk" in metadata else None
    trunk: Any = trunk_from_tensors(str(path), recipe, inside, said)
    out.mkdir(parents=True)
    trunk.save(out / _TRUNK_FILE)
    recipe = changed(recipe, {"audio.weights": Path(_TRUNK_FILE), "text.weights": None})
    if recipe.text.tower == WORD2VEC:
        save_exported_words(
            model / TEXT_FILE, model / TOKENIZER_FILE, out / WORDS_FILE, table=tensors.get("text.table")
        )
        recipe = changed(recipe, {"text.weights": Path(WORDS_FILE)})
    text = build_recipe_text(changed(recipe, {"text.weights": recipe.text.weights and out / WORDS_FILE}))
    _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
    width = feature_width(trunk, recipe.audio.tag_share)
    heads = build_dual_encoder(recipe, width, text.width, text=text, tail=tail)
    _fill(heads, tensors, path, recipe)
    _check_text(heads, text, model)
    save_model(heads, out)
    save_recipe(recipe, out / RECIPE_FILE)
    update_record(
        out,
        **{"model": config.name, "version": config.version, "fingerprint": config.fingerprint},
        trunk_sha256=weights_digest(out / _TRUNK_FILE),
    )


def applied(start: Path, recipe: Recipe) -> Recipe:
    """A recipe that goes on from a start's trunk.

    Args:
        start: A run folder of `unpack_model`.
        recipe: What shall be trained.

    Raises:
        UsageError: The recipe names weights of its own, or another network; the message says in what it differs.
    """
    own = changed(_only_stage(start), {"audio.weights": None, "text.weights": None})
    if recipe.audio.weights or recipe.text.weights:
        key = "audio.weights" if recipe.audio.weights else "text.weights"
        raise UsageError(f"--start brings the weights of both towers; leave {key} out, or --start")
    for name, stage in stage_recipes(recipe).items():
        found = network_differences(own, stage)
        if found:
            told = ", ".join(f"{key} = {there} there, {here} here" for key, (there, here) in found.items())
            which = f"{recipe.name}, stage {name}," if name else recipe.name
            raise UsageError(
                f"{read_record(start)['model']} is another network than {which} trains: {told}; take the recipe that "
                f"it was trained with ({own.name}), or --set these to what they are there"
            )
    words = start / WORDS_FILE
    return changed(
        recipe,
        {"audio.weights": start / _TRUNK_FILE, "text.weights": words if words.is_file() else None},
    )


def keep_start(begin: Path, out: Path) -> None:
    """Copy what a run starts from into its folder, whole or not at all; a copy that is there stays."""
    if is_run(out / START_FOLDER):
        return
    partial = out / f".{START_FOLDER}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(out / START_FOLDER, ignore_errors=True)
    with naming_the_disk(out):
        shutil.copytree(begin, partial)
        partial.replace(out / START_FOLDER)


def refuse_other_start(run: Path, start: Path) -> None:
    """Raise a UsageError if a run has gone on from something else than this start."""
    there, here = (read_record(each) for each in (run / START_FOLDER, start))
    if there and there.get("fingerprint") != here.get("fingerprint"):
        raise UsageError(
            f"{run} has started from {there.get('model')} ({there.get('fingerprint')}), and --start is "
            f"{here.get('model')} ({here.get('fingerprint')}); leave --start out to go on, or choose another --out"
        )


def _check_text(heads: DualEncoder, text: TextTower, model: Path) -> None:
    """Raise a ModelError if the text tower that is here is not the one in the model directory."""
    tower = heads.text or text
    with torch.no_grad():
        ids, mask = tower.tokenize(_SENTENCES)
        here = heads.encode_text_features(tower(ids, mask)).numpy()
    there = Model(model).embed_text(_SENTENCES)
    least = float((here * there).sum(axis=1).min())
    if not least >= _SAME_TOWER:
        raise ModelError(
            f"the text tower that is here gives other vectors than {model / TEXT_FILE} (cosine {least:.3f}, at least "
            f"{_SAME_TOWER} expected): training cannot go on from it; install the version that the model was made with"
        )


def _only_stage(run: Path) -> Recipe:
    return list(stage_recipes(read_recipe(run)).values())[-1]


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _recipe_of(path: Path, metadata: dict[str, str]) -> Recipe:
    try:
        return Recipe.model_validate(json.loads(metadata["recipe"]))
    except (KeyError, ValueError, ValidationError) as error:
        reason = "its metadata lack the key 'recipe'" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"{path} does not say how it was trained, or in the words of another version of soundseek: {reason}"
        ) from error


def _fill(heads: DualEncoder, tensors: dict[str, Tensor], path: Path, recipe: Recipe) -> None:
    """Give newly drawn heads their weights; the tail has the trunk's already."""
    expected = heads.state_dict()
    trained = {name for name in tensors if name.startswith("text.")}
    if recipe.text.trained_layers and not trained:
        raise ModelError(
            f"{path} lacks the text tower, which was trained (text.trained_layers = {recipe.text.trained_layers}) and "
            "is in text.onnx alone; export its run again with this version of soundseek, and go on from that"
        )
    own = {name for name in expected if not name.startswith(("tail.", "text."))} | trained
    found = {name for name in tensors if not name.startswith("trunk.")}
    wrong = sorted(
        name
        for name in own | found
        if name not in expected or name not in tensors or tensors[name].shape != expected[name].shape
    )
    if wrong:
        raise ModelError(f"{path} does not fit its own recipe; missing, surplus or misshapen: {wrong[:8]}")
    with torch.no_grad():
        heads.load_state_dict(expected | {name: tensors[name] for name in own})
