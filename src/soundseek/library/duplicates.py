"""Recordings that are there more than once: in another format, rate or level, trimmed, or inside a longer file.

Two stages. Vectors propose: of every file those whose whole is nearest, and the longer files that have a stretch like
it. Vectors of two takes of one thing are as near as those of a sound and its copy, so sound decides: the two waveforms
are laid over each other at every offset, and `score` is the highest correlation. A copy, however it was encoded, is the
same waveform, while two takes never are, even of one drum. It is read at the lower of both rates, at most 16 kHz, and
differentiated, so that a hum in common counts little. The threshold is measured (scripts/duplicates_accuracy.py).
Outlines come first: three narrow bands, one in each of three ranges of pitch, so that neither a low cut nor a hum nor
what an encoder leaves out hides a copy. Few files that are no copies are alike in any of them.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from soundseek._typing import AnyArray, AnyFloatArray, DoubleArray, FloatArray
from soundseek._vectors import unit_rows
from soundseek.audio.decode import open_audio
from soundseek.errors import SoundseekError

if TYPE_CHECKING:
    from soundseek.library.store.base import SoundFile, Store

MIN_SCORE = 0.45
"""Least correlation of two waveforms that are one recording."""

_NEAREST, _LONGER = 8, 16  # candidates of a file: by its whole, and by a stretch of a longer file
_LEAST_COSINE = 0.3
_MISSES = 4  # candidates in a row that are no copies: those that are farther away are none either
_WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 31)  # frames; 31 are ten seconds
_BLOCK_ROWS = 8_192
_FRAMES_AT_ONCE = 65_536  # 128 MB of sums
_MOST_RATE_HZ = 16_000
_EXCERPT_S = 6.0
_AROUND_S = 60.0
_WHOLE_S = 240.0
_LEAST_S = 0.05
_SAME_LENGTH = 0.9
_PADDING_S = 0.15  # what encoders put before a sound, at the most: 1,105 samples at 8 kHz

_BAND_HZ = 500
_RANGES_HZ = ((0, 1_000), (1_000, 4_000), (4_000, 8_000))
_LEAST_OUTLINE_S = 0.5  # shorter sounds have too few samples in a band, and are soon compared
# A part of `min_score`. Of 195 copies of scripts/duplicates_accuracy.py (the first twenty clips) the outlines correlate
# by 0.68 and more; of 300 pairs of clips with one label in one set 29 by more than this.
_OUTLINE_SHARE = 0.45

_MOST_KEPT_BYTES = 64 << 20
_MOST_OUTLINE_BYTES = 128 << 20  # of some 80 sounds of 25 s; a sound is compared with 24 others at most

# Two tones, or two thumps, correlate by much whoever made them: there is little in them that could differ. Where the
# spectra that two sounds share have fewer components than these, a correlation must reach at least so much.
_LEAST_OF_FEW = ((5, 0.85), (70, 0.62))

Kind = Literal["identical", "copy", "part", "contains", "overlap"]
Surety = Literal["sure", "likely", "maybe"]
_LEAST_OF_SURETY: tuple[tuple[float, Surety], ...] = ((0.6, "sure"), (0.5, "likely"), (0.0, "maybe"))


def surety(score: float) -> Surety:
    """How sure it is that two files of such a score are one recording (scripts/duplicates_accuracy.py measures it).

    >>> [surety(score) for score in (0.98, 0.55, 0.46)]
    ['sure', 'likely', 'maybe']
    """
    return next(word for least, word in _LEAST_OF_SURETY if score >= least)


@dataclass(frozen=True)
class Duplicate:
    """A file that is there more than once.

    Attributes:
        path: The file.
        kind: "identical": the same bytes; "copy": the same recording; "part": it lies inside a longer file;
            "contains": it is the longer one, which holds all of `of` and more; "overlap": a stretch is in both files,
            and each has more than that.
        of: The file that it is a copy or a part of, or shares a stretch with; of the first of a group, itself.
        score: Correlation of the two waveforms, 0 to 1.
        surety: The same in a word: "sure" from 0.6 on, "likely" from 0.5 on, "maybe" below.
        start_s: Where it begins in `of`; below 0 where `of` begins so much later.
        end_s: Where it ends there; above the length of `of` where that ends earlier.
        duration_s: Its length.
        format: "WAV", "OGG/VORBIS" ...
        sample_rate_hz: Its rate.
        size_bytes: Its size.
    """

    path: str
    kind: Kind
    of: str
    score: float
    surety: Surety
    start_s: float
    end_s: float
    duration_s: float
    format: str
    sample_rate_hz: int
    size_bytes: int


@dataclass(frozen=True)
class DuplicateGroup:
    """Files that hold one recording; the longest comes first, of equally long ones that of the highest rate."""

    files: tuple[Duplicate, ...]


@dataclass(frozen=True)
class Candidates:
    """What vectors propose, each content once.

    Attributes:
        files: The files.
        whole: Of each, the files of which the whole is nearest, the nearest first.
        longer: Of each, the longer files that have a stretch like it, and where that begins, in seconds.
    """

    files: list[SoundFile]
    whole: list[list[tuple[int, None]]]
    longer: list[list[tuple[int, float]]]


def find_duplicates(
    store: Store,
    *,
    min_score: float = MIN_SCORE,
    progress: Callable[[int, int], None] | None = None,
) -> list[DuplicateGroup]:
    """The groups of a library's files that hold one recording, the largest groups first; nothing is changed.

    A file that is not there now, or cannot be read, is compared by its bytes' hash alone.

    Args:
        store: The library's.
        min_score: Least correlation of two waveforms.
        progress: Is told how many files are done, and of how many.
    """
    by_content: dict[bytes, list[SoundFile]] = defaultdict(list)
    for file in store.files():
        by_content[file.content_hash].append(file)
    found = propose(store)
    compared: dict[tuple[int, int], tuple[float, float]] = {}
    waveforms = KeptWaveforms()
    for done, number in enumerate(_neighbours_together(found), 1):
        lists: tuple[Sequence[tuple[int, float | None]], ...] = (found.whole[number], found.longer[number])
        for others in lists:
            _compare_in_order(found.files, number, others, compared, waveforms, min_score)
        if progress is not None and (done % 50 == 0 or done == len(found.files)):
            progress(done, len(found.files))
    matched = [
        (score, shorter, longer, start_s)
        for (shorter, longer), (score, start_s) in compared.items()
        if score >= min_score
    ]
    groups = [
        _group(numbers, found.files, matched, by_content)
        for numbers in _connected(len(found.files), [(a, b) for _, a, b, _ in matched])
    ]
    return sorted(
        (group for group in groups if len(group.files) > 1),
        key=lambda group: (-len(group.files), group.files[0].path),
    )


def _neighbours_together(found: Candidates) -> Iterator[int]:
    """Every file, after each its candidates, so that what was read of them is still kept.

    >>> nobody = [[], [], []]
    >>> list(_neighbours_together(Candidates([None] * 3, [[(2, None)], [], []], nobody)))
    [0, 2, 1]
    """
    seen = [False] * len(found.files)
    for first in range(len(found.files)):
        waiting = [first]
        while waiting:
            number = waiting.pop()
            if not seen[number]:
                seen[number] = True
                yield number
                near = [other for other, _ in found.whole[number]] + [
                    other for other, _ in found.longer[number]
                ]
                waiting.extend(reversed(near))


def _compare_in_order(
    files: Sequence[SoundFile],
    number: int,
    others: Sequence[tuple[int, float | None]],
    compared: dict[tuple[int, int], tuple[float, float]],
    waveforms: KeptWaveforms,
    min_score: float,
) -> None:
    """Compare a file with its candidates, the nearest first, until several in a row are no copies."""
    misses = 0
    for other, around_s in others:
        second, first = sorted((number, other), key=lambda each: _place_in_group(files[each]))
        if (first, second) not in compared:
            place_s = around_s if first == number else None
            compared[first, second] = compare_waveforms(
                files[first], files[second], place_s, waveforms=waveforms, min_score=min_score
            )
        misses = 0 if compared[first, second][0] >= min_score else misses + 1
        if misses == _MISSES:
            return


def propose(store: Store) -> Candidates:
    """Of every file those of which the vectors are near."""
    files, means = store.file_means()
    first: dict[bytes, int] = {}
    for number, file in enumerate(files):
        first.setdefault(file.content_hash, number)
    kept = sorted(first.values())
    files, means = [files[number] for number in kept], means[kept]
    return Candidates(files, _nearest_files(means), _nearest_stretches(store, files))


def _nearest_files(means: FloatArray) -> list[list[tuple[int, None]]]:
    """Of every file those whose whole is nearest."""
    found: list[list[tuple[int, None]]] = []
    k = min(_NEAREST, len(means) - 1)
    for at in range(0, len(means), 1_024):
        cosines = means[at : at + 1_024] @ means.T
        cosines[np.arange(len(cosines)), np.arange(at, at + len(cosines))] = -1.0
        for row in cosines:
            best = np.argpartition(-row, k - 1)[:k] if k > 0 else np.empty(0, np.int64)
            ordered = best[np.argsort(-row[best], kind="stable")]
            found.append([(int(other), None) for other in ordered if row[other] >= _LEAST_COSINE])
    return found


def _nearest_stretches(store: Store, files: Sequence[SoundFile]) -> list[list[tuple[int, float]]]:
    """Of every file the longer ones that have a stretch like it, and where that begins in seconds."""
    frames = store.frames_of([file.path for file in files])
    found: list[list[tuple[int, float]]] = [[] for _ in files]
    of_width: dict[int, list[int]] = defaultdict(list)
    for number, own in enumerate(frames):
        if len(own):
            of_width[min(_WINDOWS, key=lambda width: abs(width - len(own)))].append(number)
    probes = [_Probes(width, numbers, frames) for width, numbers in of_width.items()]
    for sums in _running_sums(frames):
        for each in probes:
            each.look_through(sums)
    for each in probes:
        for number, best in zip(each.numbers, each.best, strict=True):
            found[number] = [(longer, first_frame * files[longer].frame_s) for _, longer, first_frame in best]
    return found


class _Probes:
    """Files of about one length, and of each the longer files that have the stretches most like it.

    Attributes:
        numbers: The files.
        best: Of each, cosine, longer file and first frame of its stretch, the most like first.
    """

    def __init__(self, width: int, numbers: list[int], frames: Sequence[AnyFloatArray]) -> None:
        self.numbers = numbers
        self.best: list[list[tuple[float, int, int]]] = [[] for _ in numbers]
        self._width, self._hop = width, max(1, width // 3)
        middles = [_middle(frames[number]).mean(axis=0) for number in numbers]
        self._vectors = unit_rows(np.array(middles, np.float32))
        self._lengths = np.array([len(frames[number]) for number in numbers])
        # The least cosine that still comes among the best of each.
        self._least = np.full(len(numbers), _LEAST_COSINE, np.float32)

    def look_through(self, sums: Sequence[tuple[int, FloatArray]]) -> None:
        """Compare with every window of some files: numbers, and the running sums of their frames."""
        least_frames = max(self._width, 1.2 * self._lengths.min())
        windows: list[FloatArray] = []
        owners: list[tuple[int, int]] = []
        rows = 0
        for number, own in sums:
            if len(own) - 1 < least_frames:
                continue
            starts = np.arange(0, len(own) - self._width, self._hop)
            windows.append(own[starts + self._width] - own[starts])
            owners.append((number, len(own) - 1))
            rows += len(starts)
            if rows >= _BLOCK_ROWS:
                self._compare(windows, owners)
                windows, owners, rows = [], [], 0
        if windows:
            self._compare(windows, owners)

    def _compare(self, windows: Sequence[FloatArray], owners: Sequence[tuple[int, int]]) -> None:
        cosines = unit_rows(np.concatenate(windows)) @ self._vectors.T  # (windows, probes)
        ends = np.cumsum([len(rows) for rows in windows])
        starts = np.concatenate([[0], ends[:-1]])
        highest = np.maximum.reduceat(cosines, starts, axis=0)  # (files, probes)
        is_longer = np.array([length for _, length in owners])[:, None] > 1.2 * self._lengths
        highest[~is_longer] = -1.0
        for column in np.flatnonzero((highest >= self._least).any(axis=0)):
            for row in np.argsort(-highest[:, column], kind="stable")[:_LONGER]:
                if highest[row, column] < self._least[column]:
                    break
                window = int(cosines[starts[row] : ends[row], column].argmax())
                place = float(highest[row, column]), owners[row][0], window * self._hop
                self.best[column].append(place)
            self.best[column] = sorted(self.best[column], reverse=True)[:_LONGER]
            if len(self.best[column]) == _LONGER:
                self._least[column] = self.best[column][-1][0]


def _middle(frames: AnyFloatArray) -> FloatArray:
    """The ten seconds in the middle of a file's frames; all of a shorter one's."""
    first = max(0, (len(frames) - _WINDOWS[-1]) // 2)
    return np.asarray(frames[first : first + _WINDOWS[-1]], np.float32)


def _running_sums(frames: Sequence[AnyFloatArray]) -> Iterator[list[tuple[int, FloatArray]]]:
    """Of some files at a time the number and `(1 + frames, dim)`, whose differences are the sums of windows."""
    some: list[tuple[int, FloatArray]] = []
    rows = 0
    for number, own in enumerate(frames):
        sums = np.zeros((len(own) + 1, *own.shape[1:]), np.float32)
        np.cumsum(own, axis=0, dtype=np.float32, out=sums[1:])
        some.append((number, sums))
        rows += len(sums)
        if rows >= _FRAMES_AT_ONCE:
            yield some
            some, rows = [], 0
    if some:
        yield some


def compare_waveforms(
    shorter: SoundFile,
    longer: SoundFile,
    around_s: float | None = None,
    *,
    waveforms: KeptWaveforms | None = None,
    min_score: float = MIN_SCORE,
) -> tuple[float, float]:
    """The highest correlation of two files over all offsets, and where the shorter one then begins in the longer.

    Below 0 is where it begins before the longer one does, by more than an encoder puts before a sound.
    Of a sound of more than nine seconds the loudest six are looked for. Where the outlines are nowhere alike, what is
    told is the highest correlation of these, and no place. Of sounds as poor as a tone or a thump, which any other like
    them resembles, what is less than a copy's correlation is told as 0.

    Args:
        shorter: A file.
        longer: Another one, no shorter.
        around_s: Where in the longer one it is expected, in seconds; None: anywhere, of a very long one near the same
            time.
        waveforms: Where they are read from; files of many pairs are read once.
        min_score: Correlations below are of no interest.
    """
    kept = waveforms or KeptWaveforms()
    rate_hz = min(_MOST_RATE_HZ, shorter.sample_rate_hz, longer.sample_rate_hz)
    whole = shorter.path, rate_hz, 0.0, math.inf if shorter.duration_s <= _WHOLE_S else _WHOLE_S
    if min(shorter.duration_s, longer.duration_s) >= _LEAST_OUTLINE_S:
        outline = kept.outline(*whole)
        likeness = outline.likeness(
            kept.outline(longer.path, rate_hz, *_searched(longer, around_s, outline.loudest_s))
        )
        if likeness < _OUTLINE_SHARE * min_score:
            return likeness, 0.0
    edges = kept.read(*whole)
    pattern, begins_s = _loudest(edges, rate_hz)
    start_s, end_s = _searched(longer, around_s, begins_s)
    text = kept.read(longer.path, rate_hz, start_s, end_s)
    if min(len(pattern), len(text)) < _LEAST_S * rate_hz - 1:  # of first differences there is one less
        return 0.0, 0.0
    score, offset = _overlay(pattern, text)
    if score >= min_score and _is_of_chance(score, pattern[max(0, -offset) :], text[max(0, offset) :]):
        return 0.0, 0.0
    place_s = start_s + offset / rate_hz - begins_s
    return score, 0.0 if -_PADDING_S <= place_s < 0 else place_s


def _is_of_chance(score: float, one: FloatArray, other: FloatArray) -> bool:
    """Whether two sounds `(n,)` and `(m,)` that begin together are too poor for such a correlation to mean a copy."""
    length = min(len(one), len(other))
    powers = [np.abs(np.fft.rfft(each[:length].astype(np.float64))) ** 2 for each in (one, other)]
    shared = float(powers[0] @ powers[1])
    # The variance of a correlation of two sounds that have nothing but their spectra in common is one by this.
    components = float(powers[0].sum() * powers[1].sum()) / shared if shared > 0 else math.inf
    return any(components < most and score < least for most, least in _LEAST_OF_FEW)


def _searched(longer: SoundFile, around_s: float | None, begins_s: float) -> tuple[float, float]:
    """The stretch of a file where one is looked for that begins so far into another sound."""
    if longer.duration_s <= _WHOLE_S:
        return 0.0, math.inf
    expected_s = begins_s if around_s is None else around_s + begins_s
    return max(0.0, expected_s - _AROUND_S), expected_s + _EXCERPT_S + _AROUND_S


def _overlay(pattern: AnyArray, text: AnyArray) -> tuple[float, int]:
    """`correlate`, whichever is longer: a copy may be some samples shorter, or its length was rounded."""
    if len(pattern) <= len(text):
        return correlate(pattern, text)
    score, offset = correlate(text, pattern)
    return score, -offset


def correlate(pattern: AnyArray, text: AnyArray) -> tuple[float, int]:
    """The highest absolute correlation of a pattern `(m,)` and a stretch of a text `(n,)`, n >= m; where it begins.

    Both are real, or both complex.

    >>> score, start = correlate(np.array([1.0, -2.0, 1.0]), np.array([0.0, 0.0, 2.0, -4.0, 2.0, 0.0]))
    >>> round(score, 6), start
    (1.0, 2)
    """
    # What wraps around lands before the first whole overlap.
    size = _fast_length(len(text))
    # numpy keeps 32 bits only where it divides by the size.
    is_complex = np.iscomplexobj(text)
    forward, back = (np.fft.fft, np.fft.ifft) if is_complex else (np.fft.rfft, np.fft.irfft)
    turned, whole = (
        forward(np.asarray(samples, np.complex64 if is_complex else np.float32), size, norm="forward")
        for samples in (pattern[::-1].conj(), text)
    )
    products = back(turned * whole, size)[len(pattern) - 1 : len(text)] * float(size) ** 2
    sums = np.concatenate([[0.0], np.cumsum(_power(text))])
    energy = sums[len(pattern) :] - sums[: -len(pattern)]
    own = float(_power(pattern).sum())
    # Below a millionth of the loudest stretch there is nothing but the rounding of the sums.
    energy = np.maximum(energy, max(1e-6 * float(energy.max()), 1e-12))
    correlation = np.abs(products) / np.sqrt(max(own, 1e-12) * energy)
    best = int(correlation.argmax())
    return min(1.0, float(correlation[best])), best


def _power(samples: AnyArray) -> DoubleArray:
    """The squares of real samples, or of the absolute values of complex ones."""
    power: DoubleArray = np.asarray(samples.real, np.float64) ** 2
    if np.iscomplexobj(samples):
        power += np.asarray(samples.imag, np.float64) ** 2
    return power


def _fast_length(least: int) -> int:
    """The smallest product of powers of 2, 3 and 5 that is no less: a Fourier transform of it is fast.

    >>> _fast_length(7), _fast_length(480_001)
    (8, 486000)
    """
    best = 1 << (least - 1).bit_length()
    fives = 1
    while fives < best:
        odd = fives
        while odd < best:
            best = min(best, odd << max(0, -(-least // odd) - 1).bit_length())
            odd *= 3
        fives *= 5
    return best


@dataclass(frozen=True)
class Outline:
    """A sound in bands, each sampled as thinly as its width allows.

    Attributes:
        bands: `(bands, samples)`, complex: the lowest first, each shifted down to zero.
        energy: `(bands,)`.
        band_hz: Width of a band, and its sampling rate.
        loudest_s: Where the six seconds of most energy begin.
    """

    bands: NDArray[np.complex64]
    energy: DoubleArray
    band_hz: float
    loudest_s: float

    @property
    def nbytes(self) -> int:
        return self.bands.nbytes

    def likeness(self, other: Outline) -> float:
        """The highest correlation of the loudest six seconds and another outline, over a band of each range."""
        first = round(self.loudest_s * self.band_hz)
        excerpt = self.bands[:, first:]
        if self.bands.shape[1] > 1.5 * _EXCERPT_S * self.band_hz:
            excerpt = excerpt[:, : round(_EXCERPT_S * self.band_hz)]
        if not excerpt.size or not other.bands.size:
            return 0.0
        highest = 0.0
        for low_hz, high_hz in _RANGES_HZ:
            inside = slice(round(low_hz / self.band_hz), round(high_hz / self.band_hz))
            own, others = self.energy[inside], other.energy[inside]
            if len(own) and own.max() > 0 and others.max() > 0:
                # The band that both have most of, as parts of the range.
                band = inside.start + int(np.minimum(own / own.max(), others / others.max()).argmax())
                highest = max(highest, _overlay(excerpt[band], other.bands[band])[0])
        return highest


def outline_of(edges: FloatArray, rate_hz: int) -> Outline:
    """The outline of a sound of which the first differences `(n,)` are given, and their rate.

    >>> outline_of(np.ones(16_000, np.float32), 16_000).bands.shape
    (16, 500)
    """
    num_bands = max(1, round(rate_hz / 2 / _BAND_HZ))
    length = -(-len(edges) // (2 * num_bands))
    if not length:
        return Outline(np.empty((num_bands, 0), np.complex64), np.zeros(num_bands), _BAND_HZ, 0.0)
    padded = _fast_length(length)
    spectrum = np.fft.rfft(edges, 2 * num_bands * padded, norm="forward")[:-1]
    bands = np.fft.ifft(spectrum.reshape(num_bands, padded), norm="forward")[:, :length].astype(np.complex64)
    return Outline(bands, _power(bands).sum(axis=1), rate_hz / 2 / num_bands, _loudest(edges, rate_hz)[1])


class KeptWaveforms:
    """The first differences of files and their outlines, the last ones that were used kept in memory."""

    def __init__(self) -> None:
        self._waveforms: _LastUsed[FloatArray] = _LastUsed(_MOST_KEPT_BYTES)
        self._outlines: _LastUsed[Outline] = _LastUsed(_MOST_OUTLINE_BYTES)

    def read(self, path: str, rate_hz: int, start_s: float, end_s: float) -> FloatArray:
        """A stretch of a file at a rate, empty where it cannot be read (any more)."""
        wanted = path, rate_hz, start_s, end_s
        return self._waveforms.get(wanted, lambda: _read_edges(*wanted))

    def outline(self, path: str, rate_hz: int, start_s: float, end_s: float) -> Outline:
        """Its outline."""
        wanted = path, rate_hz, start_s, end_s
        return self._outlines.get(wanted, lambda: outline_of(self.read(*wanted), rate_hz))


class _HasBytes(Protocol):
    @property
    def nbytes(self) -> int: ...


_Kept = TypeVar("_Kept", bound=_HasBytes)


class _LastUsed(Generic[_Kept]):
    """What was made of stretches of files; those that were not asked for longest are dropped."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._num_bytes = 0
        self._kept: dict[tuple[str, int, float, float], _Kept] = {}

    def get(self, wanted: tuple[str, int, float, float], make: Callable[[], _Kept]) -> _Kept:
        known = self._kept.pop(wanted, None)
        if known is None:
            known = make()
            self._num_bytes += known.nbytes
        self._kept[wanted] = known  # the last one used stands last
        while self._num_bytes > self._most_bytes and len(self._kept) > 1:
            self._num_bytes -= self._kept.pop(next(iter(self._kept))).nbytes
        return known


