"""A trained run -> a model directory that the searching half reads, with a parity check between PyTorch and ONNX.

Attention joins frames of one segment, so `audio.onnx` ends after the projector and before the mean: the searching half
takes means over segments and keeps the frames for the moments. Where pooling or head are not linear, each frame is its
segment's embedding, whose mean is the same again: segments are found as they should, and moments are flat.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from soundseek.audio.logmel import LogMel
from soundseek.errors import DataError, ModelError
from soundseek.learn.evaluation.match import fit_match
from soundseek.learn.export.lighter import lighten
from soundseek.learn.export.model_card import write_readme
from soundseek.learn.export.quantize import (
    calibration_log_mels,
    quantize_convolutions,
    quantize_weights,
    shrink_weights,
)
from soundseek.learn.export.replace import WEIGHTS_FILE, built_beside, refuse_other_folders
from soundseek.learn.export.vocabulary import write_learned_words
from soundseek.learn.models.build import scope_of
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.keys import Recipe
from soundseek.learn.training.module import trained_parameters
from soundseek.learn.training.run_folder import load_run, read_record
from soundseek.model.config import (
    AUDIO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    AudioTowerConfig,
    ModelConfig,
    TextTowerConfig,
    fingerprint,
)
from soundseek.model.model import Model

Precision = Literal["fp32", "int8"]
AudioPrecision = Literal["fp32", "int8-weights", "int8"]
PARITY = 0.9999
"""Least cosine between PyTorch's and ONNX Runtime's vectors in fp32."""
QUANTIZED_PARITY = 0.99
"""The same for int8 weights or convolutions; what they cost in retrieval is measured by `soundseek evaluate`."""

_LONG_CLIP_S = 30.0

FLAT_MOMENTS = "Moments are flat: a segment is embedded as a whole, so all of it has the segment's score."
"""On the card of a model whose pooling or head is not linear."""

PARITY_SENTENCES = (
    "a dog",
    "a dog barks while it rains",
    "Birds chirp and pigeons vocalize as a vehicle passes by",
    "",
    "someone types quickly on a mechanical keyboard, then a door is closed and footsteps fade away",
)


def export_run(
    run: Path,
    out: Path,
    *,
    precision: Precision = "fp32",
    audio_precision: AudioPrecision = "fp32",
    calibration: Sequence[Path] = (),
    name: str | None = None,
    with_words: bool = True,
) -> dict[str, float]:
    """Write the model directory of a trained run.

    Args:
        run: A run folder of `soundseek train`.
        out: The model directory; an earlier export is replaced as a whole when the new one has been checked.
        precision: Of the text tower's matrices.
        audio_precision: Of the audio tower: "int8-weights" makes the file small, "int8" computes convolutions in int8,
            which pays for large trunks such as CNN14.
        calibration: Sounds to calibrate int8 convolutions with; synthetic ones where there are none.
        name: What the model is called; the recipe's name by default.
        with_words: Write the words of the captions that the run learned from, by which queries are corrected.

    Returns:
        Least cosine between PyTorch and ONNX Runtime: `audio`, `text` and `clip` (fp32; the last of a clip of half a
        minute, from its samples on), and `audio_int8` and `text_int8` if
        asked for.

    Raises:
        ModelError: The run is incomplete or has diverged, or the exported networks disagree with the trained ones.
        UsageError: `out` holds something that is no model directory.
        DataError: The disk is full.
    """
    refuse_other_folders(out)
    model, recipe = load_run(run)
    with built_beside(out) as made:
        made.mkdir()
        parity = export_audio(model, made / AUDIO_FILE, precision=audio_precision, calibration=calibration)
        parity |= _export_text(model, made / TEXT_FILE, precision)
        facts = {"precision": precision, "audio_precision": audio_precision, "parity": parity}
        card = _write(model, recipe, made, name or recipe.name, {**facts, **_portable(read_record(run))})
        if audio_precision == "fp32":
            parity["clip"] = accepted_parity("a clip of half a minute", _clip_parity(model, made), PARITY)
            card.write(made)
        write_readme(made, card)
        if with_words:
            write_learned_words(run, made)
            _calibrate_match(run, made)
    return parity


def _write(model: DualEncoder, recipe: Recipe, out: Path, name: str, training: dict[str, Any]) -> ModelConfig:
    """Write into a model directory what stands beside its networks, and return its card."""
    trunk: Any = model.trunk
    text: Any = model.text
    scope = scope_of(model, recipe.audio.attention)
    audio = AudioTowerConfig(
        frame_hop=trunk.frame_hop,
        scope=scope,
        context_frames=trunk.context_frames if scope == "local" else 0,
        min_frames=trunk.min_frames,
        is_linear=model.has_moments,
    )
    text.save_tokenizer(out / TOKENIZER_FILE)
    # Half precision is plenty to go on from, and the towers above are what is asked.
    weights = {key: _halved(value) for key, value in _own_weights(model, recipe).items()}
    metadata = {"recipe": json.dumps(_portable(recipe.model_dump(mode="json")))}
    if shape := getattr(trunk, "config", None):  # by which training goes on from here
        metadata["trunk"] = shape.model_dump_json()
    save_file(weights, out / WEIGHTS_FILE, metadata=metadata)
    card = ModelConfig(
        name=name,
        version="1",
        dim=recipe.dim,
        front_end=trunk.front_end,
        audio=audio,
        text=TextTowerConfig(kind=text.kind, max_tokens=text.max_tokens),
        fingerprint=fingerprint(out, trunk.front_end),
        license=recipe.card.license,
        summary=recipe.card.summary,
        credits=recipe.card.credits,
        limits=(*recipe.card.limits, *(() if model.has_moments else (FLAT_MOMENTS,))),
        training=training,
    )
    card.write(out)
    return card


def _clip_parity(model: DualEncoder, out: Path) -> float:
    """Cosine between a long clip's vectors from the trained model and from the model directory, each by its own way.

    Half a minute is three segments of a library and longer than most clips that models learn from, and what sounds in
    it changes: hum, silence, noise.
    """
    trunk: Any = model.trunk
    rate_hz = trunk.front_end.sample_rate_hz
    random = np.random.default_rng(0)
    time_s = np.arange(round(_LONG_CLIP_S * rate_hz)) / rate_hz
    noise = random.standard_normal(len(time_s)) * (time_s > 0.6 * _LONG_CLIP_S)
    hum = np.sin(2 * np.pi * 220 * time_s) * (time_s < 0.3 * _LONG_CLIP_S)
    waveform = (0.1 * noise + 0.5 * hum).astype(np.float32)
    log_mel = torch.from_numpy(LogMel(trunk.front_end)(waveform))[None]
    with torch.no_grad():
        expected = model.encode_audio(*trunk(log_mel)).numpy()
    return least_cosine(expected, Model(out).embed_audio([(waveform, rate_hz)]))


def _calibrate_match(run: Path, out: Path) -> None:
    """Fit how sure hits are, where the sounds that the run learned from are still there."""
    data = Path(read_record(run).get("data", ""))
    if all((data / f"captions_{split}.csv").is_file() for split in ("development", "validation")):
        with suppress(DataError):  # too few clips, or sounds that are gone: soundseek calibrate says which
            fit_match(Model(out), data, reference_split="development").write(out)


class AudioToFrames(nn.Module):
    """Log-mel `(1, time, mel)` -> projected frames `(1, frames, dim)`: what `audio.onnx` is."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> Tensor:
        trunk: Any = self.model.trunk
        return self.model.project_frames(*trunk(log_mel))


