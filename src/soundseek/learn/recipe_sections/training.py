"""How a recipe's weights move, and in which stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from soundseek.learn.recipe_sections.section import Section

if TYPE_CHECKING:
    from typing_extensions import Self


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
        average: Weights that are validated and kept: the last step's ("none"), their exponential moving
            average ("ema"), or the plain mean of the epochs from `average_start` on ("swa").
        average_decay: Of the moving average, a step.
        average_start: Share of the epochs before "swa" begins.
        precision: Of the towers' arithmetic; the mixed ones need a GPU.
        devices: GPUs, or processes on CPUs, that share a batch; every pair meets the negatives of all of them.
        workers: Processes that make the log-mels of a live trunk; 0 makes them in this one.
        extraction_workers: Processes that run the frozen trunk; 0 runs it in this one.
    """

    epochs: int = Field(default=50, gt=0)
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
    average: Literal["none", "ema", "swa"] = "none"
    average_decay: float = Field(default=0.99, gt=0, lt=1)
    average_start: float = Field(default=0.5, ge=0, lt=1)
    precision: Literal["32", "16-mixed", "bf16-mixed"] = "32"
    devices: int = Field(default=1, gt=0)
    workers: int = Field(default=2, ge=0)
    extraction_workers: int = Field(default=2, ge=0)

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

    data_sets: tuple[Path, ...] = ()
    epochs: int | None = Field(default=None, gt=0)
    audio: dict[str, Any] = Field(default_factory=dict)
    text: dict[str, Any] = Field(default_factory=dict)
    loss: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
