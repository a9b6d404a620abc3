"""PaSST against its authors' own network, its windows, its published file, and its way into ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import passt_reference
import pytest
import torch
from passt_reference import TOY
from pydantic import ValidationError

from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.errors import ModelError
from soundseek.learn.export.export import export_audio
from soundseek.learn.models.audio.passt import PaSSTConfig, PaSSTTrunk
from soundseek.learn.models.build import build_trunk
from soundseek.learn.models.dual_encoder import DualEncoder

torch.set_num_threads(1)

GOLDEN: dict[str, Any] = json.loads(passt_reference.GOLDEN.read_text(encoding="utf-8"))
CONFIG = PaSSTConfig(**TOY, head="tagger")
needs_package = pytest.mark.skipif(
    not passt_reference.installed(),
    reason="pip install --no-deps hear21passt; the golden file stands in for it",
)


@pytest.fixture
def published(tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file of the published layout, at toy size."""
    path = tmp_path / "passt-s-f128-p16-s10-ap.476-swa.pt"
    state = passt_reference.draw(GOLDEN["shapes"])
    torch.save(state, path)
    return path, state


def toy(seed: int = 0) -> PaSSTTrunk:
    """A trunk of new weights, large enough that sounds make a difference."""
    torch.manual_seed(seed)
    trunk = PaSSTTrunk(CONFIG)
    with torch.no_grad():
        for parameter in trunk.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return trunk.eval().requires_grad_(False)


