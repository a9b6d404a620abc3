"""A run folder: what a training run leaves behind, and how the trained model comes back from it.

`recipe.yaml` (every value), `run.json` (versions, git commit, data, the chosen epoch), `metrics.jsonl` (a
line an epoch), `trunk.*` (a copy of the trunk's weights before training), `words.safetensors` (word vectors, where the
text tower is made of them), `model.safetensors` (the heads of the best epoch, and what was trained of the trunk and the
text tower), `checkpoints/last.ckpt` (to resume; see `resume`) and `tensorboard/`. Phases before the last have folders
of their own inside, without `checkpoints` when they are finished; see `soundseek.learn.recipe.stages`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from soundseek._files import append_line, replace_copy, replace_text, replacing
from soundseek.errors import ModelError, RecipeError
from soundseek.learn.models.audio.tags import TagNames
from soundseek.learn.models.audio.weights_file import reading_weights
from soundseek.learn.models.build import (
    build_recipe_text,
    build_recipe_trunk,
    feature_width,
    split_trunk,
)
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.keys import CardConfig, Recipe, ResolvedRecipe
from soundseek.learn.recipe.load import (
    changed,
    learned_splits,
    load_recipe,
    read_yaml,
    resolved,
    save_recipe,
    stage_recipes,
)
from soundseek.learn.recipe.stages import Phase

RECIPE_FILE = "recipe.yaml"
RECORD_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
MODEL_FILE = "model.safetensors"
CHECKPOINT_FILE = "checkpoints/last.ckpt"
WORDS_FILE = "words.safetensors"
START_FILE = "start.safetensors"
TENSORBOARD_FOLDER = "tensorboard"


def is_run(folder: Path) -> bool:
    """True for a folder that a training run has written to."""
    return (folder / RECIPE_FILE).is_file()


def load_run(run: Path) -> tuple[DualEncoder, ResolvedRecipe]:
    """The trained dual encoder of a run folder, with trunk and text tower, and the recipe of its last stage.

    Raises:
        ModelError: No run there, or none whose first epoch is finished, or weights that do not fit the
        recipe.
    """
    refuse_untrained(run)
    recipe = located(list(stage_recipes(read_recipe(run)).values())[-1], run)
    trunk = build_recipe_trunk(recipe)
    text = build_recipe_text(recipe)
    _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
    model = build_dual_encoder(
        recipe, feature_width(trunk, recipe.audio.tag_share), text.width, text=text, tail=tail
    )
    saved = _read_model(run)
    expected = model.state_dict()
    wrong = [
        name
        for name in sorted(saved.keys() | expected.keys())
        if _shape(saved, name) != _shape(expected, name)
    ]
    if wrong:
        raise ModelError(
            f"{run / MODEL_FILE} does not fit {RECIPE_FILE}; missing, surplus or misshapen: {wrong[:8]}"
        )
    model.load_state_dict(saved)  # and with the tail's the trunk's last layers
    model.trunk = trunk
    model.text = text if model.text is None else model.text
    return model.requires_grad_(False).eval(), recipe


def read_recipe(run: Path) -> Recipe:
    """The whole recipe of a run folder.

    Raises:
        ModelError: It is damaged, or another version's.
    """
    path = run / RECIPE_FILE
    try:
        recipe = load_recipe(path)
        # A file that was cut off may be YAML still; the section that `save_recipe` writes last would lack keys.
        last = read_yaml(path).get("card") or {}
        if (
            not path.read_text(encoding="utf-8").endswith("\n")
            or CardConfig.model_fields.keys() - last.keys()
        ):
            raise RecipeError("it is cut off")
        return recipe
    except (RecipeError, OSError) as error:
        raise ModelError(
            f"{run} has a damaged {RECIPE_FILE}, or one of another version of soundseek: {error}; train anew in "
            "another --out"
        ) from error


def has_learned_from(model: Path, split: str) -> bool:
    """True if the recipe of a run folder, or the last stage's in a model directory, learns from a split.

    A model directory that soundseek has not exported says nothing, and counts as one that does not.
    """
    if is_run(model):
        return split in learned_splits(read_recipe(model))
    if not (model / MODEL_FILE).is_file():
        return False
    with reading_weights(model / MODEL_FILE), safe_open(model / MODEL_FILE, "pt") as file:
        said = json.loads((file.metadata() or {}).get("recipe", "{}"))
    # Single values, for another version's recipe may have keys that this one does not know.
    data, training = said.get("data", {}), said.get("training", {})
    retrained = training.get("retrain_on_validation") and data.get("validation_split") == split
    return bool(retrained) or split in data.get("train_splits", ())


def build_dual_encoder(
    recipe: Recipe, audio_width: int, text_width: int, *, text: TextTower, tail: nn.Module | None = None
) -> DualEncoder:
    """The heads of a recipe, newly drawn; with the text tower, and the trunk's tail, only where they are online."""
    return DualEncoder(
        dim=recipe.dim,
        audio_width=audio_width,
        text_width=text_width,
        attention=recipe.audio.attention,
        attention_options=recipe.audio.attention_options,
        pooling=recipe.audio.pooling,
        audio_head=recipe.audio.head,
        audio_head_width=recipe.audio.head_width,
        audio_head_on=recipe.audio.head_on,
        text_head=recipe.text.head,
        text_head_width=recipe.text.head_width,
        audio_dropout=recipe.audio.dropout,
        text_dropout=recipe.text.dropout,
        tail=tail,
        text=text if recipe.text.is_online else None,
        tags=TagNames.of(text, share=recipe.audio.tag_share) if recipe.audio.tag_share else None,
    )


