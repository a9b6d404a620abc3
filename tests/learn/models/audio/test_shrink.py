"""A trunk shrunk: with all its room the same, with less the heaviest channels, at longer frames the same sound."""

from __future__ import annotations

import pytest
import torch

from soundseek.audio.logmel import FrontEndConfig
from soundseek.learn.models.audio.compact import (
    SOUNDSEEK_TINY,
    BlocksConfig,
    CompactConfig,
    CompactTrunk,
    TemporalConfig,
)
from soundseek.learn.models.audio.compact_layers import InvertedResidual, TagsConfig
from soundseek.learn.models.audio.shrink import at_longer_frames, repair, shrink

SMALL = CompactConfig(
    stem_width=4,
    stages=(
        BlocksConfig(width=6, expansion=3, kernel=3, stride=2, blocks=2),
        BlocksConfig(width=8, expansion=3, kernel=3, stride=2, blocks=3),
    ),
    temporal=TemporalConfig(blocks=2),
    width=10,
    tags=TagsConfig(num_tags=3, hidden=4),
)


@pytest.fixture(scope="module")
def trunk() -> CompactTrunk:
    torch.manual_seed(0)
    trunk = CompactTrunk(SMALL)
    for name, tensor in trunk.state_dict().items():
        if "norm" in name and tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return trunk.eval()


@torch.no_grad()
def test_a_trunk_with_room_for_everything_says_the_same(trunk: CompactTrunk) -> None:
    same = CompactTrunk(SMALL).eval()
    shrink(trunk, same)
    log_mel = torch.randn(2, 64, 128)
    torch.testing.assert_close(same(log_mel)[0], trunk(log_mel)[0])


