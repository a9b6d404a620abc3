"""Audio trunks and text towers by name. A trunk gives frames `(batch, time, width)` of a log-mel."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from torch import Tensor, nn

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import RecipeError

if TYPE_CHECKING:
    from soundseek.learn.encoders.bert import BertText


class Trunk(Protocol):
    """What every audio trunk offers.

    Attributes:
        front_end: The features it was trained on.
        width: Width of its frames.
        frame_hop: Log-mel frames per output frame.
        scope: "local": a frame depends on its neighbourhood alone; "clip": on the whole clip.
        context_frames: For "local", log-mel frames on either side that a frame can depend on.
        min_frames: Shortest log-mel it accepts.
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


def _compact(weights: Path) -> nn.Module:
    from soundseek.learn.encoders.compact import CompactTrunk

    return CompactTrunk.load(weights)


def _efficientat(weights: Path) -> nn.Module:
    from soundseek.learn.encoders.efficientat import EfficientATTrunk

    return EfficientATTrunk.load(weights)


def _cnn14(weights: Path) -> nn.Module:
    from soundseek.learn.encoders.cnn14 import CNN14Config, CNN14Trunk

    if weights.suffix == ".safetensors":
        return CNN14Trunk.load(weights)
    # The published file has no layer from 2048 to 1024, and a frozen trunk would keep one drawn at random.
    return CNN14Trunk.load(weights, CNN14Config(reduction="none"))


def _cnn10(weights: Path) -> nn.Module:
    from soundseek.learn.encoders.cnn10 import CNN10Trunk

    return CNN10Trunk.load(weights)


def _resnet38(weights: Path) -> nn.Module:
    from soundseek.learn.encoders.resnet38 import ResNet38Trunk

    return ResNet38Trunk.load(weights)


TRUNKS: dict[str, Callable[[Path], nn.Module]] = {
    "compact": _compact,
    "efficientat": _efficientat,
    "cnn14": _cnn14,
    "cnn10": _cnn10,
    "resnet38": _resnet38,
}
"""How each trunk is loaded from its weights."""


def build_trunk(name: str, weights: Path | None) -> nn.Module:
    """A trunk with its weights, frozen and in evaluation mode; it follows the protocol `Trunk`.

    Raises:
        RecipeError: An unknown name, no weights given, or no such file.
    """
    if name not in TRUNKS:
        close = difflib.get_close_matches(name, TRUNKS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(TRUNKS)}"
        raise RecipeError(f"no audio trunk {name!r}; {hint}")
    if weights is None:
        raise RecipeError(f"the trunk {name!r} needs its weights: --set audio.weights=FILE")
    if not weights.is_file():
        raise RecipeError(f"audio.weights: no file {weights}")
    trunk = TRUNKS[name](weights)
    trunk.requires_grad_(False)
    return trunk.eval()


def split_trunk(trunk: nn.Module, trained_blocks: int) -> tuple[Trunk, nn.Module | None]:
    """What stays frozen of a trunk, and its last layers, which are trained.

    The first gives what the second takes; both share their weights with the trunk.

    Args:
        trunk: One of `build_trunk`.
        trained_blocks: How many layers are trained; with 0 the trunk stays whole and the second is None.

    Raises:
        RecipeError: The trunk cannot be divided, or not at this layer.
    """
    if not trained_blocks:
        return cast("Trunk", trunk), None
    divisible: Any = trunk
    if not hasattr(trunk, "split"):
        raise RecipeError(
            f"audio.trained_blocks = {trained_blocks}, but {type(trunk).__name__} is frozen as a whole, so the "
            "largest value is 0; audio.trunk=compact can be trained in part"
        )
    body, tail = divisible.split(trained_blocks)
    return body, tail


def weights_digest(weights: Path) -> str:
    """Sixteen hex digits of a weights file's sha256: which trunk made a feature."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:16]


def build_text(tower: str, *, pooling: Literal["cls", "mean"], max_tokens: int) -> BertText:
    """A BERT text tower: "minilm", a model of the hub, or a local directory."""
    from soundseek.learn.encoders.bert import BertText

    return BertText.load(tower, pooling=pooling, max_tokens=max_tokens)