def checked_trunk(recipe: Recipe) -> nn.Module:
    """The recipe's trunk, which every stage can take as it says; it takes gradients where any stage trains it whole.

    Raises:
        RecipeError: The trunk cannot be built, or not be divided, or teachers have no names.
        ModelError: Its weights are damaged or another network's; a teacher is no trained run.
    """
    stages = list(stage_recipes(recipe).values())
    live = next((stage for stage in stages if stage.audio.is_online), stages[0])
    trunk = build_recipe_trunk(live)
    for stage in stages:
        split_trunk(trunk, stage.audio.trained_blocks)
        soft = stage.loss.soft_targets
        if soft and soft.runs == "others":
            raise RecipeError(
                "loss.soft_targets.runs = others: soundseek reproduce knows the other runs; here name run folders: "
                "--set loss.soft_targets.runs=[RUN, RUN]"
            )
        for run in soft.runs if soft else ():
            refuse_untrained(Path(run))
    return trunk


def refuse_untrained(run: Path) -> None:
    """Raise a ModelError unless a folder holds a run with a finished epoch."""
    if not (run / RECIPE_FILE).is_file() or not (run / MODEL_FILE).is_file():
        raise ModelError(
            f"{run} holds no trained run: expected {RECIPE_FILE} and {MODEL_FILE}. See: soundseek train"
        )


def located(recipe: Recipe, run: Path) -> ResolvedRecipe:
    """The recipe of a run folder with the places of its weights, wherever the folder is now."""
    before = run / START_FILE  # the trunk as an earlier stage left it
    trunk = before if before.is_file() else run / str(recipe.audio.weights)
    return resolved(recipe, trunk=trunk, words=run / recipe.text.weights if recipe.text.weights else None)


def with_names(recipe: Recipe, trunk: Path, words: Path | None) -> Recipe:
    """The recipe as a run folder keeps it: its weights are paths relative to the folder."""
    values = {"audio.weights": trunk, "text.weights": words}
    return changed(Recipe.model_validate(recipe.model_dump()), values)


def copy_start(run: Path, out: Path) -> None:
    """Make a run folder with the recipe and the towers' weights of another, and nothing of what it learned."""
    recipe = located(read_recipe(run), run)
    out.mkdir(parents=True)
    for weights in (recipe.audio.weights, recipe.text.weights, run / START_FILE):
        if weights is not None and weights.is_file():
            replace_copy(weights, out / weights.name)
    replace_copy(run / RECIPE_FILE, out / RECIPE_FILE)


def begin_phase(phase: Phase, run: Path) -> ResolvedRecipe:
    """Make the folder of one phase of a run, with the trunk that its start has trained; returns its recipe.

    Args:
        phase: Its recipe has the weights' places in the folder of the whole run.
        run: That folder.
    """
    phase.folder.mkdir(parents=True, exist_ok=True)
    if phase.start and not (phase.folder / START_FILE).is_file():
        _take_over_trunk(phase.start, phase.folder / START_FILE)
    if phase.folder == run:
        return located(phase.recipe, run)
    audio, text = phase.recipe.audio.weights, phase.recipe.text.weights
    assert audio is not None  # every run has a copy, even of weights that were drawn
    recipe = with_names(phase.recipe, _relative(audio, phase.folder), text and _relative(text, phase.folder))
    save_recipe(recipe, phase.folder / RECIPE_FILE)
    return located(recipe, phase.folder)


