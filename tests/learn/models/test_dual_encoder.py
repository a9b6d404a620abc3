from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_learning import make_toy_bert, make_toy_trunk

from soundseek.learn.models.attention import masked_mean
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.dual_encoder import DualEncoder
from soundseek.learn.models.text.bert import BertText

torch.set_num_threads(1)
KINDS = ("none", "graph", "self")


def make(attention: str = "none", **options: object) -> DualEncoder:
    torch.manual_seed(0)
    model = DualEncoder(dim=4, audio_width=6, text_width=5, attention=attention, **options)  # type: ignore[arg-type]
    return model.eval()


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(3, 7, 6, generator=generator)
    frame_mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    return frames, frame_mask


@pytest.mark.parametrize("attention", KINDS)
def test_embeddings_have_unit_norm(attention: str) -> None:
    audio = make(attention).encode_audio(*clips())
    text = make(attention).encode_text_features(torch.randn(2, 5))
    assert audio.shape == (3, 4) and text.shape == (2, 4)
    assert torch.allclose(audio.norm(dim=1), torch.ones(3)) and torch.allclose(
        text.norm(dim=1), torch.ones(2)
    )


@pytest.mark.parametrize("attention", KINDS)
def test_padding_does_not_change_the_embedding(attention: str) -> None:
    frames, frame_mask = clips()
    together = make(attention).encode_audio(frames.masked_fill(~frame_mask[..., None], 1e3), frame_mask)
    for row, length in enumerate((7, 4, 1)):
        alone = make(attention).encode_audio(
            frames[row : row + 1, :length], torch.ones(1, length, dtype=torch.bool)
        )
        assert torch.allclose(alone[0], together[row], atol=1e-5)


@pytest.mark.parametrize("attention", KINDS)
def test_the_mean_of_projected_frames_points_where_the_clip_points(attention: str) -> None:
    model, (frames, frame_mask) = make(attention), clips()
    model.standardise(torch.randn(6), torch.rand(6) + 0.5)
    mean = masked_mean(model.project_frames(frames, frame_mask), frame_mask)
    assert torch.allclose(
        torch.nn.functional.normalize(mean, dim=1), model.encode_audio(frames, frame_mask), atol=1e-6
    )


@pytest.mark.parametrize(
    "options", [{"pooling": "length-aware-max-mean"}, {"pooling": "max-mean"}, {"audio_head": "mlp"}]
)
def test_other_poolings_and_heads_give_every_frame_the_clips_embedding(options: dict[str, str]) -> None:
    model, (frames, frame_mask) = make("self", **options), clips()
    embedding = model.encode_audio(frames, frame_mask)
    assert make("self").has_moments and not model.has_moments
    assert torch.equal(model.project_frames(frames, frame_mask), embedding[:, None].expand(-1, 7, -1))
    alone = model.encode_audio(frames[1:2, :4], torch.ones(1, 4, dtype=torch.bool))
    assert torch.allclose(alone[0], embedding[1], atol=1e-6)


@pytest.mark.parametrize("head", ["mlp", "residual-mlp", "norm-linear"])
def test_a_head_on_frames_leaves_moments_whatever_it_is(head: str) -> None:
    model, (frames, frame_mask) = make(audio_head=head, audio_head_on="frames"), clips()
    assert model.has_moments and not make(audio_head=head).has_moments
    heard = frames.masked_fill(~frame_mask[..., None], 1e3)  # padding is no sound
    mean = masked_mean(model.project_frames(heard, frame_mask), frame_mask)
    embedding = model.encode_audio(heard, frame_mask)
    assert torch.allclose(torch.nn.functional.normalize(mean, dim=1), embedding, atol=1e-6)
    whole = model.project_frames(frames[:1], frame_mask[:1])  # of no other frame than its own
    assert torch.allclose(
        model.project_frames(frames[:1, 2:4], frame_mask[:1, 2:4]), whole[:, 2:4], atol=1e-6
    )


def test_a_linear_head_is_the_same_on_frames_and_on_the_clip() -> None:
    assert torch.allclose(
        make(audio_head_on="frames").encode_audio(*clips()), make().encode_audio(*clips()), atol=1e-6
    )


