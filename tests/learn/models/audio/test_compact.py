"""The compact trunk: local frames, silent padding, and a file that says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from soundseek.errors import ModelError, RecipeError
from soundseek.learn.models.audio.compact import (
    BlocksConfig,
    CompactConfig,
    CompactTrunk,
    TemporalConfig,
)
from soundseek.learn.models.audio.compact_layers import InvertedResidual, LocalTags, TagsConfig

GROWN = CompactConfig(temporal=TemporalConfig(blocks=1), tags=TagsConfig(num_tags=3, window_frames=5))


MARGINS = GROWN.model_copy(update={"margin_frames": 64})


@pytest.fixture(scope="module", params=[CompactConfig(), GROWN, MARGINS], ids=["plain", "grown", "margins"])
def trunk(request: pytest.FixtureRequest) -> CompactTrunk:
    torch.manual_seed(0)
    trunk = CompactTrunk(request.param)
    for module in trunk.modules():
        if isinstance(module, InvertedResidual) and module.residual:
            torch.nn.init.ones_(module.project_norm.weight)  # as if it had learnt something
        if hasattr(module, "fold_norm"):
            torch.nn.init.ones_(module.fold_norm.weight)
    for module in trunk.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one pass gives norms that fit the activations, as training does
    trunk.train()
    with torch.no_grad():
        trunk(torch.randn(4, 320, 128))
    return trunk.eval()


@torch.no_grad()
def test_padding_does_not_change_a_real_frame(trunk: CompactTrunk) -> None:
    log_mel = torch.randn(2, 640, 128, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 640, dtype=torch.bool)
    mask[1, 416:] = False
    frames, frame_mask = trunk(log_mel, mask)
    alone, _ = trunk(log_mel[1:, :416])
    assert frame_mask.sum(dim=1).tolist() == [20, 13]
    torch.testing.assert_close(frames[1, :13], alone[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_margins_are_silence_that_is_heard_and_not_told_of(trunk: CompactTrunk) -> None:
    quiet = CompactTrunk(trunk.config.model_copy(update={"margin_frames": 64})).eval()
    bare = CompactTrunk(trunk.config.model_copy(update={"margin_frames": 0})).eval()
    quiet.load_state_dict(trunk.state_dict())
    bare.load_state_dict(trunk.state_dict())
    log_mel = torch.randn(1, 333, 128, generator=torch.Generator().manual_seed(4))
    silence = torch.full((1, 64, 128), bare.front_end.silence)
    frames, mask = quiet(log_mel)
    expected, _ = bare(torch.cat([silence, log_mel, silence], dim=1))
    assert frames.shape[1] == mask.shape[1] == 11 and bool(mask.all())
    torch.testing.assert_close(frames, expected[:, 2:-2])
    assert (frames[0, -1] - bare(log_mel)[0][0, -1]).abs().max() > 1e-2, "the end is another one now"
    wrong = CompactTrunk(trunk.config.model_copy(update={"margin_frames": 33}))
    with pytest.raises(RecipeError, match="margin_frames = 33: a multiple of 32"):
        wrong(log_mel)


@torch.no_grad()
def test_a_frame_depends_on_its_neighbourhood_alone(trunk: CompactTrunk) -> None:
    log_mel = torch.randn(1, 2048, 128, generator=torch.Generator().manual_seed(2))
    other = log_mel.clone()
    frame, hop = 30, trunk.frame_hop
    near, far = frame * hop - trunk.context_frames, (frame + 1) * hop + trunk.context_frames
    other[:, :near] += 1
    other[:, far:] -= 1
    before, after = trunk(log_mel)[0], trunk(other)[0]
    torch.testing.assert_close(before[0, frame], after[0, frame], atol=1e-5, rtol=0)
    assert (before[0, 10] - after[0, 10]).abs().max() > 1e-3


@torch.no_grad()
def test_a_long_clip_in_chunks_gives_the_frames_of_one_pass(trunk: CompactTrunk) -> None:
    log_mel = torch.randn(1, 3200, 128, generator=torch.Generator().manual_seed(3))
    context, hop = trunk.context_frames, trunk.frame_hop
    whole = trunk(log_mel)[0]
    chunk = trunk(log_mel[:, 1600 - context : 2240 + context])[0]
    skip = context // hop
    torch.testing.assert_close(whole[:, 50:70], chunk[:, skip : skip + 20], atol=1e-5, rtol=0)


@pytest.mark.parametrize("num_layers", [1, 2, 4])
@torch.no_grad()
def test_a_divided_trunk_gives_the_frames_of_the_whole_one(trunk: CompactTrunk, num_layers: int) -> None:
    body, tail = trunk.split(num_layers)
    log_mel = torch.randn(2, 300, 128, generator=torch.Generator().manual_seed(4))
    mask = torch.arange(300) < torch.tensor([[300], [120]])
    for frame_mask in (None, mask):
        maps, maps_mask = body(log_mel, frame_mask)
        frames, frames_mask = trunk(log_mel, frame_mask)
        assert maps.shape == (2, 10 + 2 * trunk.margin, body.width)
        parts, parts_mask = tail(maps, maps_mask)
        real = frames_mask[..., None]
        assert torch.equal(parts * real, frames * real) and torch.equal(parts_mask, frames_mask)


@torch.no_grad()
def test_padded_maps_do_not_change_a_real_frame(trunk: CompactTrunk) -> None:
    body, tail = trunk.split(3)
    maps, mask = body(torch.randn(2, 320, 128, generator=torch.Generator().manual_seed(5)))
    end = 4 + 2 * trunk.margin
    mask[1, end:] = False
    together, _ = tail(maps.masked_fill(~mask[..., None], 1e3), mask)
    alone, _ = tail(maps[1:, :end], mask[1:, :end])
    torch.testing.assert_close(together[1, :4], alone[0], atol=5e-5, rtol=0)


def test_the_tail_keeps_its_batch_norm_and_shares_its_weights(trunk: CompactTrunk) -> None:
    _, tail = trunk.split(2)
    tail.train()
    before = {name: value.clone() for name, value in trunk.named_buffers()}
    body, _ = trunk.split(2)
    tail(torch.randn(2, 5, body.width), torch.ones(2, 5, dtype=torch.bool))
    assert all(torch.equal(value, before[name]) for name, value in trunk.named_buffers())
    assert tail.layers[-1] is trunk.layers[-1]


@pytest.mark.parametrize("num_layers", [6, 12])
def test_no_layer_that_strides_is_divided_off(trunk: CompactTrunk, num_layers: int) -> None:
    most = 4 if trunk.tags is None else 5
    with pytest.raises(RecipeError, match=rf"trained_blocks = {num_layers}, but at most {most} layers"):
        trunk.split(num_layers)


def test_it_is_as_small_as_it_says_and_has_a_frame_every_320_ms(trunk: CompactTrunk) -> None:
    least, most = (0.8e6, 1.1e6) if trunk.tags is None else (2.4e6, 2.8e6)
    assert least < sum(parameter.numel() for parameter in trunk.parameters()) < most
    assert trunk.frame_hop * trunk.front_end.hop_s == pytest.approx(0.32)
    assert trunk(torch.zeros(1, 33, 128))[0].shape == (1, 2, trunk.width)


@torch.no_grad()
def test_a_grown_trunk_starts_where_the_smaller_one_stands() -> None:
    torch.manual_seed(1)
    stages = CompactConfig().stages
    smaller = CompactTrunk()  # in training mode, where norms fit whatever comes
    more = stages[3].model_copy(update={"blocks": 6})
    larger = CompactTrunk(CompactConfig(stages=(*stages[:3], more), temporal=TemporalConfig()))
    log_mel = torch.randn(1, 320, 128)
    assert (larger(log_mel)[0] - smaller(log_mel)[0]).abs().max() > 1e-2
    larger.grow_from(smaller)
    torch.testing.assert_close(larger(log_mel)[0], smaller(log_mel)[0])
    with pytest.raises(ValueError, match="has no place"):
        smaller.grow_from(larger)


@torch.no_grad()
def test_a_tag_is_the_root_of_its_probability_in_the_mean_of_the_frames_around() -> None:
    tags = LocalTags(2, TagsConfig(num_tags=1, hidden=1, window_frames=3, gain=3.0))
    first, last = tags.classifier[0], tags.classifier[2]
    first.weight.copy_(torch.tensor([[1.0, 0.0]]))
    first.bias.fill_(10.0)  # hardswish(x) = x from 3 on
    last.weight.fill_(1.0)
    last.bias.fill_(-10.0)
    features = torch.tensor([[[0.0, 9.0], [3.0, 9.0], [6.0, 9.0], [99.0, 9.0]]])
    found = tags(features, torch.tensor([[True, True, True, False]]))[0, :3, 0]
    means = torch.tensor([1.5, 3.0, 4.5])  # of two, three and two real frames
    torch.testing.assert_close(found, 3 * means.sigmoid().sqrt())


@torch.no_grad()
def test_tags_are_put_into_frames_as_they_are_read_from_them() -> None:
    trunk = CompactTrunk(GROWN).eval()
    frames = trunk(torch.randn(1, 320, 128, generator=torch.Generator().manual_seed(6)))[0]
    probabilities = torch.tensor([0.0, 0.25, 1.0]).expand(1, 10, 3)
    put = trunk.with_probabilities(frames, probabilities)
    assert torch.equal(put[..., :-3], frames[..., :-3])
    torch.testing.assert_close(put[0, 0, -3:], trunk.tags.gain * torch.tensor([0.0, 0.5, 1.0]))  # type: ignore[union-attr]
    torch.testing.assert_close(trunk.tag_probabilities(put), probabilities)
    with pytest.raises(ModelError, match="gives no tags"):
        CompactTrunk().with_probabilities(frames, probabilities)


@torch.no_grad()
def test_a_saved_trunk_loads_as_it_was(tmp_path: Path) -> None:
    config = CompactConfig(
        width=16, stages=(BlocksConfig(width=8, expansion=2, kernel=3, stride=2, blocks=1),)
    )
    trunk = CompactTrunk(config).eval()
    trunk.save(tmp_path / "trunk.safetensors", steps="3")
    loaded = CompactTrunk.load(tmp_path / "trunk.safetensors")
    assert loaded.config == config
    log_mel = torch.randn(1, 64, 128)
    torch.testing.assert_close(loaded(log_mel)[0], trunk(log_mel)[0])


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="soundseek distill"):
        CompactTrunk.load(tmp_path / "missing.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"holds no compact .*audio\.trunk=efficientat"):
        CompactTrunk.load(tmp_path / "other.safetensors")