@torch.no_grad()
def test_channels_that_weigh_nothing_are_the_first_to_go(trunk: CompactTrunk) -> None:
    idle = CompactTrunk(SMALL).eval()
    idle.load_state_dict(trunk.state_dict())
    for layer in idle.layers:
        if isinstance(layer, InvertedResidual):
            layer.project.weight[:, 1::3] = 0  # a third of the channels inside every block
    stages = tuple(stage.model_copy(update={"expansion": 2}) for stage in SMALL.stages)
    slim = CompactTrunk(SMALL.model_copy(update={"stages": stages})).eval()
    shrink(idle, slim)
    log_mel = torch.randn(2, 64, 128)
    torch.testing.assert_close(slim(log_mel)[0], idle(log_mel)[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_narrower_stage_keeps_the_channels_with_the_largest_scale(trunk: CompactTrunk) -> None:
    lopsided = CompactTrunk(SMALL)
    lopsided.load_state_dict(trunk.state_dict())
    lopsided.layers[1].project_norm.weight[[0, 3]] = 0.01  # the first stage's channels 0 and 3 hardly speak
    first = SMALL.stages[0].model_copy(update={"width": 4, "blocks": 1})
    slim = CompactTrunk(SMALL.model_copy(update={"stages": (first, *SMALL.stages[1:])}))
    shrink(lopsided, slim)
    kept = [1, 2, 4, 5]
    torch.testing.assert_close(slim.layers[1].project.weight, lopsided.layers[1].project.weight[kept])
    inside = slim.layers[2].expand.weight  # (12, 4): what reads them has columns for these four alone
    wide = lopsided.layers[3].expand.weight[:, kept]
    assert all((wide == row).all(dim=(1, 2, 3)).any() for row in inside.unsqueeze(1))


def test_more_channels_than_there_are_are_refused(trunk: CompactTrunk) -> None:
    wider = SMALL.model_copy(update={"stem_width": 5})
    with pytest.raises(ValueError, match="5 channels are wanted of a layer that has 4"):
        shrink(trunk, CompactTrunk(wider))


@torch.no_grad()
def test_half_the_log_mel_frames_of_a_steady_sound_are_heard_as_all_of_them(trunk: CompactTrunk) -> None:
    stages = (SMALL.stages[0], SMALL.stages[1].model_copy(update={"time_stride": 1}))
    slower = SMALL.model_copy(update={"stages": stages, "front_end": FrontEndConfig(hop_length=640)})
    tiny = CompactTrunk(slower).eval()
    shrink(trunk, tiny)
    assert tiny.frame_hop * 640 == trunk.frame_hop * 320
    log_mel = torch.randn(1, 1, 128).expand(1, 1024, 128)
    middle = slice(24, 40)  # the ends hear what lies beyond them
    torch.testing.assert_close(
        tiny(log_mel[:, ::2])[0][:, middle], trunk(log_mel)[0][:, middle], atol=1e-5, rtol=1e-4
    )


def heard_by_both(trunk: CompactTrunk, smaller: CompactTrunk, log_mel: torch.Tensor) -> float:
    """How alike their frames are, 1 for equal ones."""
    every = smaller.front_end.hop_length // trunk.front_end.hop_length
    found, wanted = smaller(log_mel[:, ::every])[0], trunk(log_mel)[0]
    mean = wanted.mean(dim=(0, 1))
    return torch.nn.functional.cosine_similarity(found - mean, wanted - mean, dim=2).mean().item()


@torch.no_grad()
def test_least_squares_repair_what_shrinking_broke(trunk: CompactTrunk) -> None:
    stages = (
        SMALL.stages[0].model_copy(update={"expansion": 2}),
        SMALL.stages[1].model_copy(update={"expansion": 2, "time_stride": 1, "blocks": 2}),
    )
    config = SMALL.model_copy(
        update={
            "stages": stages,
            "temporal": TemporalConfig(blocks=1),
            "tags": TagsConfig(num_tags=3, hidden=3),
            "front_end": FrontEndConfig(hop_length=640),
        }
    )
    tiny = CompactTrunk(config).eval()
    shrink(trunk, tiny)
    generator = torch.Generator().manual_seed(1)
    learned, other = (torch.randn(8, 256, 128, generator=generator).cumsum(dim=1) / 8 for _ in range(2))
    before = heard_by_both(trunk, tiny, other)
    repair(trunk, tiny, [learned[:4], learned[4:]])
    assert heard_by_both(trunk, tiny, other) > before + 0.1


@torch.no_grad()
def test_a_trunk_with_nothing_to_repair_stays_and_says_the_same_in_training(trunk: CompactTrunk) -> None:
    log_mel = torch.randn(8, 128, 128, generator=torch.Generator().manual_seed(2))
    measured = CompactTrunk(SMALL)
    measured.load_state_dict(trunk.state_dict())
    for module in measured.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    for _ in range(20):  # its norms are of these very sounds, as repaired ones will be
        measured.train()(log_mel)
    same = CompactTrunk(SMALL)
    shrink(measured.eval(), same)
    repair(measured, same, [log_mel])
    torch.testing.assert_close(same(log_mel)[0], measured(log_mel)[0], atol=0.02, rtol=0.02)
    torch.testing.assert_close(same.train()(log_mel)[0], same.eval()(log_mel)[0], atol=0.02, rtol=0.02)


def test_a_slope_is_answered_to_by_a_resampled_kernel_as_before() -> None:
    kernel = torch.randn(2, 1, 7, 5, generator=torch.Generator().manual_seed(0))
    slope = torch.linspace(0, 3, 33).view(1, 1, 33, 1).expand(1, 1, 33, 5)
    whole = torch.nn.functional.conv2d(slope, kernel, padding=(3, 0))[:, :, 16]
    half = torch.nn.functional.conv2d(slope[:, :, ::2], at_longer_frames(kernel, 2.0), padding=(3, 0))
    torch.testing.assert_close(half[:, :, 8], whole, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"frames that are 0\.5 times as long are shorter"):
        at_longer_frames(kernel, 0.5)


def test_a_place_that_the_larger_trunk_lacks_is_refused(trunk: CompactTrunk) -> None:
    third = BlocksConfig(width=8, expansion=1, kernel=3, stride=1, blocks=1)
    with pytest.raises(ValueError, match=r"layer \(2, 0\) of the smaller trunk has no place"):
        shrink(trunk, CompactTrunk(SMALL.model_copy(update={"stages": (*SMALL.stages, third)})))


def test_the_tiny_trunk_gives_a_frame_as_often_as_the_small_one_from_half_the_log_mel() -> None:
    tiny, small = CompactTrunk(SOUNDSEEK_TINY), CompactTrunk()
    assert tiny.frame_hop * tiny.front_end.hop_s == pytest.approx(small.frame_hop * small.front_end.hop_s)
    assert tiny.front_end.hop_length == 2 * small.front_end.hop_length
    frames, _ = tiny.eval()(torch.zeros(1, 500, 128))
    assert frames.shape == (1, 32, 512 + 527)


@torch.no_grad()
def test_repaired_weights_are_as_long_as_before_so_that_gradient_steps_do_not_undo_them(
    trunk: CompactTrunk,
) -> None:
    slim = SMALL.model_copy(
        update={"stages": (*SMALL.stages[:1], SMALL.stages[1].model_copy(update={"blocks": 2}))}
    )
    shrunk, repaired = CompactTrunk(slim).eval(), CompactTrunk(slim).eval()
    shrink(trunk, shrunk)
    shrink(trunk, repaired)
    repair(trunk, repaired, [torch.randn(2, 64, 128, generator=torch.Generator().manual_seed(0))])
    for before, after in zip(shrunk.layers, repaired.layers, strict=True):
        for name in ("project", "conv", "fold"):
            if hasattr(before, name):
                old, new = (getattr(each, name).weight.flatten(1) for each in (before, after))
                assert not torch.equal(new, old)
                torch.testing.assert_close(new.norm(dim=1), old.norm(dim=1), rtol=1e-3, atol=1e-6)
