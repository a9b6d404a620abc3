"""A run that was stopped goes on: which folder it may go on in, and from which checkpoint.

Training draws everything from seed, epoch and step, so that what goes on is what would have been, to the last bit.
Lightning reads and writes the checkpoint; what `module.RetrievalTraining` adds to it are the best epoch and the rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from soundseek.errors import ModelError, UsageError
from soundseek.learn.checkpoint import write_checkpoint
from soundseek.learn.data.prepare import DataFacts
from soundseek.learn.models.build import weights_digest
from soundseek.learn.recipe.keys import Recipe, ResolvedRecipe
from soundseek.learn.recipe.load import changed, differences, save_recipe
from soundseek.learn.recipe.stages import SELECTION_FOLDER, STAGES_FOLDER
from soundseek.learn.training.run_folder import (
    CHECKPOINT_FILE,
    METRICS_FILE,
    MODEL_FILE,
    RECIPE_FILE,
    RECORD_FILE,
    START_FILE,
    WORDS_FILE,
    checked_trunk,
    copy_weights,
    located,
    read_recipe,
    read_record,
    with_names,
)

# Lightning's, and what `RetrievalTraining` adds to them.
_IN_A_CHECKPOINT = ("epoch", "global_step", "state_dict", "optimizer_states", "loops", "best", "rates")


def claim_run(out: Path, recipe: Recipe, *, resume: bool, trunk: nn.Module | None = None) -> ResolvedRecipe:
    """Make a run folder, or find the run to go on with; returns the recipe with the run's copies of the weights.

    A folder in which nothing was learned yet is made anew.

    Args:
        out: The folder.
        recipe: What to train.
        resume: Go on with a run that is there.
        trunk: See `checked_trunk`; None builds it.

    Raises:
        UsageError: `out` holds a run and `resume` is False, or it holds a run of another recipe or trunk.
        ModelError: The run that is there is damaged.
        RecipeError: See `checked_trunk`.
    """
    trunk = trunk or checked_trunk(recipe)
    weights = recipe.audio.weights
    copy = Path(f"trunk{weights.suffix if weights else '.safetensors'}")
    saved = with_names(recipe, copy, Path(WORDS_FILE) if recipe.text.weights else None)
    path = out / RECIPE_FILE
    if not path.is_file() or not _has_begun(out):
        out.mkdir(parents=True, exist_ok=True)
        for stale in (path, *out.rglob(RECORD_FILE)) if path.is_file() else ():
            stale.unlink()
        copy_weights(recipe, trunk, out / copy, out / WORDS_FILE)
        save_recipe(saved, path)  # last, so that a folder with a recipe has its weights
    elif not resume:
        raise UsageError(f"{out} holds a run already; go on with --resume, or choose another --out")
    elif found := _changed(read_recipe(out), saved):
        raise UsageError(f"{out} is a run of another recipe ({found}); choose another --out")
    else:
        _check_copy(weights, out, out / copy)
    return located(saved, out)


def _has_begun(out: Path) -> bool:
    """Whether a run, in any of its phases, has learned something that would be lost."""
    files = (MODEL_FILE, METRICS_FILE, CHECKPOINT_FILE)
    return any(path.stat().st_size for name in files for path in out.rglob(name))


def _check_copy(weights: Path | None, out: Path, copy: Path) -> None:
    """Raise an error unless a run's copy of the trunk is there, whole, and that of `weights`."""
    known = next((each["trunk_sha256"] for each in _records(out) if "trunk_sha256" in each), None)
    found = weights_digest(copy) if copy.is_file() else None
    if found is None or known not in (None, found):
        what = "is missing" if found is None else "is damaged"
        source = f"copy {weights} there" if weights else "it was drawn at random: train anew in another --out"
        raise ModelError(f"the run's trunk {copy} {what}; {source}")
    if weights is not None and weights_digest(weights) != found:
        raise UsageError(f"{out} is a run of another trunk than {weights}; choose another --out")


def _records(out: Path) -> Iterator[dict[str, Any]]:
    """The records of a run's phases that start from its trunk, the whole run's first."""
    for folder in (out, out / SELECTION_FOLDER, *sorted((out / STAGES_FOLDER).glob("*"))[:1]):
        if not (folder / START_FILE).is_file():
            yield read_record(folder)


def refuse_other_data(folder: Path, data: Path, facts: DataFacts) -> None:
    """Raise a UsageError if what is in a phase's folder was learned from other clips or captions than these."""
    record = read_record(folder)
    if record.get("data_digest") in (None, facts.digest):
        if record.get("sounds_digest") in (None, facts.sounds_digest):
            return
        raise UsageError(
            f"{folder} has learned from other sounds than those of {data}: the names, sizes and captions are the same, "
            "what is in the files is not; go on with the same data, or choose another --out"
        )
    where, count = record.get("data", "other data"), record.get("clips", "other")
    raise UsageError(
        f"{folder} has learned from {count} clips of {where}, and {data} has {facts.num_clips} with other names, sizes "
        f"or captions; go on with the same data, or choose another --out"
    )


def _changed(there: Recipe, here: Recipe) -> str:
    """In what two recipes train differently, whatever their notes and cards say; "" where in nothing."""
    alike = changed(here, {"notes": there.notes, "card": there.card.model_dump()})
    found = differences([there, alike])
    return ", ".join(f"{key} = {first} there, {second} here" for key, (first, second) in found.items())


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there: Lightning's own pass through a temporary folder on another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint beside its place, then put it there."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            ModelError: It is damaged, or another version's.
        """
        try:
            checkpoint: dict[str, Any] = super().load_checkpoint(path, *arguments, **options)
        # A damaged archive, a foreign pickle and an empty file share no nearer base.
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise other_checkpoint(Path(path), reason) from error
        lacking = [key for key in _IN_A_CHECKPOINT if key not in checkpoint]
        if lacking:
            raise other_checkpoint(Path(path), f"it has no {lacking[0]!r}")
        return checkpoint


def other_checkpoint(path: Path, reason: str) -> ModelError:
    """What is raised over a checkpoint that training cannot go on from."""
    return ModelError(
        f"{path} is damaged, or of another version of soundseek: {reason}; remove it to train from the first epoch on, "
        "with --resume"
    )
