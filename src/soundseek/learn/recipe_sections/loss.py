"""How a recipe's scores become a loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from soundseek.learn.recipe_sections.section import Section

if TYPE_CHECKING:
    from typing_extensions import Self


class SoftTargets(Section):
    """What trained models think of the pairs of a batch, beside what the captions say.

    Attributes:
        runs: Run folders; their scores are averaged. "others": the runs of the other recipes with the same seed, which
            `soundseek reproduce` puts in their place.
        best: Of the others, how many teach: those with the highest mAP10 on validation.
        weight: Of the divergence from them; the loss of what the captions say has one minus that.
        temperature: Divides the runs' cosines before the softmax.
    """

    runs: Literal["others"] | tuple[Path, ...]
    best: int = Field(default=4, gt=0)
    weight: float = Field(default=0.5, gt=0, le=1)
    temperature: float = Field(default=0.07, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.runs:
            raise ValueError("runs names no teacher; take soft_targets = null, or name run folders")
        return self


class LossConfig(Section):
    """How scores become a loss.

    Attributes:
        name: Eq. 6 ("nt-xent"), eq. 7 ("supervised-contrastive"), a margin between pairs that match and impostors
            ("triplet"), or eq. 6 with targets softened by the captions' CIDEr-D ("relaxed").
        temperature: Divides the cosines; the triplet loss has none.
        temperature_mode: "learned" trains the temperature too, from the value above.
        same_meaning_cosine: Captions whose text features are at least this alike (cosine) are never each
            other's negatives; null compares the words only.
        margin: By how much a pair beats its impostors in the triplet loss.
        impostors: Which pairs that do not match the triplet loss takes.
        caption_similarity: Weight of the captions' likeness in the targets, beside 1 for one clip's: the cosine
            of their text features ("supervised-contrastive") or their CIDEr-D ("relaxed").
        soft_targets: Taught by trained models; null is not.
    """

    name: Literal["nt-xent", "supervised-contrastive", "triplet", "relaxed"] = "nt-xent"
    temperature: float = Field(default=0.07, gt=0)
    temperature_mode: Literal["fixed", "learned"] = "fixed"
    same_meaning_cosine: float | None = Field(default=None, gt=0, le=1)
    margin: float = Field(default=1.0, gt=0)
    impostors: Literal["random", "hardest"] = "random"
    caption_similarity: float = Field(default=0.0, ge=0, le=1)
    soft_targets: SoftTargets | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        takes_similarity = self.name in ("supervised-contrastive", "relaxed")
        if self.caption_similarity and not takes_similarity:
            raise ValueError(
                f"caption_similarity plays no part in name = {self.name}; take supervised-contrastive or relaxed"
            )
        if self.name == "relaxed" and not self.caption_similarity:
            raise ValueError("name = relaxed needs caption_similarity above 0; with 0 it is nt-xent")
        if self.name == "triplet" and self.temperature_mode == "learned":
            raise ValueError("name = triplet has no temperature to learn; set temperature_mode = fixed")
        return self