def test_heads_stand_where_the_projectors_stood() -> None:
    model = make(audio_head="norm-linear", text_head="mlp", text_head_width=9)
    features = torch.randn(2, 5)
    inner, relu, outer = model.text_projector.children()  # type: ignore[union-attr]
    expected = torch.nn.functional.normalize(outer(relu(inner(features))), dim=-1)
    assert inner.out_features == 9 and torch.equal(model.encode_text_features(features), expected)


def test_a_clips_score_is_the_mean_of_its_frames_scores_up_to_its_norm() -> None:
    model, (frames, frame_mask) = make(), clips()
    query = model.encode_text_features(torch.randn(1, 5))[0]
    projected = model.project_frames(frames, frame_mask)[0]
    score = model.encode_audio(frames, frame_mask)[0] @ query
    assert torch.allclose((projected @ query).mean() / projected.mean(dim=0).norm(), score, atol=1e-6)


def test_standardised_frames_have_zero_mean_and_unit_variance() -> None:
    model = make()
    frames = torch.randn(1, 500, 6) * torch.arange(1, 7) + 3
    model.standardise(frames[0].mean(dim=0), frames[0].std(dim=0))
    attended = model.attend(frames, torch.ones(1, 500, dtype=torch.bool))[0]
    assert torch.allclose(attended.mean(dim=0), torch.zeros(6), atol=1e-4)
    assert torch.allclose(attended.std(dim=0), torch.ones(6), atol=1e-4)


def test_a_feature_that_never_moves_stays_finite() -> None:
    model = make()
    model.standardise(torch.ones(6), torch.zeros(6))
    assert torch.isfinite(model.encode_audio(*clips())).all()


def test_dropout_acts_in_training_only() -> None:
    model = make(audio_dropout=0.5)
    frames, frame_mask = clips()
    assert torch.equal(model.encode_audio(frames, frame_mask), model.encode_audio(frames, frame_mask))
    model.train()
    assert not torch.equal(model.encode_audio(frames, frame_mask), model.encode_audio(frames, frame_mask))


def test_with_a_tower_it_takes_tokens(tmp_path: Path) -> None:
    text = BertText.load(str(make_toy_bert(tmp_path / "bert")), pooling="mean", max_tokens=16)
    model = DualEncoder(dim=4, audio_width=8, text_width=text.width, text=text).eval()
    with torch.no_grad():
        tokens = text.tokenize(["a low tone"])
        assert torch.allclose(model.encode_text(*tokens), model.encode_text_features(text(*tokens)))


def test_the_tail_makes_frames_of_what_is_cached(tmp_path: Path) -> None:
    trunk = CompactTrunk.load(make_toy_trunk(tmp_path / "trunk.safetensors"))
    body, tail = trunk.split(1)
    model = DualEncoder(dim=4, audio_width=trunk.width, text_width=5, trunk=trunk, tail=tail).eval()
    log_mel = torch.randn(2, 40, 16)
    with torch.no_grad():
        audio = model.encode_audio_features(*body(log_mel))
        assert torch.equal(audio, model.encode_audio(*model.trunk(log_mel)))
    frames, frame_mask = clips()
    assert torch.equal(
        make().encode_audio_features(frames, frame_mask), make().encode_audio(frames, frame_mask)
    )


def test_without_a_text_tower_it_says_which_method_to_use() -> None:
    with pytest.raises(ValueError, match="give encode_text_features"):
        make().encode_text(torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.bool))


def test_text_dropout_acts_in_training_only() -> None:
    model, features = make(text_dropout=0.5), torch.randn(2, 5)
    assert torch.equal(model.encode_text_features(features), model.encode_text_features(features))
    model.train()
    assert not torch.equal(model.encode_text_features(features), model.encode_text_features(features))


def test_a_share_of_tag_names_leaves_no_moments() -> None:
    # What the tags say of a clip is not a mean over its frames.
    assert make().has_moments and not make(tags=torch.nn.Identity()).has_moments
