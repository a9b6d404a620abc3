"""The tag-name branch by hand, and trunks whose frames carry the tags, live, padded and cached."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import passt_reference
import pytest
import torch
from tones import write_tone
from torch import Tensor, nn
from torch.nn import functional

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError, RecipeError
from soundseek.learn.data.mixing import SoundSpec
from soundseek.learn.data.tower_cache import MeanFrames, extract_frames, frame_store
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.audio.passt import PaSSTConfig, PaSSTTrunk
from soundseek.learn.models.audio.tags import AUDIOSET_CLASSES, TagNames, WithTags, read_class_names
from soundseek.learn.models.build import TRUNKS, build_trunk, feature_width

torch.set_num_threads(1)

SMALL_CNN14 = CNN14Config(widths=(2, 2, 2, 2, 4, 8), reduction="none", head="tagger")


class Tagger(nn.Module):
    """Frames are the log-mel; the two logits are the mean first band and its opposite."""

    front_end = FrontEndConfig(num_mels=3)
    width, frame_hop, min_frames = 3, 1, 1

    def forward(self, log_mel: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return log_mel, torch.ones(log_mel.shape[:2], dtype=torch.bool) if frame_mask is None else frame_mask

    def logits(self, frames: Tensor, frame_mask: Tensor) -> Tensor:
        weights = frame_mask.unsqueeze(2).float()
        mean = (frames * weights).sum(dim=1)[:, 0] / weights.sum(dim=1)[:, 0]
        return torch.stack([mean, -mean], dim=1)


def test_four_fifths_of_the_scene_and_one_fifth_of_the_names_by_hand() -> None:
    tags = TagNames(torch.zeros(2, 7), share=0.2)
    names = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    scene = torch.tensor([[0.0, 0.0, 1.0]])
    # 0.3 and 0.4 of two unit vectors at a right angle: (0.6, 0.8) once it is of unit norm.
    mixed = tags(scene, torch.tensor([[0.3, 0.4]]), names)
    by_hand = torch.tensor([[0.2 * 0.6, 0.2 * 0.8, 0.8]])
    torch.testing.assert_close(mixed, by_hand / np.sqrt(0.2**2 + 0.8**2))
    torch.testing.assert_close(mixed.norm(dim=1), torch.ones(1))


def test_twice_the_probabilities_change_nothing_but_another_tag_does() -> None:
    tags = TagNames(torch.zeros(3, 4), share=0.2)
    generator = torch.Generator().manual_seed(0)
    names = functional.normalize(torch.randn(3, 4, generator=generator), dim=-1)
    scene = functional.normalize(torch.randn(1, 4, generator=generator), dim=-1)
    probabilities = torch.tensor([[0.1, 0.3, 0.05]])
    mixed = tags(scene, probabilities, names)
    torch.testing.assert_close(tags(scene, 2 * probabilities, names), mixed)
    assert (tags(scene, probabilities.flip(1), names) - mixed).abs().max() > 0.01


def test_the_text_head_learns_through_the_names() -> None:
    head = nn.Linear(5, 4)
    tags = TagNames(torch.randn(3, 5), share=0.2)
    scene = functional.normalize(torch.randn(2, 4), dim=-1)
    tags(scene, torch.rand(2, 3), functional.normalize(head(tags.features), dim=-1)).sum().backward()
    assert head.weight.grad is not None and head.weight.grad.abs().sum() > 0
    assert not list(tags.parameters())  # the names' features are frozen, and are kept with the weights
    assert tags.state_dict().keys() == {"features"}


def test_every_frame_of_a_clip_carries_its_tags_and_they_are_told_apart_again() -> None:
    trunk = WithTags(Tagger(), num_tags=2)
    log_mel = torch.tensor([[[2.0, 5.0, 6.0], [0.0, 7.0, 8.0], [99.0, 99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    frames, frame_mask = trunk(log_mel, mask)
    assert trunk.width == frames.shape[2] == 5
    assert trunk.num_features == 3
    first, second = torch.sigmoid(torch.tensor([1.0, -1.0])).tolist()  # the mean of 2 and 0 is 1
    torch.testing.assert_close(frames[0, 0], torch.tensor([2.0, 5.0, 6.0, first, second]))
    torch.testing.assert_close(frames[0, 1], torch.tensor([0.0, 7.0, 8.0, first, second]))
    own, probabilities = TagNames(torch.zeros(2, 4), share=0.2).split(frames, frame_mask)
    torch.testing.assert_close(own, log_mel)
    torch.testing.assert_close(probabilities, torch.tensor([[first, second]]))


def test_names_come_from_the_text_tower_once() -> None:
    class Tower:
        asked = 0

        def features(self, texts: list[str]) -> Tensor:
            self.asked += 1
            return torch.tensor([[float(len(text))] for text in texts])

    tower = Tower()
    tags = TagNames.of(tower, share=0.2)
    assert tower.asked == 1
    assert tags.features.shape == (527, 1)
    assert tags.features[0, 0] == len("Speech")


@pytest.mark.parametrize(
    "trunk",
    [
        EfficientATTrunk(0.1),
        CNN14Trunk(SMALL_CNN14),
        PaSSTTrunk(PaSSTConfig(**passt_reference.TOY, head="tagger")),
    ],
    ids=lambda trunk: type(trunk).__name__,
)
@torch.no_grad()
def test_any_tagger_carries_its_tags(trunk: nn.Module) -> None:
    tagged = WithTags(trunk).eval()
    log_mel = torch.randn(2, 130, tagged.front_end.num_mels)
    frames, mask = tagged(log_mel)
    own, own_mask = trunk(log_mel)
    torch.testing.assert_close(frames[..., :-527], own)
    expected = torch.sigmoid(trunk.logits(own, own_mask))  # type: ignore[operator]
    for frame in range(frames.shape[1]):
        torch.testing.assert_close(frames[:, frame, -527:], expected)
    assert mask.all() and tagged.scope == "clip"


def test_published_taggers_are_found_by_name_with_their_heads(tmp_path: Path) -> None:
    golden = json.loads(passt_reference.GOLDEN.read_text(encoding="utf-8"))
    state = passt_reference.draw(golden["shapes"])
    torch.save(state, tmp_path / "passt.pt")
    built = build_trunk("passt+tags", tmp_path / "passt.pt", dict(passt_reference.TOY))
    assert isinstance(built, WithTags)
    assert built.width == 12 + 527
    assert not built.training
    assert not any(parameter.requires_grad for parameter in built.parameters())
    assert {name for name in TRUNKS if name.endswith("+tags")} == {
        "efficientat+tags", "cnn14+tags", "cnn10+tags", "resnet38+tags", "passt+tags",
    }  # fmt: skip


def test_a_saved_tagger_is_read_again_and_one_without_its_head_is_refused(tmp_path: Path) -> None:
    trunk = WithTags(CNN14Trunk(SMALL_CNN14).eval())
    trunk.save(tmp_path / "cnn14.safetensors")
    built = build_trunk("cnn14+tags", tmp_path / "cnn14.safetensors")
    log_mel = torch.randn(1, 64, 64)
    torch.testing.assert_close(built(log_mel)[0], trunk(log_mel)[0], atol=0, rtol=0)
    CNN14Trunk(CNN14Config(widths=(2, 2, 2, 2, 4, 8))).save(tmp_path / "headless.safetensors")
    with pytest.raises(ModelError, match="built without its head"):
        build_trunk("cnn14+tags", tmp_path / "headless.safetensors")


@torch.no_grad()
def test_the_cache_holds_the_tags_and_its_means_do_too(tmp_path: Path) -> None:
    weights = tmp_path / "cnn14.safetensors"
    CNN14Trunk(SMALL_CNN14).save(weights)
    write_tone(tmp_path / "tone.wav", frequency_hz=440, duration_s=1.0)
    trunk = build_trunk("cnn14+tags", weights)
    store = frame_store(trunk, "cnn14+tags", weights, tmp_path / "cache")  # type: ignore[arg-type]
    sound = SoundSpec("clip", (tmp_path / "tone.wav",))
    (key,) = extract_frames([sound], store, "cnn14+tags", weights, workers=0)
    assert store[key].shape == (3, 8 + 527)
    tags = TagNames(torch.zeros(527, 4), share=0.2)
    one = torch.ones(1, 1, dtype=torch.bool)
    own, from_mean = tags.split(torch.from_numpy(MeanFrames(store)[key])[None], one)
    assert own.shape == (1, 1, 8)
    all_frames = torch.from_numpy(np.array(store[key], np.float32))[None]
    _, from_all = tags.split(all_frames, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(from_mean, from_all)
    live = torch.sigmoid(trunk.trunk.logits(all_frames[..., :-527]))  # type: ignore[union-attr, operator]
    torch.testing.assert_close(from_all, live, atol=1e-3, rtol=0)


def test_audiosets_classes_are_527_in_the_order_of_a_taggers_outputs() -> None:
    names = read_class_names()
    assert len(names) == len(set(names)) == 527
    assert names[0] == "Speech" and names[74] == "Dog" and names[526] == "Field recording"
    credit = AUDIOSET_CLASSES.with_suffix(".txt").read_text(encoding="utf-8")
    assert "Creative Commons Attribution 4.0" in credit


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "index,mid,display_name\n0,/m/1,Dog\n2,/m/2,Cat\n",
            "line 3: expected index 1 .* found '2' and 'Cat'",
        ),
        ("index,mid,display_name\n0,/m/1,\n", "line 2: expected index 0 and a display_name"),
        ("number,name\n0,Dog\n", r"has the columns \['number', 'name'\], not \['index'"),
        ("index,mid,display_name\n", "names no tags"),
    ],
)
def test_a_list_of_names_out_of_order_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "names.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        read_class_names(path)


def test_what_cannot_be_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no list of tag names at"):
        read_class_names(tmp_path / "absent.csv")
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(RecipeError, match=r"audio\.tag_share = "):
            TagNames(torch.zeros(2, 2), share=share)
    with pytest.raises(ModelError, match="gives no tags"):
        WithTags(nn.Linear(2, 2))
    with pytest.raises(ModelError, match="frames 2 wide carry no 2 tags"):
        TagNames(torch.zeros(2, 2), share=0.2).split(torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))


def test_tags_are_features_unless_they_have_a_share_of_their_own() -> None:
    trunk = WithTags(EfficientATTrunk())
    assert feature_width(trunk, 0.0) == 384 + 527
    assert feature_width(trunk, 0.2) == 384
    assert feature_width(EfficientATTrunk(), 0.0) == 384


@torch.no_grad()
def test_an_amplitude_is_three_times_the_root_of_a_probability() -> None:
    tagger = EfficientATTrunk().eval()
    plain, loud = WithTags(tagger), WithTags(tagger, amplitudes=True)
    log_mel = torch.randn(1, 96, 128)
    probabilities, amplitudes = plain(log_mel)[0][..., 384:], loud(log_mel)[0]
    torch.testing.assert_close(amplitudes[..., 384:], 3 * probabilities.sqrt())
    torch.testing.assert_close(loud.tag_probabilities(amplitudes), probabilities)
    torch.testing.assert_close(plain.tag_probabilities(plain(log_mel)[0]), probabilities)
    for trunk in (plain, loud):
        frames = trunk(log_mel)[0]
        torch.testing.assert_close(trunk.with_probabilities(frames, trunk.tag_probabilities(frames)), frames)
