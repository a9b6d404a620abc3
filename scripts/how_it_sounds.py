"""Words for how a sound sounds, measured by pairs that differ in just that: docs/results/how-it-sounds.json.

    python scripts/how_it_sounds.py MODEL ... --data DIR --split evaluation --among LIBRARY ...

For every property, clips of the split are changed, and a query says so of the clip's label: "muffled dog barking", "dog
barking in the distance". Counted is how often the changed copy stands above the clip as it was, by the query's words as
typed ("right") and as a search reads them ("read"). Beside it stands how often it does so for the label alone, which
prefers neither: what is above that is what the word does; and how often one direction in the space of vectors does, the
mean of the other pairs: what a word could do at most. What is done to the clips is written apart from what models learn
from (soundseek.learn.data.how_it_sounds), with other filters, rooms and rates.

"read" looks at two sounds alone. With a library for each model, the pairs are put into a copy of it and searched for
there ("among"): the changed copy has to be among the first 150 hits, and above the clip as it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from soundseek import load_model
from soundseek._typing import FloatArray
from soundseek.audio.decode import read_audio
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment
from soundseek.library import Library
from soundseek.model.manners import in_manners
from soundseek.query import QueryReader
from soundseek.query.looked_up import embed_query

RATE_HZ = 32000
SHORT_S = 4.0  # clips up to here are taken for one event
AMONG = 150  # hits that are looked through for a pair

Pair = tuple[FloatArray, FloatArray]  # what the words fit, what they do not fit


@dataclass(frozen=True)
class Property:
    """What is asked for, and how a pair is made of a waveform at `RATE_HZ`."""

    name: str
    says: str
    words: tuple[str, ...]
    pair: Callable[[FloatArray], Pair]
    short: bool = False


def against_itself(change: Callable[[FloatArray], FloatArray]) -> Callable[[FloatArray], Pair]:
    """The changed waveform and the one that it was."""
    return lambda waveform: (change(waveform), waveform)


def filtered(waveform: FloatArray, gain: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """The waveform with each frequency in Hz times its gain."""
    size = 1 << len(waveform).bit_length()
    frequencies = np.fft.rfftfreq(size, 1 / RATE_HZ).astype(np.float32)
    changed = np.fft.irfft(np.fft.rfft(waveform, size) * gain(frequencies), size)
    return changed[: len(waveform)].astype(np.float32)


def muffled(waveform: FloatArray) -> FloatArray:
    """Nothing above 900 Hz; a raised cosine falls from 500 Hz on."""
    return filtered(waveform, lambda f: 0.5 + 0.5 * np.cos(np.pi * np.clip((f - 500) / 400, 0, 1)))


def shelf(waveform: FloatArray, corner_hz: float, level_db: float) -> FloatArray:
    """A high shelf: `level_db` above the corner, in an octave and a half."""
    rise = 10 ** (level_db / 20)
    return filtered(waveform, lambda f: 1 + (rise - 1) / (1 + (corner_hz / np.maximum(f, 1)) ** 4))


def hall(waveform: FloatArray, decay_s: float = 2.2, wet_db: float = 2.0) -> FloatArray:
    """Sparse early reflections within 80 ms, then a tail of noise; its level against the direct sound."""
    generator = np.random.default_rng(3)
    length = int(decay_s * RATE_HZ)
    time_s = np.arange(length) / RATE_HZ
    response = generator.standard_normal(length) * 10 ** (-3 * time_s / decay_s) * (time_s > 0.02)
    early = generator.integers(int(0.01 * RATE_HZ), int(0.08 * RATE_HZ), 12)
    response[early] += generator.choice([-1, 1], 12) * 8.0
    response *= np.sqrt(10 ** (wet_db / 10) / np.sum(response**2))
    response[0] = 1.0
    size = 1 << (len(waveform) + length).bit_length()
    wet = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)
    return wet[: len(waveform) + RATE_HZ].astype(np.float32)


def distant(waveform: FloatArray) -> FloatArray:
    """24 dB quieter, treble gone above 2 kHz, and more of a small outdoor room than of the sound itself."""
    return hall(shelf(waveform, 2000, -30), decay_s=0.9, wet_db=5.0) * np.float32(0.06)


def repeated(waveform: FloatArray, count: int, every_s: float) -> FloatArray:
    """The first half second from the loudest 10 ms on, `count` times."""
    block = RATE_HZ // 100
    power = np.square(waveform[: len(waveform) // block * block]).reshape(-1, block).sum(axis=1)
    start = max(0, (int(power.argmax()) - 2) * block) if len(power) else 0
    event = waveform[start : start + round(min(0.5, every_s) * RATE_HZ)].copy()
    event *= np.clip(np.arange(len(event), 0, -1) / (0.02 * RATE_HZ), 0, 1).astype(np.float32)
    step = round(every_s * RATE_HZ)
    row = np.zeros(step * count, np.float32)
    for number in range(count):
        row[number * step : number * step + len(event)] += event[: len(row) - number * step]
    return row


PROPERTIES = (
    Property(
        "muffled",
        "nothing above 900 Hz",
        ("muffled {}", "{} through a wall", "dampened {}"),
        against_itself(muffled),
    ),
    Property(
        "reverberant",
        "a hall of 2.2 s",
        ("reverberant {}", "{} in a big hall", "{} in a cathedral"),
        against_itself(hall),
    ),
    Property(
        "distant",
        "24 dB quieter, less treble, more room",
        ("distant {}", "{} in the distance", "far-off {}"),
        against_itself(distant),
    ),
    Property(
        "dark",
        "18 dB less above 800 Hz",
        ("dark {}", "dull {}"),
        against_itself(lambda waveform: shelf(waveform, 800, -18)),
    ),
    Property(
        "bright",
        "18 dB more above 2 kHz",
        ("bright {}", "sharp {}", "shrill {}"),
        against_itself(lambda waveform: shelf(waveform, 2000, 18)),
    ),
    Property(
        "slow",
        "every 1.1 s instead of every 0.16 s",
        ("slow {}", "{} slowly", "leisurely {}"),
        lambda waveform: (repeated(waveform, 4, 1.1), repeated(waveform, 28, 0.16)),
        short=True,
    ),
    Property(
        "fast",
        "every 0.16 s instead of every 1.1 s",
        ("fast {}", "rapid {}", "hurried {}"),
        lambda waveform: (repeated(waveform, 28, 0.16), repeated(waveform, 4, 1.1)),
        short=True,
    ),
    Property(
        "one shot",
        "once instead of eight times in four seconds",
        ("single {}", "{} once", "{}, one shot"),
        lambda waveform: (repeated(waveform, 1, 1.5), repeated(waveform, 8, 0.5)),
        short=True,
    ),
    Property(
        "three",
        "three times instead of once",
        ("{} three times", "three {} in a row"),
        lambda waveform: (repeated(waveform, 3, 0.5), repeated(waveform, 1, 1.5)),
        short=True,
    ),
    Property(
        "three, not eight",
        "three times instead of eight",
        ("{} three times", "three {} in a row"),
        lambda waveform: (repeated(waveform, 3, 0.5), repeated(waveform, 8, 0.5)),
        short=True,
    ),
    Property(
        "short",
        "0.4 s instead of a row of four seconds",
        ("short {}", "brief {}"),
        lambda waveform: (repeated(waveform, 1, 0.4), repeated(waveform, 10, 0.4)),
        short=True,
    ),
    Property(
        "long",
        "a row of four seconds instead of 0.4 s",
        ("long {}", "{} for a long time"),
        lambda waveform: (repeated(waveform, 10, 0.4), repeated(waveform, 1, 0.4)),
        short=True,
    ),
    Property(
        "quiet",
        "30 dB quieter, nothing else",
        ("quiet {}", "soft {}"),
        against_itself(lambda waveform: waveform * np.float32(0.0316)),
    ),
)  # fmt: skip


def main() -> None:
    """Measure each model and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="evaluation")
    parser.add_argument(
        "--among", type=Path, nargs="*", default=[], metavar="LIBRARY", help="one for each model"
    )
    parser.add_argument("--pairs", type=int, default=46, help="of each property (46)")
    arguments = parser.parse_args()
    if arguments.among and len(arguments.among) != len(arguments.models):
        parser.error(f"{len(arguments.models)} models need as many libraries, not {len(arguments.among)}")
    logging.getLogger("soundseek").setLevel(logging.ERROR)  # how each query is read
    libraries = arguments.among or [None] * len(arguments.models)
    clips = read_split(arguments.data, arguments.split)
    with (arguments.data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["file_name"]: row["label"] for row in csv.DictReader(file)}
    report = {
        "split": arguments.split,
        "properties": [{"name": each.name, "says": each.says, "words": each.words} for each in PROPERTIES],
        "models": [
            measure(load_model(name), Path(name).name, clips, labels, arguments.pairs, library)
            for name, library in zip(arguments.models, libraries, strict=True)
        ],
        "machine": machine(),
    }
    print(json.dumps({**report, **environment()}, indent=1))


