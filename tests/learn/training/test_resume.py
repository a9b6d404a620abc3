"""A run survives kills, full disks and wrong commands, and goes on; what is wrong is said in one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from quick_processes import exit_code, train_and_be_terminated
from toy_learning import toy_recipe

from soundseek._files import LOCK_FILE, locked
from soundseek.errors import (
    DataError,
    DivergedError,
    ModelError,
    RecipeError,
    RecipeFileError,
    SoundseekError,
    StorageError,
    UsageError,
)
from soundseek.learn.recipe.load import save_recipe
from soundseek.learn.training.run_folder import load_run, read_metrics
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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", r"model\.safetensors is damaged, or no safetensors file"),
        ("trunk.safetensors", r"trunk\.safetensors is damaged, or no safetensors file"),
        ("recipe.yaml", r"has a damaged recipe\.yaml"),
    ],
)
def test_a_damaged_run_is_not_loaded(run: Path, name: str, message: str) -> None:
    half(run / name)
    with pytest.raises(ModelError, match=message):
        load_run(run)


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


def test_an_empty_sound_is_named_before_anything_is_heard_or_written(place: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(place / "data", tmp_path / "data"))
    sound = min((data / "validation").iterdir())
    sound.write_bytes(b"")
    with pytest.raises(DataError, match=f"cannot learn from .*{sound.name}: empty"):
        train(toy_recipe(place), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_sounds_of_the_same_names_and_sizes_are_refused(place: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(place / "data", tmp_path / "other"))
    sound = min((other / "development").iterdir())
    content = sound.read_bytes()
    sound.write_bytes(content[:-100] + bytes(100))
    with pytest.raises(UsageError, match=r"has learned from other sounds than those of .*other"):
        train(toy_recipe(place), other, run, resume=True)


def test_one_process_at_a_time_writes_to_a_run(place: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run", "run"),
        pytest.raises(UsageError, match=rf"written by this process \({os.getpid()}\); wait"),
    ):
        train(toy_recipe(place), place / "data", tmp_path / "run")
    run = train(toy_recipe(place, "training.epochs=1"), place / "data", tmp_path / "run")
    assert not (run / LOCK_FILE).exists()


def test_what_is_wrong_is_said_before_anything_is_computed_and_the_folder_is_not_claimed(
    place: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(place / "data", tmp_path / "data"))
    (data / "captions_validation.csv").rename(data / "away.csv")
    out, told = tmp_path / "run", []
    wrong: list[tuple[tuple[str, ...], type[SoundseekError], str]] = [
        ((), DataError, "no captions_validation.csv"),
        (("data.leave_out=none.txt", "data.validation_split=null"), RecipeFileError, "no file none.txt"),
        (
            ("data.listener_captions={path: none.csv}", "data.validation_split=null"),
            RecipeFileError,
            "no file of",
        ),
        (("text.head=identity", "data.validation_split=null"), RecipeError, "head = identity takes features"),
        (
            ("data.tag_captions={}", "data.validation_split=null"),
            ModelError,
            "gives no tags",
        ),
        (
            ("loss.soft_targets={runs: [none]}", "data.validation_split=null"),
            ModelError,
            "none holds no trained run",
        ),
    ]
    for settings, kind, message in wrong:
        with pytest.raises(kind, match=message):
            train(toy_recipe(place, *settings), data, out, report=lambda *what: told.append(what))
        assert not out.exists() and not told
    (data / "away.csv").rename(data / "captions_validation.csv")
    train(toy_recipe(place, "training.epochs=1"), data, out)


def test_a_mixture_of_a_single_clip_is_refused(place: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(place / "data", tmp_path / "data"))
    table = data / "captions_development.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(RecipeError, match="mix two clips, and there is one"):
        train(toy_recipe(place, "data.overlays=2"), data, tmp_path / "run")


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


@pytest.mark.parametrize("validation", ["validation", "null"])
def test_a_loss_that_is_no_number_is_a_failure(place: Path, tmp_path: Path, validation: str) -> None:
    recipe = toy_recipe(
        place, "training.learning_rate=1e30", "audio.attention=self", f"data.validation_split={validation}"
    )
    with pytest.raises(
        DivergedError, match=r"'toy' has diverged in epoch \d: .*lower training.learning_rate"
    ):
        train(recipe, place / "data", tmp_path / "run")
    assert "best_epoch" not in json.loads((tmp_path / "run" / "run.json").read_text())


SIGNALLED = """
import os, signal, sys
from pathlib import Path
import torch
from soundseek.errors import SoundseekError, Terminated
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.training.train import train
def at_once(metrics):
    if metrics["epoch"] == 1:
        os.kill(int(os.environ.get("VICTIM") or os.getpid()), signal.SIGTERM)
if __name__ == "__main__":
    torch.set_num_threads(1)
    recipe, data, out = sys.argv[1:]
    try:
        train(load_recipe(recipe), Path(data), Path(out), on_epoch=at_once)
    except Terminated:
        print("terminated")
    except SoundseekError as error:
        print("error", error)
"""


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


def test_sigterm_ends_a_run_of_two_processes_at_once(place: Path, tmp_path: Path) -> None:
    save_recipe(toy_recipe(place, "training.devices=2"), tmp_path / "recipe.yaml")
    (tmp_path / "script.py").write_text(SIGNALLED)
    command = [sys.executable, "script.py", "recipe.yaml", str(place / "data"), "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.returncode) == ("terminated\n", 0), done.stderr
    assert "Traceback" not in done.stderr
    assert epochs(tmp_path / "run") == [0, 1]
