"""The towers that a recipe names: audio trunks (log-mel -> frames `(batch, time, width)`) and text towers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError, RecipeError
from soundseek.learn.models.audio.trunk import Trunk, check_same_network, trunk_config
from soundseek.learn.models.audio.weights_file import reading_weights
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import nearest

if TYPE_CHECKING:
    from soundseek.learn.models.dual_encoder import DualEncoder
    from soundseek.learn.models.text.tower import TextTower


WORD2VEC = "word2vec"


@dataclass(frozen=True)
class TrunkKind:
    """How a trunk is made; to add one, write its `TrunkKind` and its line in `TRUNKS`.

    Attributes:
        config: The pydantic class of its options (`audio.trunk_options`).
        new: A trunk drawn at random, from its config.
        load: A trunk with the weights of a file. The config is None where the file says what network it holds, as
            one of the trunk's `save` does; such a trunk has it as its attribute `config`.
        describes_itself: True for such a file.
        free_options: Options that no weight depends on, so a file's network may be given others.
        frozen_defaults: Defaults where a file does not say and the trunk is not trained.
        draws: True for a config with layers that the published file lacks, so that they are drawn at random.
    """

    config: type[BaseModel]
    new: Callable[[Any], nn.Module]
    load: Callable[[Path, Any], nn.Module]
    describes_itself: Callable[[Path], bool]
    free_options: frozenset[str] = frozenset()
    frozen_defaults: Mapping[str, Any] = field(default_factory=dict)
    draws: Callable[[Any], bool] = lambda config: False


def _compact() -> TrunkKind:
    from soundseek.learn.models.audio.compact import CompactConfig, CompactTrunk

    return TrunkKind(
        CompactConfig,
        CompactTrunk,
        lambda path, _: CompactTrunk.load(path),
        describes_itself=lambda _: True,
        free_options=frozenset({"margin_frames"}),
    )


def _efficientat() -> TrunkKind:
    from soundseek.learn.models.audio.efficientat import EfficientATConfig, EfficientATTrunk

    return TrunkKind(
        EfficientATConfig,
        lambda config: EfficientATTrunk(config.width_factor),
        lambda path, config: EfficientATTrunk.load(path, width_factor=config.width_factor),
        describes_itself=lambda _: False,
    )


def _cnn14() -> TrunkKind:
    from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk

    # The published file has no layer from 2048 to 1024, and a frozen trunk would keep one drawn at random.
    return replace(
        _panns(CNN14Trunk, CNN14Config),
        frozen_defaults={"reduction": "none"},
        draws=lambda config: config.reduction == "linear",
    )


def _cnn10() -> TrunkKind:
    from soundseek.learn.models.audio.cnn10 import CNN10Config, CNN10Trunk

    return _panns(CNN10Trunk, CNN10Config)


def _resnet38() -> TrunkKind:
    from soundseek.learn.models.audio.resnet38 import ResNet38Config, ResNet38Trunk

    return _panns(ResNet38Trunk, ResNet38Config)


def _passt() -> TrunkKind:
    from soundseek.learn.models.audio.passt import PaSSTConfig, PaSSTTrunk

    return TrunkKind(
        PaSSTConfig, PaSSTTrunk, PaSSTTrunk.load, describes_itself=lambda path: path.suffix == ".safetensors"
    )


def _crnn() -> TrunkKind:
    from soundseek.learn.models.audio.crnn import CRNNConfig, CRNNTrunk

    return TrunkKind(
        CRNNConfig, CRNNTrunk, lambda path, _: CRNNTrunk.load(path), describes_itself=lambda _: True
    )


def _with_tags(make: Callable[[], TrunkKind], *, amplitudes: bool = False) -> Callable[[], TrunkKind]:
    def make_tagged() -> TrunkKind:
        from soundseek.learn.models.audio.tags import WithTags

        kind = make()
        head = {"head": "tagger"} if "head" in kind.config.model_fields else {}
        return replace(
            kind,
            new=lambda config: WithTags(kind.new(config), amplitudes=amplitudes),
            load=lambda path, config: WithTags(kind.load(path, config), amplitudes=amplitudes),
            frozen_defaults={**kind.frozen_defaults, **head},
        )

    return make_tagged


def _panns(trunk: Any, config: type[BaseModel]) -> TrunkKind:
    return TrunkKind(
        config,
        trunk,
        trunk.load,
        describes_itself=lambda path: path.suffix == ".safetensors",
        free_options=frozenset({"norms", "spec_augment"}),
    )


TRUNKS: dict[str, Callable[[], TrunkKind]] = {
    "compact": _compact,
    "crnn": _crnn,
    "efficientat": _efficientat,
    "cnn14": _cnn14,
    "cnn10": _cnn10,
    "resnet38": _resnet38,
    "passt": _passt,
}
TRUNKS |= {
    f"{name}+{tags}": _with_tags(TRUNKS[name], amplitudes=tags == "amplitudes")
    for name in ("efficientat", "cnn14", "cnn10", "resnet38", "passt")
    for tags in ("tags", "amplitudes")
}
"""How each trunk is made; a function, so that only the trunk in use is imported."""


def build_trunk(
    name: str,
    weights: Path | None,
    options: Mapping[str, Any] | None = None,
    *,
    trained: bool = False,
    spec_augment: bool | None = None,
    seed: int = 0,
) -> nn.Module:
    """A trunk in evaluation mode; it follows the protocol `Trunk`.

    Args:
        name: One of `TRUNKS`.
        weights: Its file: as published, or as the trunk's `save` wrote it. None draws the weights, which only a
            trunk that is trained may have; then `trunk.save(path)` gives the run folder the file to find it by.
        options: The recipe's `audio.trunk_options`: fields of the trunk's config. A file that says which network
            it holds needs none, and no option may ask for another network. Any trunk takes `peak_dbfs`, which is of
            its front end: no weight depends on it.
        trained: The whole trunk is trained (`audio.trained_blocks = "all"`): its parameters take gradients.
            Otherwise it is frozen.
        spec_augment: The recipe's `audio.spec_augment`, for a trunk with stripes of its own behind its first norm;
            `trunk_options.spec_augment` comes before it, None leaves the trunk's default.
        seed: Of weights that are drawn; the same for all processes of a run. The caller's generators stay as they
            are.

    Raises:
        RecipeError: An unknown name or option, no weights for a frozen trunk, no such file, or options that ask for
            another network than the file's.
        ModelError: The file is not this trunk's.
    """
    if name not in TRUNKS:
        raise RecipeError(f"no audio trunk {name!r}; {nearest(name, list(TRUNKS))}")
    kind = TRUNKS[name]()
    options = dict(options or {})
    peak_dbfs = options.pop("peak_dbfs", None)
    options = _with_spec_augment(name, kind, options, spec_augment)
    if weights is None:
        if not trained:
            raise RecipeError(
                f"the trunk {name!r} is frozen, so it needs its weights: --set audio.weights=FILE, or train it from "
                "random ones: --set audio.trained_blocks=all"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            trunk = kind.new(trunk_config(name, kind.config, options))
    elif not weights.is_file():
        raise RecipeError(f"audio.weights: no file {weights}{_where_to_get(weights.name)}")
    else:
        with reading_weights(weights):
            trunk = _loaded(name, kind, weights, options, trained=trained)
    if peak_dbfs is not None:
        heard = cast("Any", trunk)
        heard.front_end = _levelled(heard.front_end, peak_dbfs)
    return trunk.requires_grad_(trained).eval()


def trunk_from_tensors(
    source: str, recipe: Recipe, tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None
) -> nn.Module:
    """The frozen trunk of a recipe from its tensors, as a model directory keeps them.

    Args:
        source: Where they come from, for the messages.
        recipe: Its trunk and options.
        tensors: Float32, by their names in the trunk.
        config: What the trunk's own config said when they were written. None where that was not noted, as in the first
            model directories: then a compact trunk is soundseek-small's.

    Raises:
        ModelError: They are not this trunk's.
    """
    name, options = recipe.audio.trunk, dict(recipe.audio.trunk_options)
    kind = TRUNKS[name]()
    peak_dbfs = options.pop("peak_dbfs", None)
    if config is None and name == "compact":
        from soundseek.learn.models.audio.compact import SOUNDSEEK_SMALL

        config = SOUNDSEEK_SMALL.model_dump()
    trunk: Any = kind.new(
        trunk_config(name, kind.config, {**kind.frozen_defaults, **(config or {}), **options})
    )
    expected = trunk.state_dict()
    wrong = sorted(
        key
        for key in expected.keys() | tensors.keys()
        if key not in expected or key not in tensors or expected[key].shape != tensors[key].shape
    )
    if wrong:
        raise ModelError(
            f"{source} holds another trunk than its recipe says ({name}); missing, surplus or misshapen: {wrong[:8]}"
        )
    trunk.load_state_dict(dict(tensors))
    if peak_dbfs is not None:
        trunk.front_end = _levelled(trunk.front_end, peak_dbfs)
    return cast("nn.Module", trunk.requires_grad_(False).eval())


def _levelled(front_end: FrontEndConfig, peak_dbfs: Any) -> FrontEndConfig:
    try:
        return FrontEndConfig(**{**front_end.model_dump(), "peak_dbfs": peak_dbfs})
    except ValidationError as error:
        raise RecipeError(
            f"audio.trunk_options.peak_dbfs = {peak_dbfs!r}: it is a level in dB of full scale, so 0 or less"
        ) from error


def _where_to_get(name: str) -> str:
    """The next step where the weights of a trunk are not there."""
    if not name.startswith("mn04_as_mAP_432."):
        return "; give the file of the trunk's weights, docs/distillation.md says where such are published"
    return "; EfficientAT's release v0.0.1 publishes mn04_as_mAP_432.pt, see docs/distillation.md"


def _with_spec_augment(
    name: str, kind: TrunkKind, options: dict[str, Any], spec_augment: bool | None
) -> dict[str, Any]:
    if spec_augment is None:
        return options
    if "spec_augment" in kind.config.model_fields:
        return {"spec_augment": spec_augment, **options}
    if spec_augment:
        able = [other for other, make in TRUNKS.items() if "spec_augment" in make().config.model_fields]
        raise RecipeError(
            f"audio.spec_augment = true, but the trunk {name!r} takes no stripes; these do: {', '.join(able)}"
        )
    return options


def _loaded(
    name: str, kind: TrunkKind, weights: Path, options: dict[str, Any], *, trained: bool
) -> nn.Module:
    if kind.describes_itself(weights):
        trunk: Any = kind.load(weights, None)
        wanted = trunk_config(name, kind.config, {**dict(trunk.config), **options})
        check_same_network(str(weights), trunk.config, wanted, may_differ=kind.free_options)
        trunk.config = wanted
        return cast("nn.Module", trunk)
    config = trunk_config(name, kind.config, {**({} if trained else kind.frozen_defaults), **options})
    if not trained and kind.draws(config):
        defaults = ", ".join(f"{key} = {value!r}" for key, value in kind.frozen_defaults.items())
        raise RecipeError(
            f"audio.trunk_options add a layer that {weights.name} lacks, and a frozen trunk would keep it as it was "
            f"drawn; take {defaults}, or train the trunk: --set audio.trained_blocks=all"
        )
    return kind.load(weights, config)


class LogMelBody:
    """What stays frozen of a trunk that is trained whole: nothing. Log-mels pass through; it follows `Trunk`.

    With it a trunk in the training loop is a tail like any other: its `Batch.frames` are log-mels.
    """

    frame_hop = 1
    scope: Literal["local", "clip"] = "local"
    context_frames = 0

    def __init__(self, trunk: Trunk) -> None:
        self.front_end = trunk.front_end
        self.width = trunk.front_end.num_mels
        self.min_frames = trunk.min_frames

    def __call__(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The log-mel `(batch, time, mel)` itself and its mask `(batch, time)`."""
        if frame_mask is None:
            frame_mask = torch.ones(log_mel.shape[:2], dtype=torch.bool, device=log_mel.device)
        return log_mel, frame_mask


