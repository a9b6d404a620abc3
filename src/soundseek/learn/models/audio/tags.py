"""A second audio branch (PaSST-MPNet): the names of a sound's tags, as the text tower understands them.

A tagger gives each of AudioSet's 527 classes a probability; the embeddings of the classes' names, weighted by these,
are what the sound is called. `(1 - share) * scene + share * names` then mixes both, so what the tagger knows needs no
training to reach the space of the sentences.

How a dual encoder uses it, with a trunk `WithTags` (live or cached, its frames carry the probabilities):

    frames, probabilities = tag_names.split(frames, frame_mask)    # the first line of `encode_audio`
    scene = normalize(audio_projector(pooling(attend(frames, frame_mask))))
    return tag_names(scene, probabilities, encode_text_features(tag_names.features))

The names' features are a buffer, so they stand in the checkpoint and in `audio.onnx`, and the text tower is asked once:
it has to be frozen. What stands behind it, `encode_text_features`, is asked anew each time and may be trained. Every
width in front of the head (`audio_width`, `standardise`) is `trunk.num_features`, not `trunk.width`.

AudioSet's classes, which every published tagger here gives.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundseek.errors import ModelError, RecipeError
from soundseek.learn.models.attention import masked_mean

if TYPE_CHECKING:
    from soundseek.audio.logmel import FrontEndConfig


NUM_CLASSES = 527
AUDIOSET_CLASSES = Path(__file__).with_name("audioset_classes.csv")
"""`class_labels_indices.csv` of AudioSet (Google, CC BY 4.0), unchanged; the text beside it has the credit."""

_COLUMNS = ["index", "mid", "display_name"]


def read_class_names(path: Path = AUDIOSET_CLASSES) -> list[str]:
    """The display names of a tagger's classes, in the order of its outputs.

    Args:
        path: A CSV in the layout of AudioSet's `class_labels_indices.csv`: columns index, mid, display_name; the
            index counts from 0.

    Raises:
        RecipeError: No such file, other columns, no rows, or a row out of order or without a name.

    Example:
        >>> read_class_names()[:2]
        ['Speech', 'Male speech, man speaking']
    """
    if not path.is_file():
        raise RecipeError(
            f"no list of tag names at {path}; AudioSet's is {AUDIOSET_CLASSES.name}, part of soundseek"
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames != _COLUMNS:
            raise RecipeError(f"{path} has the columns {rows.fieldnames}, not {_COLUMNS}")
        names: list[str] = []
        for line, row in enumerate(rows, start=2):
            if row["index"] != str(len(names)) or not row["display_name"]:
                raise RecipeError(
                    f"{path}, line {line}: expected index {len(names)} and a display_name, found "
                    f"{row['index']!r} and {row['display_name']!r}"
                )
            names.append(row["display_name"])
    if not names:
        raise RecipeError(f"{path} names no tags")
    return names


AMPLITUDE_GAIN = 3.0
"""Of a tag's amplitude: beside features of about unit size a certain tag is loud, and is meant to be."""


class TextFeatures(Protocol):
    """What a text tower must do here; see `BertText`."""

    def features(self, texts: Sequence[str]) -> Tensor:
        """Features `(len(texts), width)`."""
        ...


