"""A checkpoint of Microsoft's CLAP of 2023 -> two towers that can be exported.

Its audio tower is the HTS-AT that transformers has as `ClapAudioModel`, under other names; its text tower is GPT-2,
read at the last token; each ends in a projector of its own (Elizalde et al., ICASSP 2024).
"""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path

import torch
from tokenizers import normalizers, processors
from torch import Tensor, nn
from torch.nn import functional
from transformers import ClapAudioConfig, ClapAudioModel, GPT2Config, GPT2Model

from soundseek.audio.logmel import MSCLAP_FRONT_END, mel_matrix
from soundseek.errors import ModelError
from soundseek.learn.export.clap import Stretch
from soundseek.learn.export.htsat import htsat
from soundseek.learn.export.towers import Towers, load_tokenizer
from soundseek.model.config import TOKENIZER_FILE

CHECKPOINT = "CLAP_weights_2023.pth"
MAX_TOKENS = 77
_END = "<|endoftext|>"

# Names in the checkpoint -> names in transformers; what stands in neither is of the tagger's head.
_RENAMED = (
    (r"^bn0\.", "batch_norm."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.(relative_position\w+)", r".attention.self.\1"),
)
_NOT_OURS = re.compile(r"^(spectrogram_extractor|logmel_extractor|tscam_conv|head)\.|\.attn_mask$")
_BUFFERS = ("relative_position_index", "num_batches_tracked", ".attn.bias", ".attn.masked_bias")


def msclap_towers(directory: Path) -> Towers:
    """The towers of a checkpoint.

    Args:
        directory: `CLAP_weights_2023.pth`, and GPT-2's `tokenizer.json`.

    Raises:
        ModelError: It is incomplete, or of another network.
    """
    path = directory / CHECKPOINT
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state: dict[str, Tensor] = {name.removeprefix("module."): t for name, t in loaded["model"].items()}
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} is no checkpoint of MS-CLAP: {str(error).splitlines()[0]}") from error
    tokenizer = load_tokenizer(directory / TOKENIZER_FILE)
    # Its own code writes " <|endoftext|>" behind a text, so a lone space and then the mark are read.
    marks = [(mark, tokenizer.token_to_id(mark)) for mark in ("Ġ", _END)]
    if any(number is None for _, number in marks):
        raise ModelError(f"{directory / TOKENIZER_FILE} is not GPT-2's: it has no {_END}")
    tokenizer.normalizer = normalizers.Strip(left=False, right=True)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A Ġ {_END}", special_tokens=marks)
    return Towers(
        audio=MsClapAudio(
            _part(state, "audio_encoder.base.htsat."), _part(state, "audio_encoder.projection.")
        ),
        text=MsClapText(_part(state, "caption_encoder.base."), _part(state, "caption_encoder.projection.")),
        tokenizer=tokenizer,
        front_end=MSCLAP_FRONT_END,
        max_tokens=MAX_TOKENS,
        text_kind="gpt2",
    )


class MsClapProjection(nn.Module):
    """Features `(batch, width)` -> embeddings `(batch, dim)`: linear, and a residual through GELU, normalised."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, dim, bias=False)
        self.linear2 = nn.Linear(dim, dim, bias=False)
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, features: Tensor) -> Tensor:
        first = self.linear1(features)
        found: Tensor = self.layer_norm(first + self.linear2(functional.gelu(first)))
        return found


class MsClapAudio(nn.Module):
    """Log-mel `(1, time, mel)` -> the clip's embedding `(1, dim)`, unit norm."""

    def __init__(self, state: dict[str, Tensor], projection: dict[str, Tensor]) -> None:
        super().__init__()
        _check_mel_bands(state)
        renamed = _as_transformers(state)
        config = _htsat_config(renamed)
        self.stretch = Stretch(MSCLAP_FRONT_END, config)
        network = ClapAudioModel(config)
        _load(network, {f"audio_encoder.{name}": tensor for name, tensor in renamed.items()}, "HTS-AT")
        self.encoder = htsat(network)
        self.projection = _projection(projection)

    def forward(self, log_mel: Tensor) -> Tensor:
        pooled = self.encoder(self.stretch(log_mel))
        return functional.normalize(self.projection(pooled), dim=-1)


