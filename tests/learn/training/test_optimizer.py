from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from soundseek.learn.recipe.keys import TrainingConfig
from soundseek.learn.training.optimizer import RateSchedule, build_optimizer, rate_factor

SCORES = [0.1, 0.2, 0.2, 0.19, 0.3, 0.3, 0.3, 0.3, 0.3, 0.31]


def parameters(count: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(1)) for _ in range(count)]


def rates(config: TrainingConfig, scores: list[float], steps_per_epoch: int = 2) -> list[float]:
    optimizer = build_optimizer([(parameters(1), 0.5)], config)
    schedule = RateSchedule(optimizer, config, steps_per_epoch=steps_per_epoch)
    seen = []
    for score in scores:
        for _ in range(steps_per_epoch):
            seen.append(optimizer.param_groups[0]["lr"])
            schedule.after_step()
        schedule.after_epoch(score)
    return seen


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 0.5), (1, 1.0), (2, 1.0), (6, 0.505), (10, 0.01)]
)  # two steps of warm-up, then half a cosine from 1 to 0.01 over eight
def test_the_rate_rises_linearly_and_falls_as_half_a_cosine(step: int, factor: float) -> None:
    config = TrainingConfig(epochs=5, warmup_share=0.2, schedule="cosine", final_share=0.01)
    assert rate_factor(step, config, steps_per_epoch=2) == pytest.approx(factor)


def test_a_constant_rate_is_constant() -> None:
    assert set(rates(TrainingConfig(epochs=10), SCORES)) == {0.5}


def test_steps_are_those_of_torch() -> None:
    config = TrainingConfig(epochs=10, schedule="step", step_epochs=3, step_factor=0.1)
    optimizer = torch.optim.Adam(parameters(1), lr=0.5)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.1)
    expected = []
    for _ in SCORES:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates(config, SCORES)[::2] == pytest.approx(expected)
    assert rates(config, SCORES)[:7] == pytest.approx([0.5] * 6 + [0.05])


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_plateaus_are_those_of_torch(patience: int) -> None:
    config = TrainingConfig(epochs=10, schedule="plateau", plateau_patience=patience, plateau_factor=0.1)
    optimizer = torch.optim.Adam(parameters(1), lr=0.5)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", factor=0.1, patience=patience, threshold=0.0
    )
    expected = []
    for score in SCORES:
        expected.append(optimizer.param_groups[0]["lr"])
        reference.step(score)
    found = rates(config, SCORES)[::2]
    assert found == pytest.approx(expected) and len(set(found)) > 1


@pytest.mark.parametrize("kind", ["constant", "cosine", "step", "plateau"])
@pytest.mark.parametrize("stop", [1, 6, 9])
def test_a_schedule_goes_on_where_it_stopped(kind: str, stop: int) -> None:
    options: dict[str, Any] = {"epochs": 10, "schedule": kind, "plateau_patience": 1, "step_epochs": 2}
    config = TrainingConfig(**options)
    whole = rates(config, SCORES)
    optimizer = build_optimizer([(parameters(1), 0.5)], config)
    schedule = RateSchedule(optimizer, config, steps_per_epoch=2)
    for epoch, score in enumerate(SCORES):
        if epoch == stop:
            state, optimizer = schedule.state_dict(), build_optimizer([(parameters(1), 0.5)], config)
            schedule = RateSchedule(optimizer, config, steps_per_epoch=2)
            schedule.load_state_dict(state)
        for step in range(2):
            assert optimizer.param_groups[0]["lr"] == whole[2 * epoch + step]  # to the last bit
            schedule.after_step()
        schedule.after_epoch(score)


def test_each_group_keeps_its_own_peak_and_each_parameter_its_first_group() -> None:
    first, second, frozen = parameters(3)
    frozen.requires_grad_(False)
    config = TrainingConfig(epochs=2, schedule="cosine", final_share=0.5, optimizer="adamw", weight_decay=0.1)
    optimizer = build_optimizer([([first], 0.1), ([first, second, frozen], 1.0), ([frozen], 9.0)], config)
    assert isinstance(optimizer, torch.optim.AdamW) and optimizer.defaults["weight_decay"] == 0.1
    schedule = RateSchedule(optimizer, config, steps_per_epoch=1)
    schedule.after_step()
    assert [(group["params"], group["lr"]) for group in optimizer.param_groups] == [
        ([first], pytest.approx(0.075)),
        ([second], pytest.approx(0.75)),
    ]
