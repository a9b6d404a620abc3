"""Soft targets: a hand example, the divergence as loops, and what a student learns from its teachers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from soundseek.errors import UsageError
from soundseek.learn.losses import build_loss, distillation, nt_xent

torch.set_num_threads(1)

EYE = torch.eye(4, dtype=torch.bool)


def scores_of(seed: int, size: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(size, size, generator=generator, dtype=torch.float64) - 1


def softmax(row: list[float], temperature: float) -> list[float]:
    parts = [math.exp(each / temperature) for each in row]
    return [each / sum(parts) for each in parts]


def divergence_by_loops(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for ours, theirs in ((student, teacher), (student.T, teacher.T)):
        for our_row, their_row in zip(ours.tolist(), theirs.tolist(), strict=True):
            p, q = softmax(our_row, temperature), softmax(their_row, temperature)
            total += sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    return total / len(student)


def test_an_undecided_student_of_a_decided_teacher_by_hand() -> None:
    # Teacher's shares 3/4 and 1/4, the student's 1/2 each: ln 2 + 3/4 ln 3/4 + 1/4 ln 1/4 a row, twice.
    loss = distillation(torch.zeros(2, 2), math.log(3.0) * torch.eye(2), temperature=1.0)
    assert float(loss) == pytest.approx(2 * (math.log(2) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_the_divergence_equals_its_definition_written_as_loops(temperature: float) -> None:
    student, teacher = scores_of(0), scores_of(1)
    actual = float(distillation(student, teacher, temperature=temperature))
    assert actual == pytest.approx(divergence_by_loops(student, teacher, temperature))


def test_a_student_that_agrees_has_no_divergence_and_no_gradient() -> None:
    student = scores_of(0).requires_grad_()
    loss = distillation(student, student.detach() - 0.3, temperature=0.07)  # a constant changes no softmax
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert float(gradient.abs().max()) < 1e-9


def test_the_weight_shares_between_the_hard_matches_and_the_divergence() -> None:
    student, teacher = scores_of(0), scores_of(1)
    loss = build_loss("nt-xent", temperature=0.1, soft_targets={"weight": 0.3, "temperature": 0.2})
    expected = 0.7 * nt_xent(student, EYE, temperature=0.1)
    expected = expected + 0.3 * distillation(student, teacher, temperature=0.2)
    torch.testing.assert_close(loss(student, EYE, teacher_scores=teacher), expected)


def test_soft_targets_stand_around_every_loss_and_keep_its_temperature() -> None:
    soft = {"weight": 0.5, "temperature": 0.2}
    learned = build_loss("nt-xent", temperature=0.5, temperature_mode="learned", soft_targets=soft)
    assert float(learned.temperature) == pytest.approx(0.5)
    assert len(list(learned.parameters())) == 1
    triplet = build_loss("triplet", margin=0.4, soft_targets=soft)
    assert triplet.temperature == 1.0
    assert torch.isfinite(triplet(scores_of(0), EYE, teacher_scores=scores_of(1)))


def test_teachers_are_not_taught() -> None:
    student, teacher = scores_of(0).requires_grad_(), scores_of(1)
    build_loss("nt-xent", soft_targets={"weight": 1.0, "temperature": 0.07})(
        student, EYE, teacher_scores=teacher
    ).backward()
    assert student.grad is not None and teacher.grad is None


def test_the_student_learns_the_match_that_nobody_wrote_down() -> None:
    teacher = torch.eye(4)
    teacher[0, 1] = 0.9  # clip 1 fits caption 0 nearly as well as clip 0
    student = torch.zeros(4, 4, requires_grad=True)
    optimizer = torch.optim.Adam([student], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        distillation(student, teacher, temperature=0.2).backward()
        optimizer.step()
    assert student[0, 1] > student[0, 2] + 0.6


def test_missing_or_misshapen_teacher_scores_are_refused() -> None:
    loss = build_loss("nt-xent", soft_targets={"weight": 1.0, "temperature": 0.07})
    with pytest.raises(UsageError, match="teacher_scores"):
        loss(scores_of(0), EYE)
    with pytest.raises(UsageError, match=r"\(4, 4\), got \(3, 3\)"):
        loss(scores_of(0), EYE, teacher_scores=torch.zeros(3, 3))
