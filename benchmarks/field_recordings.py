"""Recordings of one to three hours with sounds at known times: events laid over beds, near, at middle distance, far.

A bed is a lasting sound (rain, surf, traffic), looped from clips of one label with crossfades and a slow swell. An
event is a clip of at most six seconds, its loudest half second so many decibels above or below the bed; what is far
has lost its treble and comes with an echo. All events of one kind in a recording lie at one distance, twenty seconds
or more from every other event.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from soundseek.audio.decode import read_audio

RATE_HZ = 32_000
HOURS = (1.0, 1.0, 1.0, 1.0, 1.5, 2.0, 3.0)
EVENT_S, CROSSFADE_S, APART_S = 6.0, 2.0, 20.0
BED_DBFS = -34.0
DISTANCES = {"near": 18.0, "middle": 9.0, "far": 2.0}
"""Decibels of an event's loudest half second over the bed."""
KINDS_AT_ONCE = 16
MOST_EVENTS = 4

# Kinds of event, as patterns over labels: no two kinds are mistaken for each other, and in one recording (and among the
# short files beside it) everything of an event's kind counts as right.
KINDS = {
    "dog": r"dogs? barking|puppy|dog growl|fox bark",
    "rooster": r"rooster",
    "horse": r"horse|zebra|donkey|hooves",
    "sheep": r"sheep|lamb|goat",
    "cow": r"\bcows?\b|\box\b|\bbull\b|bison|farm",
    "owl": r"owl hoot|an owl",
    "wolf": r"wolf|wolves|coyote",
    "frog": r"frog|swamp",
    "crow": r"crow caw|crows",
    "cat": r"\bcat\b",
    "hen": r"chicken|hens?\b|turkey|farm",
    "duck": r"duck|goose|swan",
    "pig": r"\bpig\b|boar",
    "elephant": r"elephant",
    "beast": r"lion|tiger|bear\b|monster|zombie|growl|snarl|jaguar|dinosaur|gorilla|roar|creature",
    "gun": r"gun|rifle|pistol|musket|\bshot\b|bullet",
    "explosion": r"explo|firework|firecracker|cannon|boom|bomb|blast|burst",
    "thunder": r"thunder|lightning|storm",
    "glass": r"glass|window|ceramic|plates|bottle|crash",
    "baby": r"baby|toddler|infant",
    "sneeze": r"sneez|cough",
    "laugh": r"laugh|giggl|cackl",
    "scream": r"scream|crying|yell|shout|cry\b",
    "door": r"door|gate|cupboard|drawer|refrigerator|hatch|slam",
    "bell": r"bell|chime|gong",
    "car horn": r"car horn|truck.*honk|vehicle horn|traffic",
    "chainsaw": r"saw\b|saw\w* |drill|power tool|tree cutting",
    "aircraft": r"helicopter|plane|\bjet\b|aircraft|drone flying",
    "train": r"train|locomotive|steam engine|railway|subway",
    "car": r"\bcar\b|engine|motorcycle|truck|bus\b|traffic|vehicle",
    "hammer": r"hammer|blacksmith|anvil|pickaxe|chopping|mine|chisel|construction|knock",
    "footsteps": r"footstep|walking|heels",
    "violin": r"violin|cello|viola|fiddle|double bass|string|orchestra|music",
    "flute": r"flute|clarinet|oboe|bassoon|piccolo|recorder|cor anglais|horn playing|english horn|orchestra|music",
    "brass": r"saxophone|trumpet|trombone|tuba|french horn|brass|fanfare|orchestra|music",
    "guitar": r"guitar|banjo|mandolin|ukulele|music|band",
    "drums": r"drum|hi-hat|cymbal|tabla|conga|bongo|beat|music|tom\b|percussion",
    "clock": r"clock|watch|metronome|ticking",
    "coins": r"coin|cash register",
    "typing": r"typing|keyboard|typewriter|computer",
    "splash": r"splash",
    "sword": r"sword|blade|metal being",
    "typed page": r"page|paper",
    "whale": r"whale|dolphin",
    "speech": r"speak|conversation|talking|announcement|spoken|voice",
    "siren": r"siren|alarm",
    "phone": r"phone|ring-back",
}  # fmt: skip
# What makes no event: what lasts, and mixtures.
NO_EVENT = re.compile(
    r"ambience|background|followed by|rain|wind|wave|\bsea\b|crickets|cicadas|traffic|music|orchestra|band\b|running"
    r"|crowd|loop|beat\b|synth|electronic|science fiction|choir"
)
# Labels of beds -> kinds that belong to such a place, so that nobody knows whether one was laid there.
BEDS = {
    "rain falling": ("thunder", "splash"),
    "heavy rain": ("thunder", "splash"),
    "light rain": ("thunder", "splash"),
    "wind blowing": (),
    "sea waves": ("splash", "whale"),
    "crickets chirping": ("frog", "owl"),
    "birds singing": ("crow", "owl", "duck", "hen", "rooster"),
    "road traffic": ("car", "car horn", "siren", "train", "aircraft"),
    "cicadas buzzing": ("frog", "chainsaw"),
    "water flowing": ("splash", "frog"),
    "outdoor nature ambience": (
        "crow", "owl", "frog", "duck", "hen", "dog", "sheep", "cow", "rooster", "wolf", "whale", "thunder",
        "splash",
    ),
    "forest ambience": ("crow", "owl", "frog", "duck", "wolf", "hen"),
    "night ambience": ("owl", "frog", "dog", "wolf", "crow"),
    "fire crackling": ("gun", "hammer"),
    "airplane cabin": ("aircraft", "car", "train", "chainsaw", "speech"),
    "cafe ambience": (
        "speech", "laugh", "glass", "door", "coins", "phone", "scream", "baby", "violin", "flute", "brass",
        "guitar", "drums",
    ),
    "extractor fan": ("aircraft", "chainsaw", "car"),
    "underwater ambience": ("splash", "whale"),
}  # fmt: skip
# Sentences that say too little of a sound to point at one.
VAGUE = re.compile(
    r"\b(an animal|a vehicle|an instrument|a musical|someone|something|an object|a person|a machine|a creature|"
    r"an engine|a sound|noise)\b",
    re.IGNORECASE,
)

Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ShortClip:
    """A labelled sound and its sentences."""

    path: Path
    label: str
    captions: tuple[str, ...]
    duration_s: float


