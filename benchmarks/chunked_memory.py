"""What a contrastive step of CNN14 takes in memory and time: the whole batch at once, or in chunks.

    python benchmarks/chunked_memory.py [--batch 8] [--seconds 5] [--chunks 4 2 1] [--device cuda] [--json FILE]

Every case runs in a process of its own and reports its peak: of resident memory on a CPU, of allocated memory on a GPU;
weights and their gradients (2 x 319 MB) are part of it and told apart. Weights are random and the norms frozen; dropout
and SpecAugment are off, so that all cases must give the same loss and gradient, which is checked. The paper's batch is
60 clips of 30 s: `--batch 60 --seconds 30 --chunks 8 4 --device cuda`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from machine import commit, machine
from torch import Tensor

from soundseek.audio.logmel import PANNS_FRONT_END
from soundseek.learn.losses import build_loss, cosine_scores
from soundseek.learn.models.attention import masked_mean
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.training.gradient_cache import Tower, chunked_backward

SEED = 0
RESULT = Path(__file__).parents[1] / "docs" / "results" / "chunked_memory.json"
TOLERANCE = 1e-3
"""Largest relative difference of the gradient's norm: float32 sums in another order."""


def main() -> None:
    """Measure every case, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8, help="clips")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each clip")
    parser.add_argument(
        "--chunks", type=int, nargs="+", default=[4, 2, 1], help="clips a chunk, one case each"
    )
    parser.add_argument("--narrow", type=int, default=1, help="divide CNN14's widths, for a quick look")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the result is written")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)  # what a process of its own does
    options = parser.parse_args()
    if options.case is not None:
        print(json.dumps(case(options, options.case)))
        return
    rows = [in_own_process(size) for size in (options.batch, *options.chunks)]
    check(rows)
    where = torch.cuda.get_device_name() if options.device == "cuda" else machine()
    result = {
        "machine": where,
        "commit": commit(),
        "seed": SEED,
        "load_1min": os.getloadavg()[0],
        "network": f"CNN14, widths / {options.narrow}",
        "batch": options.batch,
        "seconds": options.seconds,
        "rows": rows,
    }
    print(table(rows))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def in_own_process(size: int) -> dict[str, Any]:
    """The case of one chunk size, so that no case finds memory that another has left."""
    command = [sys.executable, *sys.argv, "--case", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the case of {size} clips a chunk failed:\n{done.stderr}")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def case(options: argparse.Namespace, size: int) -> dict[str, Any]:
    """One step; chunks as large as the batch are the plain step."""
    torch.manual_seed(SEED)
    widths: Any = tuple(width // options.narrow for width in CNN14Config().widths)
    config = CNN14Config(widths=widths, reduced_width=1024 // options.narrow, norms="frozen")
    trunk = CNN14Trunk(config).to(options.device).eval()
    for parameter in trunk.parameters():  # there from the first step on
        parameter.grad = torch.zeros_like(parameter)
    frames = round(options.seconds * PANNS_FRONT_END.sample_rate_hz / PANNS_FRONT_END.hop_length) + 1
    log_mel = 10 * torch.randn(options.batch, frames, PANNS_FRONT_END.num_mels, device=options.device) - 40
    words = torch.randn(options.batch, trunk.width, device=options.device)
    pairs = torch.eye(options.batch, dtype=torch.bool, device=options.device)
    loss = build_loss("nt-xent")

    def embed(chunk: Tensor) -> Tensor:
        return masked_mean(*trunk(chunk))

    def value(audio: Tensor) -> Tensor:
        scalar: Tensor = loss(cosine_scores(words, audio), pairs)
        return scalar

    before = resident_mb(options.device)
    started = time.perf_counter()
    if size == options.batch:
        found = value(embed(log_mel))
        found.backward()  # type: ignore[no-untyped-call]
    else:
        found = chunked_backward([Tower(embed, log_mel.split(size))], value)
    gradients = [parameter.grad for parameter in trunk.parameters() if parameter.grad is not None]
    norm = float(torch.stack([gradient.norm() for gradient in gradients]).norm())
    seconds = time.perf_counter() - started
    return {
        "clips_a_chunk": size,
        "weights_and_gradients_mb": round(sum(8 * p.numel() for p in trunk.parameters()) / 1e6),
        "before_mb": round(before),
        "peak_mb": round(peak_mb(options.device)),
        "step_s": round(seconds, 2),
        "loss": float(found),
        "gradient_norm": norm,
    }


def resident_mb(device: str) -> float:
    """What is held now."""
    return torch.cuda.memory_allocated() / 1e6 if device == "cuda" else _status_mb("VmRSS")


def peak_mb(device: str) -> float:
    """The most that was ever held."""
    return torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else _status_mb("VmHWM")


def _status_mb(key: str) -> float:
    # Not getrusage: its peak begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024 / 1e6


def check(rows: list[dict[str, Any]]) -> None:
    """A smaller answer must be the same answer."""
    whole = rows[0]
    for row in rows[1:]:
        for key in ("loss", "gradient_norm"):
            if abs(row[key] - whole[key]) > TOLERANCE * abs(whole[key]):
                raise SystemExit(
                    f"{row['clips_a_chunk']} clips a chunk: {key} {row[key]}, whole {whole[key]}"
                )


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| clips a chunk | peak MB | above weights and data, MB | share | step s |",
        "|---|---|---|---|---|",
    ]
    whole = rows[0]["peak_mb"] - rows[0]["before_mb"]
    for row in rows:
        above = row["peak_mb"] - row["before_mb"]
        name = f"{row['clips_a_chunk']} (whole)" if row is rows[0] else str(row["clips_a_chunk"])
        lines.append(f"| {name} | {row['peak_mb']} | {above} | {above / whole:.2f} | {row['step_s']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
