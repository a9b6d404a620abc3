"""A run folder: what a training run leaves behind, and how the trained model comes back from it.

`recipe.yaml` (every value), `run.json` (versions, git commit, data, the chosen epoch), `metrics.jsonl` (a
line an epoch), `trunk.*` (a copy of the trunk's weights before training), `words.safetensors` (word vectors, where the
text tower is made of them), `model.safetensors` (the heads of the best epoch, and what was trained of the trunk and the
text tower), `checkpoints/last.ckpt` (to resume) and `tensorboard/`. Legs before the last have folders of their own
inside, without `checkpoints` when they are finished; see `soundseek.learn.recipe.stages`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from soundseek.errors import ModelError, RecipeError, UsageError
from soundseek.learn.models.audio.tags import TagNames
from soundseek.learn.models.build import (
    build_recipe_text,
    build_recipe_trunk,
    feature_width,
    split_trunk,
    weights_digest,
)
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.load import (
    Recipe,
    differences,
    learned_splits,
    load_recipe,
    save_recipe,
    stage_recipes,
)
from soundseek.learn.recipe.stages import Leg

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


def load_run(run: Path) -> tuple[DualEncoder, Recipe]:
    """The trained dual encoder of a run folder, with trunk and text tower, and the recipe of its last stage.

    Raises:
        ModelError: No run there, or none whose first epoch is finished, or weights that do not fit the
        recipe.
    """
    if not (run / RECIPE_FILE).is_file() or not (run / MODEL_FILE).is_file():
        raise ModelError(
            f"{run} holds no trained run: expected {RECIPE_FILE} and {MODEL_FILE}. See: soundseek train"
        )
    recipe = list(stage_recipes(load_recipe(run / RECIPE_FILE)).values())[-1]
    recipe = located(recipe, run)
    trunk = build_recipe_trunk(recipe)
    text = build_recipe_text(recipe)
    _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
    model = build_dual_encoder(
        recipe, feature_width(trunk, recipe.audio.tag_share), text.width, text=text, tail=tail
    )
    saved = load_file(run / MODEL_FILE)
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


def has_learned_from(model: Path, split: str) -> bool:
    """True if the recipe of a run folder, or the last stage's in a model directory, learns from a split.

    A model directory that soundseek has not exported says nothing, and counts as one that does not.
    """
    if is_run(model):
        return split in learned_splits(load_recipe(model / RECIPE_FILE))
    if not (model / MODEL_FILE).is_file():
        return False
    with safe_open(model / MODEL_FILE, "pt") as file:
        said = json.loads((file.metadata() or {}).get("recipe", "{}"))
    # Single values, for another version's recipe may have keys that this one does not know.
    data, training = said.get("data", {}), said.get("training", {})
    retrained = training.get("retrain_on_validation") and data.get("validation_split") == split
    return bool(retrained) or split in data.get("train_splits", ())


def build_dual_encoder(
    recipe: Recipe, audio_width: int, text_width: int, *, text: TextTower, tail: nn.Module | None = None
) -> DualEncoder:
    """The heads of a recipe, newly drawn; with the text tower, and the trunk's tail, only where they are live."""
    return DualEncoder(
        dim=recipe.dim,
        audio_width=audio_width,
        text_width=text_width,
        attention=recipe.audio.attention,
        attention_options=recipe.audio.attention_options,
        pooling=recipe.audio.pooling,
        audio_head=recipe.audio.head,
        audio_head_width=recipe.audio.head_width,
        text_head=recipe.text.head,
        text_head_width=recipe.text.head_width,
        audio_dropout=recipe.audio.dropout,
        text_dropout=recipe.text.dropout,
        tail=tail,
        text=text if recipe.text.is_live else None,
        tags=TagNames.of(text, share=recipe.audio.tag_share) if recipe.audio.tag_share else None,
    )


def claim_run(out: Path, recipe: Recipe, *, resume: bool) -> Recipe:
    """Make a run folder, or find the run to go on with; returns the recipe with the run's copies of the weights.

    Raises:
        UsageError: `out` holds a run and `resume` is False, or it holds a run of another recipe or trunk.
        RecipeError: The trunk or the text tower cannot be built, the trunk not be divided, or teachers have no names.
    """
    stages = list(stage_recipes(recipe).values())
    live = next((stage for stage in stages if stage.audio.is_live), stages[0])
    trunk = build_recipe_trunk(live)  # refuse early what cannot be built
    for stage in stages:
        split_trunk(trunk, stage.audio.trained_blocks)
        if stage.loss.soft_targets and stage.loss.soft_targets.runs == "others":
            raise RecipeError(
                "loss.soft_targets.runs = others: soundseek reproduce knows the other runs; here name run folders: "
                "--set loss.soft_targets.runs=[RUN, RUN]"
            )
    weights = recipe.audio.weights
    names = _Copies(
        Path(f"trunk{weights.suffix if weights else '.safetensors'}"),
        Path(WORDS_FILE) if recipe.text.weights else None,
    )
    saved = names.put_into(recipe)
    path = out / RECIPE_FILE
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        _copy_weights(recipe, trunk, out, names)
        save_recipe(saved, path)  # last, so that a folder with a recipe has its weights
    elif not resume:
        raise UsageError(f"{out} holds a run already; go on with --resume, or choose another --out")
    elif found := _changed(load_recipe(path), saved):
        raise UsageError(f"{out} is a run of another recipe ({found}); choose another --out")
    elif _differ(weights, out / names.trunk):
        raise UsageError(f"{out} is a run of another trunk than {weights}; choose another --out")
    return located(saved, out)


