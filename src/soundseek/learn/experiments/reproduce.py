"""Every recipe with every seed: trained, evaluated once, and written into one report.

A run is a folder `REPORT/runs/RECIPE/seed-N/` (`learn/training/run_folder.py`), and in it `ranks.npz` (where
every caption's sound stood) and `cost.json`. The seeds of a recipe as an ensemble are a folder beside them,
`seeds-0-to-N/`, with `weights.json` instead of a model. What is there is not done again, and a run
that was stopped goes on after its last epoch, so the same command may be given until it is through.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from soundseek._files import locked, naming_the_disk, replace_text
from soundseek.errors import (
    DataError,
    DivergedError,
    ModelError,
    RecipeError,
    SoundseekError,
    UsageError,
    WorkerError,
)
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.evaluation.ensemble import Ensemble, build_ensemble
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.evaluation.rankings import Answers, load_answers, questions, rank_queries, save_answers
from soundseek.learn.experiments.cost import Cost, CostMeter, machine
from soundseek.learn.experiments.plan import RANKS_FILE, Observer, Planned, plan, with_teachers
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import changed
from soundseek.learn.recipe.stages import SELECTION_FOLDER
from soundseek.learn.report.report import MARKDOWN_FILE, write_report
from soundseek.learn.report.sections import Asked, without_folders
from soundseek.learn.report.summary import Epoch, FinishedModel, FinishedRun
from soundseek.learn.training.run_folder import is_run, load_run, read_metrics, read_record
from soundseek.learn.training.train import train
from soundseek.model.model import Model
from soundseek.model.registry import load_model

COST_FILE = "cost.json"
WEIGHTS_FILE = "weights.json"
MODELS_FOLDER = "models"
EVALUATION = "evaluation"


def reproduce(
    names: Sequence[str],
    data: Path,
    out: Path,
    *,
    num_seeds: int = 3,
    split: str = EVALUATION,
    settings: Sequence[str] = (),
    ensembles: Sequence[str] = (),
    models: Sequence[str] = (),
    observer: Observer | None = None,
) -> Path:
    """Train and evaluate every recipe with every seed, and write the report; returns its Markdown file.

    The report is written anew after every run, so that there is always one of what is finished.

    Args:
        names: Recipes, by name or YAML file, and groups such as "table-one"; the others are compared with the first.
        data: A directory in Clotho's layout.
        out: The report's folder; made if missing.
        num_seeds: Seeds 0, 1, ... of every recipe.
        split: The split that asks.
        settings: `key=value` for every recipe, `NAME:key=value` for one; see `load_recipe`.
        ensembles: Names of recipes whose seeds together are a system, too, with weights chosen on validation.
        models: Names or directories of models that are evaluated as they are, such as an exported CLAP.
        observer: Told how it goes on.

    Raises:
        UsageError: No recipe, one twice, a seed among the settings, an ensemble of a recipe that is not here or of one
            seed, or `out` has runs of something else.
        ModelError: There is no such model.
        RecipeError: A recipe that there is not, or a value that it cannot have.
        SoundseekError: A recipe could not be run; the others were, and the report has them.
    """
    planned = list(plan(names, out, num_seeds=num_seeds, settings=settings))
    _refuse_other_questions(planned, data, split)
    _refuse_other_ensembles(ensembles, planned, num_seeds)
    settings_shown = tuple(without_folders(setting) for setting in settings)
    asked = Asked(
        data=data.resolve().name,
        split=split,
        num_runs=len(planned),
        command=_command(names, num_seeds, split, settings_shown, ensembles, models),
        settings=settings_shown,
        machine=machine(),
    )
    loaded = [load_model(name) for name in models]
    with locked(out, "report"):
        return _Reproduction(planned, data, out, split, observer or Observer()).all(asked, ensembles, loaded)


@dataclass(frozen=True)
class _Reproduction:
    """Runs of one report.

    Attributes:
        planned: Each with its folder; finished ones may be teachers of later ones.
        data: A directory in Clotho's layout.
        out: The report's folder.
        split: The split that asks.
        observer: Told how it goes on.
    """

    planned: Sequence[Planned]
    data: Path
    out: Path
    split: str
    observer: Observer

    def all(self, asked: Asked, ensembles: Sequence[str], models: Sequence[Model]) -> Path:
        """Every run that is planned, and the report."""
        failed: dict[str, str] = {}
        report = self.out / MARKDOWN_FILE
        for number, (recipe, folder) in enumerate(self.planned, start=1):
            self.observer.tell(f"run {number} of {len(self.planned)}: {recipe.name}, seed {recipe.seed}")
            did_something = recipe.name not in failed and self._tried(recipe, folder, failed)
            is_last = number == len(self.planned)
            runs = list(finished(self.planned)) if did_something or is_last else []
            together: list[FinishedRun] = []
            beside: list[FinishedModel] = []
            if is_last:
                together = [each for name in ensembles for each in self._together(name)]
                beside = [self._of_model(model) for model in models] if runs else []
            if runs:
                num_runs = asked.num_runs + len(together)
                told = replace(asked, num_runs=num_runs, failed=dict(failed))
                report = write_report([*runs, *together], told, self.out, models=beside)
        if failed:
            raise SoundseekError("; ".join(f"{name} could not be run: {why}" for name, why in failed.items()))
        return report

    def _tried(self, recipe: Recipe, folder: Path, failed: dict[str, str]) -> bool:
        """`_finish`, but what cannot be run is noted in `failed` and the others go on."""
        try:
            return self._finish(recipe, folder)
        except (RecipeError, ModelError, DataError, DivergedError, WorkerError) as error:
            failed[recipe.name] = str(error)
            self.observer.tell(f"{recipe.name} could not be run: {error}")
            return True

    def _finish(self, recipe: Recipe, folder: Path) -> bool:
        """Do what one run lacks, training or its rest and the answers; False if it lacks nothing.

        Raises:
            UsageError: The folder holds a run of another recipe.
            SoundseekError: The run cannot be done.
        """
        observer = self.observer
        with CostMeter() as whole:
            taught = with_teachers(recipe, folder, self.planned)
            train(taught, self.data, folder, resume=True, report=observer.features, on_epoch=observer.epoch)
            if (folder / RANKS_FILE).is_file():
                return False
            with CostMeter() as evaluation:
                embedder = RunEmbedder(*load_run(folder), report=observer.features)
                answers = rank_queries(embedder, self.data, self.split)
        with naming_the_disk(folder / RANKS_FILE):
            _keep(answers, folder, whole.cost, evaluation_s=evaluation.cost.wall_s)
        observer.tell(f"{recipe.name}, seed {recipe.seed}: mAP10 {_percent(answers)} on {self.split}")
        return True

    def _together(self, name: str) -> Iterator[FinishedRun]:
        """The seeds of a recipe as one system, once all have their answers."""
        runs = [path for recipe, path in self.planned if recipe.name == name]
        if not all((path / RANKS_FILE).is_file() for path in runs):
            return
        folder = runs[0].parent / f"seeds-0-to-{len(runs) - 1}"
        if not (folder / RANKS_FILE).is_file():
            with CostMeter() as meter:
                ensemble = _ensemble(runs, self.data)
                answers = rank_queries(ensemble, self.data, self.split)
            folder.mkdir(exist_ok=True)
            replace_text(folder / WEIGHTS_FILE, json.dumps(ensemble.weights) + "\n")
            _keep(answers, folder, meter.cost, evaluation_s=meter.cost.wall_s)
            self.observer.tell(f"{name}, all seeds together: mAP10 {_percent(answers)} on {self.split}")
        first = next(recipe for recipe, path in self.planned if path == runs[0])
        together = changed(first, {"name": f"{name}, {len(runs)} seeds together"})
        yield _read(together, folder, record=read_record(runs[0]))

    def _of_model(self, model: Model) -> FinishedModel:
        """A model's answers, kept in the report's folder for the next time."""
        name, fingerprint = model.config.name, model.fingerprint
        path = self.out / MODELS_FOLDER / f"{name}-{fingerprint}-{self.split}.npz"
        if path.is_file():
            answers = load_answers(path)
        else:
            answers = rank_queries(model, self.data, self.split)
            path.parent.mkdir(exist_ok=True)
            with naming_the_disk(path):
                save_answers(answers, path)
            self.observer.tell(f"{name}: mAP10 {_percent(answers)} on {self.split}")
        return FinishedModel(name, fingerprint, answers)


def finished(planned: Sequence[Planned]) -> Iterator[FinishedRun]:
    """The runs that have their answers."""
    for recipe, folder in planned:
        if (folder / RANKS_FILE).is_file():
            yield _read(recipe, folder, record=read_record(folder), epochs=_epochs(folder))


def _keep(answers: Answers, folder: Path, cost: Cost, *, evaluation_s: float) -> None:
    told = {**cost.to_dict(), "evaluation_s": evaluation_s}
    replace_text(folder / COST_FILE, json.dumps(told, indent=2) + "\n")
    save_answers(answers, folder / RANKS_FILE)  # last: a folder with ranks is done


def _read(
    recipe: Recipe, folder: Path, *, record: dict[str, Any], epochs: Sequence[Epoch] = ()
) -> FinishedRun:
    cost = json.loads((folder / COST_FILE).read_text())
    return FinishedRun(recipe, load_answers(folder / RANKS_FILE), epochs, record, cost)


def _epochs(folder: Path) -> list[Epoch]:
    """The epochs that validation has seen: of the search for their number, where there was one."""
    selection = folder / SELECTION_FOLDER
    return read_metrics(selection if selection.is_dir() else folder)


def _ensemble(runs: Sequence[Path], data: Path) -> Ensemble:
    """Runs with weights chosen on validation; where they have learned from it, by the phases that have not."""
    members = [RunEmbedder(*load_run(run)) for run in runs]
    before = [run / SELECTION_FOLDER for run in runs]
    if not all(map(is_run, before)):
        return build_ensemble(members, data)
    return Ensemble(members, build_ensemble([RunEmbedder(*load_run(run)) for run in before], data).weights)


def _refuse_other_ensembles(ensembles: Sequence[str], planned: Sequence[Planned], num_seeds: int) -> None:
    known = list(dict.fromkeys(recipe.name for recipe, _ in planned))
    for name in ensembles:
        if name not in known:
            raise UsageError(f"an ensemble of {name!r}, which is none of {', '.join(known)}")
    if ensembles and num_seeds < 2:
        raise UsageError("an ensemble needs two seeds or more: --seeds 3")


def _refuse_other_questions(planned: Sequence[Planned], data: Path, split: str) -> None:
    files, captions, _ = questions(read_split(data, split))
    for _, folder in planned:
        if not (folder / RANKS_FILE).is_file():
            continue
        saved = load_answers(folder / RANKS_FILE)
        if not (np.array_equal(saved.files, files) and np.array_equal(saved.captions, captions)):
            raise UsageError(
                f"{folder} has answered other captions than those of {split} in {data}; choose another --out"
            )


def _command(
    names: Sequence[str],
    num_seeds: int,
    split: str,
    settings: Sequence[str],
    ensembles: Sequence[str],
    models: Sequence[str],
) -> str:
    """The command again, with DIR and REPORT for folders."""
    shown = [without_folders(each) for each in names]
    parts = [
        "soundseek reproduce --data DIR --out REPORT",
        f"--recipes {','.join(shown)}",
        f"--seeds {num_seeds}",
    ]
    parts += [f"--split {split}"] if split != EVALUATION else []
    parts += [f"--ensemble {name}" for name in ensembles]
    parts += [f"--model {without_folders(name)}" for name in models]
    parts += [f"--set {shlex.quote(setting)}" for setting in settings]
    return " \\\n  ".join(parts)


def _percent(answers: Answers) -> str:
    return f"{100 * answers.per_query('mAP10').mean():.1f} %"
