"""How long a training step of the paper's systems takes at full size, and its memory: CNN14, attention, BERT, NT-Xent.

The networks have the sizes of a recipe of Table I and random weights, which change no time; log-mels and tokens are
random, too, of the shape that Clotho's clips have at most (30 s, 44.1 kHz). A step is what `soundseek train` does in
one: both towers, the loss over all pairs, the backward pass, Adam. Reading and log-mels of a step are not in it.

    python benchmarks/training_step.py --batch 60 --precision 32 bf16-mixed --json training_step.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import commit, machine
from torch import Tensor
from transformers import BertConfig, BertModel

from soundseek.learn.losses.contrastive import cosine_scores, nt_xent
from soundseek.learn.losses.negatives import match_matrix
from soundseek.learn.models.build import build_trunk
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.bert import BertText
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.training.optimizer import build_optimizer

TOKENS = 22
"""Of Clotho's longest captions, 20 words, with [CLS] and [SEP]."""


def build(name: str, device: torch.device) -> DualEncoder:
    """The dual encoder of a recipe with all weights drawn at random, trained as a whole."""
    recipe = load_recipe(name)
    trunk: Any = build_trunk(
        recipe.audio.trunk,
        None,
        recipe.audio.trunk_options,
        trained=True,
        spec_augment=recipe.audio.spec_augment,
    )
    bert = BertModel(BertConfig(attn_implementation="eager"), add_pooling_layer=False)
    text = BertText(bert, None, pooling="cls", max_tokens=recipe.text.max_tokens, digest="random")
    model = DualEncoder(
        dim=recipe.dim, audio_width=trunk.width, text_width=text.width, attention=recipe.audio.attention,
        attention_options=recipe.audio.attention_options, pooling=recipe.audio.pooling, tail=trunk, text=text,
    )  # fmt: skip
    return model.requires_grad_(True).to(device).train()


def measure(name: str, precision: str, device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Median seconds of a step, and the most memory that it held."""
    torch.manual_seed(0)
    recipe, model = load_recipe(name), build(name, device)
    optimizer = build_optimizer([(list(model.parameters()), recipe.training.learning_rate)], recipe.training)
    front_end = model.tail.front_end  # type: ignore[union-attr]
    frames = 1 + int(options.seconds * front_end.sample_rate_hz) // front_end.hop_length
    log_mel = torch.randn(options.batch, frames, front_end.num_mels, device=device)
    mask = torch.ones(options.batch, frames, dtype=torch.bool, device=device)
    tokens = torch.randint(1000, 30_000, (options.batch, TOKENS), device=device)
    token_mask = torch.ones(options.batch, TOKENS, dtype=torch.bool, device=device)
    numbers = torch.arange(options.batch, device=device)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            text, audio = model.encode_text(tokens, token_mask), model.encode_audio_features(log_mel, mask)
        loss = nt_xent(cosine_scores(text.float(), audio.float()), match_matrix(numbers, numbers))
        loss.backward()
        optimizer.step()
        return loss.detach()

    walls: list[float] = []
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of the row before
        torch.cuda.reset_peak_memory_stats()
    for turn in range(options.warm_up + options.repeats):
        began = time.perf_counter()
        loss = step().item()  # waits for the device
        if turn >= options.warm_up:
            walls.append(time.perf_counter() - began)
    if not torch.isfinite(torch.tensor(loss)):
        raise SystemExit(f"{name} in {precision}: the loss is {loss}")
    return {
        "recipe": name, "precision": precision, "batch": options.batch, "seconds_of_sound": options.seconds,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "step_s": round(statistics.median(walls), 4),
        "step_s_range": [round(min(walls), 4), round(max(walls), 4)],
        "steps_per_s": round(1 / statistics.median(walls), 3),
        "peak_gpu_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if device.type == "cuda" else None,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--recipes", nargs="+", default=["self-attention", "graph-attention"], metavar="RECIPE"
    )
    parser.add_argument("--precision", nargs="+", default=["32"], choices=["32", "tf32", "bf16-mixed"])
    parser.add_argument("--batch", type=int, default=60, metavar="CLIPS")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="of sound, each clip")
    parser.add_argument("--warm-up", type=int, default=3, metavar="STEPS")
    parser.add_argument("--repeats", type=int, default=10, metavar="STEPS")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="on a CPU")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for precision in options.precision:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        for name in options.recipes:
            rows.append(measure(name, precision, device, options))
            print(json.dumps(rows[-1]), flush=True)
    report = {
        "machine": machine(),
        "gpu": torch.cuda.get_device_name() if device.type == "cuda" else None,
        "torch": torch.__version__,
        "commit": commit(),
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
