"""Any PyTorch dual encoder -> a model directory: two networks, a tokenizer and a front end, exported and compared.

The recipe of `docs/bring-your-own-model.md`; `clap.py` and `msclap.py` bring the published models in this form.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from soundseek._typing import FloatArray
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import ModelError
from soundseek.learn.export.export import (
    FLAT_MOMENTS,
    PARITY,
    PARITY_SENTENCES,
    QUANTIZED_PARITY,
    Precision,
    accepted_parity,
    least_cosine,
    run_onnx,
    write_onnx,
)
from soundseek.learn.export.model_card import write_readme
from soundseek.learn.export.quantize import (
    quantize_products,
    quantize_weights,
    synthetic_sounds,
)
from soundseek.learn.export.replace import WEIGHTS_FILE, built_beside, refuse_other_folders
from soundseek.model.config import (
    AUDIO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    AudioTowerConfig,
    ModelConfig,
    TextTowerConfig,
    fingerprint,
)

WINDOW_MOMENTS = (
    "Moments are flat: a window is embedded as a whole. "
    "soundseek search --windows scores windows of two seconds instead."
)
"""On the card of a model that takes clips of one length."""

TextKind = Literal["bert", "word2vec", "roberta", "gpt2"]


@dataclass(frozen=True)
class Towers:
    """A dual encoder as the searching half runs it.

    Attributes:
        audio: Log-mel `(1, time, mel)` -> the clip's embedding `(1, dim)`, or `(1, frames, dim)` whose mean it is.
        text: Token ids and mask `(batch, token)`, both int64 -> embeddings `(batch, dim)`.
        tokenizer: Of the `tokenizers` library: a text to its ids, marks such as [CLS] included.
        front_end: The log-mel that `audio` was trained on. With `window_s`, `audio` gets clips of that length alone.
        max_tokens: Longer texts are cut.
        text_kind: What `text` is; for the card.
        frame_hop: Log-mel frames that one of `audio`'s frames stands for; without `window_s` alone.
        min_frames: Shortest log-mel that `audio` takes; without `window_s` alone.
        is_linear: The score of a segment is the mean of its frames' scores: frames are worth showing as moments.
    """

    audio: nn.Module
    text: nn.Module
    tokenizer: Tokenizer
    front_end: FrontEndConfig
    max_tokens: int = 77
    text_kind: TextKind = "bert"
    frame_hop: int = 1
    min_frames: int = 1
    is_linear: bool = False


@dataclass(frozen=True)
class CardFacts:
    """What a model's card says that its networks do not.

    Attributes:
        name: What `soundseek models` calls it.
        license: Of the weights, as an SPDX expression.
        summary: One line.
        credits: Whose work it is.
        limits: What it is bad at.
        scores: Metrics as "split metric" -> share in [0, 1].
        training: How it was made.
        fingerprint: What tells its vectors from another's, where that is known better than by the exported bytes.
    """

    name: str
    license: str = ""
    summary: str = ""
    credits: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    scores: dict[str, float] | None = None
    training: dict[str, Any] | None = None
    fingerprint: str = ""


def export_towers(
    towers: Towers,
    out: Path,
    card: CardFacts,
    *,
    precision: Precision = "fp32",
    audio_precision: Precision = "fp32",
    with_weights: bool = False,
) -> dict[str, float]:
    """Write the model directory of a dual encoder, whole or not at all.

    Args:
        towers: The networks in eval mode.
        out: The model directory; an earlier one is replaced when the new one has been compared with PyTorch.
        card: What its card says.
        precision: Of the text network's matrices.
        audio_precision: Of the audio network: "int8" computes its matrix products in 8 bits, with ranges that are
            measured on each clip.
        with_weights: Also write `model.safetensors`, from which PyTorch can go on.

    Returns:
        Least cosine between PyTorch and ONNX Runtime: `audio`, `text`, and `audio_int8`, `text_int8` if asked for.

    Raises:
        ModelError: The exported networks disagree with PyTorch's, or do not fit each other.
        UsageError: `out` holds something that is no model directory.
        DataError: The disk is full.
    """
    refuse_other_folders(out)
    with built_beside(out) as made:
        made.mkdir()
        parity, dim = _export_audio(towers, made / AUDIO_FILE, audio_precision)
        parity |= _export_text(towers, made / TEXT_FILE, precision, dim)
        towers.tokenizer.no_padding()
        towers.tokenizer.no_truncation()
        towers.tokenizer.save(str(made / TOKENIZER_FILE))
        if with_weights:
            parts = {"audio": towers.audio, "text": towers.text}
            weights = {
                f"{part}.{name}": tensor.contiguous().clone()
                for part, network in parts.items()
                for name, tensor in network.state_dict().items()
            }
            save_file(weights, made / WEIGHTS_FILE)
        config = _config(towers, card, dim, parity, (precision, audio_precision))
        config = config.model_copy(
            update={"fingerprint": card.fingerprint or fingerprint(made, towers.front_end)}
        )
        config.write(made)
        write_readme(made, config)
    return parity


def _config(
    towers: Towers,
    card: CardFacts,
    dim: int,
    parity: dict[str, float],
    precisions: tuple[Precision, Precision],
) -> ModelConfig:
    is_windowed = towers.front_end.window_s is not None
    audio = AudioTowerConfig(
        frame_hop=towers.front_end.window_samples // towers.front_end.hop_length
        if is_windowed
        else towers.frame_hop,
        scope="window" if is_windowed else "clip",
        context_frames=0,
        min_frames=_window_frames(towers.front_end) if is_windowed else towers.min_frames,
        is_linear=towers.is_linear and not is_windowed,
    )
    precision, audio_precision = precisions
    facts = {"precision": precision, "audio_precision": audio_precision, "parity": parity}
    return ModelConfig(
        name=card.name,
        version="1",
        dim=dim,
        front_end=towers.front_end,
        audio=audio,
        text=TextTowerConfig(kind=towers.text_kind, max_tokens=towers.max_tokens),
        license=card.license,
        summary=card.summary,
        credits=card.credits,
        limits=(
            *card.limits,
            *(() if audio.is_linear else (WINDOW_MOMENTS if is_windowed else FLAT_MOMENTS,)),
        ),
        scores=card.scores or {},
        training={**facts, **(card.training or {})},
    )


class _Frames(nn.Module):
    """An audio tower whose output is frames `(1, frames, dim)` also where it gives one embedding."""

    def __init__(self, audio: nn.Module) -> None:
        super().__init__()
        self.audio = audio

    def forward(self, log_mel: Tensor) -> Tensor:
        found: Tensor = self.audio(log_mel)
        return found[:, None] if found.ndim == 2 else found


def _export_audio(towers: Towers, path: Path, precision: Precision) -> tuple[dict[str, float], int]:
    network = _Frames(towers.audio).eval()
    log_mels = _log_mels(towers.front_end)
    example = torch.from_numpy(log_mels[0][None])
    shapes = None
    if towers.front_end.window_s is None:
        shapes = {"log_mel": {1: torch.export.Dim("time", min=towers.min_frames, max=1_000_000)}}
    write_onnx(network, (example,), path, ["log_mel"], "frames", shapes)
    with torch.no_grad():
        expected = [network(torch.from_numpy(log_mel[None]))[0].numpy() for log_mel in log_mels]
    if expected[0].ndim != 2:
        raise ModelError(
            f"the audio network gives {(1, *expected[0].shape)} for a log-mel {tuple(example.shape)}; "
            "it should give (1, dim) or (1, frames, dim)"
        )
    exact = np.stack([frames.mean(axis=0) for frames in expected])

    def cosine() -> float:
        found = [run_onnx(path, {"log_mel": log_mel[None]})[0].mean(axis=0) for log_mel in log_mels]
        return least_cosine(exact, np.stack(found))

    parity = {"audio": accepted_parity("audio", cosine(), PARITY)}
    if precision == "int8":
        quantize_products(path)
        parity["audio_int8"] = accepted_parity("audio (int8)", cosine(), QUANTIZED_PARITY)
    return parity, exact.shape[1]


def _export_text(towers: Towers, path: Path, precision: Precision, dim: int) -> dict[str, float]:
    network = towers.text.eval()
    sentences = [sentence for sentence in PARITY_SENTENCES if sentence]
    ids = [_token_ids(towers, sentence) for sentence in sentences]
    example = torch.tensor([ids[2][:8], ids[2][:8]])
    shapes = {
        name: {
            0: torch.export.Dim("batch", min=1, max=4096),
            1: torch.export.Dim("token", min=1, max=towers.max_tokens),
        }
        for name in ("input_ids", "attention_mask")
    }
    feeds = (example, torch.ones_like(example))
    write_onnx(_Text(network), feeds, path, ["input_ids", "attention_mask"], "text_embedding", shapes)
    with torch.no_grad():
        rows = [network(row, torch.ones_like(row)) for row in (torch.tensor([each]) for each in ids)]
    exact = torch.cat(rows).numpy()
    if exact.shape[1:] != (dim,):
        raise ModelError(
            f"the text network gives embeddings {tuple(exact.shape[1:])}, the audio network ({dim},); "
            "both must end in one space"
        )

    def cosine() -> float:
        found = []
        for each in ids:
            row = np.array([each], np.int64)
            found.append(run_onnx(path, {"input_ids": row, "attention_mask": np.ones_like(row)})[0])
        return least_cosine(exact, np.stack(found))

    parity = {"text": accepted_parity("text", cosine(), PARITY)}
    if precision == "int8":
        quantize_weights(path)
        parity["text_int8"] = accepted_parity("text (int8)", cosine(), QUANTIZED_PARITY)
    return parity


class _Text(nn.Module):
    """A text tower whose mask stays an input of the exported graph, also where it has no use for it.

    The searching half runs every length on its own, so no token is ever masked.
    """

    def __init__(self, text: nn.Module) -> None:
        super().__init__()
        self.text = text

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found: Tensor = self.text(input_ids, attention_mask)
        return found * attention_mask.amax(dim=1, keepdim=True).to(found.dtype)


def _token_ids(towers: Towers, sentence: str) -> list[int]:
    ids: list[int] = towers.tokenizer.encode(sentence).ids[: towers.max_tokens]
    return ids


def _log_mels(front_end: FrontEndConfig) -> list[FloatArray]:
    """Log-mels `(time, mel)` of a few synthetic sounds, loud and quiet."""
    sounds: Sequence[FloatArray] = synthetic_sounds(front_end.sample_rate_hz)[::3]
    log_mel = LogMel(front_end)
    if front_end.window_s is None:
        return [log_mel(sound) for sound in sounds]
    return [log_mel.of_window(sound[: front_end.window_samples]) for sound in sounds]


def _window_frames(front_end: FrontEndConfig) -> int:
    return 1 + front_end.window_samples // front_end.hop_length


def load_tokenizer(path: Path) -> Tokenizer:
    """A `tokenizer.json` of the `tokenizers` library.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{path} is no tokenizer.json: {error}") from error


def rebuilt_tokenizer(tokenizer: Any) -> Tokenizer:
    """The `tokenizers` half of a fast tokenizer of transformers, as a copy of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TOKENIZER_FILE
        tokenizer.backend_tokenizer.save(str(path))
        return load_tokenizer(path)
