"""A run folder: what a training run leaves behind, and how the trained model comes back from it.

`recipe.yaml` (every value), `run.json` (versions, git commit, data, the chosen epoch), `metrics.jsonl` (a
line an epoch), `trunk.safetensors` (a copy of the trunk's weights before training), `model.safetensors` (the
heads of the best epoch, the trunk's last layers and the text tower if they were trained) and
`checkpoints/last.ckpt` (to resume).
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from soundseek.errors import ModelError, UsageError
from soundseek.learn.dual_encoder import DualEncoder
from soundseek.learn.encoders import build_text, build_trunk, split_trunk, weights_digest
from soundseek.learn.encoders.text import TextTower
from soundseek.learn.recipe import Recipe, load_recipe, save_recipe

RECIPE_FILE = "recipe.yaml"
RECORD_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
MODEL_FILE = "model.safetensors"
CHECKPOINT_FILE = "checkpoints/last.ckpt"


def is_run(folder: Path) -> bool:
    """True for a folder that a training run has written to."""
    return (folder / RECIPE_FILE).is_file()


def load_run(run: Path) -> tuple[DualEncoder, Recipe]:
    """The trained dual encoder of a run folder, with trunk and text tower, and its recipe.

    Raises:
        ModelError: No run there, or none whose first epoch is finished, or weights that do not fit the
        recipe.
    """
    if not (run / RECIPE_FILE).is_file() or not (run / MODEL_FILE).is_file():
        raise ModelError(
            f"{run} holds no trained run: expected {RECIPE_FILE} and {MODEL_FILE}. See: soundseek train"
        )
    recipe = load_recipe(run / RECIPE_FILE)
    recipe = _with_weights(recipe, run / str(recipe.audio.weights))
    trunk = build_trunk(recipe.audio.trunk, recipe.audio.weights)
    text = build_text(recipe.text.tower, pooling=recipe.text.pooling, max_tokens=recipe.text.max_tokens)
    width = int(trunk.width)  # type: ignore[arg-type]
    _, tail = split_trunk(trunk, recipe.audio.trained_blocks)
    model = build_dual_encoder(recipe, width, text.width, text=text, tail=tail)
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


def build_dual_encoder(
    recipe: Recipe, audio_width: int, text_width: int, *, text: TextTower, tail: nn.Module | None = None
) -> DualEncoder:
    """The heads of a recipe, newly drawn; with the text tower, and the trunk's tail, only where it trains them."""
    return DualEncoder(
        dim=recipe.dim,
        audio_width=audio_width,
        text_width=text_width,
        attention=recipe.audio.attention,
        attention_options=recipe.audio.attention_options,
        audio_dropout=recipe.audio.dropout,
        text_dropout=recipe.text.dropout,
        tail=tail,
        text=text if recipe.text.trained_layers else None,
    )


def claim_run(out: Path, recipe: Recipe, *, resume: bool) -> Recipe:
    """Make a run folder, or find the run to go on with; returns the recipe with the run's copy of the trunk.

    Raises:
        UsageError: `out` holds a run and `resume` is False, or it holds a run of another recipe or trunk.
        RecipeError: The trunk cannot be built, or not be divided.
    """
    trunk = build_trunk(recipe.audio.trunk, recipe.audio.weights)  # refuse early what cannot be built
    split_trunk(trunk, recipe.audio.trained_blocks)
    weights = recipe.audio.weights
    assert weights is not None  # build_trunk has refused it
    copy = out / f"trunk{weights.suffix}"
    saved = _with_weights(recipe, Path(copy.name))
    path = out / RECIPE_FILE
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, copy)
        save_recipe(saved, path)  # last, so that a folder with a recipe has its trunk
    elif not resume:
        raise UsageError(f"{out} holds a run already; go on with --resume, or choose another --out")
    elif load_recipe(path) != saved or weights_digest(copy) != weights_digest(weights):
        raise UsageError(f"{out} is a run of another recipe or another trunk; choose another --out")
    return _with_weights(recipe, copy)


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


def _with_weights(recipe: Recipe, weights: Path) -> Recipe:
    return recipe.model_copy(update={"audio": recipe.audio.model_copy(update={"weights": weights})})


def _shape(state: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