def _read_edges(path: str, rate_hz: int, start_s: float, end_s: float) -> FloatArray:
    first, last = round(start_s * rate_hz), math.inf if math.isinf(end_s) else round(end_s * rate_hz)
    blocks: list[FloatArray] = []
    at = 0
    try:
        with open_audio(path, sample_rate_hz=rate_hz, max_duration_s=end_s) as stream:
            for block in stream:
                blocks.append(block[max(0, first - at) :])
                at += len(block)
                if at >= last:
                    break
    except (SoundseekError, OSError):
        return np.empty(0, np.float32)
    samples = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
    return np.diff(samples).astype(np.float32)


def _loudest(samples: FloatArray, rate_hz: float) -> tuple[FloatArray, float]:
    """The six seconds of most energy, and where they begin; all of a shorter sound."""
    width = round(_EXCERPT_S * rate_hz)
    if len(samples) <= 1.5 * width:
        return samples, 0.0
    sums = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    start = int((sums[width:] - sums[:-width]).argmax())
    return samples[start : start + width], start / rate_hz


def _connected(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The numbers below `count` in groups that pairs connect."""
    leader = list(range(count))

    def leader_of(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    for one, other in pairs:
        leader[leader_of(other)] = leader_of(one)
    groups: dict[int, list[int]] = defaultdict(list)
    for number in range(count):
        groups[leader_of(number)].append(number)
    return list(groups.values())


def _group(
    numbers: Sequence[int],
    files: Sequence[SoundFile],
    matched: Sequence[tuple[float, int, int, float]],
    by_content: dict[bytes, list[SoundFile]],
) -> DuplicateGroup:
    inside = set(numbers)
    ordered = sorted(inside, key=lambda number: _place_in_group(files[number]))
    places = {number: place for place, number in enumerate(ordered)}
    best: dict[int, tuple[float, int, float]] = {}
    # Of files that are alike as much, the first of the group is the one that others are copies of.
    for score, shorter, longer, start_s in sorted(
        (match for match in matched if match[1] in inside),
        key=lambda match: (-round(match[0], 3), places[match[2]]),
    ):
        best.setdefault(shorter, (score, longer, start_s))
    first = ordered[0]
    for score, shorter, longer, start_s in sorted(matched, key=lambda match: -match[0]):
        if (
            longer in inside and longer != first and longer not in best
        ):  # it is here for what it has in common with one
            best[longer] = (score, shorter, -start_s)
    shown: list[Duplicate] = []
    for number in ordered:
        file = files[number]
        score, of, start_s = best.get(number, (1.0, number, 0.0))
        kind = kind_of_duplicate(file.duration_s, files[of].duration_s, start_s)
        shown.append(_duplicate(file, kind, files[of].path, score, start_s))
        for same in by_content[file.content_hash]:
            if same.path != file.path:
                shown.append(_duplicate(same, "identical", file.path, 1.0, 0.0))
    return DuplicateGroup(tuple(shown))


def kind_of_duplicate(duration_s: float, of_duration_s: float, start_s: float) -> Kind:
    """How a file belongs to another one in which it begins at `start_s`, by what of both lies over the other.

    >>> [kind_of_duplicate(*each) for each in ((10, 10, 0), (2, 60, 5), (60, 2, -5), (60, 50, -40), (10, 9.5, -0.5))]
    ['copy', 'part', 'contains', 'overlap', 'contains']
    """
    shared_s = min(start_s + duration_s, of_duration_s) - max(start_s, 0.0)
    is_inside, holds_all = (shared_s >= _SAME_LENGTH * length_s for length_s in (duration_s, of_duration_s))
    if holds_all and (not is_inside or (start_s < -_PADDING_S and duration_s > of_duration_s)):
        return "contains"
    if is_inside:
        return "copy" if holds_all else "part"
    return "overlap"


def _place_in_group(file: SoundFile) -> tuple[float, int, str]:
    """What a group is sorted by: the longest, of equally long ones that of the highest rate, then by path."""
    return -file.duration_s, -file.sample_rate_hz, file.path


def _duplicate(file: SoundFile, kind: Kind, of: str, score: float, start_s: float) -> Duplicate:
    return Duplicate(
        path=file.path,
        kind=kind,
        of=of,
        score=round(score, 4),
        surety=surety(score),
        start_s=round(start_s, 3),
        end_s=round(start_s + file.duration_s, 3),
        duration_s=file.duration_s,
        format=file.format,
        sample_rate_hz=file.sample_rate_hz,
        size_bytes=file.size_bytes,
    )


def duplicates_record(group: DuplicateGroup) -> dict[str, Any]:
    """A group as JSON sees it."""
    return {"files": [asdict(file) for file in group.files]}


def duplicates_csv(groups: Sequence[DuplicateGroup]) -> str:
    """Groups as CSV, a row for each file, with the number of its group; the first of a group is a copy of none."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = list(Duplicate.__dataclass_fields__)
    rows.writerow(["group", *names])
    for number, group in enumerate(groups, 1):
        for place, file in enumerate(group.files):
            of_none = {"kind": "", "of": ""} if place == 0 else {}
            rows.writerow([number, *(of_none.get(name, getattr(file, name)) for name in names)])
    return text.getvalue()