def test_with_equal_weights_it_gave_what_the_published_network_gave(
    published: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    trunk = PaSSTTrunk.load(published[0], CONFIG)
    heard = {}
    for clip, length in passt_reference.CLIPS.items():
        with torch.no_grad():
            frames, mask = trunk(passt_reference.noise(1, length, 128))
            logits = trunk.logits(frames, mask)
        theirs = GOLDEN["given"][clip]
        assert frames.shape == (1, 1, 12) and mask.all()
        torch.testing.assert_close(
            frames[0, 0], torch.tensor(theirs["features"]), atol=1e-4, rtol=0, msg=clip
        )
        torch.testing.assert_close(
            logits[0, :12], torch.tensor(theirs["logits"]), atol=1e-4, rtol=0, msg=clip
        )
        heard[clip] = frames
    # Networks deaf to the sound would agree as well.
    assert (heard["ten seconds"] - heard["one patch"]).abs().max() > 0.1


@needs_package
@torch.no_grad()
def test_at_its_real_width_it_is_the_published_network(tmp_path: Path) -> None:
    """Three of the twelve blocks, to save a quarter of a minute; all twelve were compared, too, and agree to 2e-6."""
    reference = passt_reference.network(depth=3)
    torch.save(reference.state_dict(), tmp_path / "published.pt")
    trunk = PaSSTTrunk.load(tmp_path / "published.pt", PaSSTConfig(depth=3, head="tagger"))
    assert trunk.width == 768
    log_mel = passt_reference.noise(1, 87, 128)
    logits, features = reference(log_mel.transpose(1, 2).unsqueeze(1))
    frames, mask = trunk(log_mel)
    torch.testing.assert_close(frames[:, 0], features, atol=1e-4, rtol=0)
    torch.testing.assert_close(trunk.logits(frames, mask), logits, atol=1e-4, rtol=0)


@needs_package
def test_every_tensor_of_the_published_network_is_read_and_only_one_head_is_left_out() -> None:
    theirs = passt_reference.published_class(width=12, num_heads=3).state_dict()
    ours = PaSSTTrunk(PaSSTConfig(width=12, num_heads=3, head="tagger")).state_dict()
    assert theirs.keys() - ours.keys() == {"head_dist.weight", "head_dist.bias"}
    assert {name: theirs[name].shape for name in ours} == {name: ours[name].shape for name in ours}


@needs_package
@torch.no_grad()
def test_the_front_end_is_the_published_one() -> None:
    """Bands, window, pre-emphasis, logarithm and scale are theirs; the filters of these bands are our own Kaldi's."""
    generator = np.random.default_rng(0)
    waveform = (0.1 * generator.standard_normal(32_000)).astype(np.float32)
    theirs = passt_reference.front_end()(torch.from_numpy(waveform[None]))[0].numpy().T
    ours = LogMel(PaSSTConfig().front_end)(waveform)
    assert ours.shape == theirs.shape == (100, 128)
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


def test_ten_seconds_are_one_window_of_99_by_12_patches() -> None:
    front_end = PaSSTConfig().front_end
    assert front_end.hop_s * PaSSTConfig().window_frames == pytest.approx(10)
    with torch.device("meta"):
        trunk = PaSSTTrunk(PaSSTConfig(head="tagger"))
    assert trunk.time_new_pos_embed.shape == (1, 768, 1, 99)
    assert trunk.freq_new_pos_embed.shape == (1, 768, 12, 1)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == pytest.approx(86e6, rel=0.01)


@torch.no_grad()
def test_a_long_clip_is_heard_in_windows_and_the_last_ends_with_it() -> None:
    trunk = toy()
    log_mel = torch.randn(1, 2300, 128)
    frames, mask = trunk(log_mel)
    alone = [trunk(log_mel[:, start : start + 1000])[0][0, 0] for start in (0, 1000, 1300)]
    assert frames.shape == (1, 3, 12) and mask.all()
    torch.testing.assert_close(frames[0], torch.stack(alone), atol=1e-5, rtol=0)
    assert [trunk(torch.zeros(1, length, 128))[0].shape[1] for length in (16, 1000, 1001, 2000, 2001)] == [
        1, 1, 2, 2, 3,
    ]  # fmt: skip


@torch.no_grad()
def test_padding_and_company_do_not_change_an_embedding() -> None:
    trunk = toy()
    lengths = [2300, 1000, 16, 345, 1001]
    clips = [torch.randn(1, length, 128) for length in lengths]
    batch = torch.full((5, 2300, 128), float("nan"))  # what is not real may be anything
    mask = torch.zeros(5, 2300, dtype=torch.bool)
    for row, clip in enumerate(clips):
        batch[row, : clip.shape[1]] = clip
        mask[row, : clip.shape[1]] = True
    frames, frame_mask = trunk(batch, mask)
    assert frame_mask.sum(dim=1).tolist() == [3, 1, 1, 1, 2]
    assert frames.isfinite().all()
    together = trunk.logits(frames, frame_mask)
    for row, clip in enumerate(clips):
        alone, alone_mask = trunk(clip)
        torch.testing.assert_close(frames[row][frame_mask[row]], alone[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together[row], trunk.logits(alone, alone_mask)[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_when_something_sounds_makes_a_difference() -> None:
    """Without its positions a transformer would not know the order of its patches."""
    trunk = toy()
    log_mel = torch.randn(1, 1000, 128)
    moved = log_mel.roll(500, dims=1)
    assert (trunk(log_mel)[0] - trunk(moved)[0]).abs().max() > 1e-2
    assert (trunk(log_mel)[0] - trunk(log_mel.flip(2))[0]).abs().max() > 1e-2


@torch.no_grad()
def test_the_tags_of_a_long_clip_are_the_mean_of_its_windows() -> None:
    trunk = toy()
    log_mel = torch.randn(1, 2000, 128)
    halves = [trunk.logits(trunk(part)[0]) for part in log_mel.chunk(2, dim=1)]
    whole = trunk.logits(*trunk(log_mel))
    assert whole.shape == (1, 527)
    torch.testing.assert_close(whole, (halves[0] + halves[1]) / 2, atol=1e-5, rtol=0)


def test_every_parameter_takes_part_and_new_weights_are_small() -> None:
    torch.manual_seed(0)
    trunk = PaSSTTrunk(PaSSTConfig(**TOY))
    assert trunk.time_new_pos_embed.std().item() == pytest.approx(0.02, rel=0.1)
    assert trunk.blocks.get_submodule("1.mlp.fc1").weight.std().item() == pytest.approx(0.02, rel=0.1)
    trunk(torch.randn(1, 1000, 128))[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


@torch.no_grad()
def test_it_is_exported_and_onnx_hears_short_whole_and_long_clips(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    model = DualEncoder(dim=5, audio_width=12, text_width=4, trunk=toy()).eval()
    parity = export_audio(model, tmp_path / "audio.onnx")
    assert parity["audio"] > 0.99999
    session = onnxruntime.InferenceSession(str(tmp_path / "audio.onnx"), providers=["CPUExecutionProvider"])
    for length, windows in ((16, 1), (25, 1), (345, 1), (999, 1), (1000, 1), (1001, 2), (2300, 3)):
        log_mel = torch.randn(1, length, 128)
        expected = model.project_frames(*model.trunk(log_mel))  # type: ignore[misc]
        found = session.run(None, {"log_mel": log_mel.numpy()})[0]
        assert found.shape == (1, windows, 5)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_a_saved_trunk_loads_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "trunk.safetensors"
    trunk = toy()
    trunk.save(path)
    loaded = PaSSTTrunk.load(path)
    assert loaded.config == CONFIG and not loaded.training
    log_mel = torch.randn(1, 40, 128)
    torch.testing.assert_close(loaded(log_mel)[0], trunk(log_mel)[0], atol=0, rtol=0)
    with pytest.raises(ModelError, match="cannot be read as"):
        PaSSTTrunk.load(path, PaSSTConfig())
    built: Any = build_trunk("passt", path)
    assert type(built) is PaSSTTrunk
    assert not any(parameter.requires_grad for parameter in built.parameters())


def test_every_missing_surplus_and_misshapen_tensor_is_listed(
    published: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    path, state = published
    del state["blocks.1.attn.qkv.bias"], state["head_dist.weight"], state["head.1.bias"]
    state["blocks.2.norm1.weight"] = torch.zeros(12)
    state["time_new_pos_embed"] = torch.zeros(1, 12, 1, 199)  # of the file for twenty seconds
    torch.save(state, path)
    with pytest.raises(ModelError) as raised:
        PaSSTTrunk.load(
            path, CONFIG.model_copy(update={"head": "none"})
        )  # even without the head: a whole file
    assert str(raised.value) == (
        f"{path} holds another network; "
        "missing: blocks.1.attn.qkv.bias, head.1.bias, head_dist.weight; "
        "surplus: blocks.2.norm1.weight; "
        "misshapen: time_new_pos_embed is (1, 12, 1, 199), not (1, 12, 1, 99)"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no table of tensors, but: list"),
        ({"epoch": 3}, "these are no tensors: epoch"),
        (
            {"norm.weight": Path},
            "cannot be read as weights: it is no PyTorch checkpoint of tensors alone",
        ),  # a pickle that would import something
    ],
)
def test_a_file_that_is_no_passt_file_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(ModelError, match=message):
        PaSSTTrunk.load(tmp_path / "file.pt")


def test_what_cannot_be_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights at .*\.476-swa\.pt is published at https"):
        PaSSTTrunk.load(tmp_path / "absent.pt")
    with pytest.raises(ValidationError, match="width 10 cannot be divided among num_heads = 3"):
        PaSSTConfig(width=10, num_heads=3)
    with pytest.raises(ValidationError, match="a patch of 16 is larger"):
        PaSSTConfig(front_end=FrontEndConfig(num_mels=8))
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        PaSSTConfig(stirde=3)  # type: ignore[call-arg]
    trunk = toy()
    with pytest.raises(ModelError, match="a clip has 15 log-mel frames, PaSSTTrunk needs 16"):
        trunk(torch.zeros(1, 15, 128))
    mask = torch.ones(2, 64, dtype=torch.bool)
    mask[1, 5:] = False
    with pytest.raises(ModelError, match="a clip has 5 log-mel frames"):
        trunk(torch.zeros(2, 64, 128), mask)
    headless = PaSSTTrunk(PaSSTConfig(**TOY))
    with pytest.raises(ModelError, match="without its head"):
        headless.logits(torch.zeros(1, 1, 12))
