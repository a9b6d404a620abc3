"""Which runs a reproduction is made of: recipes by name or group, what is set in all or in one, seeds, teachers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundseek._typing import Report
from soundseek.errors import RecipeError, UsageError
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import changed, load_recipe, recipe_parts
from soundseek.learn.report.paper_numbers import TABLE_ONE
from soundseek.learn.training.module import MONITOR, OnEpoch
from soundseek.learn.training.run_folder import RECIPE_FILE, read_record

RUNS_FOLDER = "runs"
RANKS_FILE = "ranks.npz"
_FIRST = "cnn14"  # what the paper's three other systems are compared with
GROUPS = {"table-one": (_FIRST, *(name for name in TABLE_ONE if name != _FIRST))}
"""What one name stands for; `table-one+frozen` puts the overlay on each."""

Planned = tuple[Recipe, Path]


@dataclass(frozen=True)
class Observer:
    """Told how a reproduction or a study goes on.

    Attributes:
        say: A line about a run.
        features: Called while features are computed.
        epoch: Called with each epoch's metrics.
    """

    say: Callable[[str], None] | None = None
    features: Report | None = None
    epoch: OnEpoch | None = None

    def tell(self, line: str) -> None:
        """Say a line."""
        if self.say:
            self.say(line)


def plan(names: Sequence[str], out: Path, *, num_seeds: int, settings: Sequence[str]) -> Iterator[Planned]:
    """Recipe and run folder of everything to do: all recipes with the first seed, then with the next.

    So the first comparison is there after a third of three seeds' time.

    Args:
        names: Recipes, by name or YAML file, and groups of them.
        out: The report's folder.
        num_seeds: Seeds 0, 1, ... of every recipe.
        settings: `key=value` for every recipe, `NAME:key=value` for one, which comes before the others.

    Raises:
        UsageError: No recipe, one twice, a seed among the settings, or a setting for a recipe that is not here.
        RecipeError: A recipe that there is not, or a value that it cannot have.
    """
    if not names:
        raise UsageError("no recipe to reproduce; give --recipes a,b,c. See: soundseek recipes")
    names = [each for name in names for each in _members(name)]
    if any(_scope(setting)[1].partition("=")[0] == "seed" for setting in settings):
        raise UsageError("the seeds of a reproduction are 0, 1, 2, ...; choose how many with --seeds")
    for scope in filter(None, (_scope(setting)[0] for setting in settings)):
        if scope not in map(_stem, names):
            raise UsageError(f"a value is set for {scope!r}, which is none of {', '.join(map(_stem, names))}")
    recipes = [load_recipe(name, _settings_of(name, settings)) for name in names]
    for recipe in recipes:
        if sum(other.name == recipe.name for other in recipes) > 1:
            raise UsageError(f"two recipes are called {recipe.name!r}; give each a name of its own")
    for seed in range(num_seeds):
        for recipe in recipes:
            yield changed(recipe, {"seed": seed}), out / RUNS_FOLDER / recipe.name / f"seed-{seed}"


def with_teachers(recipe: Recipe, folder: Path, planned: Sequence[Planned]) -> Recipe:
    """The recipe with run folders where its soft targets are those of the others.

    These are the finished runs of the same seed that validate best. A run that was stopped keeps the teachers that it
    began with.

    Raises:
        RecipeError: No other run of this seed is finished.
    """
    soft = recipe.loss.soft_targets
    if soft is None or soft.runs != "others":
        return recipe
    begun = load_recipe(folder / RECIPE_FILE).loss.soft_targets if (folder / RECIPE_FILE).is_file() else None
    if begun:
        runs = begun.runs
    else:
        others = [path for other, path in planned if other.seed == recipe.seed and path != folder]
        done = [path.resolve() for path in others if (path / RANKS_FILE).is_file()]
        runs = tuple(sorted(done, key=validation_score, reverse=True)[: soft.best])
    if not runs:
        raise RecipeError(
            "loss.soft_targets.runs = others, but no other recipe has a finished run of this seed; "
            "name this recipe last"
        )
    return changed(recipe, {"loss.soft_targets.runs": runs})


def _members(name: str) -> Iterator[str]:
    """The recipes of a group with the overlays behind its name, or the recipe itself."""
    group, plus, overlays = name.partition("+")
    if group not in GROUPS:
        yield name
    for member in GROUPS.get(group, ()):
        yield f"{member}{plus}{overlays}"


def _settings_of(name: str, settings: Sequence[str]) -> list[str]:
    parts = [_scope(setting) for setting in settings]
    own = _stem(name)
    return [setting for wanted in ("", own) for scope, setting in parts if scope == wanted]


def _scope(setting: str) -> tuple[str, str]:
    """Of `NAME:key=value` the name and the rest; the name is empty for every recipe."""
    key, equals, value = setting.partition("=")
    scope, colon, key_there = key.partition(":")
    return (scope, f"{key_there}{equals}{value}") if colon else ("", setting)


def _stem(name: str) -> str:
    """A recipe's name without overlays, folder and `.yaml`.

    >>> _stem("p-gat+frozen"), _stem("mine/own.yaml")
    ('p-gat', 'own')
    """
    path = Path(recipe_parts(name)[0])
    return path.stem if path.suffix in (".yaml", ".yml") else path.name


def validation_score(run: Path) -> float:
    """The best mAP10 on validation; of a run that was retrained on that split, too, that of the phase before."""
    record = read_record(run)
    phases = [phase[MONITOR] for phase in record.get("legs", {}).values() if MONITOR in phase]
    return float(record.get(MONITOR, phases[-1] if phases else 0.0))