def measure(
    model: Any, name: str, clips: list[Clip], labels: dict[str, str], num_pairs: int, library: Path | None
) -> dict[str, Any]:
    """For each property the share of right orders: by its words, by the label alone, by one direction; and among the
    sounds of a library.
    """
    rows = []
    for each in PROPERTIES:
        chosen = choose(clips, num_pairs, each)
        pairs = [each.pair(waveform) for _, waveform in chosen]
        fits, other = (model.embed_audio([(pair[side], RATE_HZ) for pair in pairs]) for side in (0, 1))
        named = [labels[clip.path.name] for clip, _ in chosen]
        by_words = [
            ahead(model.embed_text([words.format(label) for label in named]), fits, other)
            for words in each.words
        ]
        as_read = [
            ahead_as_searched(model, [words.format(label) for label in named], fits, other)
            for words in each.words
        ]
        among = None
        if library is not None:
            queries = [[words.format(label) for label in named] for words in each.words]
            among = ahead_among(model, library, pairs, queries)
        rows.append(
            {
                "property": each.name,
                "pairs": len(pairs),
                "right": float(np.mean(by_words)),
                "read": float(np.mean(as_read)),
                "among": among,
                "label_alone": ahead(model.embed_text(named), fits, other),
                "visible": visible(fits - other),
                "by_words": dict(zip(each.words, by_words, strict=True)),
                "by_words_read": dict(zip(each.words, as_read, strict=True)),
            }
        )
        print(
            name,
            each.name,
            *(round(rows[-1][key] or 0, 3) for key in ("right", "read", "among", "label_alone")),
            file=sys.stderr,
        )
    return {"model": name, "fingerprint": model.fingerprint, "rows": rows}