class TextToEmbedding(nn.Module):
    """Token ids and mask `(batch, token)` -> embeddings `(batch, dim)`: what `text.onnx` is."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model.encode_text(input_ids, attention_mask.bool())


def export_audio(
    model: DualEncoder, path: Path, *, precision: AudioPrecision = "fp32", calibration: Sequence[Path] = ()
) -> dict[str, float]:
    """Write `audio.onnx` of a dual encoder with its trunk.

    Args:
        model: In eval mode.
        path: The file.
        precision: See `export_run`.
        calibration: Sounds to calibrate int8 with; see `calibration_log_mels`.

    Returns:
        Least cosine between PyTorch and ONNX Runtime: `audio` over single frames in fp32; `audio_int8-weights` and
        `audio_int8` over whole sounds, for the latter every fourth of the calibration's, which is then not calibrated
        with.

    Raises:
        ModelError: The exported network disagrees with the trained one.
    """
    trunk: Any = model.trunk
    network = AudioToFrames(model).eval()
    num_mels = trunk.front_end.num_mels
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(1, 16 * trunk.frame_hop, num_mels, generator=generator)
    frames = torch.export.Dim("time", min=trunk.min_frames, max=1_000_000)
    write_onnx(network, (example,), path, ["log_mel"], "frames", {"log_mel": {1: frames}})
    lighten(path)
    worst = 1.0
    for length in (trunk.min_frames, 1000, 1777):
        log_mel = torch.randn(1, length, num_mels, generator=generator)
        with torch.no_grad():
            expected = network(log_mel)[0].numpy()
        worst = min(worst, least_cosine(expected, run_onnx(path, {"log_mel": log_mel.numpy()})[0]))
    parity = {"audio": accepted_parity("audio", worst, PARITY)}
    if precision == "int8-weights":
        log_mels = calibration_log_mels(trunk.front_end, calibration)
        exact = _clip_vectors(path, log_mels)
        shrink_weights(path)
        cosine = least_cosine(exact, _clip_vectors(path, log_mels))
        parity["audio_int8-weights"] = accepted_parity("audio (int8 weights)", cosine, QUANTIZED_PARITY)
    if precision == "int8":
        log_mels = calibration_log_mels(trunk.front_end, calibration)
        exact = _clip_vectors(path, log_mels[::4])
        quantize_convolutions(path, [x for number, x in enumerate(log_mels) if number % 4])
        cosine = least_cosine(exact, _clip_vectors(path, log_mels[::4]))
        parity["audio_int8"] = accepted_parity("audio (int8)", cosine, QUANTIZED_PARITY)
    return parity


def _clip_vectors(path: Path, log_mels: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """`(clip, dim)`: the mean frame of each log-mel, as `audio.onnx` hears it."""
    return np.stack([run_onnx(path, {"log_mel": log_mel[None]})[0].mean(axis=0) for log_mel in log_mels])


def _export_text(model: DualEncoder, path: Path, precision: Precision) -> dict[str, float]:
    network = TextToEmbedding(model).eval()
    text: Any = model.text
    ids, mask = text.tokenize(list(PARITY_SENTENCES[:3]))
    shapes = {
        name: {
            0: torch.export.Dim("batch", min=1, max=4096),
            1: torch.export.Dim("token", min=2, max=text.max_tokens),
        }
        for name in ("input_ids", "attention_mask")
    }
    write_onnx(network, (ids, mask.long()), path, ["input_ids", "attention_mask"], "text_embedding", shapes)
    parity = {"text": accepted_parity("text", _text_parity(network, text, path), PARITY)}
    if precision == "int8":
        quantize_weights(path)
        parity["text_int8"] = accepted_parity(
            "text (int8)", _text_parity(network, text, path), QUANTIZED_PARITY
        )
    return parity


def _text_parity(network: nn.Module, text: TextTower, path: Path) -> float:
    worst = 1.0
    for batch in (PARITY_SENTENCES[:1], PARITY_SENTENCES):
        ids, mask = text.tokenize(list(batch))
        with torch.no_grad():
            expected = network(ids, mask.long()).numpy()
        found = run_onnx(path, {"input_ids": ids.numpy(), "attention_mask": mask.long().numpy()})
        worst = min(worst, least_cosine(expected, found))
    return worst


def write_onnx(
    network: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    output: str,
    shapes: dict[str, Any] | None,
) -> None:
    """Write a network as ONNX.

    Args:
        network: In eval mode.
        example: Inputs to trace it with.
        path: The file.
        inputs: Their names.
        output: The name of what it gives.
        shapes: Axes that vary, as `torch.export` takes them; None where none does.
    """
    with _quiet():
        torch.onnx.export(
            network,
            example,
            str(path),
            input_names=inputs,
            output_names=[output],
            dynamic_shapes=shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _forget_where_it_was_made(path)


def _forget_where_it_was_made(path: Path) -> None:
    """The exporter notes beside every node which line of which file made it, on the machine that it ran on."""
    import onnx

    network = onnx.load(path)
    graph = network.graph
    for part in (
        network,
        graph,
        *graph.node,
        *graph.value_info,
        *graph.input,
        *graph.output,
        *graph.initializer,
    ):
        del part.metadata_props[:]
    onnx.save(network, path)


def run_onnx(path: Path, feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """The first output of an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    result: npt.NDArray[np.float32] = session.run(None, feeds)[0]
    return result


