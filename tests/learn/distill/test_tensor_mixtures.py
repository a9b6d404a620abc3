"""Mixtures as tensors: the same log-mel as everywhere, samples where they belong, and damage as it is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from soundseek.audio.logmel import PANNS_FRONT_END, FrontEndConfig, LogMel
from soundseek.learn.data.decoded_cache import WaveformCache
from soundseek.learn.distill.tensor_mixtures import (
    OCTAVES,
    REVERSED,
    ClipPool,
    Crops,
    TensorLogMel,
    TensorMixer,
    _high_pass,
    _low_pass,
    fast_size,
    to_peak,
)

RATE = 32_000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> ClipPool:
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(0)
    for number, seconds in enumerate((0.5, 2.0, 6.0)):
        soundfile.write(folder / f"{number}.wav", generator.uniform(-0.5, 0.5, int(seconds * RATE)), RATE)
    return ClipPool(
        WaveformCache.build(sorted(folder.glob("*.wav")), folder / "cache", sample_rate_hz=RATE), CPU
    )


@pytest.fixture(scope="module")
def mixer(pool: ClipPool) -> TensorMixer:
    return TensorMixer(pool, FrontEndConfig(), seed=0, batch_s=6.0)


@pytest.mark.parametrize("config", [FrontEndConfig(), PANNS_FRONT_END])
def test_log_mels_are_those_that_the_models_hear(config: FrontEndConfig) -> None:
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 20_000).astype(np.float32)
    found = TensorLogMel(config, CPU)(torch.from_numpy(waveform)[None])[0]
    np.testing.assert_allclose(found, LogMel(config)(waveform), atol=1e-4, rtol=1e-4)


def test_a_batch_depends_on_seed_and_step_alone(pool: ClipPool) -> None:
    draws = [TensorMixer(pool, FrontEndConfig(), seed=seed, batch_s=3.0) for seed in (5, 5, 6)]
    first, again, other = (mixer.draw(3) for mixer in draws)
    assert torch.equal(first.clean, again.clean) and torch.equal(first.damaged, again.damaged)
    for different in (other, draws[0].draw(4)):
        assert first.clean.shape != different.clean.shape or not torch.equal(first.clean, different.clean)


def test_batches_hold_as_much_sound_as_they_are_told_to(pool: ClipPool) -> None:
    mixer = TensorMixer(pool, FrontEndConfig(), seed=0, batch_s=60.0, margin_frames=128)
    for step in range(4):
        rows, frames, bands = mixer.draw(step).clean.shape
        assert bands == 128 and rows * (frames + 256) / 100 == pytest.approx(60.0, abs=6.5)


def test_undamaged_both_hear_the_same(pool: ClipPool) -> None:
    batch = TensorMixer(pool, FrontEndConfig(), seed=0, batch_s=6.0, damage=False).draw(0)
    assert torch.equal(batch.clean, batch.damaged)
    hurt = TensorMixer(pool, FrontEndConfig(), seed=0, batch_s=6.0).draw(0)
    assert torch.equal(hurt.clean, batch.clean) and not torch.equal(hurt.clean, hurt.damaged)


def test_crops_lie_where_they_are_put_and_faster_ones_are_shorter(pool: ClipPool, mixer: TensorMixer) -> None:
    clip = (pool.samples[:16_000].float() / 32768).numpy()
    rows = Crops(
        starts=np.array([0, 0, 0]), lengths=np.array([16_000] * 3), offsets=np.array([0, 500, 0]),
        places=np.array([0, 300, 0]), speeds=np.array([1.0, 1.0, 1.25]),
    )  # fmt: skip
    found = mixer.read(rows, 17_000).numpy()
    np.testing.assert_array_equal(found[0, :15_999], clip[:15_999])
    assert not found[0, 16_000:].any()
    np.testing.assert_array_equal(found[1, :15_000], clip[200:15_200])  # what came before is heard before
    expected = np.interp(np.arange(12_700) * 1.25, np.arange(16_000), clip)
    np.testing.assert_allclose(found[2, :12_700], expected, atol=1e-5)
    assert not found[2, 12_800:].any()


def test_some_crops_are_backwards_and_some_are_an_octave_off(tmp_path: Path) -> None:
    fading = np.linspace(0.9, 0.1, 4000)
    soundfile.write(tmp_path / "fading.wav", fading, RATE)
    pool = ClipPool(
        WaveformCache.build([tmp_path / "fading.wav"], tmp_path / "cache", sample_rate_hz=RATE), CPU
    )
    mixer = TensorMixer(pool, FrontEndConfig(), seed=0, batch_s=6.0)
    crops = mixer._crops(1000, 10_000, np.random.default_rng(0)).numpy()
    heard = [row[row > 0] for row in crops]
    assert np.mean([row[0] < row[-1] for row in heard]) == pytest.approx(REVERSED, abs=0.03)
    octaves = np.abs(np.log2([len(fading) / len(row) for row in heard]))
    assert octaves.max() == pytest.approx(1.0, abs=0.05)
    assert np.mean(octaves < 0.001) == pytest.approx(OCTAVES["as it is"], abs=0.04)
    assert np.mean(octaves > 0.41) == pytest.approx(0.6 * OCTAVES["far"], abs=0.03)


def test_mixtures_peak_at_one(mixer: TensorMixer) -> None:
    mixture = mixer.mix(24, 40_960, np.random.default_rng(1))
    torch.testing.assert_close(mixture.abs().amax(dim=1), torch.ones(24))


def test_a_room_starts_with_the_sound_and_rings_on(mixer: TensorMixer) -> None:
    click = torch.zeros(4, 40_960)
    click[:, 1000] = 1
    wet = mixer._reverberate(click, np.random.default_rng(0), torch.Generator().manual_seed(0))
    assert wet[:, :1000].abs().max() < 1e-4
    assert bool((wet[:, 1000] > 0.9).all())
    early, late = wet[:, 2000:6000].square().mean(dim=1), wet[:, 20_000:24_000].square().mean(dim=1)
    assert bool((early > late).all()) and bool((early > 1e-9).all())


def test_noise_is_at_most_as_loud_as_the_sound(mixer: TensorMixer) -> None:
    tone = torch.sin(torch.arange(40_960) * 0.1).repeat(8, 1)
    noise = mixer._with_noise(tone, np.random.default_rng(0)) - tone
    level_db = 20 * (noise.square().mean(dim=1).sqrt() / tone.square().mean(dim=1).sqrt()).log10()
    assert (
        level_db.max() < 6 and level_db.min() > -36
    )  # a stretch of brown noise may be above or below its mean


def test_a_codec_takes_the_weak_bins_and_leaves_the_strong(mixer: TensorMixer) -> None:
    power = torch.full((1, 9, 513), 1e-6)
    power[:, :, 100] = 1.0
    coded = mixer._code(power, np.random.default_rng(0))
    assert bool((coded[:, :, 100] == 1).all()) and coded[0, 4, 95].item() == pytest.approx(2e-8)
    assert coded[0, 4, 300].item() == pytest.approx(1e-6)  # nothing loud is near


def test_a_low_pass_is_a_low_pass(mixer: TensorMixer) -> None:
    bins_hz = np.linspace(0, 16_000, 513)
    low, high = _low_pass(bins_hz, np.random.default_rng(0)), _high_pass(bins_hz, np.random.default_rng(0))
    assert not low[bins_hz < 2500].any() and low[-1] == pytest.approx(-78) and bool((np.diff(low) <= 0).all())
    assert not high[bins_hz > 500].any() and high[0] < -12


def test_long_clips_are_drawn_more_often_but_not_in_proportion(pool: ClipPool) -> None:
    starts, lengths = pool.choose(np.random.default_rng(0), 20_000)
    share = {length: float((lengths == length).mean()) for length in (16_000, 64_000, 192_000)}
    weights = np.sqrt([0.7, 2.0, 6.0])
    assert list(share.values()) == pytest.approx(weights / weights.sum(), abs=0.02)
    assert set(zip(starts.tolist(), lengths.tolist(), strict=True)) == {
        (0, 16_000),
        (16_000, 64_000),
        (80_000, 192_000),
    }


@pytest.mark.parametrize(("least", "size"), [(1, 1), (1000, 1024), (1025, 1152), (327_680 + 32_000, 393_216)])
def test_ffts_have_sizes_that_are_fast(least: int, size: int) -> None:
    assert fast_size(least) == size


def test_near_silence_is_not_blown_up() -> None:
    quiet = torch.full((1, 10), 1e-5)
    torch.testing.assert_close(to_peak(quiet), torch.full((1, 10), 1e-2))


def test_a_clip_of_one_sample_is_never_drawn(tmp_path: Path) -> None:
    for name, size in (("a", 1), ("b", 9000)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(size, 0.25), RATE)
    cache = WaveformCache.build(sorted(tmp_path.glob("*.wav")), tmp_path / "cache", sample_rate_hz=RATE)
    assert set(ClipPool(cache, CPU).choose(np.random.default_rng(0), 100)[1]) == {9000}
