"""A model directory of soundseek-tiny: the words of soundseek-small over a trunk that was distilled from its own.

    python scripts/tiny_model.py RUN/trunk.safetensors --out tiny
    python scripts/tiny_model.py RUN/trunk.safetensors --out tiny --fit DATA --leave-out FILE

The trunk imitates the frames of the model that taught it (`soundseek distill --teacher soundseek-small --student
tiny`), so that model's projector fits as it stands. With --fit it moves to what the teacher says of whole sounds, by
least squares. The words are the teacher's, and so are spelling, manners and how sure a hit is: the latter were fitted
to the teacher's hearing (`soundseek calibrate` fits them anew).
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import LogMel
from soundseek.learn.distill import find_sounds
from soundseek.learn.distill.networks import load_teacher
from soundseek.learn.export.export import least_cosine, run_onnx, write_onnx
from soundseek.learn.export.lighter import lighten
from soundseek.learn.export.model_card import write_readme
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.audio.shrink import moved_to_fit
from soundseek.model.config import (
    AUDIO_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    AudioTowerConfig,
    ModelConfig,
    fingerprint,
)
from soundseek.model.manners import write_manners
from soundseek.model.model import Model
from soundseek.model.registry import load_model
from soundseek.model.spelling import WORDS_FILE

FIT_S = 10.0  # of each sound that the projector is fitted to
FIT_SOUNDS = 1500


class TinyFrames(nn.Module):
    """Log-mel `(1, time, mel)` -> frames in the teacher's space `(1, frames, dim)`: what `audio.onnx` is."""

    def __init__(self, trunk: CompactTrunk, projector: nn.Linear) -> None:
        super().__init__()
        self.trunk, self.projector = trunk, projector

    def forward(self, log_mel: Tensor) -> Tensor:
        frames: Tensor = self.projector(self.trunk(log_mel)[0])
        return frames


def main() -> None:
    """Write the model directory and print its parity with PyTorch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trunk", type=Path, help="trunk.safetensors of soundseek distill")
    parser.add_argument("--teacher", default="soundseek-small", help="the model that it was distilled from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fit", type=Path, metavar="DATA", help="sounds to fit the projector to")
    parser.add_argument("--leave-out", type=Path, metavar="FILE", help="sounds and collections not to fit to")
    options = parser.parse_args()
    teacher = load_model(options.teacher)
    sounds = find_sounds([options.fit], options.leave_out).train if options.fit else []
    cosine = write_tiny_model(options.trunk, teacher.directory, options.out, sounds)
    print(
        f"{options.out}: least cosine with PyTorch {cosine:.6f}, fitted to {len(sounds[:FIT_SOUNDS])} sounds"
    )


@torch.no_grad()
def write_tiny_model(trunk_file: Path, teacher: Path, out: Path, sounds: list[Path]) -> float:
    """Write a model directory; returns the least cosine between PyTorch's frames and ONNX Runtime's.

    Args:
        trunk_file: Of `soundseek distill`.
        teacher: The model directory that taught it.
        out: The new directory; it must not exist.
        sounds: What the projector is fitted to, a random choice of them; empty leaves it as it is.
    """
    trunk, heads, card = CompactTrunk.load(trunk_file), load_teacher(teacher).heads, ModelConfig.read(teacher)
    assert heads is not None  # a model directory has some
    front_end = trunk.front_end.model_copy(update={"peak_dbfs": card.front_end.peak_dbfs})
    if sounds:
        chosen = [sounds[i] for i in np.random.default_rng(0).permutation(len(sounds))[:FIT_SOUNDS]]
        _fit_projector(heads.projector, trunk, teacher, chosen)
    network = TinyFrames(trunk, heads.projector).eval()
    out.mkdir(parents=True)
    example = torch.randn(
        1, 64 * trunk.frame_hop, front_end.num_mels, generator=torch.Generator().manual_seed(0)
    )
    frames = torch.export.Dim("time", min=trunk.min_frames, max=1_000_000)
    write_onnx(network, (example,), out / AUDIO_FILE, ["log_mel"], "frames", {"log_mel": {1: frames}})
    lighten(out / AUDIO_FILE)
    for file in (TEXT_FILE, TOKENIZER_FILE, WORDS_FILE):
        if (teacher / file).is_file():
            shutil.copyfile(teacher / file, out / file)
    tiny = card.model_copy(
        update={
            "name": "soundseek-tiny",
            "summary": f"The words of {card.name} over a cheaper trunk that imitates its own.",
            "front_end": front_end,
            "audio": AudioTowerConfig(
                frame_hop=trunk.frame_hop,
                scope="local",
                context_frames=trunk.context_frames,
                min_frames=trunk.min_frames,
            ),
            "scores": {},
            "training": {"teacher": card.fingerprint, "sounds": len(sounds[:FIT_SOUNDS])},
            "fingerprint": fingerprint(out, front_end),
        }
    )
    tiny.write(out)
    write_readme(out, tiny)
    _take_what_queries_need(Model(teacher), out, tiny.hears_like)
    found = run_onnx(out / AUDIO_FILE, {"log_mel": example.numpy()})[0]
    return least_cosine(network(example)[0].numpy(), found)


def _take_what_queries_need(teacher: Model, out: Path, heard_by: str) -> None:
    """The teacher's memory, match and manners, as those of the model that imitates its vectors."""
    if teacher.memory is not None:
        replace(teacher.memory, heard_by=heard_by).write(out)
    if teacher.match is not None:
        replace(teacher.match, heard_by=heard_by).write(out)
    if teacher.manners:
        write_manners(out, teacher.manners, heard_by=heard_by)


def _fit_projector(projector: nn.Linear, trunk: CompactTrunk, teacher: Path, sounds: list[Path]) -> None:
    """Move a projector to the map from the trunk's mean frames of whole sounds to the teacher's vectors of them."""
    model = load_model(teacher)
    peak_dbfs = model.front_end.peak_dbfs
    log_mel = LogMel(trunk.front_end.model_copy(update={"peak_dbfs": peak_dbfs}))
    heard, said = [], []
    for path in sounds:
        waveform = read_audio(path, sample_rate_hz=trunk.front_end.sample_rate_hz)
        waveform = waveform[: round(FIT_S * trunk.front_end.sample_rate_hz)]
        features = trunk.front_end.continued(log_mel(waveform), trunk.min_frames)
        heard.append(trunk(torch.from_numpy(features)[None])[0].mean(dim=1))
        said.append(torch.from_numpy(model.embed_audio((waveform, trunk.front_end.sample_rate_hz)))[None])
    mean = torch.cat([projector(each) for each in heard])
    scale = mean.norm(dim=1).mean()  # the teacher's vectors have unit length, the projector's have not
    goal = [each * scale for each in said]
    weight, bias = moved_to_fit(
        projector.weight, [each[None] for each in heard], [each[None] for each in goal], 0.03
    )
    projector.weight.copy_(weight)
    projector.bias.copy_(bias)


if __name__ == "__main__":
    main()