def least_cosine(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    """The least cosine between two vectors of the last axis in the same place.

    Raises:
        ModelError: They have other shapes, or `expected` is not finite.
    """
    if expected.shape != found.shape:
        raise ModelError(f"the exported network gives {found.shape}, the trained one {expected.shape}")
    if not np.isfinite(expected).all():
        raise ModelError(
            "the trained network gives vectors that are not finite: its training has diverged; train it anew, "
            "with a lower training.learning_rate"
        )
    norms = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)
    cosines = (expected * found).sum(axis=-1) / np.maximum(norms, 1e-12)
    return float(np.nan_to_num(cosines, nan=-1.0).min())


def accepted_parity(part: str, cosine: float, least: float) -> float:
    """`cosine`, if it is at least `least`.

    Raises:
        ModelError: It is not.
    """
    if not cosine >= least:
        raise ModelError(
            f"{part}: ONNX Runtime agrees with PyTorch only to a cosine of {cosine:.6f}, below {least}"
        )
    return cosine


def _portable(value: Any) -> Any:
    """The same facts with names in place of paths, which say nothing on another machine."""
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item) for item in value]
    if not isinstance(value, str):
        return value
    if PureWindowsPath(value).is_absolute():  # D:\sounds, wherever this runs
        return PureWindowsPath(value).name
    return Path(value).name if value.startswith(("/", ".", "~")) else value


def _halved(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous().clone()


def _own_weights(model: DualEncoder, recipe: Recipe) -> dict[str, Tensor]:
    """Everything that is published nowhere else; layers once.

    That leaves out what is frozen of the text tower, which is in `text.onnx`, too, and the tail, whose layers are the
    trunk's.
    """
    text: Any = model.text
    trained = {id(parameter) for parameter in trained_parameters(text, recipe.text.trained_layers)}
    text.requires_grad_(False)
    names = {f"text.{name}" for name, parameter in text.named_parameters() if id(parameter) in trained}
    state = model.state_dict()
    return {
        key: value for key, value in state.items() if key in names or not key.startswith(("text.", "tail."))
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its progress on stdout and warns of its own deprecations."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
