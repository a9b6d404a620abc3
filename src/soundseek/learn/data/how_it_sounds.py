"""Copies of a clip that sound otherwise, and the words for that: muffled, distant, in a big hall, fast, three times.

Labels say what sounds, hardly ever how. So a copy is made in the waveform, its captions get the adjective, and the clip
as it is stands beside it in the batch: it is the one that the adjective does not fit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from soundseek._typing import AnyFloatArray, FloatArray

_Change = Callable[[FloatArray, int, np.random.Generator], FloatArray]

EVENT_S = 0.6  # of a sound that is repeated
LONGEST_EVENT_CLIP_S = 4.0  # a longer clip is rarely one event


class Manner(NamedTuple):
    """A way to sound.

    Attributes:
        change: Waveform `(samples,)`, sample rate in Hz and generator -> the waveform in this manner.
        adjectives: Said before the sound.
        endings: Said behind it.
        opposites: Said before the sound as it was; "" where nothing is.
        repeats: Is made of one event, so only of short clips.
    """

    change: _Change
    adjectives: tuple[str, ...]
    endings: tuple[str, ...]
    opposites: tuple[str, ...]
    repeats: bool = False


def muffle(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """As through a wall: 12 to 24 dB an octave less above 350 to 1,500 Hz."""
    cutoff_hz, order = _log_uniform(generator, 350, 1500), int(generator.integers(2, 5))
    return _filtered(waveform, sample_rate_hz, lambda f: 1 / np.sqrt(1 + (f / cutoff_hz) ** (2 * order)))


def darken(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """Less treble: 3 to 7 dB an octave less above 300 Hz."""
    return _tilted(waveform, sample_rate_hz, -generator.uniform(3, 7))


def brighten(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """More treble: 3 to 7 dB an octave more above 300 Hz."""
    return _tilted(waveform, sample_rate_hz, generator.uniform(3, 7))


def telephone(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """Nothing below 300 to 600 Hz and above 2.5 to 4 kHz."""
    low_hz, high_hz = generator.uniform(300, 600), generator.uniform(2500, 4000)

    def gain(f: FloatArray) -> AnyFloatArray:
        passed: AnyFloatArray = 1 / np.sqrt((1 + (low_hz / np.maximum(f, 1)) ** 8) * (1 + (f / high_hz) ** 8))
        return passed

    return _filtered(waveform, sample_rate_hz, gain)


def in_hall(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """In a room that falls by 60 dB in 1.2 to 4 s, up to 8 dB louder than the direct sound; with its end."""
    return _with_room(
        waveform,
        sample_rate_hz,
        generator,
        decay_s=generator.uniform(1.2, 4.0),
        wet_db=generator.uniform(-2, 8),
    )


def from_afar(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """Little treble, more room than direct sound, and the air of the place 12 to 30 dB below."""
    cutoff_hz = _log_uniform(generator, 900, 3000)
    far = _filtered(waveform, sample_rate_hz, lambda f: 1 / (1 + (f / cutoff_hz) ** 2))
    far = _with_room(
        far, sample_rate_hz, generator, decay_s=generator.uniform(0.4, 1.6), wet_db=generator.uniform(0, 8)
    )
    noise = generator.standard_normal(len(far), np.float32)
    air = _filtered(noise, sample_rate_hz, lambda f: 1 / (1 + f / 200))
    level_db = generator.uniform(-30, -12)
    louder = _rms(far) / max(_rms(air), 1e-9) * 10 ** (level_db / 20)
    mixed: FloatArray = (far + air * np.float32(louder)) * np.float32(0.1)
    return mixed


def slowly(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """One event three to five times, every 0.9 to 1.5 s."""
    return _repeated(waveform, sample_rate_hz, int(generator.integers(3, 6)), generator.uniform(0.9, 1.5))


def fast(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """One event eight to twenty times, every 0.1 to 0.2 s."""
    return _repeated(waveform, sample_rate_hz, int(generator.integers(8, 21)), generator.uniform(0.1, 0.2))


def once(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """One event, and up to two seconds of silence."""
    return _repeated(waveform, sample_rate_hz, 1, generator.uniform(0.6, 2.0))


def three_times(waveform: FloatArray, sample_rate_hz: int, generator: np.random.Generator) -> FloatArray:
    """One event three times, every 0.35 to 0.6 s."""
    return _repeated(waveform, sample_rate_hz, 3, generator.uniform(0.35, 0.6))


MANNERS: dict[str, Manner] = {
    "muffled": Manner(
        muffle,
        ("muffled", "dull", "dampened"),
        ("through a wall", "behind a closed door", "muffled", "from the next room"),
        ("clear", "crisp"),
    ),
    "distant": Manner(
        from_afar,
        ("distant", "faraway", "faint"),
        ("in the distance", "far away", "from afar", "in the far background"),
        ("nearby", "close", "close-up"),
    ),
    "reverberant": Manner(
        in_hall,
        ("reverberant", "echoing", "reverberating"),
        ("in a big hall", "in a large empty room", "with a lot of reverb", "in a church", "with echo", "in a tunnel"),
        ("dry", "close"),
    ),
    "dark": Manner(darken, ("dark", "dull", "bassy"), ("with a dark tone", "with little treble"), ("bright",)),
    "bright": Manner(brighten, ("bright", "sharp", "crisp"), ("with a bright tone", "with much treble"), ("dark",)),
    "thin": Manner(
        telephone,
        ("tinny", "thin"),
        ("over the telephone", "on an old radio", "through a small speaker"),
        ("full",),
    ),
    "slow": Manner(slowly, ("slow",), ("slowly", "at a slow pace", "with long pauses"), (), repeats=True),
    "fast": Manner(
        fast, ("fast", "rapid", "quick"), ("quickly", "in quick succession", "at a fast pace"), (), repeats=True
    ),
    "single": Manner(once, ("single",), ("once", "just once", "one shot"), (), repeats=True),
    "three times": Manner(three_times, (), ("three times", "three times in a row"), (), repeats=True),
}  # fmt: skip


def described(caption: str, words: str, place: str, random: Random) -> str:
    """A caption with an adjective ("before") or an ending ("behind").

    >>> described("A dog barks.", "muffled", "before", Random(0))
    'A muffled dog barks.'
    >>> described("Dog barking", "echoing", "before", Random(0))
    'Echoing dog barking'
    >>> described("A dog barks.", "in the distance", "behind", Random(0))
    'A dog barks in the distance.'
    """
    stop = "." if caption.rstrip().endswith(".") else ""
    plain = " ".join(caption.split()).rstrip(".!?,;: ")
    if place == "behind":
        comma = "," if " " in plain and random.random() < 0.2 else ""
        return f"{plain}{comma} {words}{stop}"
    article = re.match(r"(?i)(an?|the)\s+(?=\S)", plain)
    if article is None:
        lowered = plain if plain[:2].isupper() else plain[:1].lower() + plain[1:]
        return f"{words[:1].upper()}{words[1:]} {lowered}{stop}"
    first, rest = article[1], plain[article.end() :]
    if first.lower() != "the":
        first = ("A" if first[0].isupper() else "a") + ("n" if words[0] in "aeiou" else "")
    return f"{first} {words} {rest}{stop}"


def described_in(manner: str, caption: str, random: Random) -> str:
    """A caption with words for a manner."""
    adjectives, endings = MANNERS[manner].adjectives, MANNERS[manner].endings
    if adjectives and random.random() < 0.6:
        return described(caption, random.choice(adjectives), "before", random)
    return described(caption, random.choice(endings), "behind", random)


def contrasted_with(manner: str, caption: str, random: Random) -> str:
    """A caption with a word that the manner does not fit; as it stands where there is none."""
    opposites = MANNERS[manner].opposites
    return described(caption, random.choice(opposites), "before", random) if opposites else caption


def manners_for(duration_s: float) -> Sequence[str]:
    """Those that a clip of this length can be given."""
    short = duration_s <= LONGEST_EVENT_CLIP_S
    return [name for name, manner in MANNERS.items() if short or not manner.repeats]


def _filtered(
    waveform: FloatArray, sample_rate_hz: int, gain: Callable[[FloatArray], AnyFloatArray]
) -> FloatArray:
    size = 1 << max(1, len(waveform) - 1).bit_length()
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate_hz).astype(np.float32)
    spectrum = np.fft.rfft(waveform, size) * gain(frequencies).astype(np.float32)
    filtered: FloatArray = np.fft.irfft(spectrum, size)[: len(waveform)].astype(np.float32)
    return filtered


def _tilted(waveform: FloatArray, sample_rate_hz: int, db_an_octave: float) -> FloatArray:
    power = db_an_octave / (20 * math.log10(2))
    return _filtered(waveform, sample_rate_hz, lambda f: (np.maximum(f, 300) / 300) ** power)


def _with_room(
    waveform: FloatArray,
    sample_rate_hz: int,
    generator: np.random.Generator,
    *,
    decay_s: float,
    wet_db: float,
) -> FloatArray:
    """Direct sound and reverberation, which loses treble as it dies; up to two seconds of its end are kept."""
    length = int(decay_s * sample_rate_hz)
    response = generator.standard_normal(length, np.float32) * np.logspace(0, -3, length, dtype=np.float32)
    response = _filtered(response, sample_rate_hz, lambda f: 1 / (1 + (f / 4000) ** 2))
    whole = len(waveform) + min(length, 2 * sample_rate_hz)
    size = 1 << (len(waveform) + length - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[:whole]
    dry = np.pad(waveform, (0, whole - len(waveform)))
    energy = math.sqrt(float(np.sum(np.square(dry))) / max(float(np.sum(np.square(wet))), 1e-12))
    mixed: FloatArray = (dry + wet * energy * 10 ** (wet_db / 20)).astype(np.float32)
    within: FloatArray = mixed * np.float32(0.98 / max(0.98, float(np.abs(mixed).max(initial=0))))
    return within


def _repeated(waveform: FloatArray, sample_rate_hz: int, count: int, every_s: float) -> FloatArray:
    """The event at the loudest moment `count` times, every `every_s` seconds."""
    event = _event(waveform, sample_rate_hz)
    step = max(1, round(every_s * sample_rate_hz))
    event = event[: max(step, 1)] if count > 1 else event
    fade = np.ones(len(event), np.float32)
    end = min(len(event), round(0.03 * sample_rate_hz))
    fade[len(event) - end :] = np.linspace(1, 0, end, dtype=np.float32)
    repeated = np.zeros(step * count + max(0, len(event) - step), np.float32)
    for number in range(count):
        repeated[number * step : number * step + len(event)] += event * fade
    return repeated


def _event(waveform: FloatArray, sample_rate_hz: int) -> FloatArray:
    """`EVENT_S` from where the loudest moment begins."""
    peak = int(np.abs(waveform).argmax()) if len(waveform) else 0
    before = waveform[max(0, peak - round(0.1 * sample_rate_hz)) : peak + 1]
    loud = np.flatnonzero(np.abs(before) >= 0.1 * np.abs(before).max(initial=0))
    start = peak - (len(before) - 1 - int(loud[0]) if len(loud) else 0)
    return waveform[start : start + round(EVENT_S * sample_rate_hz)]


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(math.log(low), math.log(high))))


def _rms(waveform: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform)))) if len(waveform) else 0.0
