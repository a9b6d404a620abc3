"""Where the time goes from a file to its vectors in the library, stage by stage, each beside its floor.

    python benchmarks/stages.py --json docs/results/stages.json        # two minutes on an idle core

Processor time of one thread for ten seconds of stereo sound at 44.1 kHz, medians with quartiles, all stages in turns.
Sounds are the same as in `peers.py`, and a second time with two channels that are nearly alike, as most recordings have
them: channels that have nothing in common are mixed in quadrature, which costs filters. What needs neither mixing nor
resampling, mono at the model's rate, is `wav-ready`.

What else was tried for a stage is measured in the same turns (`tried_ms`).

A floor is what a stage cannot be quicker than: of passes over samples, their bytes at the rate at which memory is
copied; of arithmetic, its operations at the rate of a large matrix product. A codec is somebody else's, its own floor.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import soundfile
import soxr
from machine import keep_result

from soundseek.audio.decode import read_audio
from soundseek.audio.level import PeakNormaliser
from soundseek.audio.logmel import LogMel
from soundseek.library.library_model import identity_of
from soundseek.library.store.base import Changes, EmbeddedSound, SoundFile
from soundseek.library.store.sqlite import SqliteStore
from soundseek.model.model import Model
from soundseek.model.registry import load_model

RATE, SECONDS = 44_100, 10
FORMATS = ("wav", "flac", "mp3")
READY = "wav-ready"
SOUNDS_A_COMMIT = 64


def main() -> None:
    """Measure, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="soundseek-small", help="name or directory of a model")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep the result here, under the model's name"
    )
    options = parser.parse_args()
    model = load_model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        stages, floors = stages_of(model, Path(folder))
        tried = alternatives(model, Path(folder))
        both = timed(stages | tried, options.repeats)
    times = {stage: both[stage] for stage in stages}
    whole = {
        kind: sum(times[stage]["median"] for stage in times if stage.split(" ")[-1] in (kind, "all"))
        for kind in (*FORMATS, "wav-alike", READY)
    }
    result = {
        "seconds": SECONDS,
        "repeats": options.repeats,
        "cpu_ms": times,
        "floor_ms": floors,
        "whole_ms": whole,
        "tried_ms": {way: both[way] for way in tried},
    }
    keep_result(options.json, model.config.name, result)


def stages_of(model: Model, folder: Path) -> tuple[dict[str, Callable[[], float]], dict[str, float]]:
    """What to call for each stage, which gives the processor seconds; and the floors in milliseconds.

    A stage's name ends in the format that it is of; "all" where it does the same for all of them.
    """
    front_end = model.front_end
    sounds = write_sounds(folder)
    waveform = read_audio(sounds["wav"], sample_rate_hz=front_end.sample_rate_hz)
    log_mel = LogMel(front_end)
    features = (
        log_mel.of_window(waveform[: front_end.window_samples]) if front_end.window_s else log_mel(waveform)
    )
    stages: dict[str, Callable[[], float]] = {}
    floors: dict[str, float] = {}
    copied, multiplied = copy_rate(), product_rate()
    pcm_bytes = SECONDS * RATE * 2 * 4
    for kind, path in sounds.items():
        stages[f"codec {kind}"] = spent(lambda path=path: _read_pcm(path))
        # Reading whole and at its own rate is codec, checks and mixing; at the model's rate it is resampling, too.
        stages[f"mixing {kind}"] = less(
            lambda path=path: read_audio(path, sample_rate_hz=RATE), lambda path=path: _read_pcm(path)
        )
        stages[f"resampling {kind}"] = less(
            lambda path=path: read_audio(path, sample_rate_hz=front_end.sample_rate_hz),
            lambda path=path: read_audio(path, sample_rate_hz=RATE),
        )
        floors[f"mixing {kind}"] = 1e3 * pcm_bytes / copied
        floors[f"resampling {kind}"] = 1e3 * (pcm_bytes / 2 + waveform.nbytes) / copied
    ready = folder / f"{READY}.wav"
    soundfile.write(ready, waveform, front_end.sample_rate_hz)
    stages[f"codec {READY}"] = spent(lambda: _read_pcm(ready))
    stages[f"mixing {READY}"] = less(
        lambda: read_audio(ready, sample_rate_hz=front_end.sample_rate_hz), lambda: _read_pcm(ready)
    )
    floors[f"mixing {READY}"] = 1e3 * waveform.nbytes / copied
    if front_end.peak_dbfs is not None:
        stages["level all"] = spent(
            lambda: _levelled(waveform, front_end.peak_dbfs or 0.0, front_end.sample_rate_hz)
        )
        floors["level all"] = 1e3 * 2 * waveform.nbytes / copied
        raised = _levelled(waveform, front_end.peak_dbfs, front_end.sample_rate_hz)
        plain = LogMel(front_end.model_copy(update={"peak_dbfs": None}))
        stages["log-mel all"] = spent(lambda: plain(raised))
    elif front_end.window_s:
        stages["log-mel all"] = spent(lambda: log_mel.of_window(waveform[: front_end.window_samples]))
    else:
        stages["log-mel all"] = spent(lambda: log_mel(waveform))
    n_fft = front_end.n_fft
    bins = n_fft // 2 + 1
    a_frame = 2.5 * n_fft * math.log2(n_fft) + 3 * bins + 4 * bins + 3 * n_fft
    floors["log-mel all"] = 1e3 * len(features) * a_frame / multiplied
    stages["network all"] = spent(lambda: model._run_audio(features))
    floors["network all"] = 1e3 * operations(model.directory / "audio.onnx", len(features)) / multiplied
    store = SqliteStore.open(folder / "library", identity=identity_of(model))
    embedded = model.embed_file(sounds["wav"])
    sound = EmbeddedSound(
        _file(str(sounds["wav"]), embedded.frame_s),
        np.array([(each.start_s, each.end_s) for each in embedded.segments]),
        embedded.vectors,
        embedded.frames,
        embedded.spans,
    )
    stages["store all"] = lambda: _committed(store, sound)
    floors["store all"] = 1e3 * (embedded.frames.nbytes + embedded.vectors.nbytes / 2) / copied
    return stages, floors


