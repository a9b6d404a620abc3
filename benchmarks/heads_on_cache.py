"""Three figures of the learning half: steps on cached frames, the evaluation of Clotho, graph attention's memory.

    python benchmarks/heads_on_cache.py [DIR] [--batch 32] [--steps 5] [--json FILE]

* A step of the heads (self-attention, NT-Xent) on a frozen trunk's cached frames, beside the same step that decodes and
  embeds its clips every time. The trunk is `efficientat`, which the reproduction uses and which is some forty times
  cheaper than CNN14: with that the difference would be larger. DIR holds sound files (default: `samples`). The two take
  turns, each one's fastest step counts, and what is compared is processor time, which other work changes little.
* Ranking 5225 captions x 1045 clips at 1024 dimensions, with all metrics and their intervals; the bar is on wall time.
* The most that a forward and a backward pass of graph attention hold, for growing D_A; gradients of its weights, which
  grow with the square of D_A whatever the formula, are not counted.

Weights are random: they change no time. One thread; run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import torch
from machine import commit, machine
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from soundseek.audio.decode import AUDIO_EXTENSIONS
from soundseek.audio.logmel import LogMel
from soundseek.learn.data.mixing import SoundSpec
from soundseek.learn.data.pairs import pad
from soundseek.learn.data.tower_cache import FeatureStore, embed_sound
from soundseek.learn.evaluation.metrics import retrieval_metrics
from soundseek.learn.losses import build_loss
from soundseek.learn.models.attention import GraphAttention
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.dual_encoder import DualEncoder

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "heads.json"
SEED, DIM, TEXT_WIDTH = 0, 1024, 768
CAPTIONS, CLIPS = 5225, 1045  # Clotho's evaluation split
WIDTHS, FRAMES, GRAPH_BATCH = (256, 512, 1024, 2048), 94, 8  # 94 frames of 320 ms: a clip of 30 s
BARS = {"cached_times_as_fast": 5.0, "evaluation_s": 1.0, "memory_per_doubling": 2.1}


def main() -> None:
    """Measure, print, write JSON; says which bars were missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path, nargs="?", default=ROOT / "samples")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    paths = sorted(path for path in options.sounds.rglob("*") if path.suffix.lower() in AUDIO_EXTENSIONS)
    Random(SEED).shuffle(paths)
    if len(paths) < options.batch:
        raise SystemExit(f"{options.sounds} holds {len(paths)} sounds, fewer than a batch of {options.batch}")
    results = {
        "machine": machine(),
        "commit": commit(),
        "seed": SEED,
        "load_1min": os.getloadavg()[0],
        **steps(paths[: options.batch], options.steps),
        **evaluation(),
        **graph_memory(),
    }
    for name, value in results.items():
        print(f"{name:32} {value:,.3f}" if isinstance(value, float) else f"{name:32} {value}")
    missed = [name for name, bar in BARS.items() if (results[name] < bar) == (name == "cached_times_as_fast")]
    print(f"missed: {', '.join(missed)}" if missed else "every bar is cleared")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def steps(paths: Sequence[Path], count: int) -> dict[str, Any]:
    """Processor seconds of a training step, frames from the cache or made anew."""
    trunk: Any = EfficientATTrunk().requires_grad_(False).eval()
    log_mel = LogMel(trunk.front_end)
    sounds = [SoundSpec("clip", (path,)) for path in paths]

    def embedded() -> list[npt.NDArray[np.float16]]:
        return [embed_sound(sound, trunk, log_mel) for sound in sounds]

    model = DualEncoder(dim=DIM, audio_width=trunk.width, text_width=TEXT_WIDTH, attention="self")
    loss, optimizer = build_loss("nt-xent"), torch.optim.Adam(model.parameters(), 1e-4)
    features, own = torch.randn(len(paths), TEXT_WIDTH), torch.eye(len(paths), dtype=torch.bool)

    def step(frames: Sequence[npt.NDArray[np.float16]]) -> None:
        audio = model.encode_audio(*pad(frames))
        optimizer.zero_grad()
        loss(model.encode_text_features(features) @ audio.T, own).backward()
        optimizer.step()

    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), trunk.width)
        with store.writer() as writer:
            for path, frames in zip(paths, embedded(), strict=True):
                writer.add(str(path), frames)
        if not all(
            np.array_equal(store[str(p)], frames) for p, frames in zip(paths, embedded(), strict=True)
        ):
            raise SystemExit("the cache holds other frames than the trunk gives")
        cached = every = float("inf")
        for _ in range(count):
            cached = min(cached, timed(lambda: step([store[str(path)] for path in paths])))
            every = min(every, timed(lambda: step(embedded())))
        num_frames = sum(len(store[str(path)]) for path in paths)
    return {
        "batch": len(paths),
        "mean_clip_s": num_frames * trunk.frame_hop * log_mel_s(trunk) / len(paths),
        "cached_steps_per_s": 1 / cached,
        "embedding_steps_per_s": 1 / every,
        "cached_times_as_fast": every / cached,
    }