def _changed(there: Recipe, here: Recipe) -> str:
    """In what two recipes train differently, whatever their notes and cards say; "" where in nothing."""
    alike = here.model_copy(update={"notes": there.notes, "card": there.card})
    found = differences([there, alike])
    return ", ".join(f"{key} = {first} there, {second} here" for key, (first, second) in found.items())


def located(recipe: Recipe, run: Path) -> Recipe:
    """The recipe of a run folder with the places of its weights, wherever the folder is now."""
    run = run.absolute()  # a place is found a second time, and then again in the same folder
    before = run / START_FILE  # the trunk as an earlier stage left it
    trunk = before if before.is_file() else run / str(recipe.audio.weights)
    return _Copies(trunk, run / recipe.text.weights if recipe.text.weights else None).put_into(recipe)


def copy_start(run: Path, out: Path) -> None:
    """Make a run folder with the recipe and the towers' weights of another, and nothing of what it learned."""
    recipe = located(load_recipe(run / RECIPE_FILE), run)
    out.mkdir(parents=True)
    for weights in (recipe.audio.weights, recipe.text.weights, run / START_FILE):
        if weights is not None and weights.is_file():
            shutil.copyfile(weights, out / weights.name)
    shutil.copyfile(run / RECIPE_FILE, out / RECIPE_FILE)


def begin_leg(leg: Leg, run: Path) -> Recipe:
    """Make the folder of one leg of a run, with the trunk that its start has trained; returns its recipe.

    Args:
        leg: Its recipe has the weights' places in the folder of the whole run.
        run: That folder.
    """
    leg.folder.mkdir(parents=True, exist_ok=True)
    if leg.start and not (leg.folder / START_FILE).is_file():
        _take_over_trunk(leg.start, leg.folder / START_FILE)
    if leg.folder == run:
        return located(leg.recipe, run)
    audio, text = leg.recipe.audio.weights, leg.recipe.text.weights
    assert audio is not None  # claim_run has made a copy even of weights that were drawn
    beside = _Copies(_relative(audio, leg.folder), _relative(text, leg.folder) if text else None)
    recipe = beside.put_into(leg.recipe)
    save_recipe(recipe, leg.folder / RECIPE_FILE)
    return located(recipe, leg.folder)


def carry_over(model: DualEncoder, start: Path) -> None:
    """Give a model the heads, and the text tower where both train it, of the run folder that it starts from.

    The trunk has come with the weights' file; see `begin_leg`.

    Raises:
        ModelError: The run has other heads, or another text tower.
    """
    own, saved = model.state_dict(), load_file(start / MODEL_FILE)
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
    """What `run.json` says; empty where there is none yet."""
    path = out / RECORD_FILE
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record


def update_record(out: Path, **values: Any) -> None:
    """Add values to `run.json`."""
    partial = out / f"{RECORD_FILE}.partial"
    partial.write_text(json.dumps({**read_record(out), **values}, indent=2) + "\n", encoding="utf-8")
    partial.replace(out / RECORD_FILE)


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
    with (out / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(metrics) + "\n")


def forget_metrics(out: Path, from_epoch: int) -> None:
    """Drop the lines of epochs that will be done again, and a line that a kill cut short."""
    path = out / METRICS_FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["epoch"] < from_epoch]
    path.write_text("".join(kept), encoding="utf-8")


def save_model(model: DualEncoder, out: Path) -> None:
    """Write `model.safetensors`, whole or not at all."""
    partial = out / f"{MODEL_FILE}.partial"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, partial)
    partial.replace(out / MODEL_FILE)


@dataclass(frozen=True)
class _Copies:
    """Where the weights of the towers are: names inside the run folder, or whole paths."""

    trunk: Path
    words: Path | None

    def put_into(self, recipe: Recipe) -> Recipe:
        return recipe.model_copy(
            update={
                "audio": recipe.audio.model_copy(update={"weights": self.trunk}),
                "text": recipe.text.model_copy(update={"weights": self.words}),
            }
        )


def _copy_weights(recipe: Recipe, trunk: nn.Module, out: Path, names: _Copies) -> None:
    if recipe.audio.weights:
        shutil.copyfile(recipe.audio.weights, out / names.trunk)
    else:
        _save_trunk(trunk, out / names.trunk)
    if names.words:
        words: Any = build_recipe_text(recipe)
        words.save(out / names.words)  # only the words that the tower knows: published files have gigabytes


def _take_over_trunk(start: Path, path: Path) -> None:
    """Save the trunk of a run as its training left it, if it or a run before it has trained it."""
    model, recipe = load_run(start)
    partial = path.with_name(f"partial-{path.name}")  # a resumed run takes what is there as whole
    if recipe.audio.trained_blocks != 0 and model.trunk is not None:
        _save_trunk(model.trunk, partial)
    elif (start / START_FILE).is_file():
        shutil.copyfile(start / START_FILE, partial)
    else:
        return
    partial.replace(path)


def _save_trunk(trunk: Any, path: Path) -> None:
    if not hasattr(trunk, "save"):
        raise RecipeError(
            f"{type(trunk).__name__} cannot be saved, so it can neither start from random weights nor be trained in "
            "one stage and used in the next"
        )
    trunk.save(path)


def _differ(weights: Path | None, copy: Path) -> bool:
    return weights is not None and weights_digest(copy) != weights_digest(weights)


def _relative(path: Path, folder: Path) -> Path:
    return Path(os.path.relpath(path, folder))


def _shape(state: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
