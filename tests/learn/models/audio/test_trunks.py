"""Trunks by name: their options, weights or none, and what of them is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_learning import make_toy_trunk

from soundseek.audio.logmel import PANNS_FRONT_END, PAPER_FRONT_END
from soundseek.errors import ModelError, RecipeError
from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.build import LogMelBody, build_trunk, split_trunk

torch.set_num_threads(1)
TOY: dict[str, Any] = {"widths": [2, 2, 2, 2, 4, 8], "reduced_width": 3}


def toy(**options: Any) -> Any:
    return build_trunk("cnn14", None, {**TOY, **options}, trained=True)


def test_options_become_the_trunks_config() -> None:
    trunk = toy(front_end="paper", norms="frozen")
    assert trunk.config == CNN14Config(
        widths=(2, 2, 2, 2, 4, 8), reduced_width=3, front_end=PAPER_FRONT_END, norms="frozen"
    )
    assert trunk.front_end.sample_rate_hz == 44_100
    assert toy(front_end="published").front_end == PANNS_FRONT_END
    assert toy(front_end={**dict(PANNS_FRONT_END), "hop_length": 500}).front_end.hop_length == 500
    assert toy(reduction="none").width == 8
    assert toy(reduction="block5").width == 4
    assert toy(block6_pool=2).frame_hop == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reducton": "none"}, "no option 'audio.trunk_options.reducton'; did you mean 'reduction'"),
        ({"zebra": 1}, "known: front_end, head"),
        ({"front_end": "papper"}, "front_end = 'papper': .*choose one of published, paper"),
        ({"front_end": {"hop_lenght": 320}}, "front_end.hop_lenght'; did you mean 'hop_length'"),
        ({"reduction": "block4"}, "audio.trunk_options.reduction = 'block4'"),
        ({"reduction": "block5", "block6_pool": 2}, "there is no block 6"),
    ],
)
def test_a_wrong_option_is_named_with_the_nearest_right_one(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        toy(**options)


def test_an_unknown_trunk_is_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no audio trunk 'cn14'; did you mean 'cnn14'"):
        build_trunk("cn14", None)


def test_weights_are_drawn_only_for_a_trunk_that_is_trained() -> None:
    with pytest.raises(RecipeError, match=r"'cnn14' is frozen, so it needs its weights.*trained_blocks=all"):
        build_trunk("cnn14", None, TOY)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, same, other = toy(), toy(), build_trunk("cnn14", None, TOY, trained=True, seed=1)
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers go on as they were"
    log_mel = torch.randn(1, 64, 64)
    assert torch.equal(first(log_mel)[0], same(log_mel)[0])
    assert not torch.equal(first(log_mel)[0], other(log_mel)[0])  # type: ignore[operator]
    assert all(parameter.requires_grad for parameter in first.parameters())
    assert not first.training, "Lightning decides when training begins"


@pytest.mark.parametrize("name", ["cnn14", "cnn10", "resnet38", "efficientat", "compact"])
def test_every_trunk_starts_from_random_weights_and_is_found_again_by_its_file(
    name: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "cnn14": TOY,
        "cnn10": {"widths": [2, 2, 2, 4]},
        "resnet38": {"widths": [2, 2, 2, 4], "depths": [1, 1, 1, 1], "width": 8},
        "efficientat": {"width_factor": 0.1},
        "compact": {"width": 8},
    }[name]
    trunk: Any = build_trunk(name, None, options, trained=True)
    trunk.save(tmp_path / "trunk.safetensors")
    for trained in (True, False):
        found: Any = build_trunk(name, tmp_path / "trunk.safetensors", options, trained=trained)
        assert all(parameter.requires_grad == trained for parameter in found.parameters())
        log_mel = torch.randn(1, 64, trunk.front_end.num_mels)
        assert torch.equal(found(log_mel)[0], trunk(log_mel)[0])


def test_a_file_that_says_what_it_is_needs_no_options_and_refuses_others(tmp_path: Path) -> None:
    path = tmp_path / "trunk.safetensors"
    toy().save(path)
    assert build_trunk("cnn14", path).width == 3
    with pytest.raises(RecipeError, match=r"trunk_options.reduced_width = 5, but .*holds a trunk with 3"):
        build_trunk("cnn14", path, {"reduced_width": 5})
    with pytest.raises(RecipeError, match="width = 9, but"):
        build_trunk("compact", make_toy_trunk(tmp_path / "compact.safetensors"), {"width": 9})
    with pytest.raises(ModelError, match="holds no CNN10Trunk"):
        build_trunk("cnn10", path)
    with pytest.raises(RecipeError, match=r"no file .*nowhere"):
        build_trunk("cnn14", tmp_path / "nowhere.pth")


def test_any_trunk_takes_a_level_of_what_it_hears(tmp_path: Path) -> None:
    weights = make_toy_trunk(tmp_path / "compact.safetensors")
    plain: Any = build_trunk("compact", weights)
    levelled: Any = build_trunk("compact", weights, {"peak_dbfs": -6.0})
    assert levelled.front_end.peak_dbfs == -6.0
    assert levelled.front_end.model_copy(update={"peak_dbfs": None}) == plain.front_end
    body, _ = split_trunk(levelled, 1)
    assert body.front_end.peak_dbfs == -6.0
    for wrong in (3.0, "loud"):
        with pytest.raises(RecipeError, match=f"peak_dbfs = {wrong!r}: it is a level"):
            build_trunk("compact", weights, {"peak_dbfs": wrong})


def test_what_acts_in_training_only_may_differ_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "trunk.safetensors"
    toy().save(path)
    trunk: Any = build_trunk("cnn14", path, {"norms": "frozen"}, trained=True, spec_augment=False)
    trunk.train()
    assert not trunk.bn0.training
    torch.manual_seed(0)
    log_mel = torch.randn(2, 320, 64)
    # Dropout aside, nothing is drawn: frozen norms and no stripes.
    state = trunk.spec_augment.generator.get_state()
    trunk(log_mel)
    assert torch.equal(trunk.spec_augment.generator.get_state(), state)


def test_the_recipes_key_switches_the_stripes_and_an_option_overrides_it() -> None:
    def stripes(**arguments: Any) -> bool:
        trunk: Any = build_trunk("cnn14", None, trained=True, **arguments)
        before = trunk.spec_augment.generator.get_state()
        trunk.train()(torch.randn(1, 320, 64))
        return not torch.equal(trunk.spec_augment.generator.get_state(), before)

    assert stripes(options=TOY)
    assert stripes(options=TOY, spec_augment=True)
    assert not stripes(options=TOY, spec_augment=False)
    assert stripes(options={**TOY, "spec_augment": True}, spec_augment=False)
    with pytest.raises(RecipeError, match="'efficientat' takes no stripes; these do: cnn14, cnn10"):
        build_trunk("efficientat", None, trained=True, spec_augment=True)


def test_a_frozen_published_trunk_keeps_no_random_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[CNN14Config] = []
    monkeypatch.setattr(CNN14Trunk, "load", lambda path, config: asked.append(config) or CNN14Trunk(config))
    path = tmp_path / "published.pth"
    path.touch()
    widths = {"widths": TOY["widths"]}
    build_trunk("cnn14", path, widths)
    build_trunk("cnn14", path, {**widths, "reduction": "block5"})
    build_trunk("cnn14", path, widths, trained=True)
    assert [config.reduction for config in asked] == ["none", "block5", "linear"]
    with pytest.raises(RecipeError, match=r"a layer that published.pth lacks.*take reduction = 'none'"):
        build_trunk("cnn14", path, {**widths, "reduction": "linear"})


def test_a_trunk_trained_whole_is_a_tail_on_log_mels() -> None:
    trunk = toy()
    body, tail = split_trunk(trunk, "all")
    assert isinstance(body, LogMelBody)
    assert tail is trunk
    assert (body.width, body.frame_hop, body.min_frames) == (64, 1, trunk.min_frames)
    log_mel, mask = torch.randn(2, 96, 64), torch.ones(2, 96, dtype=torch.bool)
    mask[1, 64:] = False
    expected, through = trunk(log_mel, mask), tail(*body(log_mel, mask))
    assert torch.equal(expected[0], through[0])
    assert torch.equal(expected[1], through[1])
    assert bool(body(log_mel)[1].all())
    assert split_trunk(trunk, 0) == (trunk, None)
    with pytest.raises(RecipeError, match="EfficientATTrunk is trained as a whole or not at all: 0 or all"):
        split_trunk(EfficientATTrunk(0.1), 2)


@pytest.mark.parametrize("length", [0, 4, 400])
def test_a_weights_file_that_was_cut_off_is_named(tmp_path: Path, length: int) -> None:
    path = make_toy_trunk(tmp_path / "trunk.safetensors")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"trunk\.safetensors is damaged, or no safetensors file"):
        build_trunk("compact", path)
