"""Give a model words for how a sound sounds, without training it anew and without changing one vector of a sound.

    python scripts/manner_words.py MODEL --data DATA --out OUT

A manner (muffled, distant, in a hall, ...; soundseek.learn.data.how_it_sounds) moves the vector of a sound in much the
same direction whatever the sound is: w_m, the mean over pairs of a clip and its copy in this manner. How far a sentence
speaks of a manner is linear in what the frozen text tower makes of it: u_m, by ridge regression over captions with the
words for a manner (1), with words that contradict it (-1) and over plain ones (0). So the text head gets both:

    W + sum over m of strength * w_m u_m^T

The strength is the largest one that costs the plain captions of DATA's validation split at most `MOST_LOST` of mAP@10.
Directions and words come from `development`; a model whose text head is not linear is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

from soundseek._typing import FloatArray
from soundseek._vectors import unit_rows
from soundseek.audio.decode import probe, read_audio
from soundseek.errors import ModelError
from soundseek.learn.data.caption_neighbours import read_sentences
from soundseek.learn.data.features import extract_texts, text_store
from soundseek.learn.data.how_it_sounds import MANNERS, contrasted_with, described_in, manners_for
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.evaluation.metrics import retrieval_metrics
from soundseek.learn.export.model_card import write_readme
from soundseek.learn.models.build import build_text
from soundseek.learn.models.text.bert import MINILM
from soundseek.model.config import TEXT_FILE, ModelConfig
from soundseek.model.model import Model

RATE_HZ = 32000
LONGEST_S = 8.0
MOST_LOST = 0.001  # of mAP@10: a tenth of a point
STRENGTHS = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # in lengths of a text vector
LEAST_COSINE = 0.98  # between the network in 8 bits and its exact head
RIDGE = 0.03  # of the features' mean square


def main() -> None:
    """Measure the directions, fit the words, choose the strength, write the model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--sentences", type=Path, help="a CSV of plain sentences, as data.listener_captions.path"
    )
    parser.add_argument("--pairs", type=int, default=25, help="clips of each manner (25)")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    model = Model(given.model)
    weight, bias = text_head(given.model)
    clips = read_split(given.data, "development")
    directions = measured_directions(model, clips, given.pairs)
    lengths = {name: round(float(np.linalg.norm(each)), 3) for name, each in directions.items()}
    print(f"lengths of the directions: {lengths}", file=sys.stderr)
    tower = build_text(MINILM, pooling="mean", max_tokens=model.config.text.max_tokens)
    texts, wanted = labelled_texts(clips, read_sentences(given.sentences) if given.sentences else [])
    features = extract_texts(texts, text_store(tower), tower)
    readers = ridge(features, wanted)
    validation = read_split(given.data, "validation")
    captions = [caption for clip in validation for caption in clip.captions]
    own = np.repeat(np.arange(len(validation)), [len(clip.captions) for clip in validation])
    heard = model.embed_audio([clip.path for clip in validation])
    read = extract_texts(captions, text_store(tower), tower)
    scores, chosen = [], 0.0
    for strength in STRENGTHS:
        vectors = unit_rows(changed_text(read, weight, bias, directions, readers, strength))
        scores.append(retrieval_metrics((vectors, heard), own).text_to_audio.mAP10.value)
        print(f"strength {strength}: mAP@10 {scores[-1]:.4f}", file=sys.stderr)
        if scores[-1] >= scores[0] - MOST_LOST:
            chosen = strength
    new_weight, new_bias = new_head(weight, bias, directions, readers, chosen, features)
    facts = {"strength": chosen, "pairs": given.pairs, "mAP10": [scores[0], scores[STRENGTHS.index(chosen)]]}
    fingerprint = write(given.model, given.out, new_weight, new_bias, facts)
    exact = unit_rows(read[:60] @ new_weight.T + new_bias)
    cosine = float(np.sum(exact * Model(given.out).embed_text(captions[:60]), axis=1).min())
    if cosine < LEAST_COSINE:
        raise ModelError(f"{given.out} gives other vectors than it should: cosine {cosine:.4f}")
    print(json.dumps({"fingerprint": fingerprint, **facts, "text_cosine": cosine}))


def text_head(directory: Path) -> tuple[FloatArray, FloatArray]:
    """`(dim, width)` and `(dim,)` of the text head.

    Raises:
        ModelError: It is not linear.
    """
    heads = load_file(directory / "model.safetensors")
    if "text_projector.weight" not in heads:
        raise ModelError(f"{directory} has no linear text head")
    return tuple(heads[f"text_projector.{part}"].float().numpy() for part in ("weight", "bias"))  # type: ignore[return-value]