def alternatives(model: Model, folder: Path) -> dict[str, Callable[[], float]]:
    """Other ways to compute a stage of a model that is one stream, behind the sounds of `stages_of`."""
    if model.front_end.window_s:
        return {}
    front_end = model.front_end.model_copy(update={"peak_dbfs": None})
    waveform = read_audio(folder / "wav.wav", sample_rate_hz=front_end.sample_rate_hz)
    own_rate = read_audio(folder / "wav.wav", sample_rate_hz=RATE)
    features = LogMel(front_end)(waveform)
    # A floor below what 32 bits can hide, and all else as it is.
    in_64_bits = LogMel(front_end.model_copy(update={"floor": front_end.floor / 1000}))
    ways = {
        "codec mp3: 16-bit samples": lambda: _read_pcm(folder / "mp3.mp3", "int16"),
        "resampling: soxr, a second at a time": lambda: _resampled(own_rate, front_end.sample_rate_hz, RATE),
        "resampling: soxr, ten seconds at once": lambda: _resampled(
            own_rate, front_end.sample_rate_hz, len(own_rate)
        ),
        "resampling: soxr's MQ": lambda: _resampled(own_rate, front_end.sample_rate_hz, RATE, "MQ"),
        "log-mel: transforms of 64 bits": lambda: in_64_bits(waveform),
    }
    with suppress(ImportError):
        import av

        ways["codec mp3: FFmpeg"] = lambda: _read_with_ffmpeg(av, folder / "mp3.mp3")
    for name, session in _sessions(model, folder).items():
        ways[f"network: {name}"] = lambda session=session: session.run(None, {"log_mel": features[None]})
    return {name: spent(way) for name, way in ways.items()}


def _sessions(model: Model, folder: Path) -> dict[str, Any]:
    """The audio network as ONNX Runtime can run it otherwise."""
    import onnxruntime
    from onnxruntime import GraphOptimizationLevel as Level

    def session(
        path: Path, level: Any = Level.ORT_ENABLE_ALL, write: Path | None = None, **entries: str
    ) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = level
        if write is not None:
            options.optimized_model_filepath = str(write)
        for key, value in entries.items():
            options.add_session_config_entry(key.replace("__", "."), value)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    path, plain = model.directory / "audio.onnx", folder / "plain.onnx"
    sessions = {
        "channels not in blocks (NCHWc)": session(path, Level.ORT_ENABLE_EXTENDED),
        "denormals as zero": session(path, session__set_denormal_as_zero="1"),
    }
    with suppress(ImportError):
        from soundseek.learn.export.quantize import calibration_log_mels, quantize_convolutions

        session(path, Level.ORT_ENABLE_BASIC, plain)  # weights in 32 bits, which the quantiser needs
        quantize_convolutions(plain, calibration_log_mels(model.front_end))
        sessions["convolutions in 8 bits"] = session(plain)
    return sessions


