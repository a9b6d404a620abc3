"""EfficientAT's network: the published layout, and tags that a listener would give."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import LogMel
from soundseek.errors import ModelError
from soundseek.learn.models.audio.efficientat import EfficientATTrunk

ROOT = Path(__file__).parents[4]
TEACHER = Path(os.environ.get("SOUNDSEEK_TEACHER", ROOT.parent / "shared" / "teacher"))
WEIGHTS = TEACHER / "mn04_as_mAP_432.safetensors"


def test_it_has_the_size_and_the_frames_of_the_published_tagger() -> None:
    trunk = EfficientATTrunk().eval()
    assert sum(p.numel() for p in trunk.parameters()) == pytest.approx(0.98e6, rel=0.02)
    frames, mask = trunk(torch.zeros(1, 1000, 128))
    assert frames.shape == (1, 32, 384)
    assert mask.shape == (1, 32)
    assert trunk.logits(frames).shape == (1, 527)


def test_weights_in_either_container_load_and_wrong_ones_are_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = EfficientATTrunk().eval()
    state = original.state_dict()
    torch.save(state, tmp_path / "weights.pt")
    save_file(state, tmp_path / "weights.safetensors")
    log_mel = torch.randn(1, 96, 128)
    for name in ("weights.pt", "weights.safetensors"):
        loaded = EfficientATTrunk.load(tmp_path / name)
        torch.testing.assert_close(loaded(log_mel)[0], original(log_mel)[0])
    del state["features.0.0.weight"]
    state["surplus"] = torch.zeros(1)
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(ModelError, match=r"missing: features\.0\.0\.weight; surplus: surplus"):
        EfficientATTrunk.load(tmp_path / "wrong.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_file_without_weights_is_named_and_nothing_of_it_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"<html>Not Found</html>")
    with pytest.raises(ModelError, match=rf"{name} cannot be read as weights: "):
        EfficientATTrunk.load(tmp_path / name)


def test_a_foreign_pickle_is_not_run(tmp_path: Path) -> None:
    class Malice:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"features": Malice()}, tmp_path / "weights.pt")
    with pytest.raises(
        ModelError, match="cannot be read as weights: it is no PyTorch checkpoint of tensors alone"
    ):
        EfficientATTrunk.load(tmp_path / "weights.pt")
    assert not (tmp_path / "made").exists()


def test_a_checkpoint_of_something_larger_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"model": EfficientATTrunk().state_dict(), "epoch": 3}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="these are no tensors: model, epoch"):
        EfficientATTrunk.load(tmp_path / "weights.pt")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"the published tagger is not at {WEIGHTS}")
@pytest.mark.parametrize(
    ("sample", "tags"),
    [
        ("lightning-strike", {"Thunder", "Thunderstorm", "Explosion"}),
        ("dog-barking", {"Dog", "Bark", "Domestic animals, pets"}),
    ],
)
def test_the_published_weights_hear_what_a_listener_hears(sample: str, tags: set[str]) -> None:
    files = sorted((ROOT / "samples").rglob(f"*{sample}*"))
    assert files, f"no sample of a {sample}"
    with (TEACHER / "class_labels_indices.csv").open(encoding="utf-8") as table:
        labels = [row["display_name"] for row in csv.DictReader(table)]
    trunk = EfficientATTrunk.load(WEIGHTS)
    waveform = read_audio(files[0], sample_rate_hz=32_000)
    with torch.no_grad():
        frames, _ = trunk(torch.from_numpy(LogMel(trunk.front_end)(waveform))[None])
        best = trunk.logits(frames)[0].topk(5).indices
    assert tags & {labels[tag] for tag in best.tolist()}
