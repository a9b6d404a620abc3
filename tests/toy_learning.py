"""A toy data set in Clotho's layout, a tiny trunk and a tiny BERT: everything that training needs, in a second."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from tones import write_tone

from soundseek.audio.logmel import FrontEndConfig
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.audio.compact import BlocksConfig, CompactConfig, CompactTrunk
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.recipe.load import load_recipe

WORDS = [
    "a",
    "high",
    "low",
    "tone",
    "hum",
    "whistle",
    "plays",
    "sounds",
    "is",
    "heard",
    "and",
    "then",
    "followed",
    "by",
    "while",
    "as",
    "quietly",
    "the",
    "in",
]
TONES_HZ = {
    "low hum": 110,
    "low tone": 220,
    "tone": 440,
    "high tone": 1760,
    "whistle": 3000,
    "high whistle": 3500,
}
NUM_CAPTIONS = 2


def make_toy_data(directory: Path, splits: tuple[str, ...] = ("development", "validation")) -> Path:
    """Six tones a split, half a second each, two captions a tone."""
    for number, split in enumerate(splits):
        (directory / split).mkdir(parents=True)
        with (directory / f"captions_{split}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file_name", "caption_1", "caption_2"])
            for name, frequency_hz in TONES_HZ.items():
                file_name = f"{name.replace(' ', '-')}.wav"
                write_tone(
                    directory / split / file_name, frequency_hz=frequency_hz + 10 * number, duration_s=0.5
                )
                rows.writerow([file_name, f"A {name} plays.", f"{name} is heard"])
    return directory


def make_toy_trunk(path: Path, seed: int = 0) -> Path:
    """A compact trunk with eight features a frame."""
    torch.manual_seed(seed)
    stage = BlocksConfig(width=8, expansion=1, kernel=3, stride=2, blocks=1)
    front_end = FrontEndConfig(
        sample_rate_hz=8000, n_fft=256, win_length=200, hop_length=80, num_mels=16, f_max_hz=4000
    )
    CompactTrunk(
        CompactConfig(
            stem_width=4, stem_kernel=3, stem_stride=2, stages=(stage,), width=8, front_end=front_end
        )
    ).save(path)
    return path


def make_toy_bert(directory: Path, seed: int = 0, *, num_layers: int = 2, width: int = 16) -> Path:
    """A small BERT that knows the toy data's words; one layer is enough where it is exported: seconds a layer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    directory.mkdir(parents=True)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        ".",
        ",",
        *WORDS,
        *letters,
        *(f"##{x}" for x in letters),
    ]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True).save_pretrained(directory)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=32,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(directory)
    return directory


def toy_recipe(directory: Path, *settings: str) -> Recipe:
    """A recipe on a toy trunk and a toy BERT in `directory`, made there if missing."""
    trunk, tower = directory / "trunk.safetensors", directory / "bert"
    if not trunk.exists():
        make_toy_trunk(trunk)
        make_toy_bert(tower)
    return load_recipe(
        "base+frozen",
        [
            "name=toy",
            "dim=8",
            "audio.trunk=compact",
            f"audio.weights={trunk}",
            f"text.tower={tower}",
            "text.pooling=mean",
            "text.max_tokens=16",
            "training.extraction_workers=0",
            "training.epochs=3",
            "training.batch_size=4",
            "training.learning_rate=0.01",
            *settings,
        ],
    )


def make_toy_cnn14(path: Path, seed: int = 0) -> Path:
    """A CNN14 of a few thousand numbers, on log-mels as short as the toy data's, its norms set by noise."""
    front_end = FrontEndConfig(
        sample_rate_hz=8000, n_fft=256, win_length=256, hop_length=80, num_mels=32, f_max_hz=4000
    )
    torch.manual_seed(seed)
    trunk = CNN14Trunk(CNN14Config(widths=(4, 4, 4, 8, 8, 8), reduction="block5", front_end=front_end))
    trunk.spec_augment.eval()
    for _ in range(20):
        trunk.train()(torch.randn(8, 50, 32))
    trunk.eval().save(path)
    return path


def toy_online_recipe(directory: Path, *settings: str) -> Recipe:
    """A recipe that trains a toy CNN14 and a toy BERT whole, from log-mels."""
    weights = directory / "cnn14.safetensors"
    if not weights.exists():
        make_toy_cnn14(weights)
    return toy_recipe(
        directory,
        "audio.trunk=cnn14",
        f"audio.weights={weights}",
        "audio.trunk_options.norms=frozen",
        "audio.trained_blocks=all",
        "audio.learning_rate=0.01",
        "text.trained_layers=all",
        "text.learning_rate=0.003",
        "training.workers=0",
        *settings,
    )
