"""Who teaches and who learns, what a step teaches, and how near the student has come.

Frames and embeddings are standardised per dimension over mixtures, so that a squared error weighs each of them alike;
a cosine on the raw, non-negative vectors is dominated by their mean.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from soundseek._typing import FloatArray
from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError
from soundseek.learn.data.caption_neighbours import read_sentences
from soundseek.learn.distill.config import DistillConfig
from soundseek.learn.distill.tensor_mixtures import PEAK_DBFS, TensorLogMel, to_peak
from soundseek.learn.models.audio.compact import CompactConfig, CompactTrunk, within
from soundseek.learn.models.audio.compact_layers import with_tags
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.audio.tags import AMPLITUDE_GAIN, NUM_CLASSES
from soundseek.learn.models.audio.weights_file import reading_weights
from soundseek.learn.models.build import build_recipe_text
from soundseek.learn.recipe.load import load_recipe

MODEL_FILE = "model.safetensors"  # of the run folder that `heads` names


class Targets(NamedTuple):
    """What a network says of a batch of clips.

    Attributes:
        frames: `(batch, frames, width)`, the teacher's, standardised.
        pooled: `(batch, width)`, their mean.
        logits: `(batch, 527)`, of the tags of the whole clip.
        amplitudes: `(batch, 527)`, the tags as heads take them: mean over the frames of the root of a probability.
    """

    frames: Tensor
    pooled: Tensor
    logits: Tensor
    amplitudes: Tensor


class Heads(nn.Module):
    """Where heads on the teacher put a clip: their linear audio projector, and sentences in the same space.

    Attributes:
        projector: Takes the teacher's features, and the tags' amplitudes behind them where the run did.
        sentences: `(sentence, dim)`, unit norm; None without sentences.
    """

    sentences: Tensor | None

    def __init__(self, projector: nn.Linear, sentences: Tensor | None = None) -> None:
        super().__init__()
        self.projector = projector.requires_grad_(False)
        self.register_buffer("sentences", sentences)

    def forward(self, pooled: Tensor, amplitudes: Tensor) -> Tensor:
        """Unit vectors `(batch, dim)` of the teacher's features `(batch, width)`, not standardised, and its tags."""
        tagged = self.projector.in_features > pooled.shape[1]
        features = torch.cat([pooled, amplitudes], dim=1) if tagged else pooled
        return nn.functional.normalize(self.projector(features), dim=-1)


class Teacher(nn.Module):
    """A trunk that tags, with batch norms folded into its convolutions and its targets standardised.

    Attributes:
        front_end: Of the log-mel that it hears.
        hop: Log-mel frames from one of its frames to the next.
        peak_dbfs: Of the recordings that it hears.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, trunk: EfficientATTrunk | CompactTrunk, heads: Heads | None = None) -> None:
        super().__init__()
        self.trunk = _folded(trunk).requires_grad_(False)
        self.heads = heads
        self.is_compact = isinstance(trunk, CompactTrunk)
        self.front_end, self.hop = trunk.front_end, trunk.frame_hop
        self.peak_dbfs = PEAK_DBFS if self.is_compact else TAGGERS_PEAK_DBFS
        self.width: int = trunk.config.width if isinstance(trunk, CompactTrunk) else trunk.width
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("deviation", torch.ones(self.width))

    @torch.no_grad()
    def forward(self, log_mel: Tensor) -> Targets:
        # Half precision moves the standardised frames by a cosine of 2e-4, and is a third faster on a GPU.
        with torch.autocast(log_mel.device.type, torch.float16, enabled=log_mel.is_cuda):
            heard, _ = self.trunk(log_mel)
        heard = heard.float()
        frames, tags = heard[..., : self.width], heard[..., self.width :]
        if self.is_compact:  # its tags are local, and heads take their mean
            logits, loudness = self.trunk.tags.classifier(frames.mean(dim=1)), tags.mean(dim=1)
        else:
            logits = self.trunk.logits(frames)
            loudness = amplitudes(logits)
        frames = (frames - self.mean) / self.deviation
        return Targets(frames, frames.mean(dim=1), logits, loudness)

    def embed(self, targets: Targets) -> Tensor:
        """Unit vectors `(batch, dim)` where the heads put clips."""
        assert self.heads is not None  # the config asks for heads with the weights that need them
        embedding: Tensor = self.heads(targets.pooled * self.deviation + self.mean, targets.amplitudes)
        return embedding

    @torch.no_grad()
    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Set the per-dimension mean and deviation of pooled embeddings from some batches."""
        pooled = torch.cat([self.trunk(log_mel)[0][..., : self.width].mean(dim=1) for log_mel in batches])
        self.mean.copy_(pooled.mean(dim=0))
        self.deviation.copy_(pooled.std(dim=0).clamp_min(1e-3))


