"""Losses: hand examples, naive loops, agreement with pytorch-metric-learning, and invariances."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundseek.errors import RecipeError, UsageError
from soundseek.learn.losses import (
    LOSSES,
    NTXent,
    Relaxed,
    Triplet,
    WithTeacherScores,
    build_loss,
    cosine_scores,
    loss_of,
    match_matrix,
    nt_xent,
    supervised_contrastive,
)
from soundseek.learn.recipe.keys import LossConfig

torch.set_num_threads(1)
TAU = 0.07
ORDERLESS: dict[str, dict[str, Any]] = {  # every loss, with options that draw nothing
    "nt-xent": {"temperature": 0.5},
    "supervised-contrastive": {"temperature": 0.5, "similarity_weight": 0.5},
    "relaxed": {"temperature": 0.5},
    "triplet": {"impostors": "hardest"},
}


def nt_xent_by_loops(scores: torch.Tensor, positives: torch.Tensor, tau: float) -> float:
    size, total = len(scores), 0.0
    for m in range(size):
        others = [n for n in range(size) if n == m or not positives[m, n]]
        rows = sum(math.exp(float(scores[m, n]) / tau) for n in others)
        others = [n for n in range(size) if n == m or not positives[n, m]]
        columns = sum(math.exp(float(scores[n, m]) / tau) for n in others)
        own = math.exp(float(scores[m, m]) / tau)
        total += math.log(own / rows) + math.log(own / columns)
    return -total / size


def supervised_by_loops(scores: torch.Tensor, positives: torch.Tensor, tau: float) -> float:
    size, total = len(scores), 0.0
    for m in range(size):
        matched = [k for k in range(size) if positives[m, k]]
        rows = sum(math.exp(float(scores[m, n]) / tau) for n in range(size))
        columns = sum(math.exp(float(scores[n, m]) / tau) for n in range(size))
        inner = 0.0
        for k in matched:
            inner += math.log(math.exp(float(scores[m, k]) / tau) / rows)
            inner += math.log(math.exp(float(scores[k, m]) / tau) / columns)
        total += inner / len(matched)
    return -total / size


def batch(seed: int, size: int = 7, num_clips: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    audio = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    return text, audio, torch.randint(num_clips, (size,), generator=generator)


def test_cosine_of_one_hot_embeddings_by_hand() -> None:
    text = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    audio = torch.tensor([[0.0, 3.0], [5.0, 0.0], [-1.0, 0.0]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[0.0, 1.0, -1.0], [half, half, -half]])
    torch.testing.assert_close(cosine_scores(text, audio), expected)


def test_nt_xent_by_hand() -> None:
    # Both rows and both columns: own pair e^ln3 = 3, the other e^0 = 1, so every term is log(3/4).
    scores = math.log(3.0) * torch.eye(2)
    loss = nt_xent(scores, torch.eye(2, dtype=torch.bool), temperature=1.0)
    assert float(loss) == pytest.approx(-2 * math.log(3 / 4))


def test_a_matching_pair_is_no_negative_in_nt_xent() -> None:
    # Captions 0 and 1 describe one clip: without the pair between them nothing is left to confuse.
    positives = torch.ones(2, 2, dtype=torch.bool)
    loss = nt_xent(torch.tensor([[0.1, 0.9], [0.9, 0.1]]), positives, temperature=1.0)
    assert float(loss) == pytest.approx(0.0, abs=1e-7)


def test_supervised_contrastive_by_hand() -> None:
    # All scores 0 and all pairs match: each log-share is log(1/2), twice, averaged over K(m).
    loss = supervised_contrastive(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool), temperature=1.0)
    assert float(loss) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("seed", range(3))
def test_losses_equal_the_equations_written_as_loops(seed: int) -> None:
    text, audio, clip_ids = batch(seed)
    scores = cosine_scores(text, audio)
    positives = match_matrix(clip_ids, torch.arange(len(clip_ids)))
    assert positives.sum() > len(clip_ids), "the batch must hold matching pairs off the diagonal"
    assert float(nt_xent(scores, positives, temperature=TAU)) == pytest.approx(
        nt_xent_by_loops(scores, positives, TAU)
    )
    assert float(supervised_contrastive(scores, positives, temperature=TAU)) == pytest.approx(
        supervised_by_loops(scores, positives, TAU)
    )


def test_supervised_contrastive_with_only_own_pairs_is_nt_xent() -> None:
    text, audio, _ = batch(0)
    scores, positives = cosine_scores(text, audio), torch.eye(7, dtype=torch.bool)
    torch.testing.assert_close(supervised_contrastive(scores, positives), nt_xent(scores, positives))


@pytest.mark.parametrize("seed", range(3))
def test_nt_xent_agrees_with_pytorch_metric_learning(seed: int) -> None:
    library = pytest.importorskip(
        "pytorch_metric_learning.losses", reason="pytorch-metric-learning is missing"
    )
    text, audio, clip_ids = batch(seed)
    positives = match_matrix(clip_ids, torch.arange(7))
    own, (row, column) = torch.arange(7), torch.nonzero(~positives, as_tuple=True)
    pairs = (own, own, row, column)  # positives: the diagonal alone; negatives: what does not match
    loss = library.NTXentLoss(temperature=TAU)
    expected = loss(text, ref_emb=audio, indices_tuple=pairs) + loss(audio, ref_emb=text, indices_tuple=pairs)
    torch.testing.assert_close(nt_xent(cosine_scores(text, audio), positives, temperature=TAU), expected)


@pytest.mark.parametrize("seed", range(3))
def test_supervised_contrastive_agrees_with_pytorch_metric_learning(seed: int) -> None:
    library = pytest.importorskip(
        "pytorch_metric_learning.losses", reason="pytorch-metric-learning is missing"
    )
    text, audio, clip_ids = batch(seed)
    loss = library.SupConLoss(temperature=TAU)
    labels = clip_ids.clone()  # the library drops the diagonal where labels and ref_labels are one object
    expected = loss(text, clip_ids, ref_emb=audio, ref_labels=labels)
    expected = expected + loss(audio, clip_ids, ref_emb=text, ref_labels=labels)
    positives = match_matrix(clip_ids, torch.arange(7))
    actual = supervised_contrastive(cosine_scores(text, audio), positives, temperature=TAU)
    torch.testing.assert_close(actual, expected)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 9), name=st.sampled_from(sorted(ORDERLESS)))
def test_batch_order_changes_no_loss_and_no_loss_is_negative(seed: int, size: int, name: str) -> None:
    text, audio, clip_ids = batch(seed, size=size)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    caption_ids, loss = torch.arange(size), build_loss(name, **ORDERLESS[name])
    similarity = cosine_scores(text, text)
    straight = loss(cosine_scores(text, audio), match_matrix(clip_ids, caption_ids), similarity)
    shuffled = loss(
        cosine_scores(text[order], audio[order]),
        match_matrix(clip_ids[order], caption_ids[order]),
        similarity[order][:, order],
    )
    torch.testing.assert_close(shuffled, straight)
    assert float(straight) >= -1e-9


def test_every_loss_has_options_without_draws() -> None:
    assert set(ORDERLESS) == set(LOSSES)


def test_a_recipe_gives_each_loss_the_values_that_it_has() -> None:
    triplet = loss_of(LossConfig(name="triplet", margin=0.4, impostors="hardest"))
    assert isinstance(triplet, Triplet) and (triplet.margin, triplet.impostors) == (0.4, "hardest")
    relaxed = loss_of(LossConfig(name="relaxed", caption_similarity=0.2, temperature=0.1))
    assert isinstance(relaxed, Relaxed) and (relaxed.similarity_weight, relaxed.temperature) == (0.2, 0.1)
    learned = loss_of(LossConfig(temperature_mode="learned", temperature=0.2))
    assert isinstance(learned, NTXent) and len(list(learned.parameters())) == 1
    soft = loss_of(LossConfig(soft_targets={"runs": ["a"], "weight": 0.7, "temperature": 0.1}))
    assert isinstance(soft, WithTeacherScores) and isinstance(soft.loss, NTXent)
    assert (soft.weight, soft.soft_temperature) == (0.7, 0.1)
    assert set(get_args(LossConfig.model_fields["name"].annotation)) == set(LOSSES)


def test_caption_similarity_softens_the_targets_by_hand() -> None:
    # Row weights [1, .5] / 1.5; all scores 0, so every log-share is log(1/2), the weights sum to 1: 2 log 2.
    eye, similarity = torch.eye(2, dtype=torch.bool), torch.ones(2, 2)
    even = supervised_contrastive(
        torch.zeros(2, 2), eye, temperature=1.0, similarity=similarity, similarity_weight=0.5
    )
    assert float(even) == pytest.approx(2 * math.log(2))
    # Scores ln 3 on the diagonal: log-shares log(3/4) with weight 2/3 and log(1/4) with weight 1/3.
    loss = supervised_contrastive(
        math.log(3.0) * torch.eye(2), eye, temperature=1.0, similarity=similarity, similarity_weight=0.5
    )
    assert float(loss) == pytest.approx(-2 * (2 / 3 * math.log(3 / 4) + 1 / 3 * math.log(1 / 4)))


def test_a_similarity_of_zero_leaves_equation_seven() -> None:
    text, audio, clip_ids = batch(1)
    scores, positives = cosine_scores(text, audio), match_matrix(clip_ids, torch.arange(7))
    soft = build_loss("supervised-contrastive", similarity_weight=0.5)
    torch.testing.assert_close(
        soft(scores, positives, torch.zeros(7, 7)), supervised_contrastive(scores, positives)
    )


def test_similarity_and_its_weight_come_together() -> None:
    loss = build_loss("supervised-contrastive", similarity_weight=0.5)
    with pytest.raises(UsageError, match="similarity"):
        loss(torch.zeros(2, 2), torch.eye(2, dtype=torch.bool))
    with pytest.raises(UsageError, match="weight"):
        supervised_contrastive(torch.zeros(2, 2), torch.eye(2, dtype=torch.bool), similarity=torch.eye(2))


def test_a_learned_temperature_is_a_parameter_and_a_fixed_one_is_not() -> None:
    assert list(build_loss("nt-xent").parameters()) == []
    learned = build_loss("nt-xent", temperature=0.5, temperature_mode="learned")
    (parameter,) = learned.parameters()
    scores, positives = torch.tensor([[0.9, 0.5], [0.1, 0.3]]), torch.eye(2, dtype=torch.bool)
    loss = learned(scores, positives)
    torch.testing.assert_close(loss, nt_xent(scores, positives, temperature=0.5))
    loss.backward()
    assert parameter.grad is not None
    assert float(parameter.grad) != 0
    with torch.no_grad():
        parameter.fill_(-100.0)
        assert float(learned.temperature) == pytest.approx(0.01)


def test_the_gradient_of_a_masked_pair_is_zero_and_all_are_finite() -> None:
    scores = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    positives = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    nt_xent(scores, positives).backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert float(scores.grad[0, 1]) == 0.0


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("nt-xen", {}, "nt-xen"),
        ("nt-xent", {"tau": 1}, "tau"),
        ("nt-xent", {"temperature": 0.0}, "temperature 0.0"),
        ("nt-xent", {"temperature_mode": "free"}, "free"),
        ("nt-xent", {"temperature_mode": "learned", "temperature": 0.005}, "0.005"),
        ("supervised-contrastive", {"similarity_weight": 2.0}, "2.0"),
        ("relaxed", {"similarity_weight": 0.0}, "take nt-xent"),
        ("triplet", {"margin": 0.0}, "margin 0.0"),
        ("triplet", {"impostors": "worst"}, "worst"),
        ("triplet", {"temperature": 0.07}, "it has margin, impostors"),
        ("nt-xent", {"soft_targets": {"weight": 0.0, "temperature": 0.07}}, "soft_targets.weight 0.0"),
        ("nt-xent", {"soft_targets": {"weight": 1.0, "temperature": 0.0}}, "soft_targets.temperature 0.0"),
    ],
)
def test_a_wrong_loss_is_named(name: str, options: dict[str, object], named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        build_loss(name, **options)


def test_scores_that_are_no_batch_of_pairs_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(2, 3\)"):
        nt_xent(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