class MsClapText(nn.Module):
    """Token ids and mask `(batch, token)` -> embeddings `(batch, dim)`, unit norm."""

    def __init__(self, state: dict[str, Tensor], projection: dict[str, Tensor]) -> None:
        super().__init__()
        words, width = state["wte.weight"].shape
        layers = 1 + max(int(found[1]) for name in state if (found := re.match(r"h\.(\d+)\.", name)))
        config = GPT2Config(
            vocab_size=words, n_positions=len(state["wpe.weight"]), n_embd=width, n_layer=layers,
            n_head=max(1, width // 64),
        )  # fmt: skip
        config._attn_implementation = "eager"
        self.encoder = GPT2Model(config)
        _load(self.encoder, state, "GPT-2")
        self.projection = _projection(projection)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, use_cache=False).last_hidden_state
        # Token 0, "!", is what its code pads with: it takes the last place but the number of these.
        last = (input_ids != 0).sum(dim=1) - 1
        read = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]
        return functional.normalize(self.projection(read), dim=-1)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not found:
        raise ModelError(f"{CHECKPOINT} has no {prefix}*: it is of another network than MS-CLAP 2023")
    return found


def _check_mel_bands(state: dict[str, Tensor]) -> None:
    bands = state.get("logmel_extractor.melW")
    if bands is None:
        return
    ours = torch.from_numpy(mel_matrix(MSCLAP_FRONT_END))
    if bands.shape != ours.shape or not torch.allclose(bands.float(), ours, atol=1e-5):
        raise ModelError(f"{CHECKPOINT} has other mel bands than MS-CLAP 2023 was published with")


def _as_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _NOT_OURS.search(name):
            continue
        for pattern, new in _RENAMED:
            name = re.sub(pattern, new, name)
        if ".attn.qkv." in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace(".attn.qkv.", f".attention.self.{part}.")] = third
        else:
            renamed[name] = tensor
    return renamed


def _htsat_config(state: dict[str, Tensor]) -> ClapAudioConfig:
    """The shape of an HTS-AT, read off its tensors."""
    tables = {
        (int(found[1]), int(found[2])): tensor
        for name, tensor in state.items()
        if (
            found := re.match(
                r"layers\.(\d+)\.blocks\.(\d+)\.attention\.self\.relative_position_bias_table", name
            )
        )
    }
    if not tables or "patch_embed.proj.weight" not in state:
        raise ModelError(f"{CHECKPOINT} holds no HTS-AT")
    num_layers = 1 + max(layer for layer, _ in tables)
    width = state["patch_embed.proj.weight"].shape[0]
    config = ClapAudioConfig(
        window_size=(math.isqrt(len(tables[0, 0])) + 1) // 2,
        num_mel_bins=len(state["batch_norm.weight"]),
        patch_embeds_hidden_size=width,
        hidden_size=width * 2 ** (num_layers - 1),
        depths=[sum(layer == number for layer, _ in tables) for number in range(num_layers)],
        num_attention_heads=[tables[number, 0].shape[1] for number in range(num_layers)],
        num_hidden_layers=num_layers,
    )
    config._attn_implementation = "eager"
    return config


def _projection(state: dict[str, Tensor]) -> MsClapProjection:
    dim, width = state["linear1.weight"].shape
    projection = MsClapProjection(width, dim)
    _load(projection, state, "projector")
    return projection


def _load(network: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Load what the checkpoint has; buffers that the network makes itself may be missing or surplus.

    Raises:
        ModelError: Anything else is, or has another shape.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(_BUFFERS)]
    surplus = [name for name in state if name not in own and not name.endswith(_BUFFERS)]
    misshapen = [name for name in own if name in state and own[name].shape != state[name].shape]
    for problem, names in (
        ("lacks", missing),
        ("has beside it", surplus),
        ("has in another shape", misshapen),
    ):
        if names:
            raise ModelError(f"{CHECKPOINT}: its {what} {problem} {', '.join(names[:3])}")
    network.load_state_dict({name: state.get(name, tensor) for name, tensor in own.items()})
    network.eval()
