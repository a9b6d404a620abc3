"""Tiny CLAPs with random weights in the files that their publishers put on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

_SENTENCES = ["a dog barks while it rains", "birds sing", "someone types on a keyboard", "thunder"]
_MARKS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def make_toy_clap(directory: Path, *, fused: bool = False, seed: int = 0) -> Path:
    """`config.json`, `preprocessor_config.json`, RoBERTa's tokenizer and `model.safetensors` of a tiny `ClapModel`."""
    directory.mkdir(parents=True)
    tokenizer = _byte_pairs(_MARKS)
    whole = json.loads(tokenizer.to_str())["model"]
    (directory / "vocab.json").write_text(json.dumps(whole["vocab"]))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in whole["merges"]]
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "RobertaTokenizer", "model_max_length": 62})
    )
    extractor = ClapFeatureExtractor(
        truncation="fusion" if fused else "rand_trunc", padding="repeatpad", frequency_min=50
    )
    extractor.save_pretrained(directory)
    torch.manual_seed(seed)
    config = ClapConfig(
        text_config={
            "vocab_size": len(whole["vocab"]), "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 37, "max_position_embeddings": 64,
        },
        audio_config={
            "hidden_size": 32, "patch_embeds_hidden_size": 16, "depths": [2, 1], "num_attention_heads": [2, 2],
            "num_hidden_layers": 2, "enable_fusion": fused, "fusion_type": None,
        },
        projection_dim=64,
    )  # fmt: skip
    model = ClapModel(config).eval()
    with torch.no_grad():  # as after training, so that features matter
        model.audio_model.audio_encoder.batch_norm.running_mean.fill_(-40.0)
        model.audio_model.audio_encoder.batch_norm.running_var.fill_(400.0)
    model.save_pretrained(directory)
    return directory


def write_gpt2_tokenizer(path: Path) -> Tokenizer:
    """A tiny tokenizer as GPT-2's: byte pairs, one mark, and the token 0 is "!"."""
    tokenizer = _byte_pairs([])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(path))
    return tokenizer


def _byte_pairs(marks: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES * 3, trainer)
    return tokenizer
