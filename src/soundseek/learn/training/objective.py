"""From the embeddings of a batch to its loss: who matches whom, how alike the captions are, what teachers say of them.

Teachers are trained runs, whose scores are soft targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from soundseek._typing import Report
from soundseek.errors import RecipeError
from soundseek.learn.data.pairs import Batch, Corpus
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.losses import copy_order, loss_of, match_matrix, with_origins
from soundseek.learn.losses.cider import CiderD
from soundseek.learn.parallel import gather_rows
from soundseek.learn.recipe.keys import LossConfig, SoftTargets
from soundseek.learn.training.run_folder import load_run


class Teachers:
    """The mean score of several models for any pairs of a corpus, from embeddings made once.

    Args:
        audio: For each teacher `(example, dim)` embeddings of any norm, its own dim.
        text: For each teacher `(text, dim)`.

    Raises:
        RecipeError: No teacher, or teachers of different corpora.
    """

    def __init__(self, audio: Sequence[Tensor], text: Sequence[Tensor]) -> None:
        shapes = [(len(sounds), len(texts)) for sounds, texts in zip(audio, text, strict=True)]
        if not shapes or len(set(shapes)) > 1:
            raise RecipeError(f"soft_targets.runs: one corpus for all teachers is needed, got {shapes}")
        self._audio = [functional.normalize(each, dim=-1) for each in audio]
        self._text = [functional.normalize(each, dim=-1) for each in text]

    @classmethod
    def load(cls, runs: Sequence[Path], corpus: Corpus, *, report: Report | None = None) -> Teachers:
        """Teachers from run folders; each hears every clip and mixture of a corpus and reads all its texts.

        A clip's degraded versions get the scores of the clip as it is: the student learns to ignore what degrades them.

        Args:
            runs: Trained runs, each with a trunk and a text tower of its own.
            corpus: What the student learns from.
            report: Called while features are computed.

        Raises:
            ModelError: A folder that holds no trained run.
        """
        sounds = [example.sounds[0] for example in corpus.examples]
        audio, text = [], []
        for run in runs:
            embedder = RunEmbedder(*load_run(Path(run)), report=report)
            audio.append(torch.from_numpy(embedder.embed_sounds(sounds)))
            text.append(torch.from_numpy(embedder.embed_text(list(corpus.texts))))
        return cls(audio, text)

    def scores(self, clip_ids: Tensor, caption_ids: Tensor) -> Tensor:
        """`(caption, clip)` mean cosine over the teachers, of a batch's pairs.

        Args:
            clip_ids: `(batch,)` numbers of examples; see `Batch`.
            caption_ids: `(batch,)` numbers of texts; see `Batch`.
        """
        clips, captions = clip_ids.cpu(), caption_ids.cpu()
        each = [text[captions] @ audio[clips].T for text, audio in zip(self._text, self._audio, strict=True)]
        return torch.stack(each).mean(dim=0).to(clip_ids.device)


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
        self._copy_order = config.copy_order
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
        scores = text @ audio.T  # both of unit norm: eq. 5
        ordered: Tensor | None = None
        if batch.origin_ids is not None and batch.says_how is not None:
            origin_ids, says_how = gather_rows(batch.origin_ids), gather_rows(batch.says_how)
            positives = with_origins(positives, origin_ids, says_how)
            if self._copy_order:
                ordered = copy_order(
                    scores, clip_ids, origin_ids, says_how, temperature=self.loss.temperature
                )
        similarity = self._similarity(caption_ids, meanings) if self._similarity else None
        taught = {"teacher_scores": self._teachers.scores(clip_ids, caption_ids)} if self._teachers else {}
        loss: Tensor = self.loss(scores, positives, similarity, **taught)
        return loss if ordered is None else loss + self._copy_order * ordered


def _named(soft: SoftTargets) -> tuple[Path, ...]:
    assert soft.runs != "others"  # `checked_trunk` has refused it
    return soft.runs


def _similarity(config: LossConfig, corpus: Corpus) -> Callable[[Tensor, Tensor], Tensor] | None:
    """From `(batch,)` numbers of captions and their features to `(batch, batch)` likeness in [0, 1]."""
    if not config.caption_similarity:
        return None
    if config.name == "relaxed":
        cider = CiderD(list(corpus.texts), [example.captions for example in corpus.clips])
        return lambda caption_ids, _: cider.similarity(caption_ids)
    return lambda _, meanings: _cosines(meanings)


def _cosines(features: Tensor) -> Tensor:
    normal = functional.normalize(features, dim=-1)
    return normal @ normal.T
