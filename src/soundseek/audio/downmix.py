"""Channels -> mono, such that nothing cancels."""

from __future__ import annotations

import numpy as np

from soundseek._typing import FloatArray

# The power of the mean, as a share of what channels without anything in common would give: below the first, channels
# cancel; two of them are turned where their correlation is beyond the second. See docs/sound.md.
CANCELLING_SHARE = 0.5
TURNED_CORRELATION = 0.8
_FADE_S = 0.01


class Downmix:
    """The mean of the channels of pieces `(frames, channels)`, as `(frames,)`.

    Of channels that are each other's opposite the mean is silence: a microphone's cable with two wires exchanged, a
    sound made "wide". In pieces where that happens, such channels are turned before the mean is taken; in all others
    the mean is the plain one.

    Args:
        sample_rate_hz: Of the pieces; the sign of a channel changes within a hundredth of a second.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._fade_frames = max(1, round(_FADE_S * sample_rate_hz))
        self._signs: FloatArray | None = None  # of the last piece's channels; None: all are 1

    def __call__(self, piece: FloatArray) -> FloatArray:
        """One piece; decoders' own downmixes disagree by up to √2."""
        num_channels = piece.shape[1]
        if num_channels == 1:
            only: FloatArray = piece[:, 0].copy()
            return only
        mono = _mean(piece)
        if self._signs is None and not self._cancels(piece, mono):
            return mono
        signs = self._signs_of(piece, mono)
        before, self._signs = self._signs, signs
        plain = np.ones(num_channels, np.float32)
        return self._turned(piece, plain if before is None else before, plain if signs is None else signs)

    def _signs_of(self, piece: FloatArray, mono: FloatArray) -> FloatArray | None:
        if not piece.any():
            return self._signs
        return _signs(piece) if self._cancels(piece, mono) else None

    @staticmethod
    def _cancels(piece: FloatArray, mono: FloatArray) -> bool:
        flat = piece.ravel(order="K")
        apart = float(np.dot(flat, flat)) / piece.shape[1] ** 2
        return bool(float(np.dot(mono, mono)) < CANCELLING_SHARE * apart)

    def _turned(self, piece: FloatArray, before: FloatArray, signs: FloatArray) -> FloatArray:
        num_channels = np.float32(len(signs))
        mono: FloatArray = piece @ (signs / num_channels)
        if (before != signs).any():
            fade = min(self._fade_frames, len(piece))
            share = (np.arange(1, fade + 1, dtype=np.float32) / np.float32(fade))[:, None]
            weights = before + share * (signs - before)
            mono[:fade] = (piece[:fade] * weights).sum(axis=1) / num_channels
        return mono


def _mean(piece: FloatArray) -> FloatArray:
    mono: FloatArray
    if piece.shape[1] == 2:  # ten times as fast as mean(axis=1)
        mono = piece[:, 0] + piece[:, 1]
        mono *= np.float32(0.5)
    else:
        mono = piece.mean(axis=1, dtype=np.float32)
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
