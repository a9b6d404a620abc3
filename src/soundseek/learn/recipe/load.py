"""From a name, a file or settings to a recipe: one YAML file, one system.

A file says what differs from the recipe it `extends`; an overlay (`NAME.overlay.yaml`) says what differs from any
recipe, and is put on with a plus sign: `graph-attention+frozen`. What it has besides for one recipe alone stands in a
folder of its name: `frozen/passt-mpnet.yaml`. Unknown keys are errors that name the nearest key.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from soundseek._files import replace_text
from soundseek.errors import RecipeError
from soundseek.learn.recipe.keys import Recipe, ResolvedRecipe

RECIPES_DIRECTORY = Path(__file__).parents[1] / "recipes"
_OVERLAY = ".overlay"
Values = dict[str, Any]
AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)

# What makes a network: a stage that changed one of these could not take over the weights of the one before.
_NETWORK = {
    "audio": (
        "trunk", "weights", "trunk_options", "attention", "attention_options", "pooling", "head", "head_width",
        "head_on", "tag_share",
    ),
    "text": ("tower", "weights", "pooling", "head", "head_width"),
}  # fmt: skip


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
    name, *overlays = recipe_parts(str(name_or_path))
    path = _find(name)
    values = _read(path, chain=())
    for overlay in overlays:
        for above in _find_overlay(overlay, name):
            values = _overlaid(values, _read(above, chain=()))
    said: dict[str, Any] = {}
    for setting in settings:
        said = _merge(said, _parse_setting(setting))
    values = _merge(values, said)
    recipe = _validated(values, path.name, Recipe)
    stage_recipes(recipe)  # refuses now what a later stage could not do
    return recipe


def stage_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """Stage -> the recipe that it trains, in order; a recipe without stages is one, called "".

    Raises:
        RecipeError: A stage with an unknown key, a value out of range, or another network; one that freezes a text
            tower that an earlier one has trained.
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
        stages[name] = _validated(_merge(whole, changes), f"stage {name!r}", Recipe)
        earlier = [other for other, each in stages.items() if each.text.is_online]
        if earlier and not stages[name].text.is_online:
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


def changed(recipe: AnyRecipe, values: Mapping[str, Any]) -> AnyRecipe:
    """The recipe with other values, checked as if they had been written.

    Args:
        recipe: It stays as it is.
        values: By dotted key.

    Raises:
        RecipeError: A value that the recipe cannot have.

    >>> changed(Recipe(name="a"), {"training.epochs": 2, "seed": 1}).training.epochs
    2
    """
    merged = recipe.model_dump()
    for key, value in values.items():
        *sections, last = key.split(".")
        place = merged
        for section in sections:
            place = place[section]
        place[last] = value
    return _validated(merged, recipe.name, type(recipe))


def resolved(recipe: Recipe, *, trunk: Path, words: Path | None) -> ResolvedRecipe:
    """The recipe with the places of its towers' weights.

    Args:
        recipe: Of a run folder.
        trunk: The audio trunk's weights.
        words: The word vectors of a text tower that is made of them.
    """
    places = {"audio": {"weights": trunk.absolute()}, "text": {"weights": words and words.absolute()}}
    return _validated(_merge(recipe.model_dump(), places), recipe.name, ResolvedRecipe)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with every value filled in, whole or not at all."""
    values = recipe.model_dump(mode="json")
    replace_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


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


def network_differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Key -> its value in each of two recipes, for what makes their networks different; places of weights are not.

    >>> network_differences(Recipe(name="a", dim=8), Recipe(name="b", seed=1))
    {'dim': (8, 1024)}
    """
    keys = (
        "dim",
        *(f"{section}.{key}" for section, keys in _NETWORK.items() for key in keys if key != "weights"),
    )
    first, second = one.model_dump(mode="json"), other.model_dump(mode="json")
    pairs = {key: (_value_at(first, key), _value_at(second, key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _value_at(values: Mapping[str, Any], key: str) -> Any:
    section, _, last = key.rpartition(".")
    return (values[section] if section else values)[last]


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


def recipe_parts(text: str) -> list[str]:
    """A recipe and its overlays, which plus signs part; one that stands in a file's own path parts nothing.

    >>> recipe_parts("graph-attention+frozen")
    ['graph-attention', 'frozen']
    """
    signs = [place for place, character in enumerate(text) if character == "+"]
    if not signs or Path(text).is_file():
        return [text]
    for place in reversed(signs):
        if Path(text[:place]).is_file():
            return [text[:place], *recipe_parts(text[place + 1 :])]
    first = text[: signs[0]]
    file = re.match(r"(.*[/\\\\].*?\.ya?ml)(?:\+|$)", text)  # not there, so said as a whole
    if file and first not in recipe_names():
        rest = text[file.end() :]
        return [file[1], *(recipe_parts(rest) if rest else ())]
    return [first, *recipe_parts(text[signs[0] + 1 :])]


def read_yaml(path: Path) -> Any:
    """What a YAML file says; None for an empty one.

    Raises:
        RecipeError: It is no YAML, or a key stands twice in one section; the message names the line.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is no YAML: {_in_a_line(error)}") from error


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one section, of which plain YAML keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """The keys and values of a section."""
        lines: dict[Any, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = key_node.value
            if isinstance(key_node, yaml.ScalarNode) and key in lines and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands in line {lines[key]} already", key_node.start_mark
                )
            if isinstance(key_node, yaml.ScalarNode):
                lines[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


_MOST_VALUES = 20_000  # the largest recipe has some hundred


def _parsed(text: str) -> Any:
    """What a YAML text says.

    Raises:
        YAMLError: It is none, or is built to fill a memory: nested without end, or with names for names for names.
    """
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # a safe loader of ours
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except ValueError as error:  # a date that is none
        raise yaml.YAMLError(str(error)) from None
    left, seen = [value], 0
    while left:
        seen += 1
        if seen > _MOST_VALUES:
            raise yaml.YAMLError(f"it has more than {_MOST_VALUES:,} values")
        each = left.pop()
        left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
    return value


def _in_a_line(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark and problem else " ".join(str(error).split())


def _validated(values: Mapping[str, Any], what: str, kind: type[AnyRecipe]) -> AnyRecipe:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{what}: {_explain(error)}") from error


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
        path = (beside or Path()) / Path(name_or_path).expanduser()
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
    values = read_yaml(path) or {}
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
    text = text.strip()
    # Without brackets or quotes around it, a value with a number sign is a path: YAML would cut it off as a comment.
    is_path = "#" in text and text[:1] not in ("[", "{", '"', "'")
    try:
        value = text if is_path else _parsed(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting!r}: the value is no YAML: {_in_a_line(error)}") from error
    said: Any = _number(value) if isinstance(value, str) else value
    for part in reversed(key.split(".")):
        said = {part: said}
    return dict(said)


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
