from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tones import write_tone

from soundseek.learn.data.mixing import (
    SoundSpec,
    add_noise,
    band_limit,
    clip_peaks,
    degrade,
    in_sequence,
    overlay,
    render,
    reverberate,
    scene,
)

RATE = 8000


def tone(frequency_hz: float, duration_s: float = 1.0, level: float = 0.5) -> np.ndarray:
    time_s = np.arange(int(duration_s * RATE)) / RATE
    return (level * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(waveform.astype(np.float64) ** 2)))


def power_at(waveform: np.ndarray, frequency_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(waveform)) ** 2
    return float(spectrum[round(frequency_hz * len(waveform) / RATE)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    write_tone(first, frequency_hz=500, duration_s=1.0)
    write_tone(second, frequency_hz=2000, duration_s=0.5)
    return first, second


def test_an_overlay_is_as_long_as_the_longer_part_and_holds_both() -> None:
    for seed in range(5):
        mixed = overlay(tone(500, 0.5), tone(2000, 1.0), np.random.default_rng(seed))
        assert len(mixed) == RATE
        assert min(power_at(mixed, 500), power_at(mixed, 2000)) > 1e3 * power_at(mixed, 3000)


def test_a_sequence_holds_the_first_before_the_second() -> None:
    for seed in range(10):
        joined = in_sequence(tone(500), tone(2000), RATE, np.random.default_rng(seed))
        assert 1.6 * RATE - 1 <= len(joined) <= 2.8 * RATE
        start, end = joined[: RATE // 2], joined[-RATE // 2 :]
        assert power_at(start, 500) > 1e3 * power_at(start, 2000)
        assert power_at(end, 2000) > 1e3 * power_at(end, 500)


def test_a_scene_is_ten_seconds_of_its_background_with_every_event() -> None:
    for seed in range(3):
        mixed = scene(tone(200, 3.0), [tone(500, 0.5), tone(2000, 8.0)], RATE, np.random.default_rng(seed))
        assert len(mixed) == 10 * RATE and np.abs(mixed).max() < 0.99
        assert min(power_at(mixed, 200), power_at(mixed, 500), power_at(mixed, 2000)) > 100 * power_at(
            mixed, 3000
        )


def test_mixtures_stay_below_full_scale() -> None:
    loud = tone(500, level=0.99)
    assert np.abs(overlay(loud, loud, np.random.default_rng(0))).max() <= 0.981


def test_a_band_limit_removes_what_lies_above_it_and_nothing_below() -> None:
    limited = band_limit(tone(500) + tone(3000), RATE, 2000)
    assert power_at(limited, 3000) < 1e-4 * power_at(limited, 500)
    assert power_at(limited, 500) == pytest.approx(power_at(tone(500), 500), rel=0.02)


def test_noise_has_the_ratio_that_was_asked_for() -> None:
    for seed in range(3):
        noisy = add_noise(tone(500), 10.0, np.random.default_rng(seed))
        assert 20 * np.log10(rms(tone(500)) / rms(noisy - tone(500))) == pytest.approx(10, abs=0.01)


def test_clipping_by_six_decibels_halves_the_peak() -> None:
    assert np.abs(clip_peaks(tone(500), 6.02)).max() == pytest.approx(0.25, rel=1e-3)


def test_a_room_rings_on_after_the_sound_at_the_same_level() -> None:
    click = np.zeros(RATE, np.float32)
    click[0] = 0.5
    wet = reverberate(click, RATE, 0.5, np.random.default_rng(0))
    assert len(wet) == RATE
    assert rms(wet) == pytest.approx(rms(click), rel=1e-3)
    assert rms(wet[800:1600]) > 10 * rms(wet[4000:]) and rms(click[800:1600]) == 0


def test_degraded_sounds_differ_and_stay_finite_and_within_full_scale() -> None:
    versions = [degrade(tone(500), RATE, np.random.default_rng(seed)) for seed in range(20)]
    assert all(
        np.isfinite(each).all() and np.abs(each).max() <= 1 and each.dtype == np.float32 for each in versions
    )
    assert len({each.tobytes() for each in versions}) == 20


@pytest.mark.parametrize("kind", ["overlay", "sequence"])
def test_a_sound_renders_the_same_every_time(files: tuple[Path, Path], kind: str) -> None:
    sound = SoundSpec(kind, files, seed=3, degraded=True)  # type: ignore[arg-type]
    assert np.array_equal(render(sound, RATE), render(sound, RATE))
    assert not np.array_equal(
        render(sound, RATE)[:100], render(SoundSpec(kind, files, seed=4, degraded=True), RATE)[:100]
    )  # type: ignore[arg-type]


def test_a_clip_as_it_is_is_the_file(files: tuple[Path, Path]) -> None:
    waveform = render(SoundSpec("clip", files[:1]), 16_000)
    assert len(waveform) == 16_000
    assert rms(waveform) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.02)


def test_long_parts_are_cut(files: tuple[Path, Path]) -> None:
    assert len(render(SoundSpec("overlay", files, part_s=0.25), RATE)) == RATE // 4


def test_the_key_follows_contents_and_choices_but_not_names(files: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.wav"
    copy.write_bytes(files[0].read_bytes())
    plain = SoundSpec("clip", (files[0],))
    assert plain.key() == SoundSpec("clip", (copy,)).key()
    others = [
        SoundSpec("clip", (files[1],)),
        SoundSpec("clip", (files[0],), seed=1),
        SoundSpec("clip", (files[0],), degraded=True),
        SoundSpec("overlay", files),
        SoundSpec("sequence", files),
        SoundSpec("sequence", files[::-1]),
    ]
    assert len({plain.key(), *(each.key() for each in others)}) == 7


def test_a_manner_changes_the_sound_and_its_key_and_none_leaves_both(files: tuple[Path, Path]) -> None:
    plain, muffled = SoundSpec("clip", files[1:]), SoundSpec("clip", files[1:], manner="muffled")
    assert power_at(render(muffled, RATE), 2000) < 0.3 * power_at(render(plain, RATE), 2000)
    assert plain.key() != muffled.key()
    assert plain.key() == SoundSpec("clip", files[1:], manner="").key()
