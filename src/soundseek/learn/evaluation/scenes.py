"""Scenes made of clips: one sound lasts as a background, another one happens in it once, for seconds of minutes.

What a search scores for such an event is less than for a clip of the event alone, so `match` is fitted on both.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from soundseek._typing import FloatArray
from soundseek.audio.decode import read_audio
from soundseek.learn.datasets.layout import Clip
from soundseek.learn.evaluation.corruptions import write_wav
from soundseek.model.model import AudioEmbedding
from soundseek.query.text import words

NUM_SCENES = 120
_RATE_HZ = 32_000
_SHORTEST_S, _LONGEST_S = 10.0, 240.0
_BACKGROUND_S, _EVENT_S = 4.0, 6.0  # the shortest that lasts, and the longest that happens
_LEVELS_DB = (0.0, 18.0)  # of an event's loudest half second over the background
_JOINED = ("{0} while {1}", "{0} and {1}", "{0} with {1} in the background", "{0} as {1}")


class FileEmbedder(Protocol):
    """Files to their segments and frames: a model directory's `Model`."""

    def embed_file(self, path: Path) -> AudioEmbedding:
        """All that the model makes of a sound."""
        ...


@dataclass(frozen=True)
class Scene:
    """An event in a background.

    Attributes:
        background: Number of the clip that lasts.
        event: Number of the clip that happens.
        duration_s: Of the scene.
        level_db: Of the event's loudest half second over the background.
        at: Where the event begins, as a share of the scene.
        sentence: Names both.
    """

    background: int
    event: int
    duration_s: float
    level_db: float
    at: float
    sentence: str


def scenes_of_clips(
    clips: Sequence[Clip],
    kinds: Sequence[str],
    durations_s: Sequence[float],
    number: int,
    generator: np.random.Generator,
) -> list[Scene]:
    """Scenes of two clips whose kinds share no word; fewer, or none, where the clips are too short or too alike.

    Args:
        clips: What they are made of.
        kinds: The kind of each.
        durations_s: And how long it is.
        number: How many.
        generator: Draws them.
    """
    lasting = [at for at, duration_s in enumerate(durations_s) if duration_s >= _BACKGROUND_S]
    if not lasting:
        return []
    own_words = [{word.lower() for word in words(kind) if len(word) > 3} or {kind} for kind in kinds]
    scenes: list[Scene] = []
    for _ in range(4 * number):
        background = lasting[int(generator.integers(len(lasting)))]
        event = int(generator.integers(len(clips)))
        drawn = generator.random(4)
        if len(scenes) == number or own_words[background] & own_words[event]:
            continue
        both = [
            captions[int(drawn[0] * len(captions))].strip().rstrip(".")
            for captions in (clips[event].captions, clips[background].captions)
        ]
        sentence = _JOINED[len(scenes) % len(_JOINED)].format(both[0], both[1][:1].lower() + both[1][1:])
        duration_s = _SHORTEST_S * (_LONGEST_S / _SHORTEST_S) ** float(drawn[1])
        level_db = _LEVELS_DB[0] + (_LEVELS_DB[1] - _LEVELS_DB[0]) * float(drawn[2])
        scenes.append(Scene(background, event, duration_s, level_db, float(drawn[3]), sentence))
    return scenes


def embed_scenes(model: FileEmbedder, clips: Sequence[Clip], scenes: Sequence[Scene]) -> list[AudioEmbedding]:
    """What a model makes of scenes; each is written to a file, and heard from there."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, scene in enumerate(scenes):
            path = Path(folder) / f"scene-{number}.wav"
            background, event = (
                read_audio(clips[number].path, sample_rate_hz=_RATE_HZ)
                for number in (scene.background, scene.event)
            )
            write_wav(path, scene_of(scene, background, event, rate_hz=_RATE_HZ), _RATE_HZ)
            found.append(model.embed_file(path))
            path.unlink()
    return found


def scene_of(scene: Scene, background: FloatArray, event: FloatArray, *, rate_hz: int) -> FloatArray:
    """The waveform `(samples,)` of a scene: the background again and again, and the loudest seconds of the event in it.

    Args:
        scene: The plan.
        background: `(samples,)`.
        event: `(samples,)`.
        rate_hz: Of all three.
    """
    out = np.resize(background, round(scene.duration_s * rate_hz)).astype(np.float32)
    piece = event
    if len(event) > _EVENT_S * rate_hz:
        energy = np.concatenate([[0.0], np.cumsum(event.astype(np.float64) ** 2)])
        length = round(_EVENT_S * rate_hz)
        first = int((energy[length:] - energy[:-length]).argmax())
        piece = event[first : first + length]
    half = rate_hz // 2
    energy = np.concatenate([[0.0], np.cumsum(np.pad(piece, (0, half)).astype(np.float64) ** 2)])
    loudest = max(float(np.sqrt((energy[half:] - energy[:-half]).max() / half)), 1e-6)
    level = max(float(np.sqrt((out.astype(np.float64) ** 2).mean())), 1e-6)
    start = round(scene.at * max(0, len(out) - len(piece)))
    out[start : start + len(piece)] += piece * np.float32(10 ** (scene.level_db / 20) * level / loudest)
    mixed: FloatArray = out / max(1.0, float(np.abs(out).max()))
    return mixed
