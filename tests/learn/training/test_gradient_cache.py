"""The chunked contrastive step: the whole batch's gradient in a chunk's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from soundseek.errors import UsageError
from soundseek.learn.losses import ContrastiveLoss, build_loss, cosine_scores, match_matrix
from soundseek.learn.models.attention import GraphAttention, masked_mean
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.audio.spec_augment import reseed
from soundseek.learn.training.gradient_cache import Tower, chunked_backward

torch.set_num_threads(1)
BATCH, TIME, MEL, WORDS, DIM = 12, 9, 6, 5, 4


class Audio(nn.Module):
    """Frozen batch-norm, a convolution, the graph attention, a projector: what a real tower has."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(MEL).eval()
        self.conv = nn.Conv1d(MEL, 8, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.attention = GraphAttention(8)
        self.project = nn.Linear(8, DIM)

    def forward(self, log_mel: Tensor) -> Tensor:
        mask = torch.ones(log_mel.shape[:2], dtype=torch.bool)
        frames = self.conv(self.norm(log_mel.transpose(1, 2))).transpose(1, 2)
        return self.project(masked_mean(self.attention(self.dropout(frames), mask), mask))  # type: ignore[no-any-return]


@dataclass
class System:
    audio: Audio
    text: nn.Module
    loss: ContrastiveLoss
    log_mel: Tensor
    words: Tensor
    positives: Tensor

    def gradients(self) -> dict[str, Tensor]:
        modules = nn.ModuleDict({"audio": self.audio, "text": self.text, "loss": self.loss})
        return {name: p.grad.clone() for name, p in modules.named_parameters() if p.grad is not None}

    def value(self, text: Tensor, audio: Tensor) -> Tensor:
        return self.loss(cosine_scores(text, audio), self.positives)  # type: ignore[no-any-return]

    def chunked(self, size: int, text_size: int | None = None) -> Tensor:
        text_chunks = self.words.split(text_size or size)
        return chunked_backward(
            [Tower(self.text, text_chunks), Tower(self.audio, self.log_mel.split(size))], self.value
        )


def system(dropout: float = 0.0, name: str = "nt-xent") -> System:
    torch.manual_seed(0)
    return System(
        audio=Audio(dropout).double(),
        text=nn.Sequential(nn.Linear(WORDS, 7), nn.ReLU(), nn.Dropout(dropout), nn.Linear(7, DIM)).double(),
        loss=build_loss(name, temperature_mode="learned").double(),
        log_mel=torch.randn(BATCH, TIME, MEL).double(),
        words=torch.randn(BATCH, WORDS).double(),
        positives=match_matrix(torch.arange(BATCH) // 2, torch.arange(BATCH)),
    )


@pytest.mark.parametrize("name", ["nt-xent", "supervised-contrastive"])
@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_the_gradient_is_that_of_the_full_batch(name: str, size: int) -> None:
    full, cut = system(name=name), system(name=name)
    expected = full.value(full.text(full.words), full.audio(full.log_mel))
    expected.backward()
    value = cut.chunked(size, text_size=4)
    torch.testing.assert_close(value, expected.detach())
    assert not value.requires_grad
    gradients = full.gradients()
    assert len(gradients) == len(list(full.audio.parameters())) + 4 + 1, "every parameter must have one"
    torch.testing.assert_close(cut.gradients(), gradients)


def test_a_chunk_sees_negatives_of_the_whole_batch() -> None:
    """What a step on separate chunks would give is something else; equality above is not trivial."""
    full, parts = system(), system()
    full.value(full.text(full.words), full.audio(full.log_mel)).backward()
    for words, log_mel in zip(parts.words.split(6), parts.log_mel.split(6), strict=True):
        scores = cosine_scores(parts.text(words), parts.audio(log_mel))
        (parts.loss(scores, parts.positives[:6, :6]) / 2).backward()
    key = "audio.project.weight"
    assert not torch.allclose(parts.gradients()[key], full.gradients()[key], rtol=0.05)


def test_dropout_draws_the_same_units_in_both_passes_and_leaves_the_generator_where_it_belongs() -> None:
    full, cut = system(dropout=0.5), system(dropout=0.5)
    torch.manual_seed(5)
    text = torch.cat([full.text(chunk) for chunk in full.words.split(3)])
    audio = torch.cat([full.audio(chunk) for chunk in full.log_mel.split(3)])
    full.value(text, audio).backward()
    after = torch.rand(3)
    torch.manual_seed(5)
    cut.chunked(3)
    assert torch.equal(torch.rand(3), after)
    torch.testing.assert_close(cut.gradients(), full.gradients())


def test_gradients_add_to_those_already_there() -> None:
    once, twice = system(), system()
    once.chunked(4)
    twice.chunked(4)
    twice.chunked(6)
    doubled = {name: 2 * gradient for name, gradient in once.gradients().items()}
    torch.testing.assert_close(twice.gradients(), doubled)


def most_kept_for_backward(step: Callable[[], object]) -> int:
    """Numbers that autograd holds at the worst moment of a step."""
    held = most = 0

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal held, most
            self.tensor = tensor
            held += tensor.numel()
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= self.tensor.numel()

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        step()
    return most


def test_the_graph_never_holds_more_than_a_chunk() -> None:
    full, cut = system(), system()
    full.log_mel, cut.log_mel = (torch.randn(BATCH, 300, MEL).double() for _ in range(2))
    whole = most_kept_for_backward(
        lambda: full.value(full.text(full.words), full.audio(full.log_mel)).backward()
    )
    chunk = most_kept_for_backward(lambda: cut.chunked(1))
    assert chunk < whole / 8  # a twelfth, and the loss itself


def test_a_frozen_tower_is_left_alone() -> None:
    cut = system()
    cut.text.requires_grad_(False)
    cut.chunked(4)
    assert not any(name.startswith("text") for name in cut.gradients())
    assert any(name.startswith("audio") for name in cut.gradients())


def test_autocast_does_not_lose_the_gradient() -> None:
    cut = system()
    cut.audio, cut.text = cut.audio.float(), cut.text.float()
    cut.log_mel, cut.words = cut.log_mel.float(), cut.words.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cut.chunked(4)
    names = {name for name in cut.gradients() if name.startswith(("audio", "text"))}
    assert len(names) == len(list(cut.audio.parameters())) + 4


def test_a_factor_of_the_given_backward_reaches_every_gradient_once() -> None:
    """Mixed precision multiplies the loss by a factor and divides all gradients by it afterwards."""
    plain, cut = system(), system()
    plain.chunked(4)
    towers = [Tower(cut.text, cut.words.split(6)), Tower(cut.audio, cut.log_mel.split(4))]
    chunked_backward(towers, cut.value, backward=lambda loss: (1024 * loss).backward())
    torch.testing.assert_close(
        cut.gradients(), {name: 1024 * gradient for name, gradient in plain.gradients().items()}
    )


def test_weights_that_autocast_has_cast_without_a_graph_are_cast_again() -> None:
    linear = nn.Linear(4, 3)
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for size in (6, 2):
        linear.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            chunked_backward(
                [Tower(linear, inputs.split(size))], lambda embedded: embedded.float().square().sum()
            )
        assert linear.weight.grad is not None and linear.weight.grad.abs().min() > 0
        found.append(linear.weight.grad.clone())
    assert torch.allclose(found[0], found[1], rtol=0.02, atol=0.02)


def test_a_tower_that_the_loss_does_not_use_gets_no_gradient() -> None:
    used, unused = nn.Linear(4, 3), nn.Linear(4, 3)
    chunks = torch.ones(4, 4).split(2)
    chunked_backward([Tower(used, chunks), Tower(unused, chunks)], lambda first, second: first.sum())
    assert torch.equal(used.weight.grad, torch.full((3, 4), 4.0)) and unused.weight.grad is None  # type: ignore[arg-type]


def test_a_generator_of_the_towers_stands_behind_one_pass_afterwards() -> None:
    generator, once = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    linear = nn.Linear(4, 3)

    def noisy(chunk: Tensor) -> Tensor:
        return linear(chunk + torch.rand(chunk.shape, generator=generator))  # type: ignore[no-any-return]

    chunked_backward([Tower(noisy, torch.zeros(6, 4).split(2))], torch.sum, generators=[generator])
    for _ in range(3):
        torch.rand(2, 4, generator=once)
    assert torch.equal(torch.rand(3, generator=generator), torch.rand(3, generator=once))


def test_a_tower_without_chunks_is_named() -> None:
    with pytest.raises(UsageError, match="at least one chunk"):
        chunked_backward([Tower(nn.Identity(), [])], torch.sum)


class CNN14Step:
    """A toy CNN14 with frozen norms, six clips of different lengths, and the gradients that a step gives it."""

    def __init__(self, *, training: bool) -> None:
        torch.manual_seed(0)
        config = CNN14Config(widths=(2, 2, 2, 2, 4, 8), reduced_width=DIM, norms="frozen")
        self.trunk = CNN14Trunk(config).double().train(training)
        self.log_mel, self.words = torch.randn(6, 128, 64).double(), torch.randn(6, DIM).double()
        self.mask = torch.arange(128) < torch.tensor([128, 96, 128, 64, 70, 100])[:, None]
        self.loss = build_loss("nt-xent")

    def chunks(self, size: int) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.log_mel.split(size), self.mask.split(size), strict=True))

    def embed(self, chunk: tuple[Tensor, Tensor]) -> Tensor:
        return masked_mean(*self.trunk(*chunk))

    def value(self, audio: Tensor) -> Tensor:
        return self.loss(cosine_scores(self.words, audio), torch.eye(6, dtype=torch.bool))  # type: ignore[no-any-return]

    def at_once(self, size: int) -> dict[str, Tensor]:
        torch.manual_seed(1)
        reseed(self.trunk, 7)
        self.value(torch.cat([self.embed(chunk) for chunk in self.chunks(size)])).backward()
        return self.gradients()

    def in_chunks(self, size: int, *, replayed: bool = True) -> dict[str, Tensor]:
        torch.manual_seed(1)
        generators = reseed(self.trunk, 7)
        towers = [Tower(self.embed, self.chunks(size))]
        chunked_backward(towers, self.value, generators=generators if replayed else ())
        return self.gradients()

    def gradients(self) -> dict[str, Tensor]:
        return {name: p.grad.clone() for name, p in self.trunk.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("size", [1, 4])
def test_a_cnn14_gets_the_gradient_of_the_whole_batch(size: int) -> None:
    whole = CNN14Step(training=False).at_once(6)
    assert len(whole) == len(list(CNN14Step(training=False).trunk.parameters())) > 30
    torch.testing.assert_close(CNN14Step(training=False).in_chunks(size), whole)


def test_both_passes_take_out_the_same_stripes_and_the_same_units() -> None:
    """Dropout follows torch's generator, SpecAugment one of its own, which must be named."""
    expected = CNN14Step(training=True).at_once(2)
    step = CNN14Step(training=True)
    torch.testing.assert_close(step.in_chunks(2), expected)
    after = step.trunk.spec_augment.generator.get_state()
    other = CNN14Step(training=True)
    other.at_once(2)
    assert torch.equal(other.trunk.spec_augment.generator.get_state(), after), "as after one pass"
    forgotten = CNN14Step(training=True).in_chunks(2, replayed=False)
    assert not torch.allclose(forgotten["bn0.weight"], expected["bn0.weight"])