def carry_over(model: DualEncoder, start: Path) -> None:
    """Give a model the heads, and the text tower where both train it, of the run folder that it starts from.

    The trunk has come with the weights' file; see `begin_phase`.

    Raises:
        ModelError: The run has other heads, or another text tower.
    """
    own, saved = model.state_dict(), _read_model(start)
    trains_text = any(name.startswith("text.") for name in saved)  # else the tower starts as it was published
    apart = ("tail.",) if trains_text else ("tail.", "text.")
    shared = sorted(name for name in own.keys() | saved.keys() if not name.startswith(apart))
    wrong = [name for name in shared if _shape(own, name) != _shape(saved, name)]
    if wrong:
        shapes = {name: (_shape(saved, name), _shape(own, name)) for name in wrong[:8]}
        told = "; ".join(f"{name} {there}, here {here}" for name, (there, here) in shapes.items())
        raise ModelError(
            f"{start / MODEL_FILE} has other weights than the stage that starts from it: {told} (None: missing). All "
            "stages train one network; begin anew in another --out"
        )
    model.load_state_dict(own | {name: saved[name] for name in shared})


def read_record(out: Path) -> dict[str, Any]:
    """What `run.json` says; empty where there is none yet.

    Raises:
        ModelError: It is damaged.
    """
    path = out / RECORD_FILE
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError(f"it holds a {type(record).__name__}, not keys and values")
    except ValueError as error:
        raise ModelError(
            f"{path} is damaged: {error}; remove it and give the training command again with --resume, which writes "
            "it anew"
        ) from error
    return record


def is_finished(folder: Path) -> bool:
    """Whether the training in a folder has come to its end."""
    return "best_epoch" in read_record(folder)


def update_record(out: Path, **values: Any) -> None:
    """Add values to `run.json`."""
    replace_text(out / RECORD_FILE, json.dumps({**read_record(out), **values}, indent=2) + "\n")


def environment() -> dict[str, Any]:
    """Versions of what a result depends on, and the commit of soundseek's source if it is a checkout."""
    packages = ("soundseek", "torch", "lightning", "transformers", "numpy")
    versions = {name: version(name) for name in packages} | {"python": platform.python_version()}
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return {"versions": versions, "git": None}
    return {"versions": versions, "git": done.stdout.strip() or None}


def append_metrics(out: Path, metrics: dict[str, float]) -> None:
    """Add an epoch's line to `metrics.jsonl`."""
    append_line(out / METRICS_FILE, json.dumps(metrics))


def read_metrics(out: Path) -> list[dict[str, float]]:
    """The epochs of `metrics.jsonl`; lines that a kill or a power cut has spoilt are left out."""
    path = out / METRICS_FILE
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            metrics = json.loads(line)
        except ValueError:
            continue
        if isinstance(metrics, dict) and "epoch" in metrics:
            found.append(metrics)
    return found


def forget_metrics(out: Path, from_epoch: int) -> None:
    """Drop the lines of epochs that will be done again, and spoilt ones."""
    kept = [json.dumps(each) + "\n" for each in read_metrics(out) if each["epoch"] < from_epoch]
    replace_text(out / METRICS_FILE, "".join(kept))


def save_model(model: DualEncoder, out: Path) -> None:
    """Write `model.safetensors`, whole or not at all."""
    with replacing(out / MODEL_FILE) as partial:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, partial)


def _read_model(run: Path) -> dict[str, Tensor]:
    with reading_weights(run / MODEL_FILE):
        return load_file(run / MODEL_FILE)


def copy_weights(recipe: Recipe, trunk: nn.Module, trunk_copy: Path, words_copy: Path) -> None:
    """Copy what a recipe starts from into its run: the trunk, and of word vectors those that the tower knows."""
    if recipe.audio.weights:
        replace_copy(recipe.audio.weights, trunk_copy)
    else:
        with replacing(trunk_copy) as partial:
            _save_trunk(trunk, partial)
    if recipe.text.weights:
        words: Any = build_recipe_text(recipe)
        with replacing(words_copy) as partial:
            words.save(partial)  # only the words that the tower knows: published files have gigabytes


def _take_over_trunk(start: Path, path: Path) -> None:
    """Save the trunk of a run as its training left it, if it or a run before it has trained it."""
    model, recipe = load_run(start)
    if recipe.audio.trained_blocks != 0 and model.trunk is not None:
        with replacing(path) as partial:
            _save_trunk(model.trunk, partial)
    elif (start / START_FILE).is_file():
        replace_copy(start / START_FILE, path)


def _save_trunk(trunk: Any, path: Path) -> None:
    if not hasattr(trunk, "save"):
        raise RecipeError(
            f"{type(trunk).__name__} cannot be saved, so it can neither start from random weights nor be trained in "
            "one stage and used in the next"
        )
    trunk.save(path)


def _relative(path: Path, folder: Path) -> Path:
    return Path(os.path.relpath(path, folder))


def _shape(state: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
