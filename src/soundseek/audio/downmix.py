"""Channels -> mono, such that nothing cancels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from soundseek._typing import FloatArray
from soundseek.audio.quadrature import NUM_REMEMBERED, quadrature_sum

# The power of the mean, as a share of what channels without anything in common would give. Below it, channels cancel
# and are turned where their correlation is beyond the one below. See docs/sound.md.
CANCELLING_SHARE = 0.5
TURNED_CORRELATION = 0.8
# Of two channels a share below this one (a correlation below .5) may hide a sound in antiphase behind one in phase.
HIDING_SHARE = 1.5
# Of the sum in quadrature, such that at HIDING_SHARE it is as loud as the mean.
_QUADRATURE_GAIN = np.float32(np.sqrt(HIDING_SHARE / 4))
# Of two channels' power, -60 dB: what is quieter is no sound that could cancel another.
NOTHING_SHARE = 1e-6
_FADE_S = 0.01
_FIRST_LOOKED_AT = 16  # every so many frames

# How a piece is mixed: plainly, with a weight for each channel (a sign, mostly), or 90 degrees apart.
_Way = FloatArray | Literal["apart"] | None


class Downmix:
    """The mean of the channels of pieces `(frames, channels)`, as `(frames,)`.

    Of channels that are each other's opposite the mean is silence: a microphone's cable with two wires exchanged, a
    sound made "wide". In pieces where that happens, such channels are turned before the mean is taken. Where two
    channels have so little in common that a sound in antiphase may hide behind one in phase, they are added 90
    degrees apart, in which neither is lost; where one of the two is silent, the other is as loud as that. In all
    other pieces the mean is the plain one.

    Args:
        sample_rate_hz: Of the pieces; from one way to the other it goes within a hundredth of a second.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._fade_frames = max(1, round(_FADE_S * sample_rate_hz))
        self._way: _Way = None  # of the last piece
        self._last: FloatArray | None = None  # what came before, as far as the filters reach

    def __call__(self, piece: FloatArray) -> FloatArray:
        """One piece; decoders' own downmixes disagree by up to √2."""
        if piece.shape[1] == 1:
            only: FloatArray = piece[:, 0].copy()
            return only
        plain = _mean(piece)
        before, self._way = self._way, self._way_of(piece, plain)
        mono = self._mixed(piece, plain, self._way)
        if self._last is not None and not _are_equal(before, self._way):
            fade = min(self._fade_frames, len(piece))
            old = self._mixed(piece[:fade], plain[:fade], before)
            share = np.arange(1, fade + 1, dtype=np.float32) / np.float32(fade)
            mono[:fade] = old + share * (mono[:fade] - old)
        self._remember(piece)
        return mono

    def _way_of(self, piece: FloatArray, plain: FloatArray) -> _Way:
        flat = piece.ravel(order="K")
        power = float(np.dot(flat, flat))
        apart = power / piece.shape[1] ** 2  # the power that the mean would have
        if not apart:
            return self._way
        share = float(np.dot(plain, plain)) / apart
        signs = _signs(piece) if share < CANCELLING_SHARE else None
        if signs is not None or share >= HIDING_SHARE or piece.shape[1] != 2:
            return signs
        if _has_a_channel_below(
            NOTHING_SHARE * power, piece
        ):  # as loud as 90 degrees apart, without the filters
            return np.full(2, 2 * _QUADRATURE_GAIN)
        return "apart"

    def _mixed(self, piece: FloatArray, plain: FloatArray, way: _Way) -> FloatArray:
        if way is None:
            return plain
        mixed: FloatArray
        if isinstance(way, str):
            mixed = quadrature_sum(piece, self._last) * _QUADRATURE_GAIN
        else:
            mixed = piece @ (way / np.float32(len(way)))
        return mixed

    def _remember(self, piece: FloatArray) -> None:
        if piece.shape[1] != 2:
            self._last = piece[-1:].copy()  # no filter ever asks for more
        elif self._last is None or len(piece) >= NUM_REMEMBERED:
            self._last = piece[-NUM_REMEMBERED:].copy()
        else:
            self._last = np.concatenate([self._last, piece])[-NUM_REMEMBERED:]


def _are_equal(way: _Way, other: _Way) -> bool:
    both_signs = isinstance(way, np.ndarray) and isinstance(other, np.ndarray)
    return np.array_equal(np.asarray(way), np.asarray(other)) if both_signs else way is other


def _has_a_channel_below(power: float, piece: FloatArray) -> bool:
    """Whether a channel has less than this power; some of the frames mostly have as much already."""
    return all(
        any(float(np.dot(some, some)) < power for some in piece[::step].T) for step in (_FIRST_LOOKED_AT, 1)
    )


def _mean(piece: FloatArray) -> FloatArray:
    if piece.shape[1] == 2:  # twenty times as fast as mean(axis=1), and the same to the bit
        half: FloatArray = piece @ np.full(2, 0.5, np.float32)
        return half
    mono: FloatArray = piece.mean(axis=1, dtype=np.float32)
    return mono


def _signs(piece: FloatArray) -> FloatArray | None:
    """1 or -1 for each channel, such that those that are alike add up; None if no channel is to be turned."""
    products = piece.T @ piece  # (channels, channels)
    level = np.sqrt(np.maximum(products.diagonal(), np.finfo(np.float32).tiny))
    correlation = products / level / level[:, None]
    signs = np.ones(len(level), np.float32)
    for channel in range(1, len(level)):
        to_earlier = correlation[channel, :channel]
        nearest = int(np.abs(to_earlier).argmax())
        if abs(to_earlier[nearest]) >= TURNED_CORRELATION:
            signs[channel] = signs[nearest] * np.sign(to_earlier[nearest])
    return None if (signs == 1).all() else signs
