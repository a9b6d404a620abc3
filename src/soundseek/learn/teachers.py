"""What trained runs think of the pairs of a batch: the soft targets of the next one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from soundseek.errors import RecipeError
from soundseek.learn.data.batches import Corpus
from soundseek.learn.data.features import Report
from soundseek.learn.evaluation.evaluate import RunEmbedder
from soundseek.learn.runs import load_run


class Teachers:
    """The mean score of several models for any pairs of a corpus, from embeddings made once.

    Args:
        audio: For each teacher `(example, dim)` embeddings of any norm, its own dim.
        text: For each teacher `(text, dim)`.

    Raises:
        RecipeError: No teacher, or teachers that have heard different corpora.
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

        A clip's degraded versions get the scores of the clip as it is: the student is to hear through them.

        Args:
            runs: Trained runs, each with a trunk and a text tower of its own.
            corpus: What the student learns from.
            report: Called while features are computed.

        Raises:
            ModelError: A folder that holds no trained run.
        """
        sounds = [example.sounds[0] for example in (*corpus.clips, *corpus.mixtures)]
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
