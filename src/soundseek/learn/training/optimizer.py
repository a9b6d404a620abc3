"""The optimizer, and how its learning rates move: with every step, or when validation no longer improves.

A rate is its parameter group's peak times a factor that depends on the step and, for "plateau", on the epochs' scores.
So the state of a schedule is a few numbers, and a resumed run has the same rates to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from soundseek.learn.recipe.keys import TrainingConfig


def build_optimizer(
    groups: Sequence[tuple[Sequence[nn.Parameter], float]], config: TrainingConfig
) -> Optimizer:
    """Adam or AdamW over parameters with their peak learning rates; a parameter belongs to the first group it is in."""
    taken: set[int] = set()
    own: list[dict[str, Any]] = []
    for parameters, rate in groups:
        new = [each for each in parameters if each.requires_grad and id(each) not in taken]
        taken |= {id(each) for each in new}
        if new:
            own.append({"params": new, "lr": rate})
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(own, weight_decay=config.weight_decay)


class RateSchedule:
    """Sets the rates of an optimizer's groups for the step to come.

    Args:
        optimizer: Its groups' rates are their peaks.
        config: The recipe's.
        steps_per_epoch: Of the optimizer.
    """

    def __init__(self, optimizer: Optimizer, config: TrainingConfig, *, steps_per_epoch: int) -> None:
        self._optimizer = optimizer
        self._config = config
        self._steps_per_epoch = steps_per_epoch
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._step = 0
        self._best = -math.inf
        self._bad_epochs = 0
        self._reductions = 0
        self._apply()

    @property
    def factor(self) -> float:
        """The share of the peak rates that the next step takes."""
        reduced: float = self._config.plateau_factor**self._reductions
        return reduced * rate_factor(self._step, self._config, steps_per_epoch=self._steps_per_epoch)

    def after_step(self) -> None:
        """The optimizer has taken a step."""
        self._step += 1
        self._apply()

    def after_epoch(self, score: float) -> None:
        """Validation has given a score, higher is better; moves "plateau" only, as torch's `ReduceLROnPlateau`."""
        if self._config.schedule != "plateau":
            return
        self._bad_epochs += 1
        if score > self._best:
            self._best, self._bad_epochs = score, 0
        elif self._bad_epochs > self._config.plateau_patience:
            self._reductions, self._bad_epochs = self._reductions + 1, 0
        self._apply()

    def state_dict(self) -> dict[str, float]:
        """What `load_state_dict` of a new schedule needs to go on."""
        return {
            "step": self._step,
            "best": self._best,
            "bad_epochs": self._bad_epochs,
            "reductions": self._reductions,
        }

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self._step, self._best = int(state["step"]), state["best"]
        self._bad_epochs, self._reductions = int(state["bad_epochs"]), int(state["reductions"])
        self._apply()

    def _apply(self) -> None:
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * self.factor


def rate_factor(step: int, config: TrainingConfig, *, steps_per_epoch: int) -> float:
    """The share of the peak rate at a step, from 0: a linear rise, then what `config.schedule` says.

    >>> cosine = TrainingConfig(epochs=10, schedule="cosine", warmup_share=0.2, final_share=0.0)
    >>> [round(rate_factor(step, cosine, steps_per_epoch=1), 2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    steps = config.epochs * steps_per_epoch
    warmup = config.warmup_share * steps
    if step < warmup:
        return (step + 1) / math.ceil(warmup)
    if config.schedule == "step":
        reduced: float = config.step_factor ** (step // steps_per_epoch // config.step_epochs)
        return reduced
    if config.schedule != "cosine":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1.0, steps - warmup))
    return config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
