"""A run that was stopped, by a kill or a full disk, goes on; what it cannot go on with is refused in one line."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from quick_processes import exit_code, train_and_be_terminated
from toy_learning import toy_recipe

from soundseek.errors import DataError, ModelError, StorageError, UsageError
from soundseek.learn.training.run_folder import read_metrics
from soundseek.learn.training.train import train

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def stopped(place: Path) -> Path:
    """A run of three epochs that was stopped after the second, with its checkpoint."""
    os.environ["SOUNDSEEK_CACHE"] = str(place / "cache")

    def stop(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy_recipe(place), place / "data", place / "stopped", on_epoch=stop)
    assert (place / "stopped" / "checkpoints" / "last.ckpt").is_file()
    return place / "stopped"


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def epochs(run: Path) -> list[float]:
    return [each["epoch"] for each in read_metrics(run)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: half(run / "checkpoints/last.ckpt"), r"last\.ckpt is damaged, .*remove it"),
        (lambda run: (run / "checkpoints/last.ckpt").write_bytes(b""), r"last\.ckpt is damaged"),
        (
            lambda run: torch.save({"state_dict": {}}, run / "checkpoints/last.ckpt"),
            r"last\.ckpt is damaged, or of another version .*: it has no 'epoch'",
        ),
        (lambda run: half(run / "run.json"), r"run\.json is damaged: .*remove it"),
        (lambda run: (run / "run.json").write_text(""), r"run\.json is damaged"),
        (lambda run: (run / "run.json").write_text("[]"), r"run\.json is damaged: it holds a list"),
        (lambda run: half(run / "recipe.yaml"), r"has a damaged recipe\.yaml, or one of another version"),
        (lambda run: (run / "recipe.yaml").write_text(""), r"has a damaged recipe\.yaml"),
        (lambda run: half(run / "trunk.safetensors"), r"trunk\.safetensors is damaged; copy .* there"),
        (lambda run: (run / "trunk.safetensors").unlink(), r"trunk\.safetensors is missing; copy .* there"),
    ],
)
def test_a_damaged_run_is_not_gone_on_with_and_the_file_is_named(
    place: Path, run: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(run)
    with pytest.raises(ModelError, match=message):
        train(toy_recipe(place), place / "data", run, resume=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(b"\n", b"\n\n", 1),
        lambda text: b"xx\n" + text,
        lambda text: text + b"\0" * 100 + b"\n",
        lambda text: text + b'{"epoch": 3, "lo',
    ],
)
def test_spoilt_lines_of_the_metrics_are_left_out_when_it_goes_on(
    place: Path, run: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = run / "metrics.jsonl"
    path.write_bytes(spoil(path.read_bytes()))
    train(toy_recipe(place), place / "data", run, resume=True)
    assert epochs(run) == [0, 1, 2]
    assert len(path.read_text().splitlines()) == 3


def test_a_full_disk_is_named_and_the_run_goes_on_to_the_same_result(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = torch.save, []

    def full(checkpoint: object, file: object) -> None:
        saved.append(1)
        if len(saved) == 2:
            file.write(b"half a checkpoint")  # type: ignore[attr-defined]
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/tmpabc")
        save(checkpoint, file)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "save", full)
    run = tmp_path / "run"
    with pytest.raises(
        StorageError, match=rf"{run}/checkpoints/last.ckpt cannot be written: the disk of .* is full"
    ):
        train(toy_recipe(place), place / "data", run)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    train(toy_recipe(place), place / "data", run, resume=True)
    train(toy_recipe(place), place / "data", tmp_path / "whole")
    assert epochs(run) == [0, 1, 2]
    assert (run / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def test_checkpoints_pass_through_no_other_disk(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundseek._files import Path as FilesPath

    replaced: list[tuple[str, str]] = []
    replace = FilesPath.replace

    def noted(self: Path, target: Path) -> Path:
        replaced.append((str(self.parent), str(Path(target))))
        return replace(self, target)

    monkeypatch.setattr(FilesPath, "replace", noted)
    run = train(toy_recipe(place, "training.epochs=1"), place / "data", tmp_path / "run")
    written = {target: folder for folder, target in replaced}
    assert written[str(run / "checkpoints" / "last.ckpt")] == str(run / "checkpoints")
    assert {Path(target).name for target in written} >= {
        "recipe.yaml", "run.json", "model.safetensors", "trunk.safetensors", "last.ckpt",
    }  # fmt: skip


def test_other_data_are_refused_and_the_same_in_another_place_are_not(
    place: Path, run: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(place / "data", tmp_path / "moved"))
    train(toy_recipe(place), moved, run, resume=True)
    table = moved / "captions_development.csv"
    table.write_text(table.read_text().replace("low tone is heard", "low tone is played"))
    with pytest.raises(
        UsageError, match=r"has learned from 6 clips of .*moved, and .*moved has 6 with other names"
    ):
        train(toy_recipe(place), moved, run, resume=True)


def test_other_sounds_of_the_same_names_and_sizes_are_refused(place: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(place / "data", tmp_path / "other"))
    sound = min((other / "development").iterdir())
    content = sound.read_bytes()
    sound.write_bytes(content[:-100] + bytes(100))
    with pytest.raises(UsageError, match=r"has learned from other sounds than those of .*other"):
        train(toy_recipe(place), other, run, resume=True)


def test_a_run_that_learned_nothing_does_not_claim_its_folder(place: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(place / "data", tmp_path / "data"))
    sound = data / "validation" / "tone.wav"
    content = sound.read_bytes()
    sound.write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"tone\.wav"):
        train(toy_recipe(place), data, tmp_path / "run")
    sound.write_bytes(content)
    train(toy_recipe(place, "training.epochs=1"), data, tmp_path / "run")
    assert epochs(tmp_path / "run") == [0]


def test_sigterm_ends_a_run_at_once_which_goes_on_to_the_same_result(place: Path, tmp_path: Path) -> None:
    recipe, told = toy_recipe(place), tmp_path / "told"
    told.mkdir()
    assert exit_code(train_and_be_terminated, recipe, place / "data", tmp_path / "run", told) == 0
    assert (told / "stdout").read_text() == "terminated\n"
    assert "Traceback" not in (told / "stderr").read_text()
    assert epochs(tmp_path / "run") == [0, 1]
    train(recipe, place / "data", tmp_path / "run", resume=True)
    train(recipe, place / "data", tmp_path / "whole")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert weights[0] == weights[1]