@dataclass(frozen=True)
class Event:
    """One sound in a recording."""

    clip: ShortClip
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Asked:
    """A kind of event in a recording: where it is, how far away, and the sentences that ask for it."""

    kind: str
    distance: str
    queries: tuple[str, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class FieldRecording:
    """What a recording is made of."""

    duration_s: float
    bed: str
    asked: tuple[Asked, ...]


def read_clips(sounds: Path, split: str) -> list[ShortClip]:
    """The clips of a split, from `metadata.csv` and `captions_SPLIT.csv`."""
    with (sounds / f"captions_{split}.csv").open(encoding="utf-8", newline="") as file:
        captions = {
            row["file_name"]: tuple(row[f"caption_{n}"] for n in range(1, 6)) for row in csv.DictReader(file)
        }
    with (sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return [
            ShortClip(
                sounds / split / row["file_name"],
                row["label"],
                captions[row["file_name"]],
                float(row["duration_s"]),
            )
            for row in csv.DictReader(file)
            if row["split"] == split
        ]


def kinds_of(label: str) -> set[str]:
    """The kinds that a label may be taken for."""
    return {kind for kind, pattern in KINDS.items() if re.search(pattern, label)}


def plan_recordings(clips: Sequence[ShortClip], generator: np.random.Generator) -> list[FieldRecording]:
    """What the recordings of a split are made of, one for each of `HOURS`."""
    events: dict[str, list[ShortClip]] = defaultdict(list)
    beds: dict[str, list[ShortClip]] = defaultdict(list)
    for clip in clips:
        if clip.label in BEDS and clip.duration_s >= 4:
            beds[clip.label].append(clip)
        elif not NO_EVENT.search(clip.label) and 0.4 <= clip.duration_s <= 15:
            events[clip.label].append(clip)
    labels = sorted(beds)
    order = generator.permutation(len(labels))
    return [
        _plan(hours * 3600, labels[order[number % len(labels)]], events, number, generator)
        for number, hours in enumerate(HOURS)
    ]


def _plan(
    duration_s: float,
    bed: str,
    events: dict[str, list[ShortClip]],
    number: int,
    generator: np.random.Generator,
) -> FieldRecording:
    taken = set(BEDS[bed])
    chosen: list[str] = []
    for label in generator.permutation(sorted(events)):
        kinds = kinds_of(label)
        if kinds and not kinds & taken and len(chosen) < KINDS_AT_ONCE:
            chosen.append(str(label))
            taken |= kinds
    counts = [1 + (number + each) % MOST_EVENTS for each in range(len(chosen))]
    # Starts on a grid with a random step aside: apart from each other, anywhere in the recording.
    slots = generator.choice(int(duration_s / (APART_S + EVENT_S)) - 2, sum(counts), replace=False) + 1
    starts = iter((slots * (APART_S + EVENT_S) + generator.uniform(0, EVENT_S, len(slots))).tolist())
    asked = []
    for each, (label, count) in enumerate(zip(chosen, counts, strict=True)):
        own = [events[label][int(at)] for at in np.resize(generator.permutation(len(events[label])), count)]
        sentences = [caption for caption in own[0].captions if not VAGUE.search(caption)] or [
            own[0].captions[0]
        ]
        queries = dict.fromkeys((min(sentences, key=len), max(sentences, key=len)))
        placed = [
            Event(clip, start_s, start_s + len(_event(clip)) / RATE_HZ)
            for clip in own
            for start_s in [next(starts)]
        ]
        asked.append(
            Asked(
                sorted(kinds_of(label))[0],
                list(DISTANCES)[(number + each) % 3],
                tuple(queries),
                tuple(placed),
            )
        )
    return FieldRecording(duration_s, bed, tuple(asked))


def write_recording(
    recording: FieldRecording, clips: Sequence[ShortClip], path: Path, generator: np.random.Generator
) -> None:
    """The recording as a 16-bit file."""
    out = bed_of([clip for clip in clips if clip.label == recording.bed], recording.duration_s, generator)
    for asked in recording.asked:
        for event in asked.events:
            sound = at_distance(_event(event.clip), asked.distance, generator)
            at = round(event.start_s * RATE_HZ)
            room = out[at : at + len(sound)]
            room += sound[: len(room)]
    out *= min(1.0, 0.97 / float(np.abs(out).max()))
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        for at in range(0, len(out), RATE_HZ * 60):
            file.write(out[at : at + RATE_HZ * 60])


def bed_of(clips: Sequence[ShortClip], duration_s: float, generator: np.random.Generator) -> Waveform:
    """`(samples,)`: the clips again and again, crossfaded, with a swell of three decibels up and down."""
    out = np.zeros(round(duration_s * RATE_HZ), np.float32)
    at = 0
    while at < len(out):
        for number in generator.permutation(len(clips)):
            sound = _bed(clips[int(number)]).copy()
            fade = min(round(CROSSFADE_S * RATE_HZ), len(sound) // 3)
            ramp = np.sqrt(np.linspace(0, 1, fade, dtype=np.float32))
            sound[:fade] *= ramp
            sound[-fade:] *= ramp[::-1]
            room = out[at : at + len(sound)]
            room += sound[: len(room)]
            at += len(sound) - fade
    for start in range(0, len(out), RATE_HZ):
        out[start : start + RATE_HZ] *= 10 ** (3 * np.sin(2 * np.pi * start / RATE_HZ / 400) / 20)
    return out


def at_distance(sound: Waveform, distance: str, generator: np.random.Generator) -> Waveform:
    """An event as it comes from far away: lower, duller, with an echo."""
    if distance == "far":
        tail_s = np.arange(RATE_HZ) / RATE_HZ
        echo = generator.standard_normal(RATE_HZ) * np.exp(-tail_s / 0.15)
        echo *= 0.5 / np.sqrt((echo**2).sum())
        echo[0] += 1
        length = len(sound) + RATE_HZ
        hertz = np.fft.rfftfreq(length, 1 / RATE_HZ)
        spectrum = np.fft.rfft(sound, length) * np.fft.rfft(echo, length) / (1 + 1j * hertz / 3000)
        sound = np.fft.irfft(spectrum, length)[: len(sound) + RATE_HZ // 2].astype(np.float32)
    loudest = max(loudness(sound), 1e-6)
    return np.float32(10 ** ((BED_DBFS + DISTANCES[distance]) / 20) / loudest) * sound


def loudness(sound: Waveform) -> float:
    """Root mean square of the loudest half second."""
    half = RATE_HZ // 2
    energy = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    if len(sound) <= half:
        return float(np.sqrt(energy[-1] / half))
    return float(np.sqrt((energy[half:] - energy[:-half]).max() / half))


@lru_cache(maxsize=512)
def _event(clip: ShortClip) -> Waveform:
    """The loudest six seconds of a clip, without silence at its ends."""
    sound = read_audio(clip.path, sample_rate_hz=RATE_HZ)
    length = round(EVENT_S * RATE_HZ)
    if len(sound) > length:
        energy = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
        at = int((energy[length:] - energy[:-length]).argmax())
        sound = sound[at : at + length]
    heard = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    sound = sound[heard[0] : heard[-1] + 1].copy()
    fade = min(RATE_HZ // 50, len(sound) // 4)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    sound[:fade] *= ramp
    sound[len(sound) - fade :] *= ramp[::-1]
    return sound


@lru_cache(maxsize=64)
def _bed(clip: ShortClip) -> Waveform:
    sound = read_audio(clip.path, sample_rate_hz=RATE_HZ)
    level = max(float(np.sqrt((sound**2).mean())), 1e-5)
    return (sound * np.float32(10 ** (BED_DBFS / 20) / level)).astype(np.float32)
