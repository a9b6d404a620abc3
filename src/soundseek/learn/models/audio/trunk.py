"""What every audio trunk shares: what it offers, its options in a recipe, and clips that are too short for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, Protocol, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError, RecipeError
from soundseek.learn.recipe.load import keys_at, nearest

Config = TypeVar("Config", bound=BaseModel)

_SECTION = "audio.trunk_options"


class Trunk(Protocol):
    """What every audio trunk offers.

    Attributes:
        front_end: The features it was trained on.
        width: Width of its frames.
        frame_hop: Log-mel frames per output frame.
        scope: "local": a frame depends on its neighbourhood alone; "clip": on the whole clip.
        context_frames: For "local", log-mel frames on either side that a frame can depend on.
        min_frames: Shortest log-mel it accepts.

    A trunk that can be trained has `save(path)` too, which writes a file that `build_trunk` reads.
    """

    front_end: FrontEndConfig
    width: int
    frame_hop: int
    scope: Literal["local", "clip"]
    context_frames: int
    min_frames: int

    def __call__(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames `(batch, time', width)` and their mask `(batch, time')`, True = real."""
        ...


def trunk_config(name: str, config_type: type[Config], options: Mapping[str, Any]) -> Config:
    """The config of a trunk.

    Args:
        name: The trunk's, for the messages.
        config_type: Its config's class.
        options: Values by field, as YAML gives them.

    Raises:
        RecipeError: An option that the trunk does not have, with the nearest it has, or a value out of range.
    """
    try:
        return config_type.model_validate(dict(options))
    except ValidationError as error:
        found = "; ".join(_explain(name, config_type, item) for item in error.errors())
        raise RecipeError(found) from error


def check_same_network(
    source: str, saved: BaseModel, wanted: BaseModel, *, may_differ: Collection[str]
) -> None:
    """Raise a RecipeError where options ask for another network than a file holds.

    Args:
        source: The file.
        saved: Its config.
        wanted: The same with the recipe's options.
        may_differ: Fields that act in training only.
    """
    for field in type(saved).model_fields:
        holds, asked = getattr(saved, field), getattr(wanted, field)
        if holds != asked and field not in may_differ:
            raise RecipeError(
                f"{_SECTION}.{field} = {asked!r}, but {source} holds a trunk with {holds!r}; drop the option, or "
                "choose other audio.weights"
            )


def _explain(name: str, config_type: type[BaseModel], item: Any) -> str:
    *sections, key = (str(part) for part in item["loc"] or ("",))
    place = ".".join(part for part in (_SECTION, *sections, key) if part)
    if item["type"] == "extra_forbidden":
        return f"the trunk {name!r} has no option {place!r}; {nearest(key, keys_at(config_type, sections))}"
    return f"{place} = {item.get('input')!r}: {item['msg']}"


def refuse_short_clips(trunk: Trunk, log_mel: Tensor, frame_mask: Tensor | None) -> None:
    """Raise a ModelError if a clip is shorter than `trunk.min_frames`.

    A graph that is being traced has no branches; who runs it pads.

    Args:
        trunk: What shall hear them.
        log_mel: `(batch, time, mel)`.
        frame_mask: `(batch, time)` bool, True = real; None = all real.
    """
    if frame_mask is not None:
        shortest = int(frame_mask.sum(dim=1).min())
    elif torch.compiler.is_compiling():
        return
    else:
        shortest = log_mel.shape[1]
    if shortest < trunk.min_frames:
        name, fewest = type(trunk).__name__, trunk.min_frames
        raise ModelError(f"a clip has {shortest} log-mel frames, {name} needs {fewest}; pad it with silence")
