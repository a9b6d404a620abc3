"""A model directory + one's own sounds -> a model directory whose words find these sounds better, in minutes on a CPU.

Only what words mean is learned: a linear map behind the text network (`text_map.py`). Sounds keep their vectors, so a
library that the start has filled need not be embedded again, and 1,000 clips are embedded once, as in a library.

What keeps the old skills: sentences of every kind (what the lexicon's terms and AudioSet's classes mean, the words of
the captions that the model was trained on) are held where they were, and the sounds that a model directory keeps for
its calibration are sounds that the own captions must not find. Of the change that is learned, a share is taken
(Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from soundseek._typing import BoolArray, DoubleArray, FloatArray, IntArray, Report
from soundseek._vectors import unit_rows
from soundseek.errors import DataError, DecodeError, UsageError
from soundseek.learn.datasets.own_sounds import OwnClip, OwnSounds, find_own_sounds
from soundseek.learn.evaluation.intervals import Interval, paired_bootstrap
from soundseek.learn.evaluation.metrics import ranks
from soundseek.learn.export.replace import built_beside
from soundseek.learn.export.text_map import write_mapped_model
from soundseek.learn.models.audio.tags import read_class_names
from soundseek.learn.training.run_folder import environment
from soundseek.model.model import Model
from soundseek.model.registry import load_model
from soundseek.model.spelling import WORDS_FILE, add_words, read_words
from soundseek.query.lexicon import english

FEWEST_CLIPS = 20
LONGEST_S = 60.0
"""Of a longer sound the beginning is learned from."""

_FOLDS = 10
_HELD_OUT = 100  # clips that are enough to tell the gain; of fewer, every tenth is held out in its turn
_WORDS = 1000  # of the model's captions, the most frequent
_RESAMPLES = 2000


@dataclass(frozen=True)
class AdaptConfig:
    """How the map is learned; the defaults were chosen on collections that the start had not met (docs/adapt.md).

    Attributes:
        steps: Of the optimiser, Adam, its rate falling to nothing as half a cosine.
        learning_rate: Its highest.
        batch_size: Captions a step.
        items: Own clips that a step's captions are compared with, at most.
        temperature: Of the scores, as the heads were trained with.
        anchor: Weight of the mean squared movement of sentences of every kind.
        share: Share of the learned change that is taken.
        seed: Of the draws.
    """

    steps: int = 150
    learning_rate: float = 2e-3
    batch_size: int = 128
    items: int = 1024
    temperature: float = 0.07
    anchor: float = 30.0
    share: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class AdaptReport:
    """What was learned, and what it came to.

    Attributes:
        directory: The model directory that was made.
        start: The model that it was made from.
        kind: What the captions come from, "captions" or "labels".
        clips: Sounds that were learned from.
        labels: Different labels, or first captions, among them.
        skipped: Files that cannot be learned from, and why.
        unlabelled: Sounds of which nothing is said.
        held_out: Clips that the gain was measured on; each was held out of what it was measured with.
        before: mAP@10 of their captions among them and the model's reference sounds, in [0, 1], with the start.
        after: The same with what was learned from the others.
        gain: `after - before` with its 95 % interval over clips.
        general_cosine: Mean cosine of sentences of every kind to what they were.
        cpu_s: Seconds that the processor worked.
    """

    directory: Path
    start: str
    kind: str
    clips: int
    labels: int
    skipped: tuple[tuple[str, str], ...]
    unlabelled: tuple[str, ...]
    held_out: int
    before: float
    after: float
    gain: Interval
    general_cosine: float
    cpu_s: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts for JSON."""
        return {**asdict(self), "directory": str(self.directory)}


@dataclass(frozen=True)
class OwnVectors:
    """Own sounds and their captions as a model embeds them.

    Attributes:
        audio: `(clips, dim)`, unit norm.
        text: `(captions, dim)`, unit norm.
        owners: `(captions,)` the clip of each caption.
        alike: `(captions,)` for each caption the clips that it describes: its own, those of its label and those with
            the same caption.
        recordings: `(clips,)` numbers; clips of one recording are held out together.
    """

    audio: FloatArray
    text: FloatArray
    owners: IntArray
    alike: Sequence[IntArray]
    recordings: IntArray


