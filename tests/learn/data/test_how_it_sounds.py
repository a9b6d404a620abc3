from __future__ import annotations

from random import Random

import numpy as np
import pytest

from soundseek.learn.data.how_it_sounds import (
    EVENT_S,
    MANNERS,
    contrasted_with,
    described,
    described_in,
    manners_for,
)

RATE = 16000


def noise(duration_s: float = 1.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(int(duration_s * RATE))).astype(np.float32)


def knock() -> np.ndarray:
    """A click of 50 ms a third of a second into a second of silence."""
    waveform = np.zeros(RATE, np.float32)
    waveform[RATE // 3 : RATE // 3 + 800] = np.linspace(0.9, 0, 800) * (-1) ** np.arange(800)
    return waveform


def changed(manner: str, waveform: np.ndarray, seed: int = 0) -> np.ndarray:
    return MANNERS[manner].change(waveform, RATE, np.random.default_rng(seed))


def treble_db(waveform: np.ndarray) -> float:
    """Level above 3 kHz against that below 300 Hz."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    f = np.fft.rfftfreq(len(waveform), 1 / RATE)
    return float(10 * np.log10(power[f > 3000].mean() / power[(f > 20) & (f < 300)].mean()))


def onsets(waveform: np.ndarray) -> list[int]:
    """Where it becomes loud after a tenth of a second of less."""
    loud = np.flatnonzero(np.abs(waveform) > 0.4)
    return [
        int(at) for at, before in zip(loud, [-RATE, *loud[:-1]], strict=True) if at - before > 0.09 * RATE
    ]


@pytest.mark.parametrize("seed", range(3))
def test_muffled_and_dark_lose_treble_and_bright_wins_it(seed: int) -> None:
    plain = treble_db(noise())
    assert treble_db(changed("muffled", noise(), seed)) < plain - 20
    assert treble_db(changed("dark", noise(), seed)) < plain - 8
    assert treble_db(changed("bright", noise(), seed)) > plain + 8


def test_a_telephone_has_neither_bass_nor_treble() -> None:
    power = np.abs(np.fft.rfft(changed("thin", noise()))) ** 2
    middle = power[1000:2000].mean()
    assert power[20:150].mean() < middle / 100 and power[6000:].mean() < middle / 100


def test_a_hall_rings_on_where_the_sound_has_ended() -> None:
    heard = changed("reverberant", knock())
    assert len(heard) > 2 * RATE
    assert np.abs(heard[RATE : RATE + 4000]).max() > 1e-3 > np.abs(knock()[RATE // 2 :]).max()


def test_from_afar_is_quiet_and_has_less_treble() -> None:
    heard = changed("distant", noise())
    assert np.square(heard).mean() < 0.1 * np.square(noise()).mean()
    assert treble_db(heard) < treble_db(noise()) - 3


@pytest.mark.parametrize(
    ("manner", "fewest", "most", "gap_s"),
    [("single", 1, 1, 9.0), ("three times", 3, 3, 0.6), ("slow", 3, 5, 1.5), ("fast", 8, 20, 0.2)],
)
def test_an_event_is_repeated_as_the_words_say(manner: str, fewest: int, most: int, gap_s: float) -> None:
    for seed in range(3):
        found = onsets(changed(manner, knock(), seed))
        assert fewest <= len(found) <= most
        assert all(gap <= gap_s * RATE + 1 for gap in np.diff(found))


def test_an_event_begins_where_the_loudest_moment_does() -> None:
    heard = changed("single", knock())
    assert onsets(heard)[0] < 0.02 * RATE and len(heard) >= EVENT_S * RATE


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize(
    "waveform", [np.zeros(0, np.float32), np.zeros(100, np.float32), knock()[: RATE // 2]]
)
def test_any_waveform_comes_out_finite(manner: str, waveform: np.ndarray) -> None:
    heard = changed(manner, waveform)
    assert heard.dtype == np.float32 and np.isfinite(heard).all() and np.abs(heard).max(initial=0) < 20


def test_articles_fit_the_adjective() -> None:
    random = Random(0)
    assert described("An owl hoots.", "distant", "before", random) == "A distant owl hoots."
    assert described("the dog barks", "echoing", "before", random) == "the echoing dog barks"
    assert described("A dog barks", "echoing", "before", random) == "An echoing dog barks"
    assert described("TV noise", "dull", "before", random) == "Dull TV noise"


@pytest.mark.parametrize("manner", MANNERS)
def test_words_for_a_manner_are_its_own(manner: str) -> None:
    own = MANNERS[manner]
    for seed in range(10):
        said = described_in(manner, "A dog barks.", Random(seed)).lower()
        assert any(word in said for word in (*own.adjectives, *own.endings))
        assert "dog barks" in said
        contrast = contrasted_with(manner, "A dog barks.", Random(seed)).lower()
        assert (
            any(word in contrast for word in own.opposites) if own.opposites else contrast == "a dog barks."
        )


def test_only_short_clips_are_repeated() -> None:
    assert set(manners_for(1.0)) == set(MANNERS)
    assert {"slow", "fast", "single", "three times"} == set(MANNERS) - set(manners_for(9.0))