def write_sounds(folder: Path) -> dict[str, Path]:
    """The sound of `peers.py` in each format, and in wav with two channels that are nearly alike."""
    generator = np.random.default_rng(0)
    time_s = np.arange(SECONDS * RATE) / RATE
    noise = generator.standard_normal((len(time_s), 2)) * (0.05 + 0.05 * np.sin(time_s)[:, None] ** 2)
    tone = 0.1 * np.sin(2 * np.pi * 440 * time_s)[:, None]
    apart, alike = noise + tone, noise[:, :1] + 0.2 * noise[:, 1:] * [0, 1] + tone
    sounds = {}
    for kind, sound in (*((kind, apart) for kind in FORMATS), ("wav-alike", alike)):
        sounds[kind] = folder / f"{kind}.{kind.partition('-')[0]}"
        soundfile.write(sounds[kind], sound.astype(np.float32), RATE)
    return sounds


def timed(stages: dict[str, Callable[[], float]], repeats: int) -> dict[str, dict[str, float]]:
    """Median and quartiles of each stage's processor time, in milliseconds."""
    found: dict[str, list[float]] = {name: [] for name in stages}
    for turn in range(repeats + 1):
        for name, stage in stages.items():
            value = stage()
            if turn:
                found[name].append(1e3 * value)
    return {
        name: dict(zip(("low", "median", "high"), statistics.quantiles(values, n=4), strict=True))
        for name, values in found.items()
    }


def spent(work: Callable[[], object]) -> Callable[[], float]:
    """The processor seconds of a piece of work."""

    def stage() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return stage


def less(work: Callable[[], object], part: Callable[[], object]) -> Callable[[], float]:
    """The processor seconds of a piece of work beyond those of what it begins with."""
    whole, beginning = spent(work), spent(part)
    return lambda: whole() - beginning()


def copy_rate() -> float:
    """Bytes a second that one thread copies, of blocks beyond the caches."""
    source = np.ones(8 << 20, np.float32)
    target = np.empty_like(source)
    return source.nbytes / min(spent(lambda: np.copyto(target, source))() for _ in range(9))


def product_rate() -> float:
    """Operations a second of a large matrix product in 32 bits, on one thread."""
    size = 1024
    matrix = np.ones((size, size), np.float32)
    out = np.empty_like(matrix)
    return 2 * size**3 / min(spent(lambda: np.matmul(matrix, matrix, out=out))() for _ in range(9))


def operations(path: Path, num_frames: int) -> float:
    """Multiplications and additions of the convolutions and matrix products of a network, for so many frames."""
    import onnx
    from onnx import numpy_helper, shape_inference

    model = onnx.load(str(path))
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].ClearField("dim_param")
    dims[1].dim_value = num_frames
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in (*inferred.value_info, *inferred.output, *inferred.input)
    }
    shapes |= {each.name: list(numpy_helper.to_array(each).shape) for each in inferred.initializer}
    total = 0.0
    for node in inferred.node:
        out = math.prod(shapes.get(node.output[0], [0]))
        if node.op_type == "Conv":
            total += 2 * out * math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            total += 2 * out * shapes[node.input[0]][-1]
    return total


def _read_pcm(path: Path, dtype: str = "float32") -> None:
    with soundfile.SoundFile(path) as file:
        while len(file.read(1 << 16, dtype=dtype)):
            pass


def _read_with_ffmpeg(av: Any, path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            frame.to_ndarray()


def _resampled(waveform: Any, rate_hz: int, piece: int, quality: str = "HQ") -> None:
    resampler = soxr.ResampleStream(RATE, rate_hz, 1, dtype="float32", quality=quality)
    for start in range(0, len(waveform), piece):
        resampler.resample_chunk(waveform[start : start + piece], last=start + piece >= len(waveform))


def _levelled(waveform: Any, peak_dbfs: float, rate_hz: int) -> Any:
    level = PeakNormaliser(peak_dbfs, rate_hz)
    return np.concatenate([level.push(waveform), *level.flush()])


def _file(path: str, frame_s: float) -> SoundFile:
    return SoundFile(path, 1, 1, b"0" * 16, "WAV", RATE, 2, float(SECONDS), truncated=False, frame_s=frame_s)


def _committed(store: SqliteStore, sound: EmbeddedSound) -> float:
    """Processor seconds of one sound among those of a commit, as an index run makes them."""
    from dataclasses import replace

    sounds = [
        replace(sound, file=replace(sound.file, path=f"/{number}.wav", content_hash=os.urandom(16)))
        for number in range(SOUNDS_A_COMMIT)
    ]
    with store.writing():
        return spent(lambda: store.commit(Changes(sounds=sounds)))() / SOUNDS_A_COMMIT


if __name__ == "__main__":
    main()
