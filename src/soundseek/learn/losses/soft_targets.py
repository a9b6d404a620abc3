"""Scores of trained models as soft targets: what they think of a batch's pairs, beside the hard matches."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from soundseek.errors import RecipeError, UsageError
from soundseek.learn.losses.contrastive import RetrievalLoss


def distillation(scores: Tensor, teacher_scores: Tensor, *, temperature: float) -> Tensor:
    """The Kullback-Leibler divergence of the student's from the teacher's softmax, a scalar.

    Both directions are summed, each caption over the clips and each clip over the captions; the batch is
    averaged. It is 0 where the student's scores are the teacher's, and there only (up to a constant).

    Args:
        scores: `(caption, clip)` cosines of the student.
        teacher_scores: `(caption, clip)` cosines of the teacher, or the mean of several teachers'.
        temperature: Divides both: they are on one scale.

    Note:
        After Primus, Schmid and Widmer, "Estimated audio-caption correspondences improve language-based audio
        retrieval" (DCASE 2024): clip n may well fit caption m though nobody wrote it down, and an ensemble
        trained on the same pairs knows.
    """
    if teacher_scores.shape != scores.shape:
        raise UsageError(
            f"teachers' scores need the shape of the student's, {tuple(scores.shape)},"
            f" got {tuple(teacher_scores.shape)}"
        )
    student, teacher = scores / temperature, teacher_scores.to(scores) / temperature
    text_to_audio = _divergence(student, teacher)
    audio_to_text = _divergence(student.T, teacher.T)
    return text_to_audio + audio_to_text


class WithTeacherScores(RetrievalLoss):
    """A loss beside `distillation`: `forward(scores, positives, similarity, teacher_scores=...)`.

    Args:
        loss: What the hard matches give.
        weight: Of the divergence; `loss` has one minus that.
        temperature: See `distillation`. Lower ones listen only to the teachers' first choices.
    """

    def __init__(self, loss: RetrievalLoss, *, weight: float = 0.5, temperature: float = 0.07) -> None:
        super().__init__()
        if not 0 < weight <= 1:
            raise RecipeError(
                f"soft_targets.weight {weight} must lie in (0, 1]; without any, leave them away"
            )
        if not temperature > 0:
            raise RecipeError(f"soft_targets.temperature {temperature} must be above 0")
        self.loss = loss
        self.weight = weight
        self.soft_temperature = temperature

    @property
    def temperature(self) -> float | Tensor:
        """That of the loss for the hard matches."""
        return self.loss.temperature

    def forward(
        self,
        scores: Tensor,
        positives: Tensor,
        similarity: Tensor | None = None,
        *,
        teacher_scores: Tensor | None = None,
    ) -> Tensor:
        """The loss of one batch.

        Raises:
            UsageError: No `teacher_scores`.
        """
        if teacher_scores is None:
            raise UsageError("soft targets need teacher_scores; see soundseek.learn.training.objective")
        hard: Tensor = self.loss(scores, positives, similarity)
        soft = distillation(scores, teacher_scores, temperature=self.soft_temperature)
        return (1 - self.weight) * hard + self.weight * soft


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    return functional.kl_div(
        student.log_softmax(dim=1), teacher.log_softmax(dim=1), log_target=True, reduction="batchmean"
    )
