"""Mixtures and damage: the levels, lengths and bands they promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import DataError
from soundseek.learn.data.decoded_cache import WaveformCache
from soundseek.learn.distill.mixtures import MelDamage, clip_samples, draw_crop, draw_mixture

RATE = 32_000


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> WaveformCache:
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(0)
    for number, seconds in enumerate((0.5, 2.0, 6.0)):
        soundfile.write(folder / f"{number}.wav", generator.uniform(-0.5, 0.5, int(seconds * RATE)), RATE)
    (folder / "3.wav").write_bytes(b"no sound")
    said: list[str] = []
    paths = sorted(folder.glob("*.wav"))
    cache = WaveformCache.build(paths, folder / "cache", sample_rate_hz=RATE, report=said.append)
    assert len(said) == 1 and "3.wav" in said[0]
    return cache


def test_the_cache_gives_back_what_was_decoded(cache: WaveformCache) -> None:
    assert cache.names == ["0.wav", "1.wav", "2.wav"]
    assert cache.lengths == [16_000, 64_000, 192_000]
    expected, _ = soundfile.read(Path(cache.samples.filename).parent.parent / "1.wav", dtype="float32")
    np.testing.assert_allclose(cache[1], expected, atol=2e-4)
    np.testing.assert_array_equal(cache.read(1, 100, 300), cache[1][100:300])


def test_a_cache_is_made_anew_when_a_file_has_changed(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.full(8000, 0.25), RATE)
    paths = sorted(tmp_path.glob("*.wav"))
    assert WaveformCache.build(paths, tmp_path / "cache", sample_rate_hz=RATE).lengths == [8000, 8000]
    soundfile.write(tmp_path / "b.wav", np.full(9000, 0.25), RATE)
    assert WaveformCache.build(paths, tmp_path / "cache", sample_rate_hz=RATE).lengths == [8000, 9000]


def test_a_cache_without_a_single_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 clips"):
        WaveformCache.build([tmp_path / "a.wav"], tmp_path / "cache", sample_rate_hz=RATE)
    with pytest.raises(DataError, match="holds no waveform cache"):
        WaveformCache(tmp_path / "nowhere")


def test_crops_and_mixtures_have_the_length_asked_for_and_never_overshoot(cache: WaveformCache) -> None:
    for seed in range(60):
        generator = np.random.default_rng(seed)
        crop = draw_crop(cache, 48_000, generator)
        assert crop.shape == (48_000,) and crop.dtype == np.float32
        mixture = draw_mixture(cache, 48_000, generator)
        assert mixture.shape == (48_000,) and mixture.dtype == np.float32
        assert 0 < np.abs(mixture).max() <= 1 + 1e-6


def test_the_same_seed_draws_the_same_mixture(cache: WaveformCache) -> None:
    first, second = (draw_mixture(cache, 20_000, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, draw_mixture(cache, 20_000, np.random.default_rng(8)))


def test_clipping_flattens_the_top_and_keeps_the_peak() -> None:
    wave = np.sin(np.linspace(0, 60, 8000)).astype(np.float32) * 0.4
    clipped = clip_samples(wave, np.random.default_rng(0))
    assert np.abs(clipped).max() == pytest.approx(np.abs(wave).max(), rel=1e-4)
    assert (np.abs(clipped) > 0.399).mean() > 2 * (np.abs(wave) > 0.399).mean()


def test_noise_on_mel_power_is_the_noise_of_a_noisy_waveform() -> None:
    """The short cut says: white noise of this level looks like this. A real noisy waveform agrees in every band."""
    config = FrontEndConfig()
    damage = MelDamage(config)
    noise = np.random.default_rng(1).standard_normal(RATE * 4).astype(np.float32) * 0.05
    real = np.exp(LogMel(config)(noise) * config.scale - config.offset).mean(axis=0)
    shape = damage._white / damage._white.sum()
    ratio = real / real.sum() / np.maximum(shape, 1e-12)
    heard = damage._white > 0
    assert np.abs(np.log(ratio[heard])).max() < 0.25


def test_damage_is_a_function_of_the_generator_and_stays_finite() -> None:
    config = FrontEndConfig()
    damage = MelDamage(config)
    log_mel = LogMel(config)(np.random.default_rng(0).uniform(-0.3, 0.3, RATE).astype(np.float32))
    changed = 0
    for seed in range(40):
        out = damage(log_mel, np.random.default_rng(seed))
        np.testing.assert_array_equal(out, damage(log_mel, np.random.default_rng(seed)))
        assert out.shape == log_mel.shape and np.isfinite(out).all()
        changed += not np.array_equal(out, log_mel)
    assert 15 < changed < 40
