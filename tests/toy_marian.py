"""MarianMT models of a few thousand random weights, with tokenizers of their own, as transformers saves them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch


def make_toy_marian(directory: Path, sentences: Sequence[str], seed: int) -> Path:
    """A translation model that knows the words of some sentences and says anything."""
    import sentencepiece
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    directory.mkdir(parents=True)
    (directory / "sentences.txt").write_text("\n".join(sentences))
    pieces = directory / "pieces"
    sentencepiece.SentencePieceTrainer.train(
        input=str(directory / "sentences.txt"),
        model_prefix=str(pieces),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = pieces.with_suffix(".model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    words = [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
    vocabulary = {word: number for number, word in enumerate(["</s>", "<unk>", *words[3:], "<pad>"])}
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = MarianTokenizer(str(model), str(model), str(directory / "vocab.json"))
    tokenizer.save_pretrained(directory)
    torch.manual_seed(seed)
    config = MarianConfig(
        vocab_size=len(vocabulary),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=96,
        pad_token_id=vocabulary["<pad>"],
        decoder_start_token_id=vocabulary["<pad>"],
        eos_token_id=vocabulary["</s>"],
        init_std=1.0,
    )
    MarianMTModel(config).save_pretrained(directory)
    return directory
