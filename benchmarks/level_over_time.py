"""What a loud bang does to the search for quiet moments in the same long recording.

    python benchmarks/level_over_time.py [--minutes 120] [--json FILE]

Sounds from samples/ with a peak of -60 dBFS lie in noise, one every few minutes; a clap at 0 dBFS comes before or
behind them all, or not at all. Each sound is asked for in words; its rank is the number of moments (segments that do
not touch it) that score higher, plus one. "held": a gain that never rises again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from machine import commit, machine

from soundseek import load_model
from soundseek.audio import level
from soundseek.audio.decode import read_audio

SAMPLES = Path(__file__).parents[1] / "samples"
QUERIES = {
    "animals/dog-barking-1.ogg": "a dog barks",
    "animals/cat-meowing-1.ogg": "a cat meows",
    "household/door-creaking-1.ogg": "a door creaks",
    "people/man-laughing-1.ogg": "a man laughs",
    "animals/crow-cawing-1.ogg": "a crow caws",
    "music/piano-playing-1.ogg": "someone plays the piano",
    "people/baby-crying-1.ogg": "a baby cries",
    "vehicles/train-passing-1.ogg": "a train passes",
}
RATE_HZ = 16_000
EVENT_PEAK, NOISE_RMS = 10 ** (-60 / 20), 10 ** (-90 / 20)
MARGIN_S = 150.0  # between the bang and the nearest event: more than the minute that a bang lowers


def main() -> None:
    """Measure every case, print a table, write JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120.0, help="length of each recording")
    parser.add_argument("--json", type=Path, help="where the result is written")
    options = parser.parse_args()
    model = load_model()
    texts = model.embed_text(list(QUERIES.values()))
    rows = []
    for bang in ("none", "first", "last"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "long.wav"
            starts_s, ends_s = write_recording(path, options.minutes * 60, bang)
            for gain in ("followed", "held"):
                level.BEHIND_BLOCKS = level.AHEAD_BLOCKS if gain == "followed" else 1 << 30
                embedding = model.embed_file(path)
                times = np.array([(each.start_s, each.end_s) for each in embedding.segments])
                ranks = [
                    rank_of(embedding.vectors @ text, times, start_s, end_s)
                    for text, start_s, end_s in zip(texts, starts_s, ends_s, strict=True)
                ]
                rows.append({"bang": bang, "gain": gain, "ranks": ranks, "median": statistics.median(ranks)})
                print(f"bang {bang:6} gain {gain:9} ranks {ranks}, median {rows[-1]['median']:g}", flush=True)
    if options.json:
        result = {"machine": machine(), "commit": commit(), "minutes": options.minutes, "rows": rows}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def write_recording(path: Path, duration_s: float, bang: str) -> tuple[list[float], list[float]]:
    """Write a recording a minute at a time; when its events begin and end, in seconds."""
    generator = np.random.default_rng(0)
    sounds = [read_audio(SAMPLES / name, sample_rate_hz=RATE_HZ)[: 8 * RATE_HZ] for name in QUERIES]
    gap_s = (duration_s - 2 * MARGIN_S) / len(sounds)
    starts_s = [MARGIN_S + number * gap_s for number in range(len(sounds))]
    events = [(round(start * RATE_HZ), at_peak(sound)) for start, sound in zip(starts_s, sounds, strict=True)]
    if bang != "none":
        clap = generator.standard_normal(RATE_HZ // 5) * np.geomspace(1, 1e-3, RATE_HZ // 5)
        at_s = 20.0 if bang == "first" else duration_s - 20.0
        events.append((round(at_s * RATE_HZ), (clap / np.abs(clap).max()).astype(np.float32)))
    num_frames = round(duration_s * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_24") as file:
        for first in range(0, num_frames, 60 * RATE_HZ):
            block = generator.standard_normal(min(60 * RATE_HZ, num_frames - first)) * NOISE_RMS
            for start, sound in events:
                begin, end = max(start, first), min(start + len(sound), first + len(block))
                if begin < end:
                    block[begin - first : end - first] += sound[begin - start : end - start]
            file.write(block)
    return starts_s, [start + len(sound) / RATE_HZ for start, sound in zip(starts_s, sounds, strict=True)]


def at_peak(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The same sound with the peak of an event."""
    scaled: npt.NDArray[np.float32] = sound / np.abs(sound).max() * np.float32(EVENT_PEAK)
    return scaled


def rank_of(
    scores: npt.NDArray[np.float32], times: npt.NDArray[np.float64], start_s: float, end_s: float
) -> int:
    """1 where the best segment of an event scores above all segments that do not touch it."""
    touches = (times[:, 0] < end_s) & (times[:, 1] > start_s)
    return 1 + int((scores[~touches] > scores[touches].max()).sum())


if __name__ == "__main__":
    main()