def split_trunk(trunk: nn.Module, trained_blocks: int | Literal["all"]) -> tuple[Trunk, nn.Module | None]:
    """What stays frozen of a trunk, and its last layers, which are trained.

    The first gives what the second takes; both share their weights with the trunk.

    Args:
        trunk: One of `build_trunk`.
        trained_blocks: How many layers are trained; with 0 the trunk stays whole and the second is None, with
            "all" the first is a `LogMelBody` and the second the trunk itself.

    Raises:
        RecipeError: The trunk cannot be divided, or not at this layer.
    """
    whole = cast("Trunk", trunk)
    if trained_blocks == "all":
        return LogMelBody(whole), trunk
    if not trained_blocks:
        return whole, None
    divisible: Any = trunk
    if not hasattr(trunk, "split"):
        raise RecipeError(
            f"audio.trained_blocks = {trained_blocks}, but {type(trunk).__name__} is trained as a whole or not at all: "
            "0 or all; audio.trunk=compact can be trained in part"
        )
    body, tail = divisible.split(trained_blocks)
    return body, tail


def weights_digest(weights: Path) -> str:
    """Sixteen hex digits of a weights file's sha256: which trunk made a feature."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]


def build_text(
    tower: str, *, pooling: Literal["cls", "mean"], max_tokens: int, weights: Path | None = None
) -> TextTower:
    """A text tower, frozen and in evaluation mode.

    Args:
        tower: "word2vec", or of BERT's kind "minilm", a model of the hub or a local directory.
        pooling: Of the tokens. Word vectors have no [CLS], so their mean is taken whatever this says.
        max_tokens: Longer sentences are cut.
        weights: The word vectors of "word2vec"; the other towers bring their own.

    Raises:
        RecipeError: No such tower or file.
        ModelError: The file holds no word vectors.
    """
    if tower == WORD2VEC:
        from soundseek.learn.models.text.word2vec import Word2VecText

        with reading_weights(weights or Path()):
            return Word2VecText.load(weights, max_tokens=max_tokens)
    from soundseek.learn.models.text.bert import BertText

    return BertText.load(tower, pooling=pooling, max_tokens=max_tokens)


def build_recipe_trunk(recipe: Recipe) -> nn.Module:
    """The recipe's audio trunk in evaluation mode; it takes gradients where the whole trunk is trained.

    Raises:
        RecipeError: No such trunk, options that it does not have, or weights that are missing.
        ModelError: The weights are not this trunk's.
    """
    audio = recipe.audio
    return build_trunk(
        audio.trunk,
        audio.weights,
        audio.trunk_options,
        trained=audio.is_online,
        spec_augment=audio.spec_augment,
        seed=recipe.seed,
    )


def scope_of(model: DualEncoder, attention: str) -> Literal["local", "clip"]:
    """What a frame in the shared space depends on: its neighbourhood, or the whole clip.

    Attention joins all frames of a clip, and other poolings and heads than mean and linear give them all the clip's
    embedding.
    """
    trunk = cast("Trunk", model.trunk)
    return "local" if trunk.scope == "local" and attention == "none" and model.has_moments else "clip"


def feature_width(trunk: nn.Module, tag_share: float) -> int:
    """Width of the frames that reach the attention module.

    With a tag share the tags that the frames carry go their own way; else they are features like the others.
    """
    whole = int(trunk.width)  # type: ignore[arg-type]
    return int(getattr(trunk, "num_features", whole)) if tag_share else whole


def build_recipe_text(recipe: Recipe) -> TextTower:
    """The recipe's text tower, frozen and in evaluation mode.

    Raises:
        RecipeError: The tower is neither here nor to be had.
    """
    text = recipe.text
    return build_text(text.tower, pooling=text.pooling, max_tokens=text.max_tokens, weights=text.weights)
