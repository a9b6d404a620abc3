"""CNN14 and its relatives: padding never changes a frame, frames are local, and every choice is named."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from soundseek.audio.logmel import PANNS_FRONT_END, PAPER_FRONT_END
from soundseek.errors import ModelError
from soundseek.learn.models.audio.cnn10 import CNN10Config, CNN10Trunk
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.audio.panns import PannsTrunk
from soundseek.learn.models.audio.resnet38 import ResNet38Config, ResNet38Trunk
from soundseek.learn.models.audio.spec_augment import SpecAugment, SpecAugmentConfig

torch.set_num_threads(1)

WIDTHS = (4, 4, 6, 6, 8, 12)


def lively(trunk: PannsTrunk) -> PannsTrunk:
    """The trunk in eval mode, its norms fitted to what they see, as training leaves them."""
    torch.manual_seed(0)
    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, 0.1, 0.5)  # a shift makes silence audible: only a mask keeps padding out
        norm.momentum = 1.0
    trunk.train()
    with torch.no_grad():
        trunk(torch.randn(2, 320, 64))
    for norm in norms:
        norm.momentum = 0.1
    return trunk.eval()


TRUNKS = {
    "cnn14": lively(CNN14Trunk(CNN14Config(widths=WIDTHS, reduced_width=10))),
    "cnn14, 2048 wide": lively(CNN14Trunk(CNN14Config(widths=WIDTHS, reduction="none"))),
    "cnn14, pooled six times": lively(CNN14Trunk(CNN14Config(widths=WIDTHS, block6_pool=2))),
    "cnn14, five blocks": lively(CNN14Trunk(CNN14Config(widths=WIDTHS, reduction="block5"))),
    "cnn10": lively(CNN10Trunk(CNN10Config(widths=WIDTHS[:4]))),
    "resnet38": lively(ResNet38Trunk(ResNet38Config(widths=(4, 4, 6, 6), depths=(2, 1, 2, 1), width=8))),
}
every_trunk = pytest.mark.parametrize("trunk", TRUNKS.values(), ids=TRUNKS.keys())


@every_trunk
@torch.no_grad()
def test_padding_does_not_change_a_real_frame(trunk: PannsTrunk) -> None:
    generator = torch.Generator().manual_seed(1)
    # Odd after every halving, even after every halving, as short as can be, and whole.
    lengths = [191, 256, trunk.min_frames, 333]
    clips = [torch.randn(1, length, 64, generator=generator) for length in lengths]
    batch = torch.full((4, 333, 64), 77.0)
    mask = torch.zeros(4, 333, dtype=torch.bool)
    for row, clip in enumerate(clips):
        batch[row, : clip.shape[1]] = clip
        mask[row, : clip.shape[1]] = True
    frames, frame_mask = trunk(batch, mask)
    backwards, _ = trunk(batch.flip(0), mask.flip(0))
    assert frame_mask.sum(dim=1).tolist() == [length // trunk.frame_hop for length in lengths]
    for row, clip in enumerate(clips):
        alone, _ = trunk(clip)
        real = int(frame_mask[row].sum())
        assert alone.shape[1] == real
        torch.testing.assert_close(frames[row, :real], alone[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(backwards[3 - row, :real], alone[0], atol=1e-5, rtol=0)


@every_trunk
@torch.no_grad()
def test_a_frame_depends_on_its_neighbourhood_alone(trunk: PannsTrunk) -> None:
    log_mel = torch.randn(1, 2048, 64, generator=torch.Generator().manual_seed(2))
    hop = trunk.frame_hop
    frame = 1024 // hop
    near, far = frame * hop - trunk.context_frames, (frame + 1) * hop + trunk.context_frames
    changed = log_mel.clone()
    changed[:, :near] += 1
    changed[:, far:] -= 1
    before, after = trunk(log_mel)[0], trunk(changed)[0]
    torch.testing.assert_close(before[0, frame], after[0, frame], atol=1e-5, rtol=0)
    assert (before[0, 2] - after[0, 2]).abs().max() > 1e-3
    chunk = trunk(log_mel[:, near:far])[0]
    skip = trunk.context_frames // hop
    torch.testing.assert_close(chunk[0, skip], before[0, frame], atol=1e-5, rtol=0)


def test_the_context_is_as_far_as_the_convolutions_reach_and_no_further() -> None:
    """Two 3x3 convolutions a block: 2 (1 + 2 + 4 + 8 + 16 + 32) = 126 log-mel frames, in whole frames 128."""
    assert TRUNKS["cnn14"].context_frames == 128
    assert TRUNKS["cnn14, pooled six times"].context_frames == 128
    assert TRUNKS["cnn14, five blocks"].context_frames == 64  # of 62
    assert TRUNKS["cnn10"].context_frames == 32  # of 30
    assert ResNet38Trunk(ResNet38Config(width=8)).context_frames == 320  # of 302
    for trunk in TRUNKS.values():
        log_mel = torch.randn(1, 1280, 64, requires_grad=True)
        frames, _ = trunk(log_mel)
        first = 640 // trunk.frame_hop
        frames[0, first].sum().backward()
        gradient = log_mel.grad
        assert gradient is not None
        heard = torch.nonzero(gradient[0].abs().sum(dim=1))
        reach = max(640 - int(heard.min()), int(heard.max()) - 640 - trunk.frame_hop + 1)
        assert trunk.context_frames - trunk.frame_hop < reach <= trunk.context_frames


def test_a_frame_is_320_ms_long_or_as_the_pooling_says() -> None:
    seconds = {name: trunk.frame_hop * trunk.front_end.hop_s for name, trunk in TRUNKS.items()}
    assert seconds == pytest.approx(
        {
            "cnn14": 0.32,
            "cnn14, 2048 wide": 0.32,
            "cnn14, pooled six times": 0.64,
            "cnn14, five blocks": 0.32,
            "cnn10": 0.16,
            "resnet38": 0.32,
        }
    )


def test_the_widths_are_the_papers_and_the_published() -> None:
    with torch.device("meta"):
        assert CNN14Trunk().width == 1024  # D_A, section III-B
        assert CNN14Trunk(CNN14Config(reduction="block5")).width == 1024
        assert CNN14Trunk(CNN14Config(reduction="none")).width == 2048
        assert CNN10Trunk().width == 512
        assert ResNet38Trunk().width == 2048
        tagger = CNN14Trunk(CNN14Config(reduction="none", head="tagger"))
    # The published file is 327,428,481 bytes: this network and its front end in float32, and a little to tell names.
    front_end = 2 * 513 * 1024 + 513 * 64
    numbers = front_end + sum(tensor.numel() for tensor in tagger.state_dict().values())
    assert 4 * numbers == pytest.approx(327_428_481, rel=1e-3)


def test_the_front_end_is_the_published_one_or_the_papers_own() -> None:
    assert CNN14Config().front_end == PANNS_FRONT_END
    trunk = CNN14Trunk(CNN14Config(widths=WIDTHS, front_end=PAPER_FRONT_END))
    assert trunk.front_end.sample_rate_hz == 44_100
    assert trunk.front_end.window == "hamming"
    assert 2 * trunk.front_end.hop_length == trunk.front_end.win_length  # 50 % overlap
    assert trunk.front_end.num_mels == 64


@torch.no_grad()
def test_spec_augment_acts_behind_bn0_in_training_only() -> None:
    torch.manual_seed(0)
    spec_augment = SpecAugment(
        torch.Generator().manual_seed(4),
        SpecAugmentConfig(num_time_masks=0, num_mel_masks=2, max_mel_bands=30),
    )
    trunk = CNN14Trunk(CNN14Config(widths=WIDTHS, norms="frozen"), spec_augment)
    nn.init.constant_(trunk.bn0.bias, 1.0)
    seen: list[torch.Tensor] = []
    trunk.get_submodule("conv_block1").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    log_mel = torch.zeros(1, 64, 64)  # 1 behind bn0; stripes set 0
    trunk.train()
    trunk(log_mel)
    trunk.eval()
    trunk(log_mel)
    in_training, in_evaluation = seen
    assert set(in_training.flatten().tolist()) == {0.0, 1.0}
    assert set(in_evaluation.flatten().tolist()) == {1.0}


@torch.no_grad()
def test_frozen_norms_keep_their_statistics_in_training_and_batch_norms_do_not() -> None:
    log_mel = torch.randn(2, 64, 64) * 5
    for norms, moves in (("frozen", False), ("batch", True)):
        trunk = CNN14Trunk(CNN14Config(widths=WIDTHS, norms=norms)).train()
        before = trunk.bn0.running_var.clone()
        trunk(log_mel)
        assert (not torch.equal(before, trunk.bn0.running_var)) == moves
        assert trunk.training


def test_every_parameter_of_a_trunk_without_head_takes_part() -> None:
    for trunk in TRUNKS.values():
        trunk.zero_grad()
        trunk(torch.randn(1, 128, 64))[0].square().sum().backward()
        assert all(parameter.grad is not None for parameter in trunk.parameters())


@torch.no_grad()
def test_tags_of_a_clip_are_the_same_alone_and_padded() -> None:
    trunk = lively(CNN14Trunk(CNN14Config(widths=WIDTHS, reduction="none", head="tagger")))
    log_mel = torch.randn(2, 320, 64)
    mask = torch.ones(2, 320, dtype=torch.bool)
    mask[1, 130:] = False
    together = trunk.logits(*trunk(log_mel, mask))
    alone = trunk.logits(*trunk(log_mel[1:, :130]))
    assert alone.shape == (1, 527)
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)


def test_what_cannot_be_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        CNN14Config(widht=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="there is no block 6"):
        CNN14Config(reduction="block5", block6_pool=2)
    with pytest.raises(ValidationError, match="needs reduction = 'none'"):
        CNN14Config(head="tagger")
    with pytest.raises(ModelError, match="num_mels = 16"):
        CNN14Trunk(CNN14Config(widths=WIDTHS, front_end=PANNS_FRONT_END.model_copy(update={"num_mels": 16})))
    trunk = TRUNKS["cnn14"]
    with pytest.raises(ModelError, match="31 log-mel frames, CNN14Trunk needs 32; pad it with silence"):
        trunk(torch.zeros(1, 31, 64))
    mask = torch.ones(2, 64, dtype=torch.bool)
    mask[1, 5:] = False
    with pytest.raises(ModelError, match="a clip has 5 log-mel frames"):
        trunk(torch.zeros(2, 64, 64), mask)
    with pytest.raises(ModelError, match="without its head"):
        trunk.logits(torch.zeros(1, 2, 10))


def test_new_weights_are_drawn_as_panns_draw_them() -> None:
    """Xavier: uniform within sqrt(6 / (fan in + fan out)), here 9 (64 + 128) for the second block."""
    torch.manual_seed(0)
    conv = CNN14Trunk(CNN14Config(widths=(64, 128, 2, 2, 2, 2))).get_submodule("conv_block2").conv1
    limit = math.sqrt(6 / (9 * (64 + 128)))
    assert conv.weight.abs().max() <= limit
    assert conv.weight.abs().max() > 0.99 * limit
