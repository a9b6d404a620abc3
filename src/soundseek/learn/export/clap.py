"""A checkpoint of transformers' `ClapModel`, in the hub's files -> two towers that can be exported.

LAION's unfused checkpoints (Wu et al., ICASSP 2023). A fused one hears a long file as four log-mels at once, three of
them at random places, so it has no vector of its own for a file; it is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoTokenizer, ClapAudioConfig, ClapConfig, ClapModel

from soundseek.audio.logmel import CLAP_FRONT_END, FrontEndConfig
from soundseek.errors import ModelError
from soundseek.learn.export.htsat import htsat
from soundseek.learn.export.towers import Towers, rebuilt_tokenizer

_PADDINGS = {"repeatpad": "repeat-pad", "repeat": "repeat", "pad": None}


def clap_towers(directory: Path) -> Towers:
    """The towers of a checkpoint.

    Args:
        directory: `config.json`, `preprocessor_config.json`, the tokenizer's files, and `model.safetensors` or
            `pytorch_model.bin`.

    Raises:
        ModelError: It is fused, incomplete or of another architecture.
    """
    front_end = clap_front_end(directory)
    model: Any
    tokenizer: Any
    try:
        config: Any = ClapConfig.from_pretrained(directory, local_files_only=True)
        if config.audio_config.enable_fusion:
            raise ModelError(_fused(directory))
        loaded: Any = ClapModel.from_pretrained(
            directory, local_files_only=True, output_loading_info=True, attn_implementation="eager"
        )
        model, info = loaded
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{directory} holds no ClapModel that can be loaded: {error}") from error
    missing = sorted(info["missing_keys"]) + sorted(str(each) for each in info["mismatched_keys"])
    if missing:
        raise ModelError(f"{directory} lacks weights of a ClapModel, or has others: {', '.join(missing[:3])}")
    positions = config.text_config.max_position_embeddings - config.text_config.pad_token_id - 1
    return Towers(
        audio=ClapAudio(model, front_end),
        text=ClapText(model),
        tokenizer=rebuilt_tokenizer(tokenizer),
        front_end=front_end,
        max_tokens=min(positions, tokenizer.model_max_length),
        text_kind="roberta",
    )


def clap_front_end(directory: Path) -> FrontEndConfig:
    """The front end that `preprocessor_config.json` describes.

    Raises:
        ModelError: There is none, or one of a fused checkpoint.
    """
    path = directory / "preprocessor_config.json"
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if said.get("truncation") == "fusion":
        raise ModelError(_fused(directory))
    if said.get("feature_extractor_type", "ClapFeatureExtractor") != "ClapFeatureExtractor":
        raise ModelError(f"{path} is of a {said['feature_extractor_type']}, not of a ClapFeatureExtractor")
    if (padding := said.get("padding", "repeatpad")) not in _PADDINGS:
        raise ModelError(f"{path}: padding is {padding!r}, known are {', '.join(_PADDINGS)}")
    fft = int(said.get("fft_window_size", CLAP_FRONT_END.n_fft))
    return FrontEndConfig.model_validate(
        {
            **CLAP_FRONT_END.model_dump(),
            "sample_rate_hz": said.get("sampling_rate", CLAP_FRONT_END.sample_rate_hz),
            "n_fft": fft,
            "win_length": fft,
            "hop_length": said.get("hop_length", CLAP_FRONT_END.hop_length),
            "num_mels": said.get("feature_size", CLAP_FRONT_END.num_mels),
            "f_min_hz": said.get("frequency_min", 0),
            "f_max_hz": said.get("frequency_max", CLAP_FRONT_END.f_max_hz),
            "window_s": said.get("max_length_s", CLAP_FRONT_END.window_s),
            "fill": _PADDINGS[padding],
        }
    )


def _fused(directory: Path) -> str:
    return (
        f"{directory} is a fused checkpoint, which hears a long file as three random crops and a summary: it gives no "
        "file a vector of its own. Use an unfused one, such as laion/clap-htsat-unfused"
    )


class ClapAudio(nn.Module):
    """Log-mel `(1, time, mel)` -> the clip's embedding `(1, dim)`, unit norm."""

    def __init__(self, model: ClapModel, front_end: FrontEndConfig) -> None:
        super().__init__()
        config: Any = model.config.audio_config
        self.stretch = Stretch(front_end, config)
        self.encoder = htsat(model.audio_model)
        self.projection = model.audio_projection

    def forward(self, log_mel: Tensor) -> Tensor:
        pooled = self.encoder(self.stretch(log_mel))
        return functional.normalize(self.projection(pooled), dim=-1)


class Stretch(nn.Module):
    """Log-mel `(1, time, mel)` -> the same with as many frames as an HTS-AT takes, as one matrix product.

    HTS-AT interpolates by itself, behind a batch norm of each band, which changes nothing in the order of the two; in
    ONNX Runtime that takes five times as long.
    """

    matrix: Tensor

    def __init__(self, front_end: FrontEndConfig, config: ClapAudioConfig) -> None:
        super().__init__()
        frames = 1 + front_end.window_samples // front_end.hop_length
        wanted = config.spec_size * (config.spec_size // config.num_mel_bins)
        if frames > wanted:
            raise ModelError(f"{frames} log-mel frames are more than the {wanted} that this HTS-AT takes")
        each = torch.eye(frames)[None, None]
        matrix = functional.interpolate(each, (wanted, frames), mode="bicubic", align_corners=True)[0, 0]
        self.register_buffer("matrix", matrix if wanted > frames else torch.eye(frames))

    def forward(self, log_mel: Tensor) -> Tensor:
        return torch.matmul(self.matrix, log_mel)


class ClapText(nn.Module):
    """Token ids and mask `(batch, token)` -> embeddings `(batch, dim)`."""

    def __init__(self, model: ClapModel) -> None:
        super().__init__()
        self.encoder = model.text_model
        self.projection = model.text_projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        # transformers' own sum over the mask; written out, since its check for padding cannot be traced.
        places = torch.cumsum(attention_mask, dim=1) + self.encoder.embeddings.padding_idx
        found = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=places * attention_mask
        )
        return functional.normalize(self.projection(found.pooler_output), dim=-1)
