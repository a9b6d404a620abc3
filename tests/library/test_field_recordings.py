"""The benchmark of moments: events lie where the plan says, and hits are counted by the events that they name."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tones import write_tone

from soundseek.library.hits import Hit

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def recordings() -> ModuleType:
    return imported("field_recordings")


@pytest.fixture(scope="module")
def moments() -> ModuleType:
    return imported("moments")


def imported(name: str) -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_events_lie_apart_at_one_distance_a_kind_and_away_from_what_belongs_to_the_bed(
    recordings: ModuleType, tmp_path: Path
) -> None:
    clips = []
    for label in ("wind blowing", "dog barking", "church bells ringing", "door closing", "splash"):
        path = tmp_path / f"{label}.wav"
        write_tone(path, frequency_hz=440, duration_s=5.0)
        clips.append(recordings.ShortClip(path, label, (f"a {label}", f"the {label} in a clip"), 5.0))
    plan = recordings.plan_recordings(clips, np.random.default_rng(0))
    assert [each.duration_s / 3600 for each in plan] == list(recordings.HOURS)
    for recording in plan:
        events = sorted((event.start_s, event.end_s) for asked in recording.asked for event in asked.events)
        assert len({asked.kind for asked in recording.asked}) == 4 <= len(events)
        assert all(other[0] - one[1] >= recordings.APART_S - 6 for one, other in itertools.pairwise(events))
        assert events[0][0] > 0 and events[-1][1] < recording.duration_s
    again = recordings.plan_recordings(clips, np.random.default_rng(0))
    assert again == plan


def test_a_recording_has_its_events_where_they_were_planned(recordings: ModuleType, tmp_path: Path) -> None:
    clips = []
    for label, hertz in (("wind blowing", 200.0), ("dog barking", 3000.0)):
        path = tmp_path / f"{label}.wav"
        write_tone(path, frequency_hz=hertz, duration_s=5.0)
        clips.append(recordings.ShortClip(path, label, ("a sound",), 5.0))
    event = recordings.Event(clips[1], 12.0, 17.0)
    asked = recordings.Asked("dog", "near", ("a dog",), (event,))
    recording = recordings.FieldRecording(30.0, "wind blowing", (asked,))
    recordings.write_recording(recording, clips, tmp_path / "out.wav", np.random.default_rng(0))
    sound = recordings.read_audio(tmp_path / "out.wav", sample_rate_hz=recordings.RATE_HZ)
    assert len(sound) == 30 * recordings.RATE_HZ
    loud = [recordings.loudness(part) for part in np.split(sound, 30)]
    assert min(loud[12:17]) > 4 * max(loud[:11] + loud[18:])


def test_hits_are_counted_by_the_events_that_they_name(moments: ModuleType, recordings: ModuleType) -> None:
    clip = recordings.ShortClip(Path("dog.wav"), "dog barking", ("dog",), 2.0)
    events = tuple(recordings.Event(clip, start_s, start_s + 2) for start_s in (10.0, 50.0, 90.0))
    asked = recordings.Asked("dog", "far", ("dog",), events)

    def hit(moment_s: float) -> Hit:
        return Hit("a.wav", moment_s - 0.5, moment_s + 0.5, 0.5, (0.5,), moment_s=moment_s)

    row = moments._answered([hit(30.0), hit(11.0), hit(12.5), hit(91.0)], asked)
    assert (row["first"], row["first_five"], row["repeats"]) == (0, 1, 1)
    assert row["n_among_n"] == pytest.approx(1 / 3)
    assert (row["begins_off_s"], row["ends_off_s"]) == (0.5, 0.5)