def log_mel_s(trunk: Any) -> float:
    """Seconds from one log-mel frame to the next."""
    return float(trunk.front_end.hop_length / trunk.front_end.sample_rate_hz)


def timed(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds that it takes."""
    started = clock()
    work()
    return clock() - started


def evaluation() -> dict[str, Any]:
    """Seconds to rank all of Clotho's evaluation split; vectors that match a little, so that ranks differ."""
    generator = np.random.default_rng(SEED)
    audio = generator.standard_normal((CLIPS, DIM), np.float32)
    relevant = np.repeat(np.arange(CLIPS), CAPTIONS // CLIPS)
    text = audio[relevant] + 12 * generator.standard_normal((CAPTIONS, DIM), np.float32)
    text, audio = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (text, audio))
    wall, processor = (
        min(timed(lambda: retrieval_metrics((text, audio), relevant), clock) for _ in range(3))
        for clock in (time.perf_counter, time.process_time)
    )
    return {
        "evaluation_shape": [CAPTIONS, CLIPS, DIM],
        "evaluation_s": wall,
        "evaluation_processor_s": processor,
    }


def graph_memory() -> dict[str, Any]:
    """Most bytes of a pass of graph attention, in MB for each width, and the largest factor of a doubled width."""
    peaks = {width: graph_peak_mb(width) for width in WIDTHS}
    return {
        "graph_attention_frames": [GRAPH_BATCH, FRAMES],
        "graph_attention_peak_mb": {str(width): round(peak, 1) for width, peak in peaks.items()},
        "pairwise_tensor_mb": {
            str(width): round(GRAPH_BATCH * FRAMES**2 * 2 * width * 4 / 1e6, 1) for width in WIDTHS
        },
        "memory_per_doubling": max(peaks[wide] / peaks[narrow] for narrow, wide in pairwise(WIDTHS)),
    }


def graph_peak_mb(width: int) -> float:
    """Most that the tensors made in a forward and a backward pass hold at once."""
    attention = GraphAttention(width)
    frames = torch.randn(GRAPH_BATCH, FRAMES, width, requires_grad=True)
    mask = torch.ones(GRAPH_BATCH, FRAMES, dtype=torch.bool)
    with Held() as held:
        # The gradient of the frames alone: those of the weights have the weights' size, width x width.
        torch.autograd.grad(attention(frames, mask).sum(), frames)
    return held.most / 1e6


class Held(TorchDispatchMode):
    """Counts the bytes of the tensors that operators make, until nobody holds them any more."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {id(each.untyped_storage()) for each in _tensors((args, kwargs or {}))}
        result = function(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if id(storage) not in given and id(storage) not in self._known:  # views bring nothing new
                self._known[id(storage)] = weakref.ref(storage, self._gone(id(storage), storage.nbytes()))
                self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        return result

    def _gone(self, number: int, size: int) -> Callable[[object], None]:
        def forget(_: object) -> None:
            self.now -= size
            del self._known[number]

        return forget


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


if __name__ == "__main__":
    main()
