"""Which trainings a recipe takes, in order: its stages, and before each that asks, the search for its number of epochs.

Each is a phase with a run folder of its own. The last one's is the folder of the whole run, the others lie inside it:
`stages/NAME`, and `selection` in the folder of the phase whose number of epochs it finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soundseek.errors import RecipeError
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import changed, stage_recipes

SELECTION_FOLDER = "selection"
STAGES_FOLDER = "stages"


@dataclass(frozen=True)
class Phase:
    """One training run.

    Attributes:
        name: Stage, and "selection" where it only finds the number of epochs; "" for a recipe that is one run.
        recipe: Without stages.
        folder: Its run folder.
        data_sets: See `StageConfig`.
        start: The run folder whose weights it starts from; None starts from the published ones.
        epochs_of: The run folder whose best epoch is this phase's last; None trains as long as the recipe says.
    """

    name: str
    recipe: Recipe
    folder: Path
    data_sets: tuple[Path, ...] = ()
    start: Path | None = None
    epochs_of: Path | None = None


def plan_phases(recipe: Recipe, out: Path, start: Path | None = None) -> list[Phase]:
    """The phases of a recipe whose run folder is `out`.

    Args:
        recipe: What to train.
        out: The run folder.
        start: The run folder that the first stage starts from; None starts from the published weights.

    Raises:
        RecipeError: A stage that cannot be; see `stage_recipes`; or `retrain_on_validation` without a validation split.
    """
    phases: list[Phase] = []
    stages = stage_recipes(recipe)
    for number, (name, stage) in enumerate(stages.items(), start=1):
        folder = out if number == len(stages) else out / STAGES_FOLDER / name
        data_sets = recipe.stages[name].data_sets if recipe.stages else ()
        if stage.training.retrain_on_validation:
            selection = folder / SELECTION_FOLDER
            label = f"{name} {SELECTION_FOLDER}".strip()
            once = changed(stage, {"training.retrain_on_validation": False})
            phases.append(Phase(label, once, selection, data_sets, start))
            phases.append(Phase(name, _retraining(stage), folder, data_sets, start, epochs_of=selection))
        else:
            phases.append(Phase(name, stage, folder, data_sets, start))
        start = folder
    return phases


def _retraining(recipe: Recipe) -> Recipe:
    """The same on both splits, without a look at either: no validation, no early stop."""
    data = recipe.data
    if data.validation_split is None:
        raise RecipeError(
            "training.retrain_on_validation needs a split to find the epochs on: data.validation_split"
        )
    return changed(
        recipe,
        {
            "data.train_splits": (*data.train_splits, data.validation_split),
            "data.validation_split": None,
            "training.retrain_on_validation": False,
            "training.patience": 0,
        },
    )
