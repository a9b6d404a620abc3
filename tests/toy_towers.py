"""Text towers of other families than BERT, in the layout of the Hugging Face hub: tiny, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers

SIZE: dict[str, Any] = {
    "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32,
    "initializer_range": 0.5,  # so that words make a difference
}  # fmt: skip
MAX_TOKENS = 32
_PADDED_POSITIONS = MAX_TOKENS + 2  # both families count positions from the padding's id, 1, plus one


def make_toy_mpnet(directory: Path, num_layers: int = 2) -> Path:
    """As all-mpnet-base-v2: word pieces, `<s>` 0, `<pad>` 1, `</s>` 2, attention with relative positions."""
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    words = ["tone", "low", "plays", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {token: number for number, token in enumerate([*special, *words])}
    MPNetTokenizerFast(vocab=vocabulary).save_pretrained(directory)
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=_PADDED_POSITIONS,
        num_hidden_layers=num_layers,
        **SIZE,
    )
    MPNetModel(config).save_pretrained(directory)  # with its pooler, as published
    return directory


def make_toy_roberta(directory: Path, num_layers: int = 2) -> Path:
    """As roberta-base: pairs of bytes, `<s>` 0, `<pad>` 1, `</s>` 2."""
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters, "to", "Ġl", "<mask>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    RobertaTokenizerFast(vocab=vocabulary, merges=[("t", "o"), ("Ġ", "l")]).save_pretrained(directory)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=_PADDED_POSITIONS,
        num_hidden_layers=num_layers,
        type_vocab_size=1,
        **SIZE,
    )
    RobertaModel(config).save_pretrained(directory)
    return directory
