"""How well a model finds each caption's clip, and each clip's captions, in a split of a data set."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from soundseek._typing import AnyArray, FloatArray, IntArray, Report
from soundseek.audio.decode import open_audio
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.audio.segments import HOP_S, SEGMENT_S, plan_segments
from soundseek.learn.data.decoded_cache import OnlineFrames
from soundseek.learn.data.mixing import SoundSpec, render
from soundseek.learn.data.pairs import pad
from soundseek.learn.data.prepare import SplitFeatures, open_features, sound_keys
from soundseek.learn.data.tower_cache import Frames, extract_texts, text_store
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.evaluation.metrics import DirectionMetrics, retrieval_metrics
from soundseek.learn.models.build import scope_of
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.keys import Recipe
from soundseek.model.model import WHOLE_CLIP_S

_CLIPS_AT_ONCE = 64
_ONLINE_CLIPS_AT_ONCE = 4  # through a whole trunk: CNN14's first block needs 100 MB for half a minute
_SENTENCES_AT_ONCE = 64
_FRAMES_AT_ONCE = 1 << 14  # of a batch, padded


class Embedder(Protocol):
    """Sounds and sentences to vectors of one space: a model directory's `Model`, or a `RunEmbedder`."""

    def embed_audio(self, paths: Sequence[Path]) -> FloatArray:
        """`(len(paths), dim)`, unit norm."""
        ...

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(len(texts), dim)`, unit norm."""
        ...


@dataclass(frozen=True)
class EvaluationReport:
    """The metrics of one model on one split, shares in [0, 1] with their 95 % intervals.

    Attributes:
        split: Its name.
        num_clips: Sounds to choose from.
        num_captions: Sentences.
        text_to_audio: Each caption looks for its clip.
        audio_to_text: Each clip looks for its captions.
        num_shared_captions: Captions that several clips have word for word.
        equal_captions_count: `text_to_audio` where every clip with an equal caption is right, not only its own.
    """

    split: str
    num_clips: int
    num_captions: int
    text_to_audio: DirectionMetrics
    audio_to_text: DirectionMetrics
    num_shared_captions: int
    equal_captions_count: DirectionMetrics

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def evaluate(embedder: Embedder, data: Path, split: str = "evaluation") -> EvaluationReport:
    """Embed a split and score it.

    Args:
        embedder: What to evaluate.
        data: A directory in Clotho's layout.
        split: One of its splits.

    Raises:
        DataError: The split is incomplete.
    """
    clips = read_split(data, split)
    captions = [caption for clip in clips for caption in clip.captions]
    relevant = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    audio = embedder.embed_audio([clip.path for clip in clips])
    text = embedder.embed_text(captions)
    metrics = retrieval_metrics((text, audio), relevant)
    equal = clips_of_equal_captions(captions, relevant)
    counted = retrieval_metrics((text, audio), equal).text_to_audio
    num_shared = sum(len(clips_of_one) > 1 for clips_of_one in equal)
    return EvaluationReport(
        split, len(clips), len(captions), metrics.text_to_audio, metrics.audio_to_text, num_shared, counted
    )


def clips_of_equal_captions(captions: Sequence[str], owners: Sequence[int] | IntArray) -> list[list[int]]:
    """For each caption all clips that have it, whatever its case, spaces, accents' composition and final full stop.

    >>> clips_of_equal_captions(["A dog barks.", "rain", "a dog  barks"], [0, 1, 2])
    [[0, 2], [1], [0, 2]]
    >>> clips_of_equal_captions(["a caf\u00e9", "a cafe\u0301"], [0, 1])
    [[0, 1], [0, 1]]
    """
    composed = (unicodedata.normalize("NFC", caption) for caption in captions)
    keys = [" ".join(caption.split()).casefold().rstrip(".") for caption in composed]
    clips: dict[str, set[int]] = defaultdict(set)
    for key, owner in zip(keys, owners, strict=True):
        clips[key].add(int(owner))
    return [sorted(clips[key]) for key in keys]


class RunEmbedder:
    """The dual encoder of a run folder as an `Embedder`: each clip alone through the trunk, up to `WHOLE_CLIP_S` whole.

    Args:
        model: With its text tower.
        recipe: Its recipe, with the trunk's weights.
        report: Called while features are computed.
    """

    def __init__(self, model: DualEncoder, recipe: Recipe, *, report: Report | None = None) -> None:
        self._trunk: Any = model.trunk  # embeds on the CPU, as in training
        if torch.cuda.is_available():
            model.trunk = None
            model = model.to("cuda")
            model.trunk = self._trunk
        self._model = model
        self._recipe = recipe
        self._report = report

    def embed_audio(self, paths: Sequence[Path]) -> FloatArray:
        """`(len(paths), dim)`, unit norm."""
        return self.embed_sounds([SoundSpec("clip", (Path(path),)) for path in paths])

    def embed_sounds(self, sounds: Sequence[SoundSpec]) -> FloatArray:
        """`(len(sounds), dim)`, unit norm, of clips, their degraded versions and mixtures.

        A clip beyond `WHOLE_CLIP_S` is embedded in windows, as by the exported model.
        """
        out = np.empty((len(sounds), self._recipe.dim), np.float32)
        whole = []
        for row, sound in enumerate(sounds):
            windows = self._windows_of_long(sound)
            if windows:
                out[row] = self._embed_in_windows(windows)
            else:
                whole.append(row)
        if whole:
            store = open_features(self._recipe, self._trunk)
            chosen = [sounds[row] for row in whole]
            keys = sound_keys(chosen, store, self._recipe, trunk=self._trunk, report=self._report)
            out[whole] = embed_clips(self._model, store, keys).cpu().numpy()
        return out

    def _windows_of_long(self, sound: SoundSpec) -> list[FloatArray]:
        """Log-mels of the segments of a clip that is too long to be embedded whole; none of any other sound."""
        front_end: FrontEndConfig = self._trunk.front_end
        rate_hz, per_second = front_end.sample_rate_hz, 1 / front_end.hop_s
        if sound.kind != "clip" or scope_of(self._model, self._recipe.audio.attention) == "local":
            return []
        with open_audio(sound.parts[0], sample_rate_hz=rate_hz) as stream:
            if stream.stated_s is not None and stream.stated_s < 0.9 * WHOLE_CLIP_S:
                return []
        waveform = render(sound, rate_hz)
        log_mel = LogMel(front_end)(waveform)
        if len(log_mel) - 1 <= WHOLE_CLIP_S * per_second:
            return []
        length = round(SEGMENT_S * per_second)
        segments = plan_segments(len(waveform) / rate_hz, length_s=SEGMENT_S, hop_s=HOP_S)
        starts = (min(round(each.start_s * per_second), len(log_mel) - length) for each in segments)
        return [log_mel[start : start + length] for start in starts]

    @torch.no_grad()
    def _embed_in_windows(self, windows: Sequence[FloatArray]) -> FloatArray:
        """`(dim,)`: the mean of all windows' frames in the shared space, of unit norm."""
        device = self._model.audio_mean.device
        frames = []
        for window in windows:
            in_trunk, mask = self._trunk(torch.from_numpy(window)[None])
            frames.append(self._model.project_frames(in_trunk.to(device), mask.to(device))[0])
        mean: FloatArray = functional.normalize(torch.cat(frames).mean(dim=0), dim=0).cpu().numpy()
        return mean

    def embed_text(self, texts: Sequence[str]) -> FloatArray:
        """`(len(texts), dim)`, unit norm; what a text tower as published makes of them is cached."""
        text = self._text()
        # Where only the words change, the tower may still be one that an earlier stage has trained.
        if self._recipe.text.is_online:
            return embed_sentences(self._model, texts, text).cpu().numpy()
        features = torch.from_numpy(extract_texts(texts, text_store(text), text, report=self._report))
        with torch.no_grad():
            return self._model.encode_text_features(features.to(self._model.audio_mean.device)).cpu().numpy()

    def _text(self) -> TextTower:
        if self._model.text is None:
            raise ValueError("this DualEncoder has no text tower; load_run gives it one")
        return self._model.text


@torch.no_grad()
def score_split(
    model: DualEncoder, split: SplitFeatures, *, text: TextTower | None = None
) -> dict[str, float]:
    """`R1`, `R5`, `R10` and `mAP10`, captions to clips, without dropout.

    Args:
        model: Its heads are used, and its tail.
        split: Cached features.
        text: A text tower that has changed since the features were cached, else None.
    """
    was_training = model.training
    model.eval()
    try:
        audio = embed_clips(model, split.store, split.keys)
        if text is None:
            sentences = model.encode_text_features(split.features.to(audio.device))
        else:
            sentences = embed_sentences(model, split.captions, text)
    finally:
        model.train(was_training)
    metrics = retrieval_metrics((sentences.cpu().numpy(), audio.cpu().numpy()), split.relevant).text_to_audio
    return {name: getattr(metrics, name).value for name in ("R1", "R5", "R10", "mAP10")}


@torch.no_grad()
def embed_clips(model: DualEncoder, store: Frames, keys: Sequence[str]) -> Tensor:
    """`(clip, dim)`, unit norm, of the cached outputs of a frozen trunk."""
    device = model.audio_mean.device
    embedded = []
    at_once = _ONLINE_CLIPS_AT_ONCE if isinstance(store, OnlineFrames) else _CLIPS_AT_ONCE
    for clips in _batches((store[key] for key in keys), at_once):
        frames, frame_mask = pad(clips)
        embedded.append(model.encode_audio_features(frames.to(device), frame_mask.to(device)))
    return torch.cat(embedded)


def _batches(clips: Iterable[AnyArray], at_once: int) -> Iterator[list[AnyArray]]:
    """Clips in order, fewer at once where a long one would pad the others to its length."""
    batch: list[AnyArray] = []
    longest = 0
    for clip in clips:
        grown = max(longest, len(clip))
        if batch and (len(batch) == at_once or (len(batch) + 1) * grown > _FRAMES_AT_ONCE):
            yield batch
            batch, grown = [], len(clip)
        batch.append(clip)
        longest = grown
    if batch:
        yield batch


@torch.no_grad()
def embed_sentences(model: DualEncoder, texts: Sequence[str], text: TextTower) -> Tensor:
    """`(len(texts), dim)`, unit norm, of sentences that go through the text tower now."""
    device = model.audio_mean.device
    embedded = []
    for start in range(0, len(texts), _SENTENCES_AT_ONCE):
        token_ids, token_mask = text.tokenize(texts[start : start + _SENTENCES_AT_ONCE])
        features = text(token_ids.to(device), token_mask.to(device))
        embedded.append(model.encode_text_features(features))
    return torch.cat(embedded)