def ahead_as_searched(model: Any, queries: list[str], fits: FloatArray, other: FloatArray) -> float:
    """The share of queries for which a search puts `fits` first: by the sound, and by how it should sound."""
    reader = QueryReader.of(model)
    right = []
    for query, *pair in zip(queries, fits, other, strict=True):
        reading = reader.read(query)
        words = embed_query(model, list(reading.alternatives[0])).mean(axis=0)
        vectors = np.array(pair)
        scores = vectors @ (words / np.linalg.norm(words))
        wanted = in_manners(reading.manners, model.manners)
        if wanted is not None:  # two hits change places
            scores = scores + wanted.strengths(vectors)
        right.append(scores[0] > scores[1])
    return float(np.mean(right))


def ahead_among(model: Any, library: Path, pairs: list[Pair], queries: list[list[str]]) -> float:
    """The share of queries, of each pair one in each list, that find the first of the pair above the second."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(library, Path(folder) / "library")
        sounds = Path(folder).resolve() / "sounds"
        sounds.mkdir()
        for number, pair in enumerate(pairs):
            for side, waveform in zip(("fits", "other"), pair, strict=True):
                soundfile.write(sounds / f"{number}-{side}.wav", waveform, RATE_HZ, subtype="FLOAT")
        right = []
        with Library.open(Path(folder) / "library", model=model) as opened:
            opened.index(sounds)
            for number, each in ((number, each) for asked in queries for number, each in enumerate(asked)):
                found = [hit.path for hit in opened.search(each, k=AMONG, keywords="off")]
                fits, other = (str(sounds / f"{number}-{side}.wav") for side in ("fits", "other"))
                right.append(fits in (found[: found.index(other)] if other in found else found))
    return float(np.mean(right))


def ahead(text: FloatArray, fits: FloatArray, other: FloatArray) -> float:
    """The share of texts `(pair, dim)` that are nearer to `fits` than to `other`."""
    return float(np.mean(np.sum(text * (fits - other), axis=1) > 0))


def visible(differences: FloatArray) -> float:
    """The share of pairs that one direction puts in the right order, the mean difference `(pair, dim)` of all others.

    What no direction tells, no word can learn: the vectors do not hold it.
    """
    others = differences.sum(axis=0) - differences
    return float(np.mean(np.sum(others * differences, axis=1) > 0))


def choose(clips: list[Clip], count: int, wanted: Property) -> list[tuple[Clip, FloatArray]]:
    """Clips from all over the split, at most 10 s of each; short ones where events are repeated."""
    chosen = []
    for clip in (clips[number] for number in np.random.default_rng(0).permutation(len(clips))):
        waveform = read_audio(clip.path, sample_rate_hz=RATE_HZ)
        if not wanted.short or len(waveform) <= SHORT_S * RATE_HZ:
            chosen.append((clip, waveform[: 10 * RATE_HZ]))
        if len(chosen) == count:
            break
    return chosen


if __name__ == "__main__":
    main()
