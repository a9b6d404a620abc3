from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from quick_processes import exit_code, reproduce_and_die
from toy_learning import make_toy_data, toy_recipe
from toy_model import make_toy_model

from soundseek.errors import ModelError, RecipeError, SoundseekError, UsageError
from soundseek.learn.evaluation.ensemble import build_ensemble
from soundseek.learn.evaluation.evaluate import RunEmbedder, evaluate
from soundseek.learn.evaluation.rankings import METRICS, load_answers, rank_queries
from soundseek.learn.experiments.plan import Observer, plan, with_teachers
from soundseek.learn.experiments.reproduce import reproduce
from soundseek.learn.recipe.load import load_recipe, save_recipe
from soundseek.learn.report.paper_numbers import TABLE_ONE
from soundseek.learn.training.run_folder import load_run
from soundseek.learn.training.train import train
from soundseek.model.registry import load_model

torch.set_num_threads(1)

SPLITS = ("development", "validation", "evaluation")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("toy")
    make_toy_data(directory / "data", SPLITS)
    for name, attention in (("plain", "none"), ("joined", "graph")):
        recipe = toy_recipe(directory, f"name={name}", f"audio.attention={attention}")
        save_recipe(recipe, directory / f"{name}.yaml")
    return directory


@pytest.fixture(autouse=True)
def cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))


@pytest.fixture(scope="module")
def names(place: Path) -> list[str]:
    return [str(place / "plain.yaml"), str(place / "joined.yaml")]


