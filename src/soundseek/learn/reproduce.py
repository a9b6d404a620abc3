"""Every recipe with every seed: trained, evaluated once, and written into one report.

A run is a folder `REPORT/runs/RECIPE/seed-N/`: the run folder of `soundseek.learn.runs`, and beside it
`ranks.npz` (where every caption's sound stood) and `cost.json`. What is there is not done again, and a run
that was stopped goes on after its last epoch, so the same command may be given until it is through.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundseek.errors import DataError, ModelError, RecipeError, SoundseekError, UsageError
from soundseek.learn.cost import CostMeter, machine
from soundseek.learn.data.clotho import read_split
from soundseek.learn.data.features import Report
from soundseek.learn.evaluation.answers import Answers, answer, load_answers, questions, save_answers
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.evaluation.report import MARKDOWN_FILE, write_report
from soundseek.learn.evaluation.sections import Asked, without_folders
from soundseek.learn.evaluation.summary import Epoch, FinishedRun
from soundseek.learn.recipe import Recipe, load_recipe
from soundseek.learn.runs import METRICS_FILE, load_run, read_record
from soundseek.learn.training import train

RUNS_FOLDER = "runs"
RANKS_FILE = "ranks.npz"
COST_FILE = "cost.json"
EVALUATION = "evaluation"

Say = Callable[[str], None]
OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True)
class Observer:
    """Who hears how it goes on.

    Attributes:
        say: A line about a run.
        features: Called while features are computed.
        epoch: Called with each epoch's metrics.
    """

    say: Say | None = None
    features: Report | None = None
    epoch: OnEpoch | None = None


def reproduce(
    names: Sequence[str],
    data: Path,
    out: Path,
    *,
    num_seeds: int = 3,
    split: str = EVALUATION,
    settings: Sequence[str] = (),
    observer: Observer | None = None,
) -> Path:
    """Train and evaluate every recipe with every seed, and write the report; returns its Markdown file.

    The report is written anew after every run, so that there is always one of what is finished.

    Args:
        names: Recipes, by name or YAML file; the others are compared with the first.
        data: A directory in Clotho's layout.
        out: The report's folder; made if missing.
        num_seeds: Seeds 0, 1, ... of every recipe.
        split: The split that asks.
        settings: `key=value`, for every recipe; see `load_recipe`.
        observer: Who hears how it goes on.

    Raises:
        UsageError: No recipe, one twice, a seed among the settings, or `out` has runs of something else.
        RecipeError: A recipe that there is not, or a value that it cannot have.
        SoundseekError: A recipe could not be run; the others were, and the report has them.
    """
    observer = observer or Observer()
    planned = list(plan(names, out, num_seeds=num_seeds, settings=settings))
    _refuse_other_questions(planned, data, split)
    settings_shown = tuple(without_folders(setting) for setting in settings)
    command = _command(names, num_seeds, split, settings_shown)
    failed: dict[str, str] = {}
    report = out / MARKDOWN_FILE
    for number, (recipe, folder) in enumerate(planned, start=1):
        _tell(observer, f"run {number} of {len(planned)}: {recipe.name}, seed {recipe.seed}")
        did_something = recipe.name not in failed and _tried(recipe, data, folder, split, observer, failed)
        runs = list(finished(planned)) if did_something or number == len(planned) else []
        if runs:
            asked = Asked(
                data=data.resolve().name,
                split=split,
                num_runs=len(planned),
                command=command,
                settings=settings_shown,
                machine=machine(),
                failed=dict(failed),
            )
            report = write_report(runs, asked, out)
    if failed:
        raise SoundseekError("; ".join(f"{name} could not be run: {why}" for name, why in failed.items()))
    return report


def plan(
    names: Sequence[str], out: Path, *, num_seeds: int, settings: Sequence[str]
) -> Iterator[tuple[Recipe, Path]]:
    """Recipe and run folder of everything to do: all recipes with the first seed, then with the next.

    So the first comparison is there after a third of three seeds' time.

    Raises:
        UsageError: See `reproduce`.
        RecipeError: See `reproduce`.
    """
    if not names:
        raise UsageError("no recipe to reproduce; give --recipes a,b,c. See: soundseek recipes")
    if any(setting.partition("=")[0] == "seed" for setting in settings):
        raise UsageError("the seeds of a reproduction are 0, 1, 2, ...; choose how many with --seeds")
    recipes = [load_recipe(name, settings) for name in names]
    for recipe in recipes:
        if [each.name for each in recipes].count(recipe.name) > 1:
            raise UsageError(f"two recipes are called {recipe.name!r}; give each a name of its own")
    for seed in range(num_seeds):
        for recipe in recipes:
            yield recipe.model_copy(update={"seed": seed}), out / RUNS_FOLDER / recipe.name / f"seed-{seed}"


def finish(recipe: Recipe, data: Path, folder: Path, *, split: str, observer: Observer) -> bool:
    """Do what one run lacks, training or its rest and the answers; False if it lacks nothing.

    Raises:
        UsageError: The folder holds a run of another recipe.
        SoundseekError: The run cannot be done.
    """
    with CostMeter() as whole:
        train(recipe, data, folder, resume=True, report=observer.features, on_epoch=observer.epoch)
        if (folder / RANKS_FILE).is_file():
            return False
        with CostMeter() as evaluation:
            embedder = RunEmbedder(*load_run(folder), report=observer.features)
            answers = answer(embedder, data, split)
    cost = {**whole.cost.to_dict(), "evaluation_s": evaluation.cost.wall_s}
    (folder / COST_FILE).write_text(json.dumps(cost, indent=2) + "\n", encoding="utf-8")
    save_answers(answers, folder / RANKS_FILE)  # last: a folder with ranks is done
    _tell(observer, f"{recipe.name}, seed {recipe.seed}: mAP10 {_percent(answers)} on {split}")
    return True


def finished(planned: Sequence[tuple[Recipe, Path]]) -> Iterator[FinishedRun]:
    """The runs that have their answers."""
    for recipe, folder in planned:
        if (folder / RANKS_FILE).is_file():
            yield FinishedRun(
                recipe=recipe,
                answers=load_answers(folder / RANKS_FILE),
                epochs=[json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()],
                record=read_record(folder),
                cost=json.loads((folder / COST_FILE).read_text()),
            )


def _tried(
    recipe: Recipe, data: Path, folder: Path, split: str, observer: Observer, failed: dict[str, str]
) -> bool:
    """`finish`, but what cannot be run is noted in `failed` and the others go on."""
    try:
        return finish(recipe, data, folder, split=split, observer=observer)
    except (RecipeError, ModelError, DataError) as error:
        failed[recipe.name] = str(error)
        _tell(observer, f"{recipe.name} could not be run: {error}")
        return True


def _refuse_other_questions(planned: Sequence[tuple[Recipe, Path]], data: Path, split: str) -> None:
    files, captions, _ = questions(read_split(data, split))
    for _, folder in planned:
        if not (folder / RANKS_FILE).is_file():
            continue
        saved = load_answers(folder / RANKS_FILE)
        if not (np.array_equal(saved.files, files) and np.array_equal(saved.captions, captions)):
            raise UsageError(
                f"{folder} has answered other captions than those of {split} in {data}; choose another --out"
            )


def _command(names: Sequence[str], num_seeds: int, split: str, settings: Sequence[str]) -> str:
    """The command again, with DIR and REPORT for folders."""
    shown = [without_folders(each) for each in names]
    parts = [
        "soundseek reproduce --data DIR --out REPORT",
        f"--recipes {','.join(shown)}",
        f"--seeds {num_seeds}",
    ]
    parts += [f"--split {split}"] if split != EVALUATION else []
    parts += [f"--set {shlex.quote(setting)}" for setting in settings]
    return " \\\n  ".join(parts)


def _percent(answers: Answers) -> str:
    return f"{100 * answers.per_query('mAP10').mean():.1f} %"


def _tell(observer: Observer, line: str) -> None:
    if observer.say:
        observer.say(line)
