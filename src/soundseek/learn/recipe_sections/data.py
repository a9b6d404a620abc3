"""What a recipe learns from."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from soundseek.learn.recipe_sections.section import Section


class ListenerCaptions(Section):
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


class TagCaptions(Section):
    """Names of the tags that the trunk hears in place of the given captions; needs a trunk that gives tags.

    So the heads learn a word for sounds that no caption named.

    Attributes:
        share: Share of the training captions that are replaced, where the trunk hears a tag.
        min_probability: A tag counts as heard from this probability on, in the clip as it is.
    """

    share: float = Field(default=0.25, ge=0, le=1)
    min_probability: float = Field(default=0.3, gt=0, le=1)


class ImaginedSounds(Section):
    """Listeners' sentences without a sound, learned from with imagined ones; see `soundseek.learn.data.imagined`.

    Needs frozen towers, and a trunk whose frames carry tags.

    Attributes:
        path: A CSV with a column `caption`.
        weight: Of the imagined pairs' loss (eq. 6), beside 1 of the real ones'.
        batch_size: Imagined pairs a step.
        temperature: Of their loss.
        min_cosine: A sentence names a tag from this nearness on (cosine of MiniLM embeddings).
        margin: And all tags besides that are no further than this behind its nearest.
    """

    path: Path
    weight: float = Field(default=0.3, gt=0)
    batch_size: int = Field(default=256, gt=1)
    temperature: float = Field(default=0.07, gt=0)
    min_cosine: float = Field(default=0.55, gt=0, le=1)
    margin: float = Field(default=0.08, ge=0, lt=1)


class DataConfig(Section):
    """Which sounds the heads see, and with which words.

    Attributes:
        train_splits: Splits to learn from.
        leave_out: A file with one file name a line: clips that nothing is learned from, neither alone nor in a
            mixture. The others' degraded versions and mixtures stay those of the whole split.
        validation_split: Chooses the epoch; never learned from. None keeps the last epoch.
        captions_per_epoch: How many of its captions each clip meets in one epoch.
        degraded_versions: Versions of each clip with changed level, band, noise or clipping, made once.
        degraded_share: Share of the clips that are shown in a degraded version.
        overlays: Mixtures of two clips at once, made once.
        sequences: Mixtures of one clip after another, made once.
        mixtures_degraded: Share of the mixtures that are degraded too.
        joined_captions: Wordings of each mixture.
        mixture_share: Mixtures in an epoch, as a share of its clips with their captions.
        part_s: Longest piece of a clip in a mixture, in seconds.
        seed: Of degraded versions and mixtures; None takes the recipe's. Runs that are to be averaged share it, so that
            their sounds are made and heard once.
        listener_captions: See there.
        tag_captions: See there.
        imagined_sounds: See there.
    """

    train_splits: tuple[str, ...] = Field(default=("development",), min_length=1)
    leave_out: Path | None = None
    validation_split: str | None = "validation"
    captions_per_epoch: int = Field(default=1, gt=0)
    degraded_versions: int = Field(default=0, ge=0)
    degraded_share: float = Field(default=0.5, ge=0, le=1)
    overlays: int = Field(default=0, ge=0)
    sequences: int = Field(default=0, ge=0)
    mixtures_degraded: float = Field(default=0.0, ge=0, le=1)
    joined_captions: int = Field(default=4, gt=0)
    mixture_share: float = Field(default=0.5, ge=0)
    part_s: float = Field(default=10.0, gt=0)
    seed: int | None = None
    listener_captions: ListenerCaptions | None = None
    tag_captions: TagCaptions | None = None
    imagined_sounds: ImaginedSounds | None = None