class TagNames(nn.Module):
    """Mixes a clip's scene embedding with the embedding of its tags' names.

    Args:
        features: `(tag, width)` of the tags' names, from the frozen text tower, before its head.
        share: s of `(1 - s) * scene + s * names`; 0.2 in PaSST-MPNet.

    Note:
        The sum of the two unit vectors is brought to unit norm again, as every embedding here; otherwise clips
        whose branches disagree would score lower for every query.

    Example:
        >>> tags = TagNames(torch.eye(2), share=0.5)
        >>> tags(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.9]]), torch.eye(2))
        tensor([[0.7071, 0.7071]])
    """

    features: Tensor

    def __init__(self, features: Tensor, *, share: float) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise RecipeError(f"audio.tag_share = {share}, but it has to lie between 0 and 1")
        self.share = share
        self.register_buffer("features", features.detach().clone())

    @classmethod
    def of(cls, text: TextFeatures, *, share: float, names: Path | None = None) -> TagNames:
        """The names in a file (AudioSet's by default; see `read_class_names`), as a text tower understands them."""
        return cls(text.features(read_class_names(names or AUDIOSET_CLASSES)), share=share)

    def split(self, frames: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Frames as the trunk itself gave them, and tag probabilities `(batch, tag)`, of the frames of a `WithTags`.

        Args:
            frames: `(batch, time, features + tag)`.
            frame_mask: `(batch, time)` bool, True = real.

        Raises:
            ModelError: Frames without room for this many tags.
        """
        tags = len(self.features)
        if frames.shape[2] <= tags:
            raise ModelError(
                f"frames {frames.shape[2]} wide carry no {tags} tags; audio.tag_share needs a trunk +tags"
            )
        return frames[..., :-tags], masked_mean(frames[..., -tags:], frame_mask)

    def forward(self, scene: Tensor, probabilities: Tensor, name_embeddings: Tensor) -> Tensor:
        """Audio embeddings `(batch, dim)`, unit norm.

        Args:
            scene: `(batch, dim)`, unit norm.
            probabilities: `(batch, tag)` in [0, 1].
            name_embeddings: `(tag, dim)`, unit norm: `features` behind the text head.
        """
        names = functional.normalize(probabilities @ name_embeddings, dim=-1)
        return functional.normalize((1 - self.share) * scene + self.share * names, dim=-1)


class WithTags(nn.Module):
    """A trunk whose frames carry the clip's tag probabilities: `(batch, time, features + 527)`; it follows `Trunk`.

    So they are cached, padded, batched and exported wherever frames are. A clip's probabilities are the same in all of
    its frames, so a mean over frames, or one frame alone, has them, too; in float16, as frames are cached, they are
    exact to one part in a thousand.

    Args:
        trunk: A trunk with `logits(frames, frame_mask)`, and with its tagging head.
        num_tags: How many it gives.
        amplitudes: Frames carry `AMPLITUDE_GAIN * sqrt(probability)` instead, for heads that take tags as further
            features: a tag of .01 still counts a tenth of a certain one.

    Attributes:
        num_features: Width of the trunk's own frames.

    Raises:
        ModelError: The trunk has no tags to give.
    """

    scope: Literal["local", "clip"] = "clip"  # whatever the trunk's: tags are of the whole clip
    context_frames = 0

    def __init__(self, trunk: Any, *, num_tags: int = NUM_CLASSES, amplitudes: bool = False) -> None:
        super().__init__()
        if not hasattr(trunk, "logits"):
            raise ModelError(
                f"{type(trunk).__name__} gives no tags; tags need a trunk that was trained as a tagger"
            )
        if getattr(getattr(trunk, "config", None), "head", "tagger") == "none":
            raise ModelError(
                f"{type(trunk).__name__} was built without its head, so it gives no tags; set "
                "audio.trunk_options.head = tagger, and take a file that holds it"
            )
        self.trunk = trunk
        self.front_end: FrontEndConfig = trunk.front_end
        self.num_features = int(trunk.width)
        self.num_tags = num_tags
        self.amplitudes = amplitudes
        self.width = self.num_features + num_tags
        self.frame_hop = int(trunk.frame_hop)
        self.min_frames = int(trunk.min_frames)

    @property
    def config(self) -> Any:
        """The trunk's."""
        return self.trunk.config

    @config.setter
    def config(self, config: Any) -> None:
        self.trunk.config = config

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames `(batch, time', features + tag)` and their mask `(batch, time')`; see the trunk's own."""
        frames, mask = self.trunk(log_mel, frame_mask)
        probabilities = torch.sigmoid(self.trunk.logits(frames, mask))
        if self.amplitudes:
            probabilities = AMPLITUDE_GAIN * probabilities.sqrt()
        everywhere = probabilities.unsqueeze(1).expand(-1, frames.shape[1], -1)
        return torch.cat([frames, everywhere], dim=2), mask

    def tag_probabilities(self, frames: Tensor) -> Tensor:
        """The last columns of frames `(…, width)` as probabilities `(…, tag)`."""
        tags = frames[..., -self.num_tags :]
        return (tags / AMPLITUDE_GAIN).square() if self.amplitudes else tags

    def with_probabilities(self, frames: Tensor, probabilities: Tensor) -> Tensor:
        """Frames `(…, width)` in which tags of these probabilities `(…, tag)` are heard: undoes `tag_probabilities`."""
        tags = AMPLITUDE_GAIN * probabilities.sqrt() if self.amplitudes else probabilities
        return torch.cat([frames[..., : self.num_features], tags], dim=-1)

    def save(self, path: Path) -> None:
        """Write the trunk to a file that its own `load` reads."""
        self.trunk.save(path)
