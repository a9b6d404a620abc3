"""How well a model still finds sounds that are degraded, and queries that are worded otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek.audio.decode import probe, read_audio
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.evaluation.corruptions import DEGRADATIONS, MP3_RATES_HZ, Degradation
from soundseek.learn.evaluation.evaluate import Embedder
from soundseek.learn.evaluation.intervals import (
    Interval,
    PairedDifference,
    jackknife_interval,
    paired_bootstrap,
)
from soundseek.learn.evaluation.metrics import Ranks, ranks
from soundseek.learn.evaluation.query_variants import REWORDINGS, Rewording
from soundseek.model.spelling import Spelling

AS_IS = "as is"
CORRECTED = "the same queries as a search reads them; changed are those that still differ"
_CLIPS_AT_ONCE = 32  # degraded clips on disk at a time: 32 of 30 s are 170 MB
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Row:
    """One condition of the table; shares in [0, 1].

    Attributes:
        name: What the table calls it.
        kind: What was changed.
        says: How.
        changed: Share of the sounds or of the queries that it changes.
        mAP10: Captions to sounds, with the jackknife's 95 % interval.
        R10: The same.
        difference: mAP10 minus that of "as is" on the same captions, with the bootstrap's 95 % interval over
            sounds; None for "as is".
    """

    name: str
    kind: Literal["none", "sound", "query"]
    says: str
    changed: float
    mAP10: Interval
    R10: Interval
    difference: PairedDifference | None


@dataclass(frozen=True)
class RobustnessReport:
    """The table of one model on one split."""

    split: str
    num_clips: int
    num_captions: int
    seed: int
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def robustness(
    embedder: Embedder,
    data: Path,
    split: str = "evaluation",
    *,
    seed: int = 0,
    degradations: Sequence[Degradation] = DEGRADATIONS,
    rewordings: Sequence[Rewording] = REWORDINGS,
    on_row: Callable[[Row], None] | None = None,
) -> RobustnessReport:
    """Measure every condition, one change at a time: all sounds degraded, or all queries reworded.

    Degraded sounds are written to files and heard from there, so that decoding and resampling are those of a user.
    Misspelt queries are asked twice where the model has a list of words: as they are, and corrected as a search does.

    Args:
        embedder: What to measure.
        data: A directory in Clotho's layout.
        split: One of its splits.
        seed: Of noise, rooms and typing errors; each clip and each query has its own generator.
        degradations: What happens to the sounds.
        rewordings: What happens to the queries.
        on_row: Called with each finished row, "as is" first.

    Raises:
        DataError: The split is incomplete.
        DecodeError: A sound cannot be heard.
    """
    clips = read_split(data, split)
    captions = [caption for clip in clips for caption in clip.captions]
    own = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    audio, text = embedder.embed_audio([clip.path for clip in clips]), embedder.embed_text(captions)
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        if on_row:
            on_row(row)

    plain = ranks(text, audio, own)
    add(_row(AS_IS, "none", "the sounds and the captions of the data", 0.0, plain, None, own))
    for degradation in degradations:
        heard, changed = _embed_degraded(embedder, clips, degradation, seed)
        found = ranks(text, heard, own)
        add(_row(degradation.name, "sound", degradation.says, changed, found, plain, own))
    spelling = Spelling.of(embedder)
    for name, says, asked in _askings(captions, rewordings, spelling, seed):
        changed = float(np.mean([a != b for a, b in zip(asked, captions, strict=True)]))
        found = ranks(embedder.embed_text(asked), audio, own)
        add(_row(name, "query", says, changed, found, plain, own))
    return RobustnessReport(split, len(clips), len(captions), seed, tuple(rows))


def reworded(captions: Sequence[str], rewording: Rewording, *, seed: int, number: int = 0) -> list[str]:
    """Every caption in other words; a caption's typing error depends on its place in the split alone."""
    return [
        rewording.reword(caption, np.random.default_rng([seed, number, place]))
        for place, caption in enumerate(captions)
    ]


def _askings(
    captions: Sequence[str], rewordings: Sequence[Rewording], spelling: Spelling, seed: int
) -> Iterator[tuple[str, str, list[str]]]:
    """Name, explanation and queries of each rewording; misspelt ones also as a search corrects them."""
    for number, rewording in enumerate(rewordings):
        asked = reworded(captions, rewording, seed=seed, number=number)
        yield rewording.name, rewording.says, asked
        if rewording.is_misspelt and spelling:
            yield f"{rewording.name}, corrected", CORRECTED, [spelling.corrected(query) for query in asked]


def write_degraded(
    clip: Path, degradation: Degradation, stem: Path, generator: np.random.Generator
) -> tuple[Path, bool]:
    """Write a degraded copy of a sound, and say whether it differs from the sound.

    The sound keeps its own sample rate, or takes the next lower one that mp3 has.

    Args:
        clip: The sound.
        degradation: What happens to it.
        stem: The copy's path without its suffix.
        generator: Of everything random.

    Raises:
        DecodeError: The sound cannot be heard.
    """
    own_hz = probe(clip).sample_rate_hz
    rate_hz = max((rate for rate in MP3_RATES_HZ if rate <= own_hz), default=MP3_RATES_HZ[0])
    waveform = read_audio(clip, sample_rate_hz=rate_hz)
    changed, played_hz = degradation.change(waveform, rate_hz, generator)
    path = stem.with_name(stem.name + degradation.suffix)
    degradation.write(path, changed, played_hz)
    is_wave = degradation.suffix == ".wav"
    return path, not (is_wave and played_hz == rate_hz and np.array_equal(changed, waveform))


def _embed_degraded(
    embedder: Embedder, clips: Sequence[Clip], degradation: Degradation, seed: int
) -> tuple[FloatArray, float]:
    """`(clips, dim)`, and the share of the clips that differ."""
    vectors: list[FloatArray] = []
    differ: list[bool] = []
    for start in range(0, len(clips), _CLIPS_AT_ONCE):
        with tempfile.TemporaryDirectory(prefix="soundseek-robustness-") as folder:
            written = list(_written(clips, start, degradation, Path(folder), seed))
            vectors.append(embedder.embed_audio([path for path, _ in written]))
            differ += [different for _, different in written]
    return np.concatenate(vectors), float(np.mean(differ))


def _written(
    clips: Sequence[Clip], start: int, degradation: Degradation, folder: Path, seed: int
) -> Iterator[tuple[Path, bool]]:
    for number, clip in enumerate(clips[start : start + _CLIPS_AT_ONCE], start=start):
        generator = np.random.default_rng([seed, number])
        yield write_degraded(clip.path, degradation, folder / f"{number}", generator)


def _row(
    name: str,
    kind: Literal["none", "sound", "query"],
    says: str,
    changed: float,
    found: Ranks,
    plain: Ranks | None,
    own: npt.NDArray[np.int64],
) -> Row:
    precision = found.average_precision_at(10)
    difference = None
    if plain is not None:
        generator = np.random.default_rng(_BOOTSTRAP_SEED)
        difference = paired_bootstrap(precision, plain.average_precision_at(10), generator, groups=own)
    return Row(
        name,
        kind,
        says,
        changed,
        jackknife_interval(precision),
        jackknife_interval(found.recall_at(10)),
        difference,
    )
