"""A recipe as text, and where recipes differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from soundseek.learn.recipe import RECIPES_DIRECTORY, Recipe

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
