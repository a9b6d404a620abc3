"""A recording that is streamed has the frames of one pass, and each segment those of its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from toy_model import DIM, make_toy_model

from soundseek._vectors import unit_rows
from soundseek.audio.logmel import LogMel
from soundseek.model.model import Model

RATE = 32_000


def test_a_long_file_in_chunks_gives_the_frames_of_one_pass(model: Model, long_file: Path) -> None:
    heard = model.embed_file(long_file)
    waveform, _ = soundfile.read(long_file, dtype="float32")
    whole = model._run_audio(LogMel(model.front_end)(waveform))
    assert heard.frames.shape == whole.shape == (413, DIM)
    np.testing.assert_allclose(heard.frames, whole, atol=2e-2)


def test_a_segment_is_the_mean_of_its_frames(model: Model, long_file: Path) -> None:
    heard = model.embed_file(long_file)
    assert len(heard.segments) == len(heard.vectors) == len(heard.spans) == 25
    assert heard.segments[-1].end_s == pytest.approx(132.0)
    for segment, vector, (first, last) in zip(heard.segments, heard.vectors, heard.spans, strict=True):
        assert first * heard.frame_s == pytest.approx(segment.start_s, abs=heard.frame_s)
        assert last * heard.frame_s == pytest.approx(segment.end_s, abs=heard.frame_s)
        mean = heard.frames[first:last].astype(np.float32).mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("scope", ["local", "clip"])
@pytest.mark.parametrize("milliseconds", [10, 20, 45])
def test_a_click_is_embedded_with_silence_around_it(milliseconds: int, scope: str, tmp_path: Path) -> None:
    model = Model(make_toy_model(tmp_path / "toy", scope=scope))
    click = np.random.default_rng(0).uniform(-0.5, 0.5, RATE * milliseconds // 1000).astype(np.float32)
    silence = np.zeros(RATE * 150 // 1000, np.float32)
    soundfile.write(tmp_path / "click.wav", click, RATE, subtype="FLOAT")
    soundfile.write(
        tmp_path / "silence.wav", np.concatenate([silence, click, silence]), RATE, subtype="FLOAT"
    )
    alone, among = model.embed_file(tmp_path / "click.wav"), model.embed_file(tmp_path / "silence.wav")
    assert np.isfinite(alone.vectors).all()
    np.testing.assert_array_equal(alone.frames, among.frames)
    assert [(each.start_s, each.end_s) for each in alone.segments] == [(0.0, milliseconds / 1000)]


@pytest.mark.parametrize("seconds", [0.06, 1.94, 9.99, 12.0])
def test_the_last_segment_ends_with_the_last_frame(model: Model, tmp_path: Path, seconds: float) -> None:
    soundfile.write(
        tmp_path / "x.wav", np.random.default_rng(2).uniform(-0.5, 0.5, round(seconds * RATE)), RATE
    )
    heard = model.embed_file(tmp_path / "x.wav")
    assert heard.spans[0, 0] == 0 and heard.spans[-1, 1] == len(heard.frames)
    mean = unit_rows(heard.frames.mean(axis=0, dtype=np.float32)[None])
    np.testing.assert_allclose(model.embed_audio([tmp_path / "x.wav"]), mean, atol=1e-6)
    if len(heard.segments) == 1:
        np.testing.assert_allclose(heard.vectors, mean, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.06, 4.0, 10.0, 14.9, 31.3])
def test_a_model_that_hears_clips_gives_every_segment_frames_of_its_own(
    tmp_path: Path, seconds: float
) -> None:
    """The toy's frames have no context here, so both ways of listening must give the same segment vectors."""
    clip, local = (Model(make_toy_model(tmp_path / scope, scope=scope)) for scope in ("clip", "local"))
    level = np.linspace(0.1, 0.5, round(seconds * RATE))
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(1).uniform(-1, 1, len(level)) * level, RATE)
    alone, streamed = clip.embed_file(tmp_path / "x.wav"), local.embed_file(tmp_path / "x.wav")
    assert alone.segments == streamed.segments
    assert alone.spans[-1, 1] == len(alone.frames)
    assert (alone.spans[1:, 0] == alone.spans[:-1, 1]).all()
    assert ((alone.vectors * streamed.vectors).sum(axis=1) > 0.999).all()


@pytest.mark.parametrize("seconds", [12.0, 15.0, 16.0, 17.4, 17.5, 17.6, 22.4])
def test_a_model_of_clips_embeds_each_segment_where_it_lies(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(make_toy_model(tmp_path / "toy", scope="clip"))
    level = np.geomspace(0.01, 0.5, round(seconds * RATE))
    waveform = np.random.default_rng(1).uniform(-1, 1, len(level)).astype(np.float32) * level
    soundfile.write(tmp_path / "x.wav", waveform, RATE, subtype="FLOAT")
    log_mel = LogMel(model.front_end)(soundfile.read(tmp_path / "x.wav", dtype="float32")[0])
    embedded: list[Any] = []
    run = model._run_audio
    monkeypatch.setattr(model, "_run_audio", lambda window: embedded.append(window.copy()) or run(window))
    segments = model.embed_file(tmp_path / "x.wav").segments
    assert len(embedded) >= len(segments)
    for segment, window in zip(segments, embedded, strict=False):
        start = min(round(segment.start_s * 100), len(log_mel) - len(window))
        np.testing.assert_array_equal(window, log_mel[start : start + len(window)])
