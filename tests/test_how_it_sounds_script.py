"""The pairs by which words for how a sound sounds are measured."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from test_tables import script
from tones import write_tone
from toy_model import make_toy_model

from soundseek.library import Library
from soundseek.model.model import Model


@pytest.fixture(scope="module")
def how() -> ModuleType:
    return script("how_it_sounds")


def bursts(waveform: np.ndarray) -> int:
    loud = np.flatnonzero(np.abs(waveform) > 0.3)
    return int((np.diff(loud) > 2000).sum()) + 1


def test_each_pair_differs_as_it_says(how: ModuleType) -> None:
    click = np.zeros(how.RATE_HZ, np.float32)
    click[8000:9000] = np.random.default_rng(0).uniform(-0.9, 0.9, 1000)
    pairs = {each.name: each.pair(click) for each in how.PROPERTIES}
    counts = {
        name: tuple(bursts(side) for side in pairs[name]) for name in ("slow", "fast", "one shot", "three")
    }
    assert counts == {"slow": (4, 28), "fast": (28, 4), "one shot": (1, 8), "three": (3, 1)}
    power = {
        name: [np.abs(np.fft.rfft(side, 1 << 16)) ** 2 for side in pairs[name]]
        for name in ("muffled", "dark", "bright", "reverberant")
    }
    high = slice(1 << 13, 1 << 14)  # 4 to 8 kHz
    assert power["muffled"][0][high].sum() < 1e-6 * power["muffled"][1][high].sum()
    assert power["dark"][0][high].sum() < 0.03 * power["dark"][1][high].sum()
    assert power["bright"][0][high].sum() > 30 * power["bright"][1][high].sum()
    assert np.abs(pairs["reverberant"][0][how.RATE_HZ :]).max() > 1e-3
    quiet, plain = pairs["quiet"]
    assert np.allclose(quiet / 0.0316, plain)


def test_the_nearer_one_of_a_pair_is_ahead(how: ModuleType) -> None:
    text = np.eye(2, dtype=np.float32)
    assert how.ahead(text, text, text[::-1]) == 1.0 and how.ahead(text, text[::-1], text) == 0.0


def test_what_all_pairs_share_is_visible_and_what_none_shares_is_not(how: ModuleType) -> None:
    shared = np.array([[1.0, 0.2], [0.8, -0.3], [1.2, 0.1]], np.float32)
    assert how.visible(shared) == 1.0
    assert how.visible(np.array([[1.0, 0], [-1.0, 0]], np.float32)) == 0.0


def test_a_pair_is_searched_for_among_the_sounds_of_a_library(how: ModuleType, tmp_path: Path) -> None:
    write_tone(tmp_path / "other.wav", frequency_hz=300.0)
    model = Model(make_toy_model(tmp_path / "toy"))
    with Library.create(tmp_path / "library", model=model) as library:
        library.index(tmp_path / "other.wav")
    time_s = np.arange(2 * how.RATE_HZ, dtype=np.float32) / how.RATE_HZ
    low, high = (np.sin(2 * np.pi * frequency * time_s) for frequency in (200, 1600))
    shares = [
        how.ahead_among(model, tmp_path / "library", [pair], [["a tone"], ["rain"]])
        for pair in ((low, high), (high, low))
    ]
    assert sum(shares) == 1  # whichever it is
    with Library.open(tmp_path / "library", model=model) as library:
        assert library.info().files == 1  # the library itself has none of them


def test_only_short_clips_are_repeated(how: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = {"a": 1.0, "b": 9.0, "c": 20.0}
    monkeypatch.setattr(
        how,
        "read_audio",
        lambda path, sample_rate_hz: np.zeros(int(lengths[path] * sample_rate_hz), np.float32),
    )
    clips = [how.Clip(name, ("x",)) for name in lengths]
    by_name = {each.name: each for each in how.PROPERTIES}
    assert [clip.path for clip, _ in how.choose(clips, 9, by_name["slow"])] == ["a"]
    assert {clip.path: len(waveform) for clip, waveform in how.choose(clips, 9, by_name["dark"])} == {
        "a": how.RATE_HZ, "b": 9 * how.RATE_HZ, "c": 10 * how.RATE_HZ
    }  # fmt: skip