TAGGERS_PEAK_DBFS = -12.0
"""At which the published tagger hears recordings best."""


def load_teacher(path: Path, heads: Path | None = None, sentences: Path | None = None) -> Teacher:
    """Who teaches.

    Args:
        path: Published weights of the tagger mn04_as, or a model directory whose trunk is a `compact` one; its own
            heads are then taken, unless others are named.
        heads: A run of heads on the teacher's frames; see `load_heads`.
        sentences: See `load_heads`.

    Raises:
        ModelError: It is neither, or the heads are on other frames.
    """
    if path.is_dir():
        compact = read_compact_trunk(path)
        return Teacher(compact, load_heads(heads or path, compact.config.width, sentences))
    tagger = EfficientATTrunk.load(path)
    return Teacher(tagger, load_heads(heads, tagger.width, sentences) if heads else None)


def read_compact_trunk(model: Path) -> CompactTrunk:
    """The `compact` trunk of a model directory, which has it in half precision; in eval mode.

    Raises:
        ModelError: The directory has none.
    """
    path = model / MODEL_FILE
    if not path.is_file():
        raise ModelError(
            f"{model} has no {MODEL_FILE}, which holds the trunk; name a model that soundseek has made"
        )
    with reading_weights(path):
        with safe_open(path, "pt") as file:
            shape = json.loads((file.metadata() or {}).get("trunk", "null"))
        tensors = load_file(path)
    state = {
        name.removeprefix("trunk."): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name.startswith("trunk.")
    }
    if not shape or "stem_width" not in shape:
        raise ModelError(f"{model} has no trunk `compact`; only such a model can teach, or a file of mn04_as")
    trunk = CompactTrunk(CompactConfig.model_validate(shape))
    trunk.load_state_dict(state)
    return trunk.eval()


