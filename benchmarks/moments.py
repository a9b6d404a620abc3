"""Which moment: how well events at known times are found in long recordings, alone and among short files.

    python benchmarks/moments.py SOUNDS --split evaluation --library moments-evaluation \
        --json docs/results/moments.json

SOUNDS has `metadata.csv`, captions and a folder for each split. Where the library is not there, recordings are made of
the split's clips (field_recordings.py), indexed and removed again, with the split's own clips, some development clips
and mixes of two clips beside them: minutes. An existing library is asked as it is, by the same plan.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import soundfile
from field_recordings import (
    BEDS,
    KINDS,
    RATE_HZ,
    VAGUE,
    Asked,
    Event,
    FieldRecording,
    ShortClip,
    Waveform,
    kinds_of,
    plan_recordings,
    read_clips,
    write_recording,
)
from machine import commit, machine

from soundseek.audio.decode import read_audio
from soundseek.library import Hit, Library

SEED = 16
NUM_OTHERS = 1000
NUM_MIXES = 100
MIX_S = 8.0
BESIDE_S = 1.0  # a moment so near to an event is its own


@dataclass(frozen=True)
class Mix:
    """Two sounds at once, and the sentence that names both."""

    parts: tuple[ShortClip, ShortClip]
    query: str


@dataclass(frozen=True)
class Plan:
    """All that is measured on a split."""

    clips: Sequence[ShortClip]
    others: Sequence[ShortClip]
    recordings: Sequence[FieldRecording]
    mixes: Sequence[Mix]


def main() -> None:
    """Make the library where there is none, ask, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    logging.getLogger("soundseek").setLevel(logging.ERROR)
    plan = plan_of(given.sounds.resolve(), given.split)
    model = None
    if given.model is not None:
        from soundseek import load_model

        model = load_model(given.model)
    with Library.open(given.library, model=model, create=True) as library:
        if not library.info().last_indexed:
            fill(library, plan, given.library.resolve().parent / f"{given.library.name}-sounds")
        folder = given.library.resolve().parent / f"{given.library.name}-sounds"
        result = measure(library, plan, folder)
    result["split"] = given.split
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def plan_of(sounds: Path, split: str) -> Plan:
    """What is made of a split; the same for the same sounds."""
    generator = np.random.default_rng(SEED)
    clips = read_clips(sounds, split)
    development = clips if split == "development" else read_clips(sounds, "development")
    others = [development[int(n)] for n in generator.permutation(len(development))[:NUM_OTHERS]]
    if split == "development":
        clips = [clips[int(n)] for n in generator.permutation(len(clips))[:NUM_OTHERS]]
    return Plan(clips, others, plan_recordings(clips, generator), plan_mixes(clips, generator))


JOINED_SENTENCES = ("{0} while {1}", "{0} and {1}", "{0}, and {1}", "{0} as {1}")
JOINED_NAMES = ("{0} and {1}", "{0} with {1} in the background", "{0}, {1}", "{0} over {1}")


