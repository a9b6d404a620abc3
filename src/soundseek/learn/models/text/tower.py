"""What every text tower offers: sentences -> token ids -> one feature vector a sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn


class TextTower(nn.Module, ABC):
    """A text tower without its projector.

    Attributes:
        kind: What the model card calls it.
        width: Width of the features.
        max_tokens: Longer sentences are cut.
        num_layers: Layers that can be trained.
        digest: What tells this tower's features from another's.
    """

    kind: Literal["bert", "word2vec"]
    width: int
    max_tokens: int
    num_layers: int
    digest: str

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(chain(self.parameters(), self.buffers())).device

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and `token_mask` `(batch, token)` int64 and bool, padded to the longest sentence."""

    @abstractmethod
    def forward(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """Features `(batch, width)`, not normalised, of token ids and mask `(batch, token)`."""

    @abstractmethod
    def train_last_layers(self, num_layers: int) -> list[nn.Parameter]:
        """Unfreeze the last layers, and return their parameters."""

    @abstractmethod
    def save_tokenizer(self, path: Path) -> None:
        """Write `tokenizer.json`, without padding and truncation: the searching half sets both."""

    @torch.no_grad()
    def features(self, texts: Sequence[str]) -> Tensor:
        """Features `(len(texts), width)` of sentences, without gradients and without dropout."""
        was_training = self.training
        self.eval()
        try:
            features: Tensor = self(*(each.to(self.device) for each in self.tokenize(texts)))
            return features
        finally:
            self.train(was_training)