class Student(nn.Module):
    """The trunk with its tagger, and the layer that translates its frames into the teacher's, which is not kept."""

    def __init__(
        self,
        trunk: CompactTrunk,
        teacher_width: int,
        *,
        teacher_hop: int = 32,
        front_end: FrontEndConfig | None = None,
    ) -> None:
        super().__init__()
        self.every = _log_mel_frames_apart(trunk.front_end, front_end or trunk.front_end)
        hop = trunk.frame_hop * self.every
        if teacher_hop % hop:
            raise ValueError(
                f"the teacher gives a frame every {teacher_hop} of the log-mel's, the student every {hop}; "
                "choose strides so that a whole number of the student's makes one of the teacher's"
            )
        if trunk.tags is None or trunk.tags.classifier[-1].out_features != NUM_CLASSES:
            raise ValueError(
                f"the student learns all tags of its teacher: trunk.tags.num_tags = {NUM_CLASSES}"
            )
        self.trunk = trunk
        self.frames_per_frame = teacher_hop // hop
        self.to_frames = nn.Linear(trunk.config.width, teacher_width)

    def forward(self, log_mel: Tensor) -> Targets:
        """What it says of the teacher's log-mel, of which it hears every `every`th frame."""
        trunk, log_mel = self.trunk, log_mel[:, :: self.every]
        assert trunk.tags is not None  # checked above
        with torch.autocast(log_mel.device.type, torch.bfloat16, enabled=log_mel.is_cuda):
            features, frame_mask = trunk.features_with_margins(log_mel, None)
        features = features.float()  # the last layers and the losses keep all digits
        frames, _ = within(with_tags(features, frame_mask, trunk.tags), frame_mask, trunk.margin)
        features, tags = frames[..., : trunk.config.width], frames[..., trunk.config.width :]
        translated = self.to_frames(features)
        logits = trunk.tags.classifier(features.mean(dim=1))
        return Targets(
            self._at_the_teachers_rate(translated), translated.mean(dim=1), logits, tags.mean(dim=1)
        )

    @torch.no_grad()
    def keep_translation(self, teacher: Teacher) -> None:
        """Let the trunk's own features be the teacher's: what translates standardises them and does not learn.

        Heads on the teacher then fit the student as they are.
        """
        self.to_frames.weight.copy_(torch.diag(1 / teacher.deviation))
        self.to_frames.bias.copy_(-teacher.mean / teacher.deviation)

    @torch.no_grad()
    def fit_translation(self, teacher: Teacher, batches: Iterable[Tensor]) -> None:
        """Set the layer that translates frames to the ridge regression from what the trunk gives already.

        A trunk that comes without this layer would otherwise unlearn much while it is found.
        """
        gram: Tensor | float = 0.0
        product: Tensor | float = 0.0
        for log_mel in batches:
            features = self._at_the_teachers_rate(self.trunk.features(log_mel[:, :: self.every])[0])
            features = features.flatten(0, 1).double()
            features = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
            gram = gram + features.T @ features
            product = product + features.T @ teacher(log_mel).frames.flatten(0, 1).double()
        assert isinstance(gram, Tensor)
        ridge = 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        weight = torch.linalg.solve(gram + ridge, product)
        self.to_frames.weight.copy_(weight[:-1].T)
        self.to_frames.bias.copy_(weight[-1])

    def _at_the_teachers_rate(self, frames: Tensor) -> Tensor:
        """Means of neighbouring frames `(batch, frames, width)` where the student gives more than one for each."""
        if self.frames_per_frame == 1:
            return frames
        size = self.frames_per_frame
        fewer: Tensor = nn.functional.avg_pool1d(frames.transpose(1, 2), size, size, ceil_mode=True)
        return fewer.transpose(1, 2)


def _log_mel_frames_apart(own: FrontEndConfig, teachers: FrontEndConfig) -> int:
    """Every how many frames of the teacher's log-mel are the student's own."""
    every, rest = divmod(own.hop_length, teachers.hop_length)
    if rest or own.model_copy(update={"hop_length": teachers.hop_length}) != teachers:
        raise ValueError(
            "teacher and student must share a front end, but for a whole multiple of its hop: both hear one log-mel"
        )
    return every


def amplitudes(logits: Tensor) -> Tensor:
    """Tags as features: `3 * sqrt(probability)`, of the shape of `logits`."""
    return AMPLITUDE_GAIN * (0.5 * nn.functional.logsigmoid(logits)).exp()


def load_heads(run: Path, width: int, sentences: Path | None = None) -> Heads:
    """The audio projector of a run folder, with the standardisation of its frames worked into it; frozen.

    Args:
        run: Its heads learned on the frozen teacher's frames, with or without the amplitudes of its tags.
        width: Features of the teacher.
        sentences: A CSV with a column `caption`, for the space in which clips are compared with sentences.

    Raises:
        ModelError: Its heads are not linear, or on other frames.
    """
    with reading_weights(run / MODEL_FILE):
        tensors = load_file(run / MODEL_FILE)
    state = {name: tensor.float() for name, tensor in tensors.items() if "trunk." not in name}
    for side in ("audio", "text") if sentences else ("audio",):
        if f"{side}_projector.weight" not in state:
            raise ModelError(
                f"{run / MODEL_FILE} has no linear {side} projector; choose a run whose {side}.head is linear"
            )
    inputs = state["audio_projector.weight"].shape[1]
    if inputs not in (width, width + NUM_CLASSES):
        raise ModelError(
            f"the heads of {run} take {inputs} features, the teacher gives {width} (and {NUM_CLASSES} tags); "
            "choose a run on the teacher's own frames: soundseek train frozen-mn04"
        )
    weight = state["audio_projector.weight"] * state["audio_scale"]
    projector = nn.Linear(inputs, weight.shape[0]).requires_grad_(False)
    projector.weight.copy_(weight)
    projector.bias.copy_(state["audio_projector.bias"] - weight @ state["audio_mean"])
    return Heads(projector, _embedded(run, state, sentences) if sentences else None)