def plan_mixes(clips: Sequence[ShortClip], generator: np.random.Generator) -> list[Mix]:
    """Pairs of clips of unlike kinds, and sentences that join a caption of each."""
    fitting = [clip for clip in clips if " with " not in clip.label and 1 <= clip.duration_s <= 15]
    mixes: list[Mix] = []
    while len(mixes) < NUM_MIXES:
        pair = tuple(fitting[int(n)] for n in generator.choice(len(fitting), 2, replace=False))
        is_sentence = len(mixes) % 2 == 0
        first, second = (_joinable(clip, is_sentence=is_sentence) for clip in pair)
        labels = [set(re.findall(r"\w{4,}", clip.label)) for clip in pair]
        if first and second and not labels[0] & labels[1]:
            joins = JOINED_SENTENCES if is_sentence else JOINED_NAMES
            join = joins[len(mixes) // 2 % len(joins)]
            mixes.append(Mix((pair[0], pair[1]), join.format(first, second[0].lower() + second[1:])))
    return mixes


_UNJOINED = re.compile(rf"{VAGUE.pattern}|\b(?:sounds?|and|while|with|recording|heard|clip)\b", re.IGNORECASE)


def _joinable(clip: ShortClip, *, is_sentence: bool) -> str | None:
    """A caption that can be a part of a sentence: "A dog barks", or "Dog barking"."""
    for caption in sorted(clip.captions, key=len):
        text = caption.rstrip(".")
        begins = text.split()[0].lower() in (
            "a",
            "an",
            "the",
            "water",
            "rain",
            "wind",
            "waves",
            "birds",
            "cicadas",
        )
        if (
            begins == is_sentence
            and "," not in text
            and 1 < len(text.split()) <= 7
            and not _UNJOINED.search(text)
        ):
            return text
    return None


def fill(library: Library, plan: Plan, folder: Path) -> None:
    """Index everything; what was made for it is removed again."""
    library.index(*sorted({clip.path for clip in [*plan.clips, *plan.others]}))
    (folder / "mixes").mkdir(parents=True, exist_ok=True)
    made = []
    for number, mix in enumerate(plan.mixes):
        made.append(mix_path(folder, number))
        soundfile.write(made[-1], mixed(mix), RATE_HZ, "PCM_16")
    library.index(*made)
    for number, recording in enumerate(plan.recordings):
        path = recording_path(folder, number)
        path.parent.mkdir(exist_ok=True)
        write_recording(recording, plan.clips, path, np.random.default_rng((SEED, number)))
        library.index(path)
        path.unlink()


def recording_path(folder: Path, number: int) -> Path:
    """The file of a recording, alone in its folder."""
    return folder / f"recording-{number}" / "recording.wav"


def mix_path(folder: Path, number: int) -> Path:
    """The file of a mix."""
    return folder / "mixes" / f"{number:03}.wav"


def mixed(mix: Mix) -> Waveform:
    """Both sounds from the start, each looped to eight seconds, as loud as each other."""
    out = np.zeros(round(MIX_S * RATE_HZ), np.float32)
    for clip in mix.parts:
        sound = np.resize(read_audio(clip.path, sample_rate_hz=RATE_HZ), len(out))
        out += sound / np.float32(max(float(np.sqrt((sound**2).mean())), 1e-5))
    return out * np.float32(0.5 / np.abs(out).max())


def measure(library: Library, plan: Plan, folder: Path) -> dict[str, Any]:
    """All figures of a split."""
    began = time.process_time()
    return {
        "long": long_files(library, plan, folder),
        "sure": how_sure(library, plan, folder),
        "among_short": among_short(library, plan, folder),
        "mixes": two_sounds(library, plan, folder),
        "short": short_clips(library, plan),
        "hours": sum(each.duration_s for each in plan.recordings) / 3600,
        "model": library.info().model,
        "fingerprint": library.info().fingerprint,
        "processor_s": time.process_time() - began,
        "machine": machine(),
        "commit": commit(),
    }


def long_files(library: Library, plan: Plan, folder: Path) -> dict[str, Any]:
    """Questions to one recording, its moments ranked."""
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number, recording in enumerate(plan.recordings):
        where = f'folder = "{recording_path(folder, number).parent}"'
        for asked in recording.asked:
            for query in asked.queries:
                hits = library.search(query, k=10, where=where, segments=True, missing="show", keywords="off")
                row = _answered(hits, asked)
                for name in ("all", asked.distance):
                    rows[name].append(row)
    return {
        name: {
            "questions": len(own),
            "first": mean(row["first"] for row in own),
            "first_five": mean(row["first_five"] for row in own),
            "repeats": mean(row["repeats"] for row in own),
            "n_among_n": mean(row["n_among_n"] for row in own if row["n"] > 1),
            "begins_off_s": median(row["begins_off_s"] for row in own if row["begins_off_s"] >= 0),
            "ends_off_s": median(row["ends_off_s"] for row in own if row["ends_off_s"] >= 0),
        }
        for name, own in rows.items()
    }


def _answered(hits: Sequence[Hit], asked: Asked) -> dict[str, float]:
    events = asked.events
    found = [event_of(hit, events) for hit in hits]
    known = [each for each in found if each is not None]
    first = next((n for n, each in enumerate(found) if each is not None), None)
    row = {
        "first": float(first == 0),
        "first_five": float(first is not None and first < 5),
        "repeats": float(len(known) - len(set(known))),
        "n": float(len(events)),
        "n_among_n": len({each for each in found[: len(events)] if each is not None}) / len(events),
        "begins_off_s": -1.0,
        "ends_off_s": -1.0,
    }
    if first is not None:
        event = events[found[first]]  # type: ignore[index]
        row["begins_off_s"] = abs(hits[first].start_s - event.start_s)
        row["ends_off_s"] = abs(hits[first].end_s - event.end_s)
    return row


def event_of(hit: Hit, events: Sequence[Event]) -> int | None:
    """The number of the event in which a hit's moment lies."""
    for number, event in enumerate(events):
        if event.start_s - BESIDE_S <= hit.moment_s <= event.end_s + BESIDE_S:
            return number
    return None


def how_sure(library: Library, plan: Plan, folder: Path) -> dict[str, float]:
    """How often the best hit of a sound that is in a recording is surer than that of one which is not."""
    present: list[Hit] = []
    absent: list[Hit] = []
    for number, recording in enumerate(plan.recordings):
        where = f'folder = "{recording_path(folder, number).parent}"'
        known = set(BEDS[recording.bed]).union(
            *(kinds_of(event.clip.label) for asked in recording.asked for event in asked.events)
        )
        others = plan.recordings[(number + 1) % len(plan.recordings)].asked
        foreign = [asked for asked in others if not kinds_of(asked.events[0].clip.label) & known]
        for hits, own in ((present, recording.asked), (absent, foreign)):
            for asked in own:
                hits += library.search(asked.queries[0], k=1, where=where, missing="show", keywords="off")
    return {
        "present": len(present),
        "absent": len(absent),
        "auc_match": _auc([hit.match or 0.0 for hit in present], [hit.match or 0.0 for hit in absent]),
        "auc_score": _auc([hit.score for hit in present], [hit.score for hit in absent]),
    }


def _auc(higher: Sequence[float], lower: Sequence[float]) -> float:
    return mean((one > other) + (one == other) / 2 for one in higher for other in lower)


def among_short(library: Library, plan: Plan, folder: Path) -> dict[str, Any]:
    """Where a recording stands among short files: how many wrong short files come before its true event."""
    shorts = {str(clip.path): clip.label for clip in [*plan.clips, *plan.others]}
    mixes = f'not folder = "{folder / "mixes"}"'
    ranks: dict[str, list[int]] = defaultdict(list)
    for number, recording in enumerate(plan.recordings):
        own = recording_path(folder, number)
        others = " and ".join(
            f'not folder = "{recording_path(folder, each).parent}"'
            for each in range(len(plan.recordings))
            if each != number
        )
        for asked in recording.asked:
            query, right = asked.queries[0], re.compile(KINDS[asked.kind])
            hits = library.search(
                query, k=len(shorts) + 1, where=f"{mixes} and {others}", missing="show", keywords="off"
            )
            wrong, rank = 0, None
            for hit in hits:
                if hit.path == str(own):
                    rank = wrong + 1 if event_of(hit, asked.events) is not None else len(shorts)
                    break
                wrong += not right.search(shorts[hit.path])
            ranks["all"].append(rank or len(shorts))
            ranks[asked.distance].append(rank or len(shorts))
    return {
        name: {
            "questions": len(own),
            "files": len(shorts) + 1,
            "median_rank": median(own),
            "first_ten": mean(rank <= 10 for rank in own),
            "first_hundred": mean(rank <= 100 for rank in own),
        }
        for name, own in ranks.items()
    }


def two_sounds(library: Library, plan: Plan, folder: Path) -> dict[str, Any]:
    """Sentences that name two sounds: where the mix of both stands, and where each alone."""
    places = []
    where = " and ".join(
        f'not folder = "{recording_path(folder, each).parent}"' for each in range(len(plan.recordings))
    )
    for number, mix in enumerate(plan.mixes):
        hits = library.search(mix.query, k=library.info().files, where=where, missing="show", keywords="off")
        at = {path: place for place, hit in enumerate(hits) for path in (hit.path, *hit.also_at)}
        parts = [at.get(str(clip.path), len(hits)) for clip in mix.parts]
        places.append((at.get(str(mix_path(folder, number)), len(hits)), min(parts)))
    return {
        "queries": len(places),
        "files": len(hits),
        "first_ten": mean(own < 10 for own, _ in places),
        "above_both": mean(own < best for own, best in places),
    }


def short_clips(library: Library, plan: Plan) -> dict[str, Any]:
    """The evaluation protocol by the scores of search: captions of the split's clips look for their clip among them."""
    (folder,) = {clip.path.parent for clip in plan.clips}
    only = {str(clip.path) for clip in plan.clips}
    scores = []
    for clip in plan.clips:
        for caption in clip.captions:
            hits = library.search(
                caption, k=10, where=f'folder = "{folder}"', as_typed=True, duplicates="show", keywords="off"
            )
            found = [hit.path for hit in hits if hit.path in only]
            scores.append(_reciprocal(found, str(clip.path)))
    return {
        "captions": len(scores),
        "mAP10": mean(scores),
        "R1": mean(score == 1 for score in scores),
        "R10": mean(score > 0 for score in scores),
    }


def _reciprocal(found: Iterable[str], wanted: str) -> float:
    return next((1 / (place + 1) for place, path in enumerate(found) if path == wanted), 0.0)


if __name__ == "__main__":
    main()
