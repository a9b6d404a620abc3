"""From the embeddings of a batch to its loss: who matches whom, how alike the captions are, what teachers think."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundseek.learn.cider import CiderD
from soundseek.learn.data.batches import Batch, Corpus
from soundseek.learn.data.features import Report
from soundseek.learn.distributed import gather_rows
from soundseek.learn.losses import loss_of, match_matrix
from soundseek.learn.recipe_sections import LossConfig, SoftTargets
from soundseek.learn.teachers import Teachers


class Objective(nn.Module):
    """The loss of a batch; its parameters are those of the loss (a learned temperature).

    Args:
        config: Of the loss.
        corpus: What the batches are drawn from: says which captions are alike, and what teachers are asked about.
        report: Called while teachers compute their features.

    Raises:
        RecipeError: A value that the loss cannot have.
        ModelError: A teacher that is no trained run.
    """

    def __init__(self, config: LossConfig, corpus: Corpus, *, report: Report | None = None) -> None:
        super().__init__()
        soft = config.soft_targets
        self.loss = loss_of(config)
        self._same_meaning_cosine = config.same_meaning_cosine
        self._similarity = _similarity(config, corpus)
        self._teachers = Teachers.load(_named(soft), corpus, report=report) if soft else None

    def forward(self, text: Tensor, audio: Tensor, batch: Batch) -> Tensor:
        """The loss, a scalar; where several processes share the batch it is the whole batch's in each.

        Args:
            text: `(batch, dim)`, unit norm.
            audio: `(batch, dim)`, unit norm.
            batch: What they were made of.
        """
        # Mixed precision is for the towers: in fp16 a cosine is off by .0005, which 1 / temperature makes .007.
        with torch.autocast(text.device.type, enabled=False):
            return self._whole_batch(text.float(), audio.float(), batch)

    def _whole_batch(self, text: Tensor, audio: Tensor, batch: Batch) -> Tensor:
        text, audio = gather_rows(text), gather_rows(audio)
        clip_ids, caption_ids = gather_rows(batch.clip_ids), gather_rows(batch.caption_ids)
        meanings = gather_rows(batch.meanings)
        positives = match_matrix(clip_ids, caption_ids)
        if self._same_meaning_cosine is not None:
            positives = positives | (_cosines(meanings) >= self._same_meaning_cosine)
        similarity = self._similarity(caption_ids, meanings) if self._similarity else None
        taught = {"teacher_scores": self._teachers.scores(clip_ids, caption_ids)} if self._teachers else {}
        loss: Tensor = self.loss(text @ audio.T, positives, similarity, **taught)  # both of unit norm: eq. 5
        return loss


def _named(soft: SoftTargets) -> tuple[Path, ...]:
    assert soft.runs != "others"  # claim_run has refused it
    return soft.runs


def _similarity(config: LossConfig, corpus: Corpus) -> Callable[[Tensor, Tensor], Tensor] | None:
    """From `(batch,)` numbers of captions and their features to `(batch, batch)` likeness in [0, 1]."""
    if not config.caption_similarity:
        return None
    if config.name == "relaxed":
        cider = CiderD(list(corpus.texts), [example.captions for example in corpus.clips])
        return lambda caption_ids, _: cider.similarity(caption_ids)
    return lambda _, meanings: _cosines(meanings).clamp(min=0.0)


def _cosines(features: Tensor) -> Tensor:
    normal = functional.normalize(features, dim=-1)
    return normal @ normal.T