NUM_SENTENCES = 1500  # as many as the run in docs/distillation.md had


@torch.no_grad()
def _embedded(run: Path, state: dict[str, Tensor], path: Path) -> Tensor:
    """`(sentence, dim)`, unit norm: sentences spread evenly over a file, as the run's text side puts them."""
    sentences = read_sentences(path)
    sentences = sentences[:: math.ceil(len(sentences) / NUM_SENTENCES)]
    text = build_recipe_text(load_recipe(run / "recipe.yaml"))
    features = torch.cat(
        [text(*text.tokenize(sentences[at : at + 64])) for at in range(0, len(sentences), 64)]
    )
    projected = features @ state["text_projector.weight"].T + state["text_projector.bias"]
    return nn.functional.normalize(projected, dim=-1)


def _folded(trunk: nn.Module) -> Any:
    """A copy for inference only: batch norms folded into convolutions, activations in place."""
    folded = copy.deepcopy(trunk).eval()
    for module in folded.modules():
        if isinstance(module, nn.ReLU | nn.Hardswish):
            module.inplace = True
        if isinstance(module, nn.Sequential) and len(module) >= 2 and isinstance(module[1], nn.BatchNorm2d):
            convolution = module[0]
            assert isinstance(convolution, nn.Conv2d)
            module[0], module[1] = fuse_conv_bn_eval(convolution, module[1]), nn.Identity()
        for name, convolution in list(module.named_children()):  # `compact` has them by name
            norm = getattr(module, "norm" if name == "conv" else f"{name}_norm", None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, "norm" if name == "conv" else f"{name}_norm", nn.Identity())
    return folded


class Yardstick:
    """Clips on which student and teacher are compared, and what the teacher says of them.

    Each is heard as the models hear it, from its beginning for 5.12 s: by the student at -6 dBFS, by the tagger at
    -12. All have one length, a shorter one silence behind it: for every new shape a GPU prepares its kernels anew,
    which takes seconds.

    Args:
        waveforms: `(samples,)` each.
        teacher: Of whom the student learns.
        log_mel: Of both.
        device: Where the networks are.
    """

    NUM_FRAMES = 512
    _ROWS = 64  # of every batch; on a GPU the last one is filled up with silence

    def __init__(
        self, waveforms: Sequence[FloatArray], teacher: Teacher, log_mel: TensorLogMel, device: torch.device
    ) -> None:
        self._teacher = teacher
        self._heard: list[Tensor] = []
        said: list[Targets] = []
        num_samples = self.NUM_FRAMES * log_mel.config.hop_length
        for first in range(0, len(waveforms), self._ROWS):
            part = waveforms[first : first + self._ROWS]
            batch = torch.zeros(self._ROWS if device.type == "cuda" else len(part), num_samples)
            for row, waveform in zip(batch, part, strict=False):
                row[: min(len(waveform), num_samples)] = torch.from_numpy(waveform[:num_samples])
            batch = to_peak(batch.to(device))
            self._heard.append(log_mel(batch * 10 ** (PEAK_DBFS / 20)).half())
            said.append(teacher(log_mel(batch * 10 ** (teacher.peak_dbfs / 20))))
        self._size = len(waveforms)
        self._wanted = self._together(said)

    @torch.no_grad()
    def __call__(self, student: Student) -> dict[str, float]:
        """Agreement of a student with the teacher on clips that are not damaged.

        Returns:
            Mean cosines of pooled embeddings: `cosine` in the teacher's own space, `standardised_cosine` per
            standardised dimension, `retrieval_cosine` in the heads' space, where there are heads; `frame_cosine` of
            standardised frames, `amplitude_cosine` of the tags' amplitudes; `tag_map`: mean average precision of the
            teacher's tags above 0.3.
        """
        student.eval()
        found, wanted, teacher = (
            self._together([student(heard.float()) for heard in self._heard]),
            self._wanted,
            self._teacher,
        )
        cosine = nn.functional.cosine_similarity

        def raw(targets: Targets) -> Tensor:
            return targets.pooled * teacher.deviation + teacher.mean

        rows = {
            "cosine": cosine(raw(found), raw(wanted)),
            "standardised_cosine": cosine(found.pooled, wanted.pooled),
            "frame_cosine": cosine(found.frames, wanted.frames, dim=2),
            "amplitude_cosine": cosine(found.amplitudes, wanted.amplitudes),
        }
        if teacher.heads is not None:
            rows["retrieval_cosine"] = (teacher.embed(found) * teacher.embed(wanted)).sum(dim=1)
        tag_map = mean_average_precision(found.logits, wanted.logits.sigmoid() > 0.3)
        return {name: round(row.mean().item(), 4) for name, row in rows.items()} | {
            "tag_map": round(tag_map, 4)
        }

    def _together(self, batches: list[Targets]) -> Targets:
        return Targets(*(torch.cat(parts)[: self._size] for parts in zip(*batches, strict=True)))


def mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """Mean over the tags that occur of the average precision over clips; both `(clips, tags)`."""
    precisions = []
    for tag in range(truth.shape[1]):
        if truth[:, tag].any():
            hits = truth[:, tag][scores[:, tag].argsort(descending=True)].float()
            precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1, device=hits.device)
            precisions.append((precision * hits).sum() / hits.sum())
    return torch.stack(precisions).mean().item() if precisions else float("nan")


def distillation_losses(
    student: Targets, teacher: Targets, tagger: Teacher, config: DistillConfig
) -> dict[str, Tensor]:
    """The errors that have a weight, weighted; scalars whose sum is learned from.

    Frames' smooth L1 error, the pooled embedding's squared error, the tags' cross-entropy and their amplitudes' squared
    error (both summed over tags), 1 minus the cosine in the heads' space, and how far the student's scores of
    sentences are from the teacher's (Kullback-Leibler divergence at a temperature of 0.07).
    """
    functional = nn.functional
    errors: dict[str, Callable[[], Tensor]] = {
        "frames": lambda: functional.smooth_l1_loss(student.frames, teacher.frames),
        "pooled": lambda: functional.mse_loss(student.pooled, teacher.pooled),
        "tags": lambda: _per_clip(
            functional.binary_cross_entropy_with_logits(
                student.logits, teacher.logits.sigmoid(), reduction="none"
            )
        ),
        "amplitudes": lambda: _per_clip((student.amplitudes - teacher.amplitudes).square()),
        "retrieval": lambda: 1 - (tagger.embed(student) * tagger.embed(teacher)).sum(dim=1).mean(),
        "sentences": lambda: _sentence_error(tagger.embed(student), tagger.embed(teacher), tagger.heads),
    }
    weights = {name: float(getattr(config, f"{name}_weight")) for name in errors}
    return {name: weights[name] * error() for name, error in errors.items() if weights[name]}


def _per_clip(errors: Tensor) -> Tensor:
    """`(batch, tag)` -> the mean over clips of the sum over tags."""
    return errors.sum(dim=1).mean()


def _sentence_error(student: Tensor, teacher: Tensor, heads: Heads | None) -> Tensor:
    """How far the student's ranking of sentences is from the teacher's, for embeddings `(batch, dim)` of both."""
    assert heads is not None and heads.sentences is not None  # the config asks for them with the weight
    found, wanted = (
        (embedding @ heads.sentences.T / SENTENCE_TEMPERATURE).log_softmax(dim=1)
        for embedding in (student, teacher)
    )
    return nn.functional.kl_div(found, wanted, reduction="batchmean", log_target=True)


SENTENCE_TEMPERATURE = 0.07  # at which the heads learned


def learning_rate_factor(step: int, spent: float, config: DistillConfig) -> float:
    """Share of the learning rate at a step, when `spent` (0 to 1) of the hours are gone: held, then half a cosine."""
    falling = min(1.0, max(0.0, spent - config.rate_held) / max(1e-9, 1 - config.rate_held))
    return min(1.0, (step + 1) / config.warmup_steps) * 0.5 * (1 + math.cos(math.pi * falling))
