"""Searching a recipe's values: sequential model-based optimisation of the validation mAP10.

A study is a folder: `study.db` (Optuna's, SQLite), `trials/000/`, ... (a run folder each), `best.txt` (the best
values as `--set` arguments) and `study.png` (how it got better, and what each value has to do with it). The next
values come from Optuna's tree-structured Parzen estimator (Bergstra et al., 2011), seeded by recipe and trial, so a
study that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, field_validator, model_validator

from soundseek._files import locked, replace_text, replacing
from soundseek._install import install_command
from soundseek.errors import (
    DataError,
    DivergedError,
    RecipeError,
    SoundseekError,
    StorageError,
    UsageError,
    WorkerError,
)
from soundseek.learn.data.prepare import check_splits
from soundseek.learn.experiments.plan import Observer, validation_score
from soundseek.learn.recipe.keys import Recipe, Section
from soundseek.learn.recipe.load import RECIPES_DIRECTORY, flat_values, load_recipe, read_yaml, recipe_parts
from soundseek.learn.recipe.stages import plan_phases
from soundseek.learn.training.train import train

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes
    from typing_extensions import Self


STUDY_FILE = "study.db"
TRIALS_FOLDER = "trials"
PLOT_FILE = "study.png"
BEST_FILE = "best.txt"
SPACES_FOLDER = "tune"
_STUDY = "soundseek"
_RANDOM_TRIALS = 10  # Optuna's default: as many are drawn before the estimator has something to learn from
_ONCE = "training.retrain_on_validation=false"  # the second training has no score
_FAILED, _RETRIED, _HOPELESS = (
    "failed ",
    "retried ",
    "hopeless ",
)  # attributes of a study, before a trial's number
_LASTING = (DivergedError, RecipeError)  # a trial that failed so will fail again
_DIGITS = 4  # of a tried value; more are noise, and nobody wants to read them

Value = int | float | str | bool | None


class Parameter(Section):
    """What one value of a recipe may be: a range, or some choices.

    Attributes:
        low: Smallest value; whole where `low` and `high` are.
        high: Largest.
        log: Try as many between 1 and 10 as between 10 and 100.
        choices: Instead of a range.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Value, ...] | None = None

    @field_validator("low", "high", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """YAML 1.1 reads 1e-4 as text; people mean the number."""
        return float(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give either low and high, or choices")
        if self.choices is not None and (
            len(self.choices) < 2 or self.low is not None or self.high is not None
        ):
            raise ValueError("choices are two or more, and have neither low nor high")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low {self.low} must lie below high {self.high}")
        if self.log and not (self.low and self.low > 0):
            raise ValueError("log needs low above 0")
        return self

    @property
    def ends(self) -> tuple[Value, ...]:
        """Values that a recipe has to be able to have for the others to be tried."""
        return self.choices if self.choices is not None else (self.low, self.high)

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """As Optuna says it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        assert self.low is not None and self.high is not None  # `_fits` has seen to it
        return FloatDistribution(float(self.low), float(self.high), log=self.log)

    def shown(self, value: Value) -> Value:
        """A value with as many digits as are tried."""
        if not isinstance(value, float) or self.low is None or self.high is None:
            return value
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


class SearchSpace(Section):
    """What to try, and for which recipe values.

    Attributes:
        tune: Dotted key of a recipe, as in `--set` -> what it may be.
    """

    tune: dict[str, Parameter]


@dataclass(frozen=True)
class TuningResult:
    """Where a study stands.

    Attributes:
        folder: Of the study.
        num_trials: Finished ones.
        best_trial: Number of the one with the highest mAP10.
        mAP10: Its validation mAP10.
        settings: Its values, as `--set` takes them.
    """

    folder: Path
    num_trials: int
    best_trial: int
    mAP10: float
    settings: tuple[str, ...]


def find_space(recipe: str) -> Path:
    """The file that says what to tune in a recipe: `tune/NAME.yaml` beside it.

    Raises:
        RecipeError: No such file.
    """
    path = Path(recipe_parts(recipe)[0])
    beside = path.parent if path.suffix in (".yaml", ".yml") else RECIPES_DIRECTORY
    space = beside / SPACES_FOLDER / f"{path.stem if path.suffix in ('.yaml', '.yml') else path.name}.yaml"
    if not space.is_file():
        raise RecipeError(f"nothing says what to tune in {recipe!r}: give --space FILE, or make {space}")
    return space


def load_space(path: Path) -> SearchSpace:
    """Read a search space.

    Raises:
        RecipeError: No YAML, an unknown key, a range without one of its ends.
    """
    try:
        space = SearchSpace.model_validate(read_yaml(path))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        wrong = (
            f"{'.'.join(map(str, each['loc']))} = {each['input']}: {each['msg']}" for each in error.errors()
        )
        raise RecipeError(f"{path}: {'; '.join(wrong)}") from error
    if not space.tune:
        raise RecipeError(f"{path}: tune has no key; name what to try, such as training.learning_rate")
    return space


def tune(
    recipe: str,
    space: SearchSpace,
    data: Path,
    out: Path,
    *,
    num_trials: int,
    settings: Sequence[str] = (),
    observer: Observer | None = None,
) -> TuningResult:
    """Try values until a study has `num_trials` trials, those of earlier calls among them.

    Args:
        recipe: A name or YAML file; see `load_recipe`.
        space: What to try.
        data: A directory in Clotho's layout.
        out: The study's folder; made if missing.
        num_trials: In all.
        settings: `key=value`, for every trial.
        observer: Told how it goes on.

    Raises:
        RecipeError: A recipe that there is not, or a value that it cannot have.
        UsageError: `out` is a study of another recipe, data or space, or another process writes to it; or Optuna is
            not installed.
        DataError: The data cannot be used.
        SoundseekError: Every trial failed.
    """
    if find_spec("optuna") is None:
        raise UsageError(f"tuning needs Optuna, which is not installed: {install_command('learn')}")
    observer = observer or Observer()
    base = _checked(recipe, space, settings)
    for phase in plan_phases(base, out):
        check_splits(phase.recipe, data, phase.data_sets)
    asked = {"recipe": flat_values(base), "space": space.model_dump(), "data": str(data.resolve())}
    with _quiet_optuna(), locked(out, "study"):
        study = _open(out, asked)
        _retry_failed(study)
        for number, values in _trials(study, space, base.seed, num_trials):
            shown = {key: space.tune[key].shown(value) for key, value in values.items()}
            said = [_setting(key, value) for key, value in shown.items()]
            observer.tell(f"trial {number + 1} of {num_trials}: {' '.join(said)}")
            folder = out / TRIALS_FOLDER / f"{number:03d}"
            try:
                trial = load_recipe(recipe, [*settings, *said, _ONCE])
                train(trial, data, folder, resume=True, report=observer.features, on_epoch=observer.epoch)
            except (DataError, StorageError, WorkerError):
                raise  # no fault of the values: the study stops, and begins with this trial the next time
            except SoundseekError as error:
                study.tell(number, state=_state("FAIL"))
                study.set_user_attr(f"{_FAILED}{number:03d}", str(error))
                if isinstance(error, _LASTING):
                    study.set_user_attr(f"{_HOPELESS}{number:03d}", value=True)
                observer.tell(f"trial {number + 1} failed: {error}")
                continue
            study.tell(number, validation_score(folder))
            _write(study, space, out)
        return _result(study, space, out)


def _checked(recipe: str, space: SearchSpace, settings: Sequence[str]) -> Recipe:
    """The recipe as it is, if it can have both ends of every range and every choice."""
    base = load_recipe(recipe, settings)
    if base.data.validation_split is None:
        raise RecipeError("tuning needs data.validation_split: without it no trial is better than another")
    for key, parameter in space.tune.items():
        for value in parameter.ends:
            try:
                load_recipe(recipe, [*settings, _setting(key, value)])
            except RecipeError as error:
                raise RecipeError(f"tune.{key} = {value} cannot be tried: {error}") from error
    return base


def _open(out: Path, asked: dict[str, Any]) -> optuna.Study:
    """A new study, or the one in the folder if it asks the same."""
    import optuna

    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    study = optuna.create_study(
        storage=f"sqlite:///{(out / STUDY_FILE).resolve()}",
        study_name=_STUDY,
        direction="maximize",
        load_if_exists=True,
    )
    if study.user_attrs.setdefault("asked", digest) != digest:
        raise UsageError(f"{out} is a study of another recipe, data or space; choose another --out")
    study.set_user_attr("asked", digest)
    return study


def _trials(
    study: optuna.Study, space: SearchSpace, seed: int, num_trials: int
) -> Iterator[tuple[int, dict[str, Value]]]:
    """Number and values of what is still to be tried: first what was stopped in the middle, then what had failed."""
    import optuna

    for stopped in study.get_trials(states=[_state("RUNNING")]):
        yield stopped.number, dict(stopped.params)
    distributions = {key: parameter.distribution() for key, parameter in space.tune.items()}
    while _num_tried(study) < num_trials:
        number = len(study.trials)
        # A sampler of its own for every trial: what it draws depends on seed and number, not on what came before a
        # stop.
        study.sampler = optuna.samplers.TPESampler(
            seed=seed * 100_003 + number, n_startup_trials=_RANDOM_TRIALS
        )
        trial = study.ask(distributions)
        yield trial.number, dict(trial.params)


def _retry_failed(study: optuna.Study) -> None:
    """Put the values of failed trials in front again, except where they themselves were to blame."""
    for failed in study.get_trials(states=[_state("FAIL")]):
        known = study.user_attrs
        if not any(f"{mark}{failed.number:03d}" in known for mark in (_RETRIED, _HOPELESS)):
            study.set_user_attr(f"{_RETRIED}{failed.number:03d}", value=True)
            study.enqueue_trial(failed.params)


def _num_tried(study: optuna.Study) -> int:
    """Trials that count: those that were begun, without those that another one replaces."""
    known = study.user_attrs
    waiting = _state("WAITING")
    return sum(
        trial.state != waiting and f"{_RETRIED}{trial.number:03d}" not in known for trial in study.trials
    )


def _result(study: optuna.Study, space: SearchSpace, out: Path) -> TuningResult:
    done = study.get_trials(states=[_state("COMPLETE")])
    if not done:
        reasons = [value for key, value in study.user_attrs.items() if key.startswith(_FAILED)]
        raise SoundseekError(f"no trial of {out} was finished: {'; '.join(dict.fromkeys(reasons))}")
    best = study.best_trial
    values = {key: space.tune[key].shown(value) for key, value in best.params.items()}
    settings = tuple(_setting(key, value) for key, value in values.items())
    return TuningResult(out, len(done), best.number, float(best.value or 0.0), settings)


def _write(study: optuna.Study, space: SearchSpace, out: Path) -> None:
    result = _result(study, space, out)
    lines = "".join(f"--set {shlex.quote(setting)}\n" for setting in result.settings)
    replace_text(out / BEST_FILE, lines)
    done = study.get_trials(states=[_state("COMPLETE")])
    values = [TrialValue(each.number, dict(each.params), float(each.value or 0.0)) for each in done]
    with replacing(out / PLOT_FILE) as partial:
        plot_study(values, [key for key, each in space.tune.items() if each.log], partial)


def _setting(key: str, value: Value) -> str:
    return f"{key}={json.dumps(value, ensure_ascii=False)}"  # JSON is YAML


def _state(name: str) -> Any:
    import optuna

    return optuna.trial.TrialState[name]


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Without Optuna's lines on stderr; the observer is told the same."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


_COLUMNS = 3
_TRIED, _BEST = "#1b6ca8", "#e07a1f"


@dataclass(frozen=True)
class TrialValue:
    """One finished trial.

    Attributes:
        number: From 0.
        values: Dotted key -> what was tried.
        mAP10: On the validation split, a share.
    """

    number: int
    values: dict[str, Any]
    mAP10: float


def plot_study(trials: Sequence[TrialValue], log_keys: Sequence[str], path: Path) -> None:
    """One PNG: mAP10 by trial with the best so far, then by each value.

    Args:
        trials: Finished ones, by number.
        log_keys: Keys whose axis is logarithmic.
        path: Where to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(trials[0].values)
    num_rows = -(-(len(keys) + 1) // _COLUMNS)
    figure = Figure(figsize=(4 * _COLUMNS, 3 * num_rows), layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot: no window, no global state
    axes = figure.subplots(num_rows, _COLUMNS, squeeze=False).ravel()
    _progress(axes[0], trials)
    for axis, key in zip(axes[1:], keys, strict=False):
        _against(axis, trials, key, is_log=key in log_keys)
    for axis in axes[len(keys) + 1 :]:
        axis.set_axis_off()
    figure.savefig(path, dpi=120, format="png")


def _progress(axis: Axes, trials: Sequence[TrialValue]) -> None:
    numbers = [trial.number + 1 for trial in trials]
    percent = [100 * trial.mAP10 for trial in trials]
    axis.scatter(numbers, percent, s=14, color=_TRIED, label="trial")
    axis.step(numbers, list(accumulate(percent, max)), where="post", color=_BEST, label="best so far")
    axis.set_xlabel("trial")
    axis.set_ylabel("validation mAP@10, %")
    axis.legend(frameon=False, fontsize="small")


def _against(axis: Axes, trials: Sequence[TrialValue], key: str, *, is_log: bool) -> None:
    best = max(trials, key=lambda trial: trial.mAP10)
    tried = [trial.values[key] for trial in trials]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in tried)
    places = tried if numbers else [str(value) for value in tried]
    axis.scatter(places, [100 * trial.mAP10 for trial in trials], s=14, color=_TRIED)
    mark = best.values[key] if numbers else str(best.values[key])
    axis.scatter([mark], [100 * best.mAP10], s=50, facecolors="none", edgecolors=_BEST)
    if is_log and numbers:
        axis.set_xscale("log")
    axis.set_xlabel(key)
