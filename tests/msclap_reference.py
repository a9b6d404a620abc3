"""Vectors of Microsoft's own `msclap`, a small network with weights that a rule makes: golden for `test_msclap.py`.

    python tests/msclap_reference.py     # needs the package msclap; its torchaudio is not needed

Writes msclap_golden.json: shapes and names of all tensors as `msclap` has them, and what its code makes of a sound and
a sentence.
"""

from __future__ import annotations

import json
import sys
import types
import zlib
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import torch

GOLDEN = Path(__file__).with_name("msclap_golden.json")
RATE, SECONDS, WINDOW_S, DIM = 44_100, 3, 7, 24
TOKEN_IDS = [70, 71, 0, 220, 72, 329]
"""With token 0, "!", inside: its code takes it for padding when it looks for the last token."""
GPT2 = {"vocab_size": 400, "n_positions": 80, "n_embd": 64, "n_layer": 1, "n_head": 1}


def weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Tensors that depend on their names alone; statistics of a batch norm as of log-mels in decibels."""
    made = {}
    for name, shape in shapes.items():
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if name.endswith("running_mean"):
            values = values - 40
        elif name.endswith("running_var"):
            values = 400 + values
        elif len(shape) == 1:
            values = 1 + 0.1 * values
        else:
            values = values / np.sqrt(shape[-1])
        made[name] = torch.from_numpy(np.asarray(values, np.float32))
    return made


def waveform() -> np.ndarray:
    """Three seconds, to be repeated to seven."""
    noise = np.random.RandomState(0).standard_normal(SECONDS * RATE)
    return (0.1 * noise * np.linspace(0, 1, len(noise))).astype(np.float32)


def main() -> None:
    """Build their network, load the rule's weights, write what it says."""
    import transformers
    import transformers.models.gpt2.modeling_gpt2

    audio = types.ModuleType("torchaudio")
    audio.__spec__ = ModuleSpec("torchaudio", None)
    audio.transforms = types.ModuleType("torchaudio.transforms")  # type: ignore[attr-defined]
    sys.modules |= {"torchaudio": audio, "torchaudio.transforms": audio.transforms}
    network = transformers.GPT2Model(transformers.GPT2Config(**GPT2))
    transformers.AutoModel.from_pretrained = classmethod(lambda cls, name: network)  # type: ignore[method-assign]
    from msclap.models import config, htsat
    from msclap.models.clap import Projection, TextEncoder

    tower: Any = torch.nn.Module()
    tower.audio_encoder, tower.audio_encoder.base = torch.nn.Module(), torch.nn.Module()
    tower.audio_encoder.base.htsat = htsat.HTSAT_Swin_Transformer(
        embed_dim=16, depths=[1, 2], num_heads=[2, 4], config=config
    )
    tower.audio_encoder.projection = Projection(32, DIM)
    tower.caption_encoder = TextEncoder(DIM, "gpt2", GPT2["n_embd"])
    shapes = {name: list(t.shape) for name, t in tower.state_dict().items() if t.is_floating_point()}
    own = {
        name for name in shapes if "extractor" in name or name.endswith("attn_mask")
    }  # made by rules of its own
    tower.load_state_dict(tower.state_dict() | weights({n: s for n, s in shapes.items() if n not in own}))
    tower.eval()
    sound = np.tile(waveform(), -(-WINDOW_S // SECONDS))[: WINDOW_S * RATE]
    ids = torch.zeros(1, 77, dtype=torch.long)
    ids[0, : len(TOKEN_IDS)] = torch.tensor(TOKEN_IDS)
    mask = torch.zeros_like(ids)
    mask[0, : len(TOKEN_IDS)] = 1
    with torch.no_grad():
        pooled = tower.audio_encoder.base.htsat(torch.from_numpy(sound)[None])["latent_output"]
        heard = tower.audio_encoder.projection(pooled)[0]
        read = tower.caption_encoder({"input_ids": ids, "attention_mask": mask})[0]
    golden = {
        "shapes": {name: shape for name, shape in shapes.items() if name not in own},
        "audio": [round(float(x), 7) for x in heard / heard.norm()],
        "text": [round(float(x), 7) for x in read / read.norm()],
    }
    GOLDEN.write_text(json.dumps(golden) + "\n", encoding="utf-8")
    print(GOLDEN)


if __name__ == "__main__":
    main()
