"""How fast CNN14 is in ONNX Runtime, in fp32 and int8, beside the PyTorch class of `panns-inference`; log-mel included.

Both start at the waveform and end at frames or the embedding of one clip, in one process with as many threads each.
They take turns, so that what else the machine does slows both; medians are compared, of wall time and of processor
time, which other work disturbs less. Weights are random: they change no time. Run it on an idle machine:

    python benchmarks/panns.py --seconds 10 --repeats 10 --threads 1 --json panns.json

The bars: fp32 at least 2 times as fast, int8 at least 4 times, our log-mel at least 5 times torchlibrosa's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from machine import commit
from threadpoolctl import threadpool_limits

from soundseek.audio.logmel import PANNS_FRONT_END, LogMel
from soundseek.learn.export.export import export_audio
from soundseek.learn.export.quantize import calibration_log_mels, quantize_convolutions
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.dual_encoder import DualEncoder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import panns_reference

BARS = {"cnn14_fp32": 2.0, "cnn14_int8": 4.0, "log_mel": 5.0}
PACKAGES = ("soundseek", "torch", "onnxruntime", "numpy", "panns-inference", "torchlibrosa")


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the clip")
    parser.add_argument("--repeats", type=int, default=10, help="timed runs of each")
    parser.add_argument("--threads", type=int, default=1, help="threads of each network")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here, too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.seconds, arguments.repeats, arguments.threads)
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def measure(folder: Path, seconds: float, repeats: int, threads: int) -> dict[str, Any]:
    """Medians in seconds, ratios to the reference, cosines, machine and versions."""
    reference = panns_reference.cnn14()
    waveform = (0.1 * np.random.default_rng(0).standard_normal(round(seconds * 32_000))).astype(np.float32)
    batch = torch.from_numpy(waveform[None])
    log_mel = LogMel(PANNS_FRONT_END)
    trunk = CNN14Trunk(CNN14Config(reduction="none"))
    own = trunk.state_dict()
    trunk.load_state_dict(
        own | {name: value for name, value in reference.state_dict().items() if name in own}
    )
    model = DualEncoder(dim=1024, audio_width=trunk.width, text_width=768, trunk=trunk).eval()
    fp32, int8 = folder / "fp32.onnx", folder / "int8.onnx"
    export_audio(model, fp32)
    shutil.copyfile(fp32, int8)
    quantize_convolutions(int8, calibration_log_mels(PANNS_FRONT_END))
    sessions = {"fp32": _session(fp32, threads), "int8": _session(int8, threads)}

    def embed(precision: str) -> Any:
        return sessions[precision].run(None, {"log_mel": log_mel(waveform)[None]})[0]

    def torch_log_mel() -> Any:
        return reference.logmel_extractor(reference.spectrogram_extractor(batch))  # type: ignore[operator]

    exact = model.project_frames(*trunk(torch.from_numpy(log_mel(waveform)[None]))).numpy()
    candidates: dict[str, Callable[[], Any]] = {
        "panns_inference": lambda: reference(batch),
        "cnn14_fp32": lambda: embed("fp32"),
        "cnn14_int8": lambda: embed("int8"),
        "torchlibrosa": torch_log_mel,
        "log_mel": lambda: log_mel(waveform),
    }
    with threadpool_limits(threads, user_api="blas"):  # numpy's products in the log-mel
        medians = take_turns(candidates, repeats)
    references = {"cnn14_fp32": "panns_inference", "cnn14_int8": "panns_inference", "log_mel": "torchlibrosa"}
    ratios, cpu_ratios = (
        {name: medians[other][kind] / medians[name][kind] for name, other in references.items()}
        for kind in (0, 1)
    )
    return {
        "clip_s": seconds,
        "repeats": repeats,
        "threads": threads,
        "median_s": {name: wall for name, (wall, _) in medians.items()},
        "median_cpu_s": {name: processor for name, (_, processor) in medians.items()},
        "ratios": ratios,
        "cpu_ratios": cpu_ratios,
        "bars": BARS,
        "reached": {name: ratio >= BARS[name] for name, ratio in ratios.items()},
        "cosine": {precision: _least_cosine(exact, embed(precision)) for precision in sessions},
        "log_mel_largest_difference_db": float(
            np.abs(torch_log_mel()[0, 0].numpy() - log_mel(waveform)).max()
        ),
        "load_average": os.getloadavg(),
        "commit": commit(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    }


def take_turns(candidates: dict[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median wall and processor seconds of each over rounds in which every one runs once, after one round untimed."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, run in candidates.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            if turn:
                seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {
        name: (statistics.median(wall for wall, _ in values), statistics.median(cpu for _, cpu in values))
        for name, values in seconds.items()
    }


def table(result: dict[str, Any]) -> str:
    """The result for reading."""
    lines = [
        f"{result['clip_s']} s of sound, {result['threads']} thread(s), median of {result['repeats']} runs"
    ]
    for name, seconds in result["median_s"].items():
        ratio = result["ratios"].get(name)
        bar = ""
        if ratio:
            bar = f"  {ratio:.2f} x, of processor time {result['cpu_ratios'][name]:.2f} x (bar {BARS[name]:g} x)"
        lines.append(f"{name:16} {1000 * seconds:9.1f} ms{bar}")
    cosines = ", ".join(f"{name} {cosine:.5f}" for name, cosine in result["cosine"].items())
    machine = result["machine"]
    lines.append(f"least cosine of a frame with PyTorch: {cosines}")
    lines.append(f"{machine['processor']}, {machine['cores']} cores, load {result['load_average'][0]:.1f}")
    lines.append(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    return "\n".join(lines)


def _least_cosine(exact: Any, found: Any) -> float:
    """Over the frames `(1, frames, dim)`."""
    norms = np.linalg.norm(exact, axis=-1) * np.linalg.norm(found, axis=-1)
    return float(((exact * found).sum(axis=-1) / norms).min())


def _session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


if __name__ == "__main__":
    main()
