"""A contrastive step of a large batch in the memory of a chunk, with the gradient of the whole batch.

A contrastive loss needs every pair of the batch at once, but only as embeddings: 60 clips of 30 s through
CNN14 need some 29 GB for the graph and 240 kB for the embeddings. So: embed chunk by chunk without a graph;
take the loss and its gradient at the embeddings; embed each chunk again, now with its graph, and send the
gradient through it. That costs one more forward pass ("gradient caching").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from soundseek.errors import UsageError

Chunk = TypeVar("Chunk")


@dataclass(frozen=True)
class Tower(Generic[Chunk]):
    """One side of a dual encoder with its batch, cut into chunks.

    Attributes:
        embed: From a chunk to `(chunk, dim)` embeddings.
        chunks: The batch in order; chunks may differ in size, and towers in their number of chunks.
    """

    embed: Callable[[Chunk], Tensor]
    chunks: Sequence[Chunk]


def chunked_backward(
    towers: Sequence[Tower[Any]],
    loss: Callable[..., Tensor],
    *,
    backward: Callable[[Tensor], object] = Tensor.backward,
    generators: Sequence[torch.Generator] = (),
) -> Tensor:
    """The batch's loss, detached; the gradients of all parameters, the loss's too, are added to `.grad`.

    Args:
        towers: Usually text and audio.
        loss: From each tower's `(batch, dim)` embeddings, in the order of `towers`, to a scalar.
        backward: Sends the loss back through its graph, such as Lightning's `manual_backward`, which multiplies it by
            the factor of mixed precision; the gradient at the embeddings then carries that factor on to the chunks.
        generators: Generators of their own that the towers draw from, such as those that
            `soundseek.learn.models.audio.spec_augment.reseed` returns for SpecAugment. Torch's own need no mention.

    Note:
        Both passes over a chunk must compute the same. Dropout does: it draws the same units again.
        Batch-norm must be frozen or in evaluation mode, for the statistics of a chunk are not those of the
        batch. Under DistributedDataParallel, work inside `soundseek.learn.parallel.one_average`.

    Raises:
        UsageError: A tower without chunks.
    """
    if not towers or not all(len(tower.chunks) for tower in towers):
        raise UsageError("a chunked step needs at least one chunk in every tower")
    drafts = [_embed_without_graph(tower, generators) for tower in towers]
    embeddings = [torch.cat([part for part, _ in draft]).requires_grad_() for draft in drafts]
    with torch.enable_grad():
        value = loss(*embeddings)
    backward(value)
    # Autocast may keep the weights that it has cast, and those of the first pass have no graph.
    torch.clear_autocast_cache()
    for tower, draft, embedding in zip(towers, drafts, embeddings, strict=True):
        if embedding.grad is None:  # the loss makes no use of this tower
            continue
        gradients = torch.split(embedding.grad, [len(part) for part, _ in draft])
        for chunk, (_, state), gradient in zip(tower.chunks, draft, gradients, strict=True):
            with state.replayed(), torch.enable_grad():
                again = tower.embed(chunk)
            if again.requires_grad:  # a frozen tower has nothing to learn
                # d(sum) / d(again) is the batch's gradient at this chunk
                torch.autograd.backward((again * gradient).sum())
    return value.detach()


class _RandomState:
    """Where the random generators stand now, so that dropout can be drawn a second time."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._own = [(generator, generator.get_state()) for generator in generators]
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Inside, the generators stand where they stood; afterwards, where they are now."""
        now = [(generator, generator.get_state()) for generator, _ in self._own]
        with torch.random.fork_rng(devices=range(len(self._cuda))):
            torch.set_rng_state(self._cpu)
            if self._cuda:
                torch.cuda.set_rng_state_all(self._cuda)
            for generator, state in self._own:
                generator.set_state(state)
            try:
                yield
            finally:
                for generator, state in now:
                    generator.set_state(state)


def _embed_without_graph(
    tower: Tower[Any], generators: Sequence[torch.Generator]
) -> list[tuple[Tensor, _RandomState]]:
    """`(chunk, dim)` embeddings of each chunk, with the random state that they were made in."""
    draft = []
    for chunk in tower.chunks:
        state = _RandomState(generators)
        with torch.no_grad():
            draft.append((tower.embed(chunk), state))
    return draft
