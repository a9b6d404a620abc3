"""Scenes of two clips: which are planned, and what is heard in them, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soundseek.learn.datasets.layout import Clip
from soundseek.learn.evaluation.scenes import Scene, scene_of, scenes_of_clips
from soundseek.query.parts import sentence_parts

CLIPS = [
    Clip(Path("rain.wav"), ("Rain falls.",)),
    Clip(Path("shower.wav"), ("Heavy rain falls",)),
    Clip(Path("dog.wav"), ("A dog barks",)),
]
KINDS, DURATIONS_S = ["rain falling", "heavy rain", "dog barking"], [10.0, 8.0, 1.0]


def test_what_happens_shares_no_word_with_what_lasts() -> None:
    scenes = scenes_of_clips(CLIPS, KINDS, DURATIONS_S, 40, np.random.default_rng(0))
    assert len(scenes) == 40
    assert {(scene.background, scene.event) for scene in scenes} == {(0, 2), (1, 2)}
    assert all(10 <= scene.duration_s <= 240 and 0 <= scene.level_db <= 18 for scene in scenes)
    assert sentence_parts(scenes[0].sentence) in {
        ("A dog barks", "rain falls"),
        ("A dog barks", "heavy rain falls"),
    }


def test_without_a_clip_that_lasts_there_are_none() -> None:
    assert scenes_of_clips(CLIPS, KINDS, [1.0] * 3, 40, np.random.default_rng(0)) == []
    assert scenes_of_clips(CLIPS, KINDS, DURATIONS_S, 0, np.random.default_rng(0)) == []


def test_the_event_is_so_much_louder_than_the_background_and_begins_where_it_should() -> None:
    rate_hz = 100
    background = 0.01 * np.tile(np.float32([1, -1]), 200)  # of four seconds, again and again
    event = np.tile(np.float32([0.5, -0.5]), 50)  # one second
    scene = Scene(0, 1, 20.0, 20.0, 0.5, "")
    waveform = scene_of(scene, background, event, rate_hz=rate_hz)
    assert len(waveform) == 2000
    loud = np.flatnonzero(np.abs(waveform) > 0.05)
    assert (loud[0], loud[-1]) == (950, 1049)  # half of the 19 seconds that are left
    # Twenty decibels: ten times the background, and the background itself.
    np.testing.assert_allclose(np.abs(waveform[loud]), 0.11, atol=1e-6)
    np.testing.assert_allclose(np.abs(np.delete(waveform, loud)), 0.01, atol=1e-6)


def test_of_a_long_event_the_loudest_six_seconds_happen() -> None:
    event = np.concatenate([np.full(500, 0.1), np.full(600, 0.8), np.full(500, 0.1)]).astype(np.float32)
    waveform = scene_of(Scene(0, 1, 10.0, 0.0, 0.0, ""), np.full(400, 0.2, np.float32), event, rate_hz=100)
    np.testing.assert_allclose(waveform[:600], 0.4, atol=1e-6)
    np.testing.assert_allclose(waveform[600:], 0.2, atol=1e-6)