@dataclass(frozen=True)
class General:
    """What a model must not forget.

    Attributes:
        sentences: `(sentences, dim)` unit vectors of sentences of every kind.
        sounds: `(sounds, dim)` unit vectors of varied sounds; without rows where the model keeps none.
    """

    sentences: FloatArray
    sounds: FloatArray


def adapt(
    data: str | Path,
    out: str | Path,
    *,
    start: str | Path | None = None,
    name: str | None = None,
    config: AdaptConfig | None = None,
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> AdaptReport:
    """Make a model directory that finds one's own sounds better; nothing is written before all is done.

    Args:
        data: The sounds and what is said of them; see `find_own_sounds`.
        out: The model directory to make.
        start: The model to go on from, by name or directory; None takes the default.
        name: What the new model is called; the name of `out` by default.
        config: How it is learned, if otherwise than by default.
        report: Called as the work goes on, with what is done, how much of it and of how much.
        say: Told of each file that cannot be learned from.

    Raises:
        UsageError: `out` exists, or `data` is nothing that can be learned from.
        DataError: Too few sounds, or all of one label; a table of captions that could be misread.
        ModelError: No such model.

    Example:
        >>> adapt("my sounds", "my-model")  # doctest: +SKIP
    """
    began, config = time.process_time(), config or AdaptConfig()
    out = Path(out).expanduser()
    if out.exists():
        raise UsageError(f"{out} exists; choose another --out, or remove it")
    model = load_model(start)
    found = find_own_sounds(Path(data).expanduser())
    _refuse_too_little(found.clips, found)
    audio, clips, skipped = _embed(model, found.clips, report, say)
    _refuse_too_little(clips, found, num_skipped=len(skipped))
    own = own_vectors(model, clips, audio)
    general = general_vectors(model)
    held_out, before, after = _held_out(own, general, config, report)
    generator = np.random.default_rng(config.seed)
    gain = paired_bootstrap(after, before, generator, groups=held_out, num_resamples=_RESAMPLES).difference
    difference = fit_text_map(own, general, config, report=report)
    measured = AdaptReport(
        directory=out,
        start=model.config.name,
        kind=found.kind,
        clips=len(clips),
        labels=len({clip.label for clip in clips}),
        skipped=tuple(skipped),
        unlabelled=tuple(map(str, found.unlabelled)),
        held_out=len(set(held_out.tolist())),
        before=float(before.mean()),
        after=float(after.mean()),
        gain=gain,
        general_cosine=float((general.sentences * mapped(general.sentences, difference)).sum(axis=1).mean()),
        cpu_s=time.process_time() - began,
    )
    with built_beside(out) as made:
        write_mapped_model(
            model.directory,
            made,
            difference,
            name=name or out.name,
            facts=_facts(measured, model, config),
            summary=f"{model.config.name}, adapted to {len(clips):,} sounds of its user's own.",
        )
        add_words(made, (caption for clip in clips for caption in clip.captions))
    return measured


def mapped(text: FloatArray, difference: FloatArray) -> FloatArray:
    """Text embeddings `(n, dim)` behind the map, unit norm."""
    return unit_rows(text + text @ difference)


def own_vectors(model: Model, clips: Sequence[OwnClip], audio: FloatArray) -> OwnVectors:
    """Embed the captions of clips whose sounds are embedded already, `(clips, dim)`."""
    captions = [caption for clip in clips for caption in clip.captions]
    owners = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    of_label: dict[str, list[int]] = {}
    of_caption: dict[str, list[int]] = {}
    for number, clip in enumerate(clips):
        of_label.setdefault(clip.label, []).append(number)
        for caption in clip.captions:
            of_caption.setdefault(caption.casefold(), []).append(number)
    alike = [
        np.unique([*of_label[clips[int(owner)].label], *of_caption[caption.casefold()]])
        for caption, owner in zip(captions, owners, strict=True)
    ]
    names = {recording: number for number, recording in enumerate(dict.fromkeys(c.recording for c in clips))}
    recordings = np.array([names[clip.recording] for clip in clips])
    return OwnVectors(audio, model.embed_text(captions), owners, alike, recordings)


def general_vectors(model: Model) -> General:
    """Sentences of every kind as a model embeds them, and the varied sounds that its directory keeps."""
    words = read_words(model.directory / WORDS_FILE)
    frequent = sorted(words, key=lambda word: (-words[word], word))[:_WORDS]
    sentences = dict.fromkeys([*english().plain_readings, *read_class_names(), *frequent])
    sounds = np.empty((0, model.dim), np.float32)
    if model.match is not None:
        sounds = model.match.reference.astype(np.float32)
    return General(model.embed_text(list(sentences)), sounds)


def fit_text_map(
    own: OwnVectors,
    general: General,
    config: AdaptConfig,
    *,
    clips: IntArray | None = None,
    report: Report | None = None,
) -> FloatArray:
    """`(dim, dim)`: what is to be added to the identity, for words to find the sounds that they describe.

    Args:
        own: What to learn from.
        general: What to keep.
        config: How.
        clips: Numbers of the clips to learn from; None takes all.
        report: Called after each step.
    """
    chosen = np.arange(len(own.audio)) if clips is None else np.asarray(clips)
    captions = np.flatnonzero(np.isin(own.owners, chosen))
    text, audio = torch.from_numpy(own.text), torch.from_numpy(own.audio)
    sentences, sounds = torch.from_numpy(general.sentences), torch.from_numpy(general.sounds)
    dim = text.shape[1]
    difference = torch.zeros(dim, dim, requires_grad=True)
    optimizer = torch.optim.Adam([difference], lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    generator = np.random.default_rng(config.seed)
    for step in range(config.steps):
        rows = generator.permutation(captions)[: config.batch_size]
        items = np.union1d(own.owners[rows], generator.permutation(chosen)[: config.items])
        fits = torch.from_numpy(_fits(own, rows, items))
        asked = _through(text[torch.from_numpy(rows)], difference)
        loss = _contrastive(asked, audio[torch.from_numpy(items)], sounds, fits, config.temperature)
        kept = sentences[torch.from_numpy(generator.integers(len(sentences), size=config.batch_size))]
        loss = loss + config.anchor * (kept @ difference).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if report:
            report("learning", step + 1, config.steps)
    learned: FloatArray = (config.share * difference.detach()).numpy()
    return learned


def _fits(own: OwnVectors, captions: IntArray, clips: IntArray) -> BoolArray:
    """`(captions, clips)`, True where the caption describes the clip."""
    column = np.full(len(own.audio), -1)
    column[clips] = np.arange(len(clips))
    alike = [column[own.alike[caption]] for caption in captions]
    rows, columns = np.repeat(np.arange(len(captions)), list(map(len, alike))), np.concatenate(alike)
    fits: BoolArray = np.zeros((len(captions), len(clips)), bool)
    fits[rows[columns >= 0], columns[columns >= 0]] = True
    return fits


def _through(text: Tensor, difference: Tensor) -> Tensor:
    return functional.normalize(text + text @ difference, dim=-1)


def _contrastive(asked: Tensor, items: Tensor, others: Tensor, fits: Tensor, temperature: float) -> Tensor:
    """Both directions: a caption among own and other sounds, a sound among the captions that ask for own ones.

    Args:
        asked: `(captions, dim)`.
        items: `(items, dim)` own sounds.
        others: `(others, dim)` sounds that no caption describes.
        fits: `(captions, items)`, True where the caption describes the sound.
        temperature: Of the scores.
    """
    scores = asked @ torch.cat([items, others]).T / temperature  # (caption, item and other)
    own = scores[:, : len(items)]
    there = own - scores.logsumexp(dim=1, keepdim=True)
    back = own - own.logsumexp(dim=0, keepdim=True)
    is_asked_for = fits.any(dim=0)
    found = (there * fits).sum(dim=1) / fits.sum(dim=1)
    named = (back * fits).sum(dim=0)[is_asked_for] / fits.sum(dim=0)[is_asked_for]
    return -(found.mean() + named.mean()) / 2


def _embed(
    model: Model, clips: Sequence[OwnClip], report: Report | None, say: Callable[[str], None] | None
) -> tuple[FloatArray, list[OwnClip], list[tuple[str, str]]]:
    """The vectors `(clips, dim)` of the clips that can be embedded, these clips, and the others with the reason."""
    vectors, kept, skipped = [], [], []
    for done, clip in enumerate(clips, start=1):
        try:
            if not clip.path.is_file():
                raise DecodeError(str(clip.path), "there is no such file")
            vectors.append(model.embed_file(clip.path, max_duration_s=LONGEST_S).vectors.mean(axis=0))
            kept.append(clip)
        except DecodeError as error:
            skipped.append((str(clip.path), str(error)))
            if say:
                say(f"left out: {error}")
        if report:
            report("embedding your sounds", done, len(clips))
    return unit_rows(np.array(vectors, np.float32).reshape(len(vectors), model.dim)), kept, skipped


def held_out_precision(
    own: OwnVectors, general: General, difference: FloatArray, clips: IntArray
) -> tuple[IntArray, DoubleArray, DoubleArray]:
    """How well captions of clips that were not learned from find them, among themselves and the model's sounds.

    Returns:
        For each caption the number of its clip, and the average precision at 10 before and after the map.
    """
    rows = np.flatnonzero(np.isin(own.owners, clips))
    items = np.concatenate([own.audio[clips], general.sounds])
    relevant = [np.flatnonzero(np.isin(clips, own.alike[int(row)])).tolist() for row in rows]
    asked = own.text[rows]
    before, after = (
        ranks(each, items, relevant).average_precision_at(10) for each in (asked, mapped(asked, difference))
    )
    return own.owners[rows], before, after


def _held_out(
    own: OwnVectors, general: General, config: AdaptConfig, report: Report | None
) -> tuple[IntArray, DoubleArray, DoubleArray]:
    """`held_out_precision` over tenths, each with what is learned from the other nine."""
    generator = np.random.default_rng(config.seed)
    recordings = generator.permutation(int(own.recordings.max()) + 1)
    tenths = [tenth for tenth in np.array_split(recordings, _FOLDS) if len(tenth)]
    parts, num_clips = [], 0
    for number, tenth in enumerate(tenths, start=1):
        is_out: BoolArray = np.isin(own.recordings, tenth)
        if is_out.all():
            break  # one recording has nothing to be held out of
        difference = fit_text_map(own, general, config, clips=np.flatnonzero(~is_out))
        parts.append(held_out_precision(own, general, difference, np.flatnonzero(is_out)))
        num_clips += int(is_out.sum())
        if report:
            report("measuring on held-out sounds", number, len(tenths))
        if num_clips >= _HELD_OUT:
            break
    if not parts:
        raise DataError(
            "all sounds are of one recording, so nothing can be held out to measure with; give sounds of several"
        )
    owners, before, after = (np.concatenate(each) for each in zip(*parts, strict=True))
    return owners, before, after


def _refuse_too_little(clips: Sequence[OwnClip], found: OwnSounds, *, num_skipped: int = 0) -> None:
    """Raise a DataError if there is too little to learn from."""
    aside = f"; {num_skipped} files could not be read" if num_skipped else ""
    aside += f"; {len(found.unlabelled)} sounds have no label" if found.unlabelled else ""
    if len(clips) < FEWEST_CLIPS:
        raise DataError(
            f"{len(clips)} sounds to learn from, and {FEWEST_CLIPS} are the least{aside}; give more, or search with "
            "the model as it is"
        )
    labels = {clip.label for clip in clips}
    if len(labels) == 1:
        what = "label" if found.kind == "labels" else "first caption"
        raise DataError(
            f"all {len(clips)} sounds have the {what} {labels.pop()!r}{aside}; words are learned by what tells sounds "
            "apart, so give at least two"
        )


def _facts(measured: AdaptReport, model: Model, config: AdaptConfig) -> dict[str, Any]:
    """What the card says of how the model was made; nothing of where."""
    kept = ("kind", "clips", "labels", "held_out", "before", "after", "general_cosine")
    return {
        "start": {
            "model": model.config.name, "version": model.config.version, "fingerprint": model.fingerprint,
        },
        **{key: getattr(measured, key) for key in kept},
        "gain": asdict(measured.gain),
        **asdict(config),
        **environment(),
    }  # fmt: skip
