"""A training recipe: one YAML file, one system. Unknown keys are errors that name the nearest key.

A file says what differs from the recipe it `extends`; an overlay (`NAME.overlay.yaml`) says what differs from any
recipe, and is put on with a plus sign: `graph-attention+frozen`. What it has besides for one recipe alone stands in a
folder of its name: `frozen/passt-mpnet.yaml`.

What a misspelt name or key was probably meant to be.

A recipe as text, and where recipes differ.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from soundseek.errors import RecipeError
from soundseek.learn.recipe.schema import (
    AudioConfig,
    CardConfig,
    DataConfig,
    LossConfig,
    Section,
    StageConfig,
    TextConfig,
    TrainingConfig,
)

if TYPE_CHECKING:
    from typing_extensions import Self


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a message: the known name that was probably meant, or all that are known.

    >>> nearest("epoch", ["batch_size", "epochs"])
    "did you mean 'epochs'?"
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else "there are none"


def keys_at(model: type[BaseModel], sections: Sequence[str]) -> list[str]:
    """The keys of the section that stands under these names in a config."""
    for section in sections:
        if section in model.model_fields:  # else the name of a stage, or the place of an item in a list
            model = next(_models(model.model_fields[section].annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for candidate in get_args(annotation):
        yield from _models(candidate)


Values = dict[str, Any]


def recipe_text(recipe: Recipe) -> str:
    """A recipe as YAML with every value filled in; `load_recipe` reads it back."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
    return text


def flat_values(recipe: Recipe) -> Values:
    """Every value by its dotted key, as `--set` writes it.

    >>> flat_values(Recipe(name="a"))["training.batch_size"]
    60
    """
    return dict(_flat(recipe.model_dump(mode="json"), ""))


def differences(recipes: Sequence[Recipe]) -> dict[str, list[Any]]:
    """Key -> its value in each recipe, for the keys in which they are not all alike.

    A key that a recipe does not have (an option of another attention) is None there.

    >>> differences([Recipe(name="a", dim=8), Recipe(name="b")])
    {'name': ['a', 'b'], 'dim': [8, 1024]}
    """
    values = [flat_values(recipe) for recipe in recipes]
    keys = list(dict.fromkeys(key for each in values for key in each))
    by_key = {key: [each.get(key) for each in values] for key in keys}
    return {key: found for key, found in by_key.items() if any(value != found[0] for value in found)}


