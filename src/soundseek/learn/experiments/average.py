"""Runs that differ in their seed alone -> one run of the same size, whose scores are nearly the mean of theirs.

The cosine of the members' embeddings put in a row, of length N x dim, is the mean of their cosines if they are
normalised first. They are not, so that the row stays linear in the features: a mean weighted by the members' lengths,
which differ little. W x of a sound and V t of a text are those rows, each with its bias. V has no more columns than the
text tower's features, so with V = Q R (Q has orthonormal columns) every product of the two rows is kept by Q^T W x and
R t, which are as wide as a text's features, and what Q^T leaves of W x is in no product but in the sound's length
alone: of that the directions with the most weight fill up the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from soundseek.errors import ModelError, RecipeError, UsageError
from soundseek.learn.models.build import weights_digest
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import changed, differences, stage_recipes
from soundseek.learn.training.run_folder import (
    copy_start,
    is_run,
    load_run,
    located,
    read_recipe,
    read_record,
    save_model,
    update_record,
)

_OF_ONE_RUN = {"best_epoch", "mAP10"}


def average(runs: Sequence[Path], out: Path) -> Path:
    """Write the average of some runs as a run folder, which is evaluated and exported as any other.

    Args:
        runs: Finished runs of one recipe with different seeds: linear heads on frozen towers.
        out: A folder that does not exist yet.

    Raises:
        UsageError: Fewer than two runs, runs of different recipes or trunks, or `out` exists.
        RecipeError: Something besides linear heads was trained.
        ModelError: A run is none, or not finished.
    """
    if len(runs) < 2:
        raise UsageError(f"an average needs two runs or more: {', '.join(map(str, runs)) or 'none given'}")
    if out.exists():
        raise UsageError(f"{out} exists; choose another --out")
    recipes = [_last_stage(run) for run in runs]
    _refuse_others(recipes, runs)
    model, *others = [_heads_alone(run) for run in runs]
    weights, biases = averaged_heads([model, *others])
    with torch.no_grad():
        for name in ("audio", "text"):
            projector = _head(model, name)
            projector.weight.copy_(weights[name])
            projector.bias.copy_(biases[name])
    copy_start(runs[0], out)
    save_model(model, out)
    facts = {key: value for key, value in read_record(runs[0]).items() if key not in _OF_ONE_RUN}
    members = [_facts(run, recipe) for run, recipe in zip(runs, recipes, strict=True)]
    update_record(out, **facts, averaged=members)
    return out


def _last_stage(run: Path) -> Recipe:
    if not is_run(run):
        raise ModelError(f"{run} holds no run. See: soundseek train")
    return list(stage_recipes(read_recipe(run)).values())[-1]


def _heads_alone(run: Path) -> DualEncoder:
    """Towers take a hundred megabytes a run, and are the same in all."""
    model, _ = load_run(run)
    model.trunk = model.text = None
    return model


def averaged_heads(models: Sequence[DualEncoder]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights `(dim, width)` and biases `(dim,)` of both heads, by "audio" and "text".

    Raises:
        RecipeError: The space is too small to hold the products exactly.
    """
    audio = torch.cat([_affine(_head(each, "audio")) for each in models])
    text = torch.cat([_affine(_head(each, "text")) for each in models])
    dim, width = _head(models[0], "text").out_features, text.shape[1]  # the bias is a column of its own
    if width > dim:
        raise RecipeError(
            f"an average has {width} dimensions at least, one more than the text tower's features, but the recipe's "
            f"space has {dim}; train with dim = {width} or more"
        )
    basis, reduced = torch.linalg.qr(text)
    seen = basis.T @ audio
    unseen = audio - basis @ seen
    _, strengths, directions = torch.linalg.svd(unseen, full_matrices=False)
    rest = (strengths[:, None] * directions)[: dim - width]
    heads = {"audio": _filled(torch.cat([seen, rest]), dim), "text": _filled(reduced, dim)}
    weights = {name: matrix[:, :-1].float() for name, matrix in heads.items()}
    return weights, {name: matrix[:, -1].float() for name, matrix in heads.items()}


def _head(model: DualEncoder, name: str) -> nn.Linear:
    return cast("nn.Linear", getattr(model, f"{name}_projector"))


def _affine(head: nn.Linear) -> Tensor:
    """Weights and bias side by side, `(dim, width + 1)`."""
    return torch.cat([head.weight, head.bias[:, None]], dim=1).double()


def _filled(matrix: Tensor, dim: int) -> Tensor:
    return torch.cat([matrix, matrix.new_zeros(dim - len(matrix), matrix.shape[1])])


def _refuse_others(recipes: Sequence[Recipe], runs: Sequence[Path]) -> None:
    first = recipes[0]
    weights = [_digests(run, recipe) for run, recipe in zip(runs, recipes, strict=True)]
    for recipe, run, own in zip(recipes[1:], runs[1:], weights[1:], strict=True):
        same = changed(recipe, {key: first.model_dump()[key] for key in ("seed", "notes", "card")})
        if found := differences([first, same]):
            told = ", ".join(f"{key} = {a} there, {b} here" for key, (a, b) in found.items())
            raise UsageError(f"{run} is a run of another recipe than {runs[0]}: {told}")
        for tower, a, b in zip(("another trunk", "other word vectors"), weights[0], own, strict=True):
            if a != b:
                raise UsageError(f"{run} has {tower} than {runs[0]}")
    seeds = [recipe.seed for recipe in recipes]
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"the seeds are {', '.join(map(str, seeds))}: a run and itself average to itself")
    audio, text = first.audio, first.text
    plain = audio.head == text.head == "linear" and audio.attention == "none" and not audio.tag_share
    if not plain or audio.trained_blocks != 0 or text.is_online:
        raise RecipeError(
            f"{runs[0]}: only linear heads on frozen towers have an average; put other runs together with: "
            "soundseek evaluate RUN RUN --ensemble"
        )


def _digests(run: Path, recipe: Recipe) -> tuple[str, str]:
    """Of the run's copies of the towers' weights."""
    there = located(recipe, run)
    trunk, words = there.audio.weights, there.text.weights
    return weights_digest(trunk) if trunk else "", weights_digest(words) if words else ""


def _facts(run: Path, recipe: Recipe) -> dict[str, object]:
    record = read_record(run)
    return {"seed": recipe.seed, **{key: record[key] for key in ("best_epoch", "mAP10") if key in record}}