def measured_directions(model: Any, clips: list[Clip], num_pairs: int) -> dict[str, FloatArray]:
    """Manner -> `(dim,)` the mean difference of the unit vectors of altered clips and clips."""
    order = np.random.default_rng(0).permutation(len(clips))
    pairs: dict[str, list[FloatArray]] = {name: [] for name in MANNERS}
    for number in order:
        if min(map(len, pairs.values())) >= num_pairs:
            break
        path = clips[number].path
        able = [name for name in manners_for(probe(path).duration_s) if len(pairs[name]) < num_pairs]
        if not able:
            continue
        waveform = read_audio(path, sample_rate_hz=RATE_HZ)[: int(LONGEST_S * RATE_HZ)]
        generator = np.random.default_rng([int(number), 7])
        picked = sorted(able, key=lambda name: len(pairs[name]))[:5]
        heard = [MANNERS[name].change(waveform, RATE_HZ, generator) for name in picked]
        vectors = model.embed_audio([(each, RATE_HZ) for each in (waveform, *heard)])
        for name, vector in zip(picked, vectors[1:], strict=True):
            pairs[name].append(vector - vectors[0])
    return {name: np.mean(own, axis=0) for name, own in pairs.items()}


def labelled_texts(clips: list[Clip], sentences: list[str]) -> tuple[list[str], FloatArray]:
    """Texts, and `(text, manner)` how far each speaks of each manner: 1, -1 or 0."""
    random = Random(0)
    texts: dict[str, list[float]] = {}
    for place, manner in enumerate(MANNERS):
        for clip in random.sample(clips, min(len(clips), 150)):
            row = [0.0] * len(MANNERS)
            row[place] = 1.0
            texts[described_in(manner, random.choice(clip.captions), random)] = row
        if MANNERS[manner].opposites:
            for clip in random.sample(clips, min(len(clips), 50)):
                row = [0.0] * len(MANNERS)
                row[place] = -1.0
                texts.setdefault(contrasted_with(manner, random.choice(clip.captions), random), row)
    plain = [random.choice(clip.captions) for clip in clips]
    plain += random.sample(sentences, min(len(sentences), len(plain)))
    for text in plain:
        texts.setdefault(text, [0.0] * len(MANNERS))
    return list(texts), np.array(list(texts.values()), np.float32)


def ridge(features: FloatArray, wanted: FloatArray) -> FloatArray:
    """`(width + 1, manner)`: the last row is the constant; the rare texts with a manner weigh as much as the others."""
    rows = np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1).astype(np.float64)
    spoken = np.abs(wanted).any(axis=1)
    weights = np.where(spoken, 1.0, spoken.sum() / max(1, (~spoken).sum()))[:, None]
    gram = rows.T @ (weights * rows)
    penalty = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram + penalty, rows.T @ (weights * wanted)).astype(np.float32)


def changed_text(
    features: FloatArray,
    weight: FloatArray,
    bias: FloatArray,
    directions: dict[str, FloatArray],
    readers: FloatArray,
    strength: float,
) -> FloatArray:
    """`(text, dim)`, of any norm, by the new head."""
    new_weight, new_bias = new_head(weight, bias, directions, readers, strength, features)
    return features @ new_weight.T + new_bias


def new_head(
    weight: FloatArray,
    bias: FloatArray,
    directions: dict[str, FloatArray],
    readers: FloatArray,
    strength: float,
    features: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Weight and bias with the words for manners in them."""
    length = float(np.linalg.norm(features @ weight.T + bias, axis=1).mean())
    along = np.stack([each / np.linalg.norm(each) for each in directions.values()], axis=1)  # (dim, manner)
    moved = strength * length * along @ readers.T  # (dim, width + 1)
    return weight + moved[:, :-1].astype(np.float32), bias + moved[:, -1].astype(np.float32)


def write(source: Path, out: Path, weight: FloatArray, bias: FloatArray, facts: dict[str, Any]) -> str:
    """A copy of the model directory with the new text head; returns its fingerprint."""
    shutil.copytree(source, out)
    heads = load_file(out / "model.safetensors")
    for part, values in (("weight", weight), ("bias", bias)):
        heads[f"text_projector.{part}"] = torch.from_numpy(values).to(heads[f"text_projector.{part}"].dtype)
    save_file(heads, out / "model.safetensors")
    network = onnx.load(out / TEXT_FILE)
    replace_head(network, weight, bias)
    onnx.save(network, out / TEXT_FILE)
    card = ModelConfig.read(out)
    digest = hashlib.sha256(card.fingerprint.encode() + weight.tobytes() + bias.tobytes()).hexdigest()[:12]
    training = {**card.training, "manner_words": {**facts, "model": card.fingerprint}}
    card = card.model_copy(update={"fingerprint": digest, "training": training, "scores": {}})
    card.write(out)
    write_readme(out, card)
    return digest


def replace_head(network: Any, weight: FloatArray, bias: FloatArray) -> None:
    """Put a head's matrix and bias in place of the former ones, in 8 bits where those were.

    Raises:
        ModelError: The network holds no such matrix.
    """
    held = {tensor.name.removeprefix("model.text_projector."): tensor for tensor in network.graph.initializer}
    new = {"weight": weight, "bias": bias}
    if "weight_int8" in held:
        scale = np.abs(weight).max(axis=1) / 127  # a scale for each row
        new = {
            "weight_int8": np.round(weight / scale[:, None]).astype(np.int8),
            "weight_scale": scale.astype(np.float32),
            "bias": bias,
        }
    for name, values in new.items():
        if name not in held or tuple(held[name].dims) != values.shape:
            raise ModelError(f"text.onnx has no text_projector.{name} of the shape {values.shape}")
        held[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), held[name].name))


if __name__ == "__main__":
    main()
