"""Two channels -> one, added 90 degrees apart by all-pass filters, as products of small matrices.

The filters are recursive, and numpy computes no recursion. In blocks it is algebra: what a block of 64 frames gives is
one matrix times its own frames, and one times the state that all frames before it have left, 17 numbers. How states
follow from each other is a sum of powers, which doubling takes in a few steps. That is exact, and takes a quarter of
the time of the same filters as transforms.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from soundseek._typing import DoubleArray, FloatArray

# Two chains of all-pass filters, 90 degrees apart from a thousandth of the rate on: Olli Niemitalo, "Hilbert transform"
# (2001). Each is a product of (c² - z⁻²) / (1 - c² z⁻²); the first one has a delay of a sample.
_CHAINS = (
    (0.6923878, 0.9360654322959, 0.9882295226860, 0.9987488452737),
    (0.4021921162426, 0.8561710882420, 0.9722909545651, 0.9952884791278),
)
_DELAYS = (1, 0)
_BLOCK_FRAMES = 64
# Blocks in one product: so small that OpenBLAS computes it on one thread, whatever their number (see `LogMel`).
_ROWS = 28
_NOTHING = 1e-8  # a share of a state that has no effect in 32 bits

NUM_REMEMBERED = 4096
"""Frames after which a sound has left the filters, but for 0.6 %."""


class _Blocks(NamedTuple):
    """The filters as matrices; a row of a block is its frames, channel beside channel.

    Attributes:
        to_state: `(2 * frames, state)`, what a block leaves in the state behind it.
        to_output: `(2 * frames + state, frames)`, of a block and of the state in front of it.
        aged: `(blocks, state)`, what is left of a state after each number of blocks down to none.
        steps: Blocks of each step of the doubling, with the decay over so many of the states that last so long.
    """

    to_state: FloatArray
    to_output: FloatArray
    aged: FloatArray
    steps: list[tuple[int, FloatArray]]


def quadrature_sum(piece: FloatArray, before: FloatArray | None) -> FloatArray:
    """Two channels `(frames, 2)`, filtered to be 90 degrees apart, and added: `(frames,)`.

    Args:
        piece: The channels.
        before: Up to `NUM_REMEMBERED` frames in front of them; None where nothing is.
    """
    blocks, num_frames, width = _blocks(), len(piece), 2 * _BLOCK_FRAMES
    num_blocks = -(-num_frames // (_BLOCK_FRAMES * _ROWS)) * _ROWS
    num_states = blocks.to_state.shape[1]
    rows = np.empty((num_blocks, width + num_states), np.float32)
    whole = num_frames // _BLOCK_FRAMES
    rows[:whole, :width] = piece[: whole * _BLOCK_FRAMES].reshape(whole, width)
    rows[whole:, :width] = 0
    rest = piece[whole * _BLOCK_FRAMES :].reshape(-1)
    rows[whole : whole + 1, : len(rest)] = rest
    groups = rows.reshape(-1, _ROWS, rows.shape[1])  # a product for each
    states = np.empty((num_states, num_blocks + 1), np.float32)
    states[:, 0] = 0 if before is None else _state_behind(before, blocks)
    states[:, 1:] = (groups[:, :, :width] @ blocks.to_state).reshape(num_blocks, -1).T
    for step, decay in blocks.steps:
        if step > num_blocks:
            break
        states[: len(decay), step:] += decay[:, None] * states[: len(decay), :-step]
    rows[:, width:] = states[:, :-1].T
    return (groups @ blocks.to_output).reshape(-1)[:num_frames]


def _state_behind(frames: FloatArray, blocks: _Blocks) -> FloatArray:
    """`(state,)` that frames `(frames, 2)` leave behind them."""
    rows = np.zeros((-(-len(frames) // _BLOCK_FRAMES), 2 * _BLOCK_FRAMES), np.float32)
    rows.reshape(-1)[rows.size - frames.size :] = frames.reshape(-1)
    state: FloatArray = (rows @ blocks.to_state * blocks.aged[-len(rows) :]).sum(axis=0, dtype=np.float32)
    return state


@cache
def _blocks() -> _Blocks:
    """The matrices of both chains.

    A chain in z² is two filters, one of the even samples and one of the odd ones, and each is the sum of a constant and
    of one recursion for each pole p = c²: m of these samples later, its response is the sum of r pᵐ (r the residues).
    """
    at = np.arange(_BLOCK_FRAMES)
    lags = at - at[:, None]  # (input, output)
    inside = np.zeros((_BLOCK_FRAMES, 2, _BLOCK_FRAMES))
    states: list[tuple[float, DoubleArray, DoubleArray]] = []  # decay, to state, to output
    for channel, (chain, delay) in enumerate(zip(_CHAINS, _DELAYS, strict=True)):
        poles = np.square(chain)
        residues = np.array([_residue(poles, number) for number in range(len(poles))])
        later = (lags - delay) // 2  # in samples of their own
        response = np.where(later > 0, (residues * poles ** np.maximum(later, 0)[..., None]).sum(-1), 0)
        response[later == 0] = poles.prod()
        inside[:, channel] = np.where((lags >= delay) & ((lags - delay) % 2 == 0), response, 0)
        for nearest in (1, 2):  # frames before the block that this state begins with; then every other one
            ago = _BLOCK_FRAMES - at
            kept = (ago >= nearest) & ((ago - nearest) % 2 == 0)
            later = at + nearest - delay
            meets = later % 2 == 0
            for pole, residue in zip(poles, residues, strict=True):
                left = np.zeros((_BLOCK_FRAMES, 2))
                left[:, channel] = np.where(kept, pole ** ((ago - nearest) // 2), 0)
                given = np.where(meets, residue * pole ** (later // 2), 0)
                states.append((pole ** (_BLOCK_FRAMES // 2), left.reshape(-1), given))
    # The chains' constants act on the sample of their delay: of the first one, that is the last frame before a block.
    last, first = np.zeros(2 * _BLOCK_FRAMES), np.zeros(_BLOCK_FRAMES)
    last[-2], first[0] = 1, 1 / np.square(_CHAINS[0]).prod()
    states.append((0.0, last, first))
    states.sort(key=lambda state: -state[0])
    decay = np.array([state[0] for state in states])
    steps: list[tuple[int, FloatArray]] = []
    while (lasting := decay[decay ** (step := 1 << len(steps)) > _NOTHING]).size:
        steps.append((step, (lasting**step).astype(np.float32)))
    to_output = np.concatenate([inside.reshape(2 * _BLOCK_FRAMES, -1), [state[2] for state in states]])
    to_state = np.stack([state[1] for state in states], axis=1)
    aged = decay ** np.arange(NUM_REMEMBERED // _BLOCK_FRAMES)[::-1, None]
    return _Blocks(to_state.astype(np.float32), to_output.astype(np.float32), aged.astype(np.float32), steps)


def _residue(poles: DoubleArray, number: int) -> float:
    """Of the product of (p - x) / (1 - p x), at x = 1 / p of one of the poles."""
    pole, others = poles[number], np.delete(poles, number)
    return float((pole - 1 / pole) * np.prod((others - 1 / pole) / (1 - others / pole)))
