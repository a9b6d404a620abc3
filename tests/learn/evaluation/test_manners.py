"""Directions of manners from a toy model that hears treble, level over time, and what sounds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundseek.learn.evaluation.manners import LEAST_CLIPS, fit_manners
from soundseek.model.manners import MannerDirection
from soundseek.model.memory import SoundMemory

RATE_HZ = 32_000


class Toy:
    """Share of treble on the first axis, of the second half's energy on the second, of three octaves on the others."""

    def embed_audio(self, sounds: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
        vectors = []
        for waveform, _ in sounds:
            power = np.square(np.abs(np.fft.rfft(waveform)))
            hz = np.fft.rfftfreq(len(waveform), 1 / RATE_HZ)
            treble = power[hz > 2000].sum() / power.sum()
            late = np.square(waveform[len(waveform) // 2 :]).sum() / np.square(waveform).sum()
            octaves = [power[(hz > low) & (hz <= 2 * low)].sum() / power.sum() for low in (250, 500, 1000)]
            vectors.append([treble, late, *octaves])
        rows = np.float32(vectors)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Words that mean treble: what is muffled is less of it."""
        return np.repeat(np.eye(5, dtype=np.float32)[:1], len(texts), axis=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manners")
    (folder / "development").mkdir()
    generator = np.random.default_rng(0)
    with (folder / "captions_development.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "caption_1"])
        for number in range(LEAST_CLIPS):
            noise = generator.standard_normal(RATE_HZ // 4) * np.linspace(1, 0, RATE_HZ // 4)
            tone = np.sin(np.arange(len(noise)) * 2 * np.pi * 375 * 2 ** (number % 3) / RATE_HZ)
            soundfile.write(folder / "development" / f"{number}.wav", 0.1 * noise + 0.3 * tone, RATE_HZ)
            rows.writerow([f"{number}.wav", "a burst"])
    return folder


@pytest.fixture(scope="module")
def manners(data: Path) -> dict[str, MannerDirection]:
    clips = [soundfile.read(path, dtype="float32") for path in sorted((data / "development").iterdir())]
    return fit_manners(Toy(), data, split="development", reference=Toy().embed_audio(clips))


def test_a_manner_is_where_changed_copies_lie(manners: dict[str, MannerDirection]) -> None:
    assert manners["muffled"].direction[0] < 0 < manners["bright"].direction[0]
    assert {"distant", "reverberant", "slow", "three times"} <= set(manners)
    for direction, _, spread, *_ in manners.values():
        assert np.linalg.norm(direction) == pytest.approx(1, rel=1e-5) and spread > 0


def test_a_manner_is_worth_what_copies_lose_and_reaches_as_far_as_they_do(
    data: Path, manners: dict[str, MannerDirection]
) -> None:
    assert manners["bright"].worth == 0 < manners["muffled"].worth  # words for treble
    clips = [soundfile.read(path, dtype="float32") for path in sorted((data / "development").iterdir())]
    muffled = manners["muffled"]
    assert muffled.reach > 0 and np.mean(muffled.standings(Toy().embed_audio(clips)) < muffled.reach) > 0.9
    turned = fit_manners(
        Toy(), data, split="development", reference=Toy().embed_audio(clips),
        memory=SoundMemory(np.eye(5, dtype=np.float32)[1:2]),
    )  # fmt: skip
    assert turned["muffled"].worth != pytest.approx(manners["muffled"].worth)  # less treble is asked for


def test_a_manner_is_heard_in_sounds_that_it_was_not_fitted_on(manners: dict[str, MannerDirection]) -> None:
    noise = 0.1 * np.random.default_rng(9).standard_normal(RATE_HZ).astype(np.float32)
    dull = np.convolve(noise, np.ones(40, np.float32) / 40, "same")
    bright, muffled = Toy().embed_audio([(noise, RATE_HZ), (dull, RATE_HZ)])
    assert muffled @ manners["muffled"].direction > bright @ manners["muffled"].direction
    assert bright @ manners["bright"].direction > muffled @ manners["bright"].direction


def test_the_same_clips_give_the_same_manners(data: Path, manners: dict[str, MannerDirection]) -> None:
    clips = [soundfile.read(path, dtype="float32") for path in sorted((data / "development").iterdir())]
    again = fit_manners(Toy(), data, split="development", reference=Toy().embed_audio(clips))
    assert all(np.array_equal(again[name].direction, each.direction) for name, each in manners.items())


def test_too_few_clips_give_none(data: Path, tmp_path: Path) -> None:
    (tmp_path / "development").symlink_to(data / "development")
    lines = (data / "captions_development.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "captions_development.csv").write_text("\n".join(lines[:LEAST_CLIPS]), encoding="utf-8")
    assert fit_manners(Toy(), tmp_path, split="development", reference=np.eye(5, dtype=np.float32)) == {}
