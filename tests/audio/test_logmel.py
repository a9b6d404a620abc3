"""Log-mel features: checked by hand, against a loop over DFT sums, and the same whole or in pieces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from soundseek.audio.logmel import (
    CLAP_FRONT_END,
    PANNS_FRONT_END,
    PAPER_FRONT_END,
    FrontEndConfig,
    LogMel,
    mel_matrix,
    padded_window,
)

Float = npt.NDArray[np.float32]

TOY = FrontEndConfig(
    sample_rate_hz=800, n_fft=16, win_length=12, hop_length=5, num_mels=3, f_max_hz=400,
    pre_emphasis=0.5, floor=1e-3,
)  # fmt: skip
TOY_SLANEY = TOY.model_copy(
    update={"mel_scale": "slaney", "log": "db", "pre_emphasis": 0.0, "offset": 0.0, "scale": 1.0}
)
FRONT_ENDS = [FrontEndConfig(), PANNS_FRONT_END, PAPER_FRONT_END, TOY, TOY_SLANEY]


def sine(hz: float, rate_hz: int, duration_s: float = 1.0) -> Float:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def noise(num_samples: int, seed: int = 0) -> Float:
    return (0.1 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


# --- references written from the definitions -------------------------------------------------------------


def slaney_mel(hz: float) -> float:
    """Auditory Toolbox: 3 mels for 200 Hz up to 1 kHz, then 27 mels for each factor of 6.4."""
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def slaney_hz(mel: float) -> float:
    return 200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def kaldi_mel(hz: float) -> float:
    return 1127 * math.log(1 + hz / 700)


def mel_weight(config: FrontEndConfig, bin_number: int, band: int) -> float:
    """Weight of one FFT bin in one band."""
    hz = bin_number * config.sample_rate_hz / config.n_fft
    to_mel = slaney_mel if config.mel_scale == "slaney" else kaldi_mel
    low, high = to_mel(config.f_min_hz), to_mel(config.f_max_hz)
    edges = [low + (high - low) * (band + side) / (config.num_mels + 1) for side in range(3)]
    place = kaldi_mel(hz)
    if config.mel_scale == "slaney":
        edges, place = [slaney_hz(edge) for edge in edges], hz
    elif bin_number == config.n_fft // 2:
        return 0.0
    left, centre, right = edges
    height = max(0.0, min((place - left) / (centre - left), (right - place) / (right - centre)))
    return height * 2 / (right - left) if config.mel_scale == "slaney" else height


def naive_log_mel(config: FrontEndConfig, waveform: Float) -> npt.NDArray[np.float64]:
    """Frame by frame, bin by bin, sample by sample, in double precision."""
    x = [float(value) for value in waveform]
    if config.pre_emphasis:
        x = [x[t + 1] - config.pre_emphasis * x[t] for t in range(len(x) - 1)]
    x += [0.0] * (config.n_fft - len(x))
    half = config.n_fft // 2
    padded = x[1 : half + 1][::-1] + x + x[-half - 1 : -1][::-1]
    period = config.win_length if config.window_periodic else config.win_length - 1
    floor = 0.5 if config.window == "hann" else 0.54
    window = [floor - (1 - floor) * math.cos(2 * math.pi * n / period) for n in range(config.win_length)]
    margin = (config.n_fft - config.win_length) // 2
    rows = []
    for start in range(0, len(padded) - config.n_fft + 1, config.hop_length):
        frame = [window[n] * padded[start + margin + n] for n in range(config.win_length)]
        power = []
        for k in range(half + 1):
            angles = [2 * math.pi * k * (margin + n) / config.n_fft for n in range(config.win_length)]
            real = sum(value * math.cos(angle) for value, angle in zip(frame, angles, strict=True))
            imaginary = sum(value * math.sin(angle) for value, angle in zip(frame, angles, strict=True))
            power.append(real**2 + imaginary**2)
        bands = [
            sum(mel_weight(config, k, band) * power[k] for k in range(half + 1))
            for band in range(config.num_mels)
        ]
        if config.log == "ln":
            logs = [math.log(band + config.floor) for band in bands]
        else:
            logs = [10 * math.log10(max(band, config.floor)) for band in bands]
        rows.append([(value + config.offset) / config.scale for value in logs])
    return np.array(rows)


# --- by hand ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [FrontEndConfig(), PANNS_FRONT_END, PAPER_FRONT_END])
@pytest.mark.parametrize("band", [10, 30, 50])
def test_a_sine_at_the_centre_of_a_band_is_loudest_in_that_band(config: FrontEndConfig, band: int) -> None:
    weights = mel_matrix(config)
    centre_hz = weights[:, band].argmax() * config.sample_rate_hz / config.n_fft
    features = LogMel(config)(sine(centre_hz, config.sample_rate_hz))
    strongest = np.bincount(features[5:-5].argmax(axis=1)).argmax()
    # In the narrow bands of 128 a neighbour may own the same bin.
    assert abs(strongest - band) <= (1 if config.num_mels == 128 else 0)


def test_silence_is_the_floor_everywhere() -> None:
    panns = LogMel(PANNS_FRONT_END)(np.zeros(32_000, np.float32))
    np.testing.assert_allclose(panns, -100, atol=1e-4)  # 10 log10(1e-10)
    own = LogMel(FrontEndConfig())(np.zeros(32_000, np.float32))
    np.testing.assert_allclose(own, (math.log(1e-5) + 4.5) / 5, atol=1e-6)


def test_ten_times_the_amplitude_is_20_db_more() -> None:
    wave = noise(8000)
    log_mel = LogMel(PANNS_FRONT_END)
    np.testing.assert_allclose(log_mel(wave * 10) - log_mel(wave), 20, atol=1e-3)


def test_the_sum_over_a_window_of_ones_is_the_power_at_zero_hertz() -> None:
    # A constant 1 under a Hann window of 8 sums to 4 in bin 0, 2 in bin 1, nothing above: power 16, 4, 0.
    config = TOY_SLANEY.model_copy(
        update={"n_fft": 8, "win_length": 8, "hop_length": 4, "window_periodic": True, "num_mels": 2}
    )
    features = LogMel(config)(np.ones(64, np.float32))
    weights = mel_matrix(config)
    expected = 10 * np.log10(np.maximum(16 * weights[0] + 4 * weights[1], config.floor))
    np.testing.assert_allclose(features[3], expected, atol=1e-4)


# --- against the references ------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [TOY, TOY_SLANEY])
@pytest.mark.parametrize("num_samples", [3, 16, 17, 50, 80])
def test_features_equal_a_loop_over_sums(config: FrontEndConfig, num_samples: int) -> None:
    wave = noise(num_samples)
    np.testing.assert_allclose(LogMel(config)(wave), naive_log_mel(config, wave), atol=2e-4)


@pytest.mark.parametrize("hertz", [100, 3000, 12_000])
def test_in_32_bits_a_tone_at_full_scale_makes_no_other_band_wrong(hertz: float) -> None:
    wave = np.sin(2 * np.pi * hertz * np.arange(32_000) / 32_000).astype(np.float32)
    config = FrontEndConfig()
    assert config.transforms_in_32_bits
    exact = LogMel(config.model_copy(update={"precision": "float64"}))(wave)
    np.testing.assert_allclose(LogMel(config)(wave), exact, atol=2e-4)


@pytest.mark.parametrize("config", [PANNS_FRONT_END, PAPER_FRONT_END, CLAP_FRONT_END])
def test_decibels_that_would_show_the_rounding_are_transformed_in_64_bits(config: FrontEndConfig) -> None:
    assert not config.transforms_in_32_bits
    wave = np.sin(2 * np.pi * 3000 * np.arange(96_000) / config.sample_rate_hz).astype(np.float32)
    exact = LogMel(config.model_copy(update={"precision": "float64"}))(wave)
    np.testing.assert_allclose(LogMel(config)(wave), exact, atol=2e-3)


@pytest.mark.parametrize("num_samples", [48, 50, 64])
def test_a_hop_of_half_the_fft_equals_a_loop_over_sums(num_samples: int) -> None:
    config = TOY_SLANEY.model_copy(update={"win_length": 16, "hop_length": 8})
    wave = noise(num_samples)
    np.testing.assert_allclose(LogMel(config)(wave), naive_log_mel(config, wave), atol=2e-4)


@pytest.mark.parametrize("config", FRONT_ENDS)
def test_mel_filters_equal_their_definition(config: FrontEndConfig) -> None:
    weights = mel_matrix(config)
    assert weights.shape == (config.n_fft // 2 + 1, config.num_mels)
    for band in range(0, config.num_mels, 7):
        expected = [mel_weight(config, k, band) for k in range(config.n_fft // 2 + 1)]
        np.testing.assert_allclose(weights[:, band], expected, atol=1e-6)


# --- properties of the filters ---------------------------------------------------------------------------


def test_slaney_filters_have_unit_area() -> None:
    config = PANNS_FRONT_END.model_copy(update={"n_fft": 16_384, "win_length": 16_384})
    bin_hz = config.sample_rate_hz / config.n_fft
    np.testing.assert_allclose(mel_matrix(config).sum(axis=0) * bin_hz, 1, atol=0.02)


def test_kaldi_filters_peak_at_one_and_add_up_to_one_between_their_centres() -> None:
    config = FrontEndConfig(n_fft=16_384, win_length=16_384)
    weights = mel_matrix(config)
    np.testing.assert_allclose(weights.max(axis=0), 1, atol=0.05)
    first, last = weights[:, 0].argmax(), weights[:, -1].argmax()
    np.testing.assert_allclose(weights[first:last].sum(axis=1), 1, atol=1e-5)


def test_kaldi_gives_the_nyquist_bin_no_weight() -> None:
    assert (mel_matrix(FrontEndConfig(f_max_hz=16_000))[-1] == 0).all()


@pytest.mark.parametrize("config", FRONT_ENDS)
def test_filters_are_never_negative_and_keep_within_their_edges(config: FrontEndConfig) -> None:
    weights = mel_matrix(config)
    bins_hz = np.arange(len(weights)) * config.sample_rate_hz / config.n_fft
    assert (weights >= 0).all()
    assert not weights[(bins_hz < config.f_min_hz) | (bins_hz > config.f_max_hz)].any()


@pytest.mark.parametrize("config", FRONT_ENDS)
def test_bands_rise_in_frequency(config: FrontEndConfig) -> None:
    weights = mel_matrix(config).astype(np.float64)
    heard = weights[:, weights.any(axis=0)]
    centres = (np.arange(len(heard))[:, None] * heard).sum(axis=0) / heard.sum(axis=0)
    assert (np.diff(centres) >= 0).all()


# --- whole, streamed, short ------------------------------------------------------------------------------


def in_pieces(log_mel: LogMel, waveform: Float, cuts: list[int]) -> Float:
    stream = log_mel.stream()
    frames = [stream.push(piece) for piece in np.split(waveform, sorted(cuts))]
    return np.concatenate([*frames, stream.flush()])


@pytest.mark.parametrize("config", [TOY, TOY_SLANEY])
@given(num_samples=st.integers(1, 400), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_into_blocks_gives_the_same_features(
    config: FrontEndConfig, num_samples: int, cuts: list[int]
) -> None:
    wave, log_mel = noise(num_samples), LogMel(config)
    pieces = in_pieces(log_mel, wave, [min(cut, num_samples) for cut in cuts])
    whole = log_mel(wave)
    assert pieces.shape == whole.shape
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


@pytest.mark.parametrize("config", [FrontEndConfig(), PANNS_FRONT_END, PAPER_FRONT_END])
def test_real_front_ends_stream_without_a_seam(config: FrontEndConfig) -> None:
    wave, log_mel = noise(100_000), LogMel(config)
    cuts = [1, 2, 500, 1024, 33_333, 33_334, 99_999]
    np.testing.assert_allclose(in_pieces(log_mel, wave, cuts), log_mel(wave), atol=1e-4)


@pytest.mark.parametrize("config", FRONT_ENDS)
@pytest.mark.parametrize("num_hops", [40, 40.5, 51])
def test_there_is_a_frame_for_every_hop_that_begins(config: FrontEndConfig, num_hops: float) -> None:
    num_samples = math.ceil(num_hops * config.hop_length)
    emphasised = num_samples - (1 if config.pre_emphasis else 0)
    assert len(LogMel(config)(noise(num_samples))) == 1 + emphasised // config.hop_length


@pytest.mark.parametrize("config", FRONT_ENDS)
@pytest.mark.parametrize("num_samples", [0, 1, 5])
def test_a_waveform_shorter_than_the_fft_is_followed_by_silence(
    config: FrontEndConfig, num_samples: int
) -> None:
    short = LogMel(config)(noise(num_samples))
    assert short.shape == (1 + config.n_fft // config.hop_length, config.num_mels)
    assert np.isfinite(short).all()


def test_features_are_float32_and_the_waveform_is_left_alone() -> None:
    wave = noise(5000)
    before = wave.copy()
    assert LogMel(FrontEndConfig())(wave).dtype == np.float32
    np.testing.assert_array_equal(wave, before)


def test_a_frame_hears_only_its_own_window() -> None:
    config = FrontEndConfig()
    quiet, click = np.zeros(32_000, np.float32), np.zeros(32_000, np.float32)
    click[16_000] = 1
    log_mel = LogMel(config)
    touched = np.flatnonzero((log_mel(click) != log_mel(quiet)).any(axis=1))
    # The window is 800 samples about the middle of the frame: 16,000 / 320 = frame 50, one on either side.
    assert touched.tolist() == [49, 50, 51]


def test_a_config_refuses_unknown_keys_and_impossible_values() -> None:
    with pytest.raises(ValidationError, match="num_mel"):
        FrontEndConfig(num_mel=64)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="hop_length"):
        FrontEndConfig(hop_length=0)
    with pytest.raises(ValidationError, match="must not exceed n_fft 1024"):
        FrontEndConfig(hop_length=2000)
    with pytest.raises(ValidationError, match="do not fit 8000 Hz sound"):
        FrontEndConfig(sample_rate_hz=8000)


def test_the_hop_in_seconds_is_that_in_samples() -> None:
    assert FrontEndConfig(sample_rate_hz=8000, hop_length=80, f_max_hz=4000).hop_s == 0.01


@pytest.mark.parametrize("config", [FrontEndConfig(), PANNS_FRONT_END], ids=["ln", "db"])
def test_silence_is_what_silent_frames_are(config: FrontEndConfig) -> None:
    np.testing.assert_allclose(LogMel(config)(np.zeros(3200, np.float32)), config.silence, rtol=1e-6)


def test_a_short_log_mel_is_continued_with_silence_and_a_long_one_is_left() -> None:
    log_mel = LogMel(FrontEndConfig())
    heard = log_mel(np.ones(3200, np.float32))
    longer = FrontEndConfig().continued(heard, 14)
    assert longer.shape == (14, 128) and longer.dtype == np.float32
    np.testing.assert_array_equal(longer[:10], heard)
    np.testing.assert_allclose(longer[10:], log_mel(np.zeros(1280, np.float32))[:4], rtol=1e-6)
    assert FrontEndConfig().continued(heard, 10) is heard


@pytest.mark.parametrize(("window", "reference"), [("hann", np.hanning), ("hamming", np.hamming)])
def test_windows_are_those_of_numpy(window: Any, reference: Any) -> None:
    config = FrontEndConfig(n_fft=16, win_length=16, hop_length=8, num_mels=2, window=window)
    np.testing.assert_allclose(padded_window(config), reference(16), atol=1e-7)
    periodic = config.model_copy(update={"window_periodic": True})
    np.testing.assert_allclose(padded_window(periodic), reference(17)[:16], atol=1e-7)


@pytest.mark.parametrize("pre_emphasis", [0.0, 0.97])
def test_a_block_that_its_owner_fills_anew_changes_no_feature(pre_emphasis: float) -> None:
    log_mel = LogMel(TOY.model_copy(update={"pre_emphasis": pre_emphasis}))
    wave, block, stream, frames = noise(40), np.empty(1, np.float32), log_mel.stream(), []
    for sample in wave:
        block[:] = sample
        frames.append(stream.push(block))
    assert np.array_equal(np.concatenate([*frames, stream.flush()]), in_pieces(log_mel, wave, [*range(40)]))