def purpose(name: str) -> str:
    """What a recipe that comes with soundseek is: the comment in the first line of its file."""
    first = (RECIPES_DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _flat(values: Mapping[str, Any], prefix: str) -> Values:
    flat: Values = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


RECIPES_DIRECTORY = Path(__file__).parents[1] / "recipes"
_OVERLAY = ".overlay"
# What makes a network: a stage that changed one of these could not take over the weights of the one before.
_NETWORK = {
    "audio": (
        "trunk", "weights", "trunk_options", "attention", "attention_options", "pooling", "head", "head_width",
        "tag_share",
    ),
    "text": ("tower", "weights", "pooling", "head", "head_width"),
}  # fmt: skip


class Recipe(Section):
    """One system, complete: everything that `train` needs besides the data.

    Attributes:
        name: What the model is called.
        notes: Where the recipe departs from its source, and why.
        seed: Of every random choice.
        dim: Width of the shared embedding space.
        stages: Name -> what differs while it trains, in the order of training; empty trains in one go.
        card: What the exported model's card says.
    """

    name: str
    notes: str = ""
    seed: int = Field(default=0, ge=0)
    dim: int = Field(default=1024, gt=0)
    audio: AudioConfig = AudioConfig()
    text: TextConfig = TextConfig()
    loss: LossConfig = LossConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    stages: dict[str, StageConfig] = Field(default_factory=dict)
    card: CardConfig = CardConfig()

    @field_validator("stages", mode="before")
    @classmethod
    def _null_is_none(cls, value: Any) -> Any:
        """So that an overlay can take the stages away: `stages: null`."""
        return {} if value is None else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.data.validation_split is None:
            if self.training.retrain_on_validation:
                raise ValueError(
                    "training.retrain_on_validation needs data.validation_split to find the epochs on"
                )
            if self.training.schedule == "plateau":
                raise ValueError(
                    "training.schedule = plateau needs data.validation_split to see the plateau on"
                )
        if self.audio.tag_share and self.text.is_live:
            raise ValueError(
                "audio.tag_share asks the text tower for the tags' names once, so it has to be frozen"
            )
        if self.audio.tag_share and not self.audio.trunk.endswith("+tags"):
            raise ValueError(
                "audio.tag_share weighs the tags' names by probabilities, which a trunk +tags gives, and audio.trunk = "
                f"{self.audio.trunk}; set audio.trunk = NAME+tags, or tag_share = 0"
            )
        asks_by_number = self.loss.name == "relaxed" or self.loss.soft_targets is not None
        if self.audio.mix_share and asks_by_number:
            raise ValueError(
                "audio.mix_share makes captions that loss.name = relaxed and loss.soft_targets know nothing of; mix "
                "before training instead: data.overlays and data.sequences"
            )
        if self.data.tag_captions and self.audio.trained_blocks != 0:
            raise ValueError(
                "data.tag_captions name what a frozen trunk hears, and audio.trained_blocks = "
                f"{self.audio.trained_blocks}; set one of them back: tag_captions = null, or trained_blocks = 0"
            )
        if self.data.imagined_sounds and (self.audio.trained_blocks != 0 or self.text.is_live):
            raise ValueError(
                "data.imagined_sounds are imagined for frozen towers; set imagined_sounds = null, or "
                "audio.trained_blocks = 0, text.trained_layers = 0 and no text.augment"
            )
        return self


def recipe_names() -> list[str]:
    """The names of the recipes that come with soundseek."""
    return sorted(path.stem for path in RECIPES_DIRECTORY.glob("*.yaml") if not path.stem.endswith(_OVERLAY))


def overlay_names() -> list[str]:
    """The names of the overlays that come with soundseek."""
    return sorted(path.stem.removesuffix(_OVERLAY) for path in RECIPES_DIRECTORY.glob(f"*{_OVERLAY}.yaml"))


def load_recipe(name_or_path: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by name or YAML file, with overlays and with single values replaced.

    Args:
        name_or_path: One of `recipe_names()`, or a path that ends in `.yaml` or `.yml`; then, each after a plus sign,
            any of `overlay_names()` or paths of files of the same kind: `graph-attention+frozen`. The file's key
            `extends` names the recipe (or a file beside it) whose values it keeps where it has none of its
            own.
        settings: `key=value` with dots between sections, `training.epochs=5`; the value is read as YAML.

    Raises:
        RecipeError: No such recipe, a file that is no YAML, an unknown key or a value out of range.

    Example:
        >>> load_recipe("base", ["training.batch_size=256"]).training.batch_size
        256
    """
    name, *overlays = _parts(str(name_or_path))
    path = _find(name)
    values = _read(path, chain=())
    for overlay in overlays:
        for above in _find_overlay(overlay, name):
            values = _overlaid(values, _read(above, chain=()))
    said: dict[str, Any] = {}
    for setting in settings:
        said = _merge(said, _parse_setting(setting))
    values = _merge(values, said)
    recipe = _validated(values, path.name)
    stage_recipes(recipe)  # refuses now what a later stage could not do
    return recipe


def stage_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """Stage -> the recipe that it trains, in order; a recipe without stages is one, called "".

    Raises:
        RecipeError: A stage with an unknown key, a value out of range, or another network; one that is the first
            to standardise, or freezes a text tower that was trained, behind others.
    """
    if not recipe.stages:
        return {"": recipe}
    whole = recipe.model_dump(exclude={"stages"})
    stages = {}
    for name, stage in recipe.stages.items():
        changes = stage.model_dump(include={"audio", "text", "loss", "data", "training"})
        for section, keys in _NETWORK.items():
            fixed = [key for key in keys if key in changes[section]]
            if fixed:
                raise RecipeError(
                    f"stage {name!r} changes {', '.join(f'{section}.{key}' for key in fixed)}, but all stages train "
                    "one network; say it outside the stages"
                )
        if stage.epochs:
            changes["training"]["epochs"] = stage.epochs
        stages[name] = _validated(_merge(whole, changes), f"stage {name!r}")
        first = next(iter(stages))
        if stages[name].audio.standardise and not stages[first].audio.standardise:
            raise RecipeError(
                f"stage {name!r} has audio.standardise = true, but frames are measured once, before the first stage, "
                f"and {first!r} does not ask for it; set it there, or false in stages.{name}.audio.standardise"
            )
        earlier = [other for other, each in stages.items() if each.text.is_live]
        if earlier and not stages[name].text.is_live:
            raise RecipeError(
                f"stage {name!r} freezes the text tower, but {earlier[0]!r} before it has trained it, and cached "
                f"features would be the published one's; set stages.{name}.text.trained_layers"
            )
    return stages


def learned_splits(recipe: Recipe) -> set[str]:
    """The splits that a recipe learns from in any of its stages, validation included where it trains anew on it.

    >>> sorted(learned_splits(load_recipe("base", ["training.retrain_on_validation=true"])))
    ['development', 'validation']
    """
    splits: set[str] = set()
    for stage in stage_recipes(recipe).values():
        splits.update(stage.data.train_splits)
        if stage.training.retrain_on_validation and stage.data.validation_split:
            splits.add(stage.data.validation_split)
    return splits


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with every value filled in."""
    values = recipe.model_dump(mode="json")
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _validated(values: Mapping[str, Any], what: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{what}: {_explain(error)}") from error


def _parts(name_or_path: str) -> list[str]:
    """A recipe and its overlays; the plus sign of a file's own name is left alone."""
    return [name_or_path] if Path(name_or_path).is_file() else name_or_path.split("+")


def _overlaid(values: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """As `_merge`, but an overlay adds its notes to the recipe's."""
    notes = (text.strip() for each in (values, above) if (text := each.get("notes")))
    return _merge(values, {**above, "notes": " ".join(notes)})


def _find_overlay(name_or_path: str, recipe: str) -> list[Path]:
    """The overlay's file, and the one of what it has besides for this recipe if there is one."""
    if name_or_path.endswith((".yaml", ".yml")):
        return [_find(name_or_path)]
    path = RECIPES_DIRECTORY / f"{name_or_path}{_OVERLAY}.yaml"
    if not path.is_file():
        raise RecipeError(f"no overlay {name_or_path!r}; {nearest(name_or_path, overlay_names())}")
    own = RECIPES_DIRECTORY / name_or_path / f"{recipe}.yaml"
    return [path, own] if own.is_file() else [path]


def _find(name_or_path: str, beside: Path | None = None) -> Path:
    if name_or_path.endswith((".yaml", ".yml")):
        path = (beside or Path()) / name_or_path
        if not path.is_file():
            raise RecipeError(
                f"no recipe file {path}; soundseek's own go without .yaml: {', '.join(recipe_names())}"
            )
        return path
    path = RECIPES_DIRECTORY / f"{name_or_path}.yaml"
    if not path.is_file():
        raise RecipeError(f"no recipe {name_or_path!r}; {nearest(name_or_path, recipe_names())}")
    return path


def _read(path: Path, *, chain: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a file on top of those it extends."""
    if path in chain:
        raise RecipeError(f"{path} extends itself")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is no YAML: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must hold keys and values, not a {type(values).__name__}")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    return _merge(_read(_find(str(parent), path.parent), chain=(*chain, path)), values)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `above`, and those of `below` where it has none; another trunk or attention brings no options."""
    merged = dict(below)
    for key in above:
        if key in below and above[key] != below[key]:
            merged.pop(f"{key}_options", None)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _parse_setting(setting: str) -> dict[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {setting!r} is not key=value, for example training.epochs=5")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting!r}: the value is no YAML: {error}") from error
    if isinstance(value, str):
        value = _number(value)
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _number(text: str) -> float | str:
    """YAML 1.1 reads 1e-4 as text; people mean the number."""
    try:
        return float(text)
    except ValueError:
        return text


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(item) for item in error.errors())


def _explain_one(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        *sections, key = (str(part) for part in item["loc"])
        return f"unknown key {place!r}; {nearest(key, keys_at(Recipe, sections))}"
    if item["type"] == "value_error":  # a validator of ours: it names the values that do not fit together
        return f"{place}: {item['ctx']['error']}"
    return f"{place} = {item.get('input')!r}: {item['msg']}"