@pytest.fixture(scope="module")
def done(place: Path, names: Sequence[str]) -> Path:
    """Two recipes, two seeds, three epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))
        reproduce(names, place / "data", place / "report", num_seeds=2)
    return place / "report"


def test_every_recipe_runs_with_every_seed(done: Path) -> None:
    for name in ("plain", "joined"):
        for seed in (0, 1):
            folder = done / "runs" / name / f"seed-{seed}"
            assert json.loads((folder / "run.json").read_text())["seed"] == seed
            assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3


def test_the_kept_ranks_have_the_scores_of_evaluate(done: Path, place: Path) -> None:
    folder = done / "runs" / "joined" / "seed-1"
    answers = load_answers(folder / "ranks.npz")
    report = evaluate(RunEmbedder(*load_run(folder)), place / "data").text_to_audio
    assert len(answers.rank) == 12 and answers.files[0] == "low-hum.wav"
    for metric in METRICS:
        assert answers.per_query(metric).mean() == pytest.approx(getattr(report, metric).value)
    assert np.array_equal(answers.top == answers.own, answers.rank == 1)
    assert np.array_equal(answers.margin > 0, answers.rank == 1)


def test_the_report_has_the_runs_numbers_and_no_folder_of_this_machine(done: Path, place: Path) -> None:
    report = (done / "report.md").read_text()
    runs = [load_answers(done / "runs" / "plain" / f"seed-{seed}" / "ranks.npz") for seed in (0, 1)]
    scores = [100 * run.per_query("mAP10").mean() for run in runs]
    assert f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}" in report
    for text in (report, (done / "report.html").read_text()):
        assert str(place) not in text and str(Path.home()) not in text
        assert "plain.yaml,joined.yaml" in text
    assert sorted(path.name for path in done.iterdir()) == [
        "differences.png", "recall.png", "report.html", "report.md", "runs", "table-one.csv", "table-one.json",
        "table-one.png", "table-one.tex", "training.png",
    ]  # fmt: skip


def test_a_model_that_is_here_stands_beside_the_recipes(
    done: Path, place: Path, names: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(done, tmp_path / "report")
    directory = make_toy_model(tmp_path / "foreign", name="foreign")
    reproduce(names, place / "data", out, num_seeds=2, models=[str(directory)])
    answers = rank_queries(load_model(directory), place / "data", "evaluation")
    score = 100 * answers.per_query("mAP10").mean()
    row = next(line for line in (out / "report.md").read_text().splitlines() if line.startswith("| foreign "))
    assert f"| {load_model(directory).fingerprint} |" in row and f"| {score:.1f} (" in row
    assert "--model /" not in (out / "report.md").read_text()  # a folder of this machine
    monkeypatch.setattr(
        "soundseek.learn.experiments.reproduce.rank_queries", None
    )  # kept: it is not asked again
    before = (out / "report.md").read_bytes()
    reproduce(names, place / "data", out, num_seeds=2, models=[str(directory)])
    assert (out / "report.md").read_bytes() == before
    with pytest.raises(ModelError, match="no model 'nothing'"):
        reproduce(names, place / "data", out, num_seeds=2, models=["nothing"])


def test_the_cost_of_a_run_is_kept(done: Path) -> None:
    cost = json.loads((done / "runs" / "plain" / "seed-0" / "cost.json").read_text())
    assert 0 < cost["evaluation_s"] < cost["wall_s"] < 600
    assert 50e6 < cost["peak_bytes"] < 64e9


def test_what_is_done_is_not_done_again_and_the_report_stays_the_same(
    done: Path, place: Path, names: Sequence[str]
) -> None:
    epochs: list[float] = []
    before = (done / "report.md").read_bytes()
    observer = Observer(epoch=lambda metrics: epochs.append(metrics["epoch"]))
    assert reproduce(names, place / "data", done, num_seeds=2, observer=observer) == done / "report.md"
    assert not epochs
    assert (done / "report.md").read_bytes() == before


def test_killed_it_goes_on_where_it_was_and_ends_with_the_same_ranks(
    done: Path, place: Path, names: Sequence[str], tmp_path: Path
) -> None:
    assert exit_code(reproduce_and_die, names, place / "data", tmp_path / "report") == -signal.SIGKILL
    assert "1 of 2 runs are finished" in (tmp_path / "report" / "report.md").read_text()
    epochs: list[float] = []
    observer = Observer(epoch=lambda metrics: epochs.append(metrics["epoch"]))
    reproduce(names, place / "data", tmp_path / "report", num_seeds=1, observer=observer)
    assert epochs == [1, 2]  # nothing of the first run; the second died before it had saved its second epoch
    for name in ("plain", "joined"):
        ranks = [
            load_answers(report / "runs" / name / "seed-0" / "ranks.npz").rank
            for report in (done, tmp_path / "report")
        ]
        assert np.array_equal(*ranks)
    assert "runs are finished" not in (tmp_path / "report" / "report.md").read_text()


def test_all_recipes_have_the_first_seed_before_any_has_the_second(names: Sequence[str]) -> None:
    planned = [(recipe.name, recipe.seed) for recipe, _ in plan(names, Path(), num_seeds=2, settings=())]
    assert planned == [("plain", 0), ("joined", 0), ("plain", 1), ("joined", 1)]


def test_a_recipe_that_cannot_run_is_named_and_the_others_run(
    place: Path, names: Sequence[str], tmp_path: Path
) -> None:
    broken = toy_recipe(place, "name=broken", f"text.tower={tmp_path / 'nothing-here'}")
    save_recipe(broken, tmp_path / "broken.yaml")
    wanted = [str(tmp_path / "broken.yaml"), names[0]]
    with pytest.raises(SoundseekError, match="broken could not be run"):
        reproduce(wanted, place / "data", tmp_path / "report", num_seeds=1)
    report = (tmp_path / "report" / "report.md").read_text()
    assert "**broken** could not be run" in report and "| plain |" in report
    assert str(tmp_path) not in report


def test_a_report_is_not_continued_with_other_captions(
    done: Path, place: Path, names: Sequence[str], tmp_path: Path
) -> None:
    other = make_toy_data(tmp_path / "data", SPLITS)
    table = other / "captions_evaluation.csv"
    table.write_text(table.read_text().replace("A whistle plays.", "A kettle plays."))
    with pytest.raises(UsageError, match="choose another --out"):
        reproduce(names, other, done, num_seeds=2)


def test_a_report_is_not_continued_with_other_values(done: Path, place: Path, names: Sequence[str]) -> None:
    with pytest.raises(UsageError, match="another recipe"):
        reproduce(names, place / "data", done, num_seeds=2, settings=["training.epochs=4"])


@pytest.mark.parametrize(
    ("wanted", "settings", "says"),
    [
        ([], [], "no recipe to reproduce"),
        (["cnn14", "cnn14"], [], "two recipes are called 'cnn14'"),
        (["cnn14"], ["seed=4"], "choose how many with --seeds"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(wanted: list[str], settings: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        list(plan(wanted, Path(), num_seeds=1, settings=settings))


def test_table_one_is_twelve_recipes_with_the_overlay_on_each() -> None:
    planned = [recipe for recipe, _ in plan(["table-one+frozen"], Path(), num_seeds=1, settings=())]
    assert planned[0].name == "cnn14" and {each.name for each in planned} == set(TABLE_ONE)
    assert {each.audio.trained_blocks for each in planned} == {0}


def test_a_value_set_in_one_recipe_comes_before_one_set_in_all(names: Sequence[str]) -> None:
    settings = ["joined:training.epochs=7", "training.epochs=5", "plain:dim=4"]
    plain, joined = (recipe for recipe, _ in plan(names, Path(), num_seeds=1, settings=settings))
    assert (plain.training.epochs, joined.training.epochs) == (5, 7)
    assert (plain.dim, joined.dim) == (4, 8)
    with pytest.raises(UsageError, match="'joint', which is none of plain, joined"):
        list(plan(names, Path(), num_seeds=1, settings=["joint:dim=4"]))


@pytest.fixture(scope="module")
def taught(place: Path, names: Sequence[str]) -> Path:
    """Two recipes, a third that the better of them teaches, and the seeds of the first together."""
    student = toy_recipe(place, "name=student", "loss.soft_targets={runs: others, best: 1}")
    save_recipe(student, place / "student.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOUNDSEEK_CACHE", str(place / "cache"))
        wanted = [*names, str(place / "student.yaml")]
        reproduce(wanted, place / "data", place / "taught", num_seeds=2, ensembles=["plain"])
    return place / "taught"


def test_the_best_other_run_of_the_same_seed_teaches(taught: Path) -> None:
    for seed in (0, 1):
        others = [taught / "runs" / name / f"seed-{seed}" for name in ("plain", "joined")]
        best = max(others, key=lambda run: float(json.loads((run / "run.json").read_text())["mAP10"]))
        soft = load_recipe(taught / "runs" / "student" / f"seed-{seed}" / "recipe.yaml").loss.soft_targets
        assert soft is not None and soft.runs == (best.resolve(),)
    assert str(taught) not in (taught / "report.md").read_text()


def test_a_student_that_was_stopped_keeps_its_teachers(taught: Path, place: Path) -> None:
    folder = taught / "runs" / "student" / "seed-0"
    recipe = load_recipe(place / "student.yaml")
    begun = load_recipe(folder / "recipe.yaml").loss
    assert with_teachers(recipe, folder, []).loss == begun


def test_a_student_without_finished_others_is_refused(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place, "name=student", "loss.soft_targets.runs=others")
    with pytest.raises(RecipeError, match="name this recipe last"):
        with_teachers(recipe, tmp_path, [(recipe, tmp_path)])
    with pytest.raises(RecipeError, match="name run folders"):
        train(recipe, place / "data", tmp_path / "run")


def test_all_seeds_together_are_a_row_with_weights_from_validation(taught: Path, place: Path) -> None:
    folder = taught / "runs" / "plain" / "seeds-0-to-1"
    weights = json.loads((folder / "weights.json").read_text())
    members = [RunEmbedder(*load_run(folder.parent / f"seed-{seed}")) for seed in (0, 1)]
    expected = build_ensemble(members, place / "data")
    assert tuple(weights) == expected.weights
    ranks = load_answers(folder / "ranks.npz").rank
    assert np.array_equal(ranks, rank_queries(expected, place / "data", "evaluation").rank)
    report = (taught / "report.md").read_text()
    assert report.count("| plain, 2 seeds together |") >= 2 and "--ensemble plain" in report
    assert "runs are finished" not in report


@pytest.mark.parametrize(
    ("num_seeds", "name", "says"), [(2, "plane", "none of plain"), (1, "plain", "two seeds")]
)
def test_an_ensemble_of_what_is_not_there_is_refused(
    place: Path, names: Sequence[str], tmp_path: Path, num_seeds: int, name: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        reproduce(names, place / "data", tmp_path, num_seeds=num_seeds, ensembles=[name])


def test_an_unknown_recipe_stops_before_anything_runs(place: Path, names: list[str], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="self-attention"):
        reproduce([*names, "self-atention"], place / "data", tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_recipe_that_diverges_does_not_end_the_others(
    place: Path, names: Sequence[str], tmp_path: Path
) -> None:
    lines: list[str] = []
    with pytest.raises(SoundseekError, match=r"joined could not be run: .* has diverged in epoch"):
        reproduce(
            [names[1], names[0]],
            place / "data",
            tmp_path,
            num_seeds=1,
            settings=["training.epochs=1", "joined:training.learning_rate=1e30"],
            observer=Observer(say=lines.append),
        )
    assert [
        path.name for path in (tmp_path / "runs").iterdir() if (path / "seed-0" / "ranks.npz").is_file()
    ] == ["plain"]
    assert "joined" in (tmp_path / "report.md").read_text()
