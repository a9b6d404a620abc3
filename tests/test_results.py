"""The page of results is what was measured; the examples are chosen by rule; the paper's question has six recipes."""

from __future__ import annotations

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tones import write_tone

from soundseek.audio.logmel import FrontEndConfig
from soundseek.learn.datasets.layout import Clip
from soundseek.learn.evaluation.rankings import Answers
from soundseek.learn.recipe.load import Recipe, differences, load_recipe
from soundseek.learn.report.summary import FinishedRun

ROOT = Path(__file__).parents[1]
INTERVAL = {"value": 0.5, "low": 0.25, "high": 0.75}
MACHINE = {"processor": "abacus", "cores": 2}


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results_page() -> ModuleType:
    return script("results_page")


@pytest.fixture(scope="module")
def heard() -> ModuleType:
    return script("heard")


@pytest.fixture(scope="module")
def papers_question() -> ModuleType:
    return script("papers_question")


def answers(ranks: list[int], own: list[int], margins: list[float] | None = None) -> Answers:
    files = np.array([f"{number}.wav" for number in range(max(own) + 1)])
    rank, owner = np.array(ranks), np.array(own)
    captions = np.array([f"caption {number}" for number in range(len(ranks))])
    top = np.where(rank == 1, owner, (owner + 1) % len(files))
    return Answers(files, captions, owner, rank, top, np.array(margins or [0.0] * len(ranks)))


def run(name: str, seed: int, ranks: list[int]) -> FinishedRun:
    record = {"git": "abcdef0123", "best_epoch": 0}
    return FinishedRun(
        Recipe(name=name, seed=seed), answers(ranks, [0, 0, 1, 1]), [{"seconds": 1800.0}], record, {}
    )


def test_the_page_is_what_was_measured(results_page: ModuleType) -> None:
    written = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert results_page.page(ROOT / "docs" / "results") == written


def test_the_pictures_of_the_page_are_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "results").rglob("*.png")]
    assert sum(sizes) < 1_500_000


def test_a_page_of_nothing_says_what_was_not_measured(results_page: ModuleType, tmp_path: Path) -> None:
    page = results_page.page(tmp_path)
    assert page.count("Not measured:") == page.count("\n## ") == 27
    assert "|" not in page


def test_every_part_appears_with_its_file(results_page: ModuleType, tmp_path: Path) -> None:
    difference = {"difference": {"value": -0.034, "low": -0.056, "high": -0.011}, "p_value": 0.01}
    plain = {
        "name": "as is",
        "says": "",
        "changed": 0.0,
        "mAP10": INTERVAL,
        "R10": INTERVAL,
        "difference": None,
    }
    noisy = {**plain, "name": "noise", "says": "white", "changed": 0.98, "difference": difference}
    measured = {
        "model": "toy",
        "data": "sounds",
        "split": "validation",
        "machine": MACHINE,
        "git": "abcdef0123",
    }
    direction = dict.fromkeys(("R1", "R5", "R10", "mAP10"), INTERVAL)
    counts = {"num_clips": 4, "num_captions": 1234, "split": "validation"}
    tried = {"says": "Things <tried>.", "columns": ["what", "mAP"], "rows": [["a|b", 0.25], ["c", None]]}
    files: dict[str, Any] = {
        "soundseek-plus": {**counts, "text_to_audio": direction, "audio_to_text": direction},
        "distillation": {**tried, "chosen": 1},
        "marks": {
            **{"model": "toy", "files": 1234, "seeds": [0, 1], "labels": 1, "commit": "abcdef0"},
            "rows": [
                {"seed": seed, "label": "dog", "asked": asked, "0": low, "3": 0.25, "5": 0.5, "10": 1.0}
                for seed in (0, 1)
                for asked, low in (("label", 0.125), ("category", 0.0))
            ],
        },
        "alignment": tried,
        "robustness-toy": {**measured, "seed": 7, "rows": [plain, noisy]},
        "left-out": {
            **{"collections": ["a", "b"], "num_clips": 7, "git": "abcdef0123"},
            "models": [{"model": "toy", "mAP10": 0.25, "R10": 0.5, "labels_in_first_ten": 0.125}],
        },
        "said-to-be-missing": {
            **{
                "model": "toy",
                "fingerprint": "f00",
                "files": 303,
                "split": "validation",
                "commit": "abcdef0",
            },
            **{"nothing_below": 0.05, "perhaps_below": 0.2, "machine": "a machine"},
            "rows": [
                {"kind": "moods", "there": 19, "missing": 30, "false_nothing": 0.125, "false_perhaps": 0.25}
                | {"true_nothing": 0.5, "true_perhaps": 0.375}
            ],
        },
        **{
            name: {
                **{"model": "toy", "fingerprint": "f00", "clips": 463, "mixes": 100, "split": "evaluation"},
                **{"machine": "a machine", "commit": commit},
                "rows": [{"kind": "pairs", "holds": "one", "hits": 482, "match": 0.0625} | said],
                "absent": [{"kind": "pairs", "queries": 100} | said],
            }
            for name, commit, said in (
                ("one-of-two-before", "bef04e0", {"sure": 0.0, "likely": 0.125}),
                ("one-of-two", "abcdef0", {"sure": 0.0, "likely": 0.015625}),
            )
        },
        "match": {
            **{"model": "toy", "fingerprint": "f00", "fitted_on": "validation", "seed": 0},
            **{"machine": "abacus", "git": "abcdef0"},
            "checked_on": {
                "evaluation": {
                    **{"calibration_error": 0.03, "auc_hits": 0.9, "auc_present": 0.75},
                    "bins": [[0.25, 0.2]],
                }
            },
        },
        "moments": {
            "long": {
                "far": {
                    **{"questions": 12, "first": 0.75, "first_five": 1.0, "n_among_n": 0.5, "repeats": 0.25},
                    **{"begins_off_s": 1.25, "ends_off_s": 0.75},
                }
            },
            "among_short": {
                "all": {"median_rank": 7.0, "files": 1304, "first_ten": 0.5, "first_hundred": 0.875}
            },
            "mixes": {"queries": 100, "files": 1401, "first_ten": 0.625, "above_both": 0.375},
            "sure": {"auc_match": 0.8125},
            "short": {"mAP10": 0.4375, "R10": 0.25},
            **{"hours": 10.5, "split": "validation", "model": "toy", "fingerprint": "f00"},
            **{"commit": "abcdef0", "machine": "abacus"},
        },
        "query-kinds": {
            "rows": [
                {"kind": "jargon", "queries": 9, "typed": 0.25, "read": 0.5, "validation": 0.75}
                | {"validation_queries": 3},
                {"kind": "moods", "queries": 4, "typed": 0.25, "read": 0.5, "validation": None},
            ],
            **{"model": "toy", "files": 40, "reading_ms": 0.5, "slowest_ms": 7.0, "first_ms": 90.0},
            **{"note": "Small.", "commit": "abcdef0", "machine": "abacus"},
        },
        "names": {
            "rows": [
                {"kind": "labels", "queries": 9, "off": 0.25, "auto": 0.5, "only": 0.125},
                {"kind": "names", "queries": 40, "off": 3, "auto": 40, "only": 38},
            ],
            **{"files": 40, "shares": {"plain": 0.75}, "commit": "abcdef0", "machine": "abacus"},
        },
        "how-it-sounds": {
            "properties": [{"name": "muffled", "says": "no treble", "words": ["muffled {}", "{} far away"]}],
            "models": [
                {
                    **{"model": "toy", "fingerprint": "f00"},
                    "rows": [
                        {
                            **{"pairs": 9, "right": 0.5, "read": 0.7, "among": 0.6},
                            "label_alone": 0.25,
                            "visible": 1.0,
                        }
                    ],
                }
            ],
            **{"split": "validation", "git": "abcdef0123"},
        },
    }
    times = {"10.wav": {"median": 0.25, "low": 0.2, "high": 0.3}}
    row = {"R1": 0.25, "R5": 0.5, "R10": 0.75, "mAP10": 0.4, "difference": difference["difference"]}
    made = {"commit": "abcdef0", "machine": "abacus"}
    files["peers"] = {
        **{
            "repeats": 3,
            "contenders": {"htsat-fp32": {"cpu_s": times, "wall_s": times, "memory_mb": 99.6}},
            **made,
        },
        **{"missing": {"msclap": "No module"}, "ratios": {"htsat-fp32": {"transformers": 2.5}}},
        **{"bars": {"htsat-fp32": 2.0}, "cosine": {"htsat-fp32": 1.0}, "load_average": [0.5]},
        "workers": [
            {
                "processes": 2,
                "times_as_fast": {"median": 1.875, "low": 1.75, "high": 2.0},
                "load_average": [1.5],
                **made,
            }
        ],
    }
    files["stages"] = {
        "toy": {
            **{"seconds": 10, "repeats": 5, "whole_ms": {"wav": 31.4}, **made},
            "cpu_ms": {"network all": {"median": 10.25, "low": 10.0, "high": 11.5}},
            "floor_ms": {"network all": 5.5},
        }
    }
    files["two-stages"] = {
        **{"first": "small", "second": "toy", "rows": {"second among 20": row}, **counts, **made},
        "cpu_s_a_clip": {"toy": 0.125},
    }
    gained = {"gain": difference["difference"], "change": {"validation": 0.001, "evaluation": -0.004}}
    files["adapt"] = {
        **{"draws": 2, "anchor": 30.0, "share": 1.0},
        "grid": [{"anchor": 3.0, "share": 0.5, "gain": 0.02, "validation": -0.001}],
        "thousand": {"clips": 1000, "audio_s": 4500.0, "cpu_s": 90.0},
        "rows": [
            {
                **{"collection": "birds", "words": "labels", "clips": 50, "before": 0.25, "after": 0.5},
                **{"cpu_s": 1.25, **gained},
            }
        ],
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "table-one").mkdir()
    (tmp_path / "table-one" / "claims.md").write_text("Attention helps.\n")
    page = results_page.page(tmp_path)
    assert "## Table I\n\nAttention helps.\n" in page
    assert (
        "| the label | 2 | 12.5 | 25.0 | 50.0 | 100.0 |" in page
        and "1,234 development clips, 1 labels" in page
    )
    assert "| soundseek-plus | text to sound | 50.0 (25.0 to 75.0) |" in page
    assert "| muffled | no treble | muffled X, X far away | 50.0 / 70.0 / 60.0 / 25.0 / 100.0 |" in page
    assert "| **c** |  |" in page and "| a\\|b | 0.25 |" in page
    assert "| noise | 50.0 | -3.4 (-5.6 to -1.1) | 50.0 | 98 |" in page
    assert "seed 7, commit abcdef0, abacus, 2 cores" in page
    assert (
        "| jargon | 9 | 0.25 | 0.50 | 0.75 (3) |" in page
        and "| moods | 4 | 0.25 | 0.50 |  |" in page
        and "takes 0.5 ms on average and 7 ms at most" in page
    )
    assert "| labels | 9 | 0.25 | 0.50 | 0.12 |" in page and "| names | 40 | 3 | 40 | 38 |" in page
    assert "| moods | 19 | 12.5 | 25.0 | 30 | 50.0 | 37.5 |" in page
    assert "| pairs | one | before | 482 | 0.0 | 12.5 | 0.062 |" in page
    assert (
        "| pairs | now | 100 | 0.0 | 1.6 |" in page
        and "before f00 at commit bef04e0, now f00 at commit abcdef0, a machine." in page
    )
    assert "| toy | 25.0 | 50.0 | 12.5 |" in page and "Captions of 7 sounds of a, b" in page
    assert "| evaluation | 0.030 | 90.0 | 75.0 |" in page and "| 0.25 | 0.20 |" in page
    assert "| far | now | 12 | 75.0 | 100.0 | 50.0 | 0.2 | 1.2 / 0.8 |" in page
    assert "| now | 7 of 1,304 | 50.0 | 87.5 | 62.5 | 37.5 | 81.2 | 43.8 | 25.0 |" in page
    assert (
        "| htsat-fp32 | 250 (200 to 300) | 100 |" in page
        and "| htsat-fp32 | transformers | 2.50 | 2 |" in page
    )
    assert "2 processes of soundseek-small at once embed 1.88 times as many files in a second" in page
    assert "| network all | 10.25 | 10.00 to 11.50 | 5.50 |" in page and "Together: wav 31 ms." in page
    assert "Left out, msclap: No module." in page
    assert (
        "| second among 20 | 25.0 | 50.0 | 75.0 | 40.0 | -3.4 (-5.6 to -1.1) |" in page
        and "toy 125 ms" in page
    )
    assert "| birds | labels | 50 | 25.0 | 50.0 | -3.4 (-5.6 to -1.1) | +0.1 | -0.4 | 1.2 |" in page
    assert (
        "3 and 0.5: +2.0 and -0.1" in page and "1.5 minutes of one core for 1,000 clips of 1.2 hours" in page
    )
    assert page.count("Not measured:") == 9


def test_the_successes_and_failures_are_spread_over_all_there_are(heard: ModuleType) -> None:
    # Twenty sounds found, the surest first; then twenty missed, the last place first.
    ranks = [1] * 20 + [60 - number for number in range(20)]
    margins = [1 - number / 40 for number in range(20)] + [-0.5] * 20
    successes, failures = heard.choose(answers(ranks, list(range(40)), margins), count=10)
    assert successes == list(range(1, 20, 2))
    assert [ranks[query] for query in failures] == list(range(42, 61, 2))


def test_a_sound_is_shown_once_and_few_are_all_shown(heard: ModuleType) -> None:
    successes, failures = heard.choose(answers([1, 1, 1, 5, 10], [0, 0, 1, 2, 2]), count=10)
    assert len(successes) == 2 and {0, 1} & set(successes) and 2 in successes
    assert failures == []  # the fifth and the tenth place are neither


def test_an_example_says_what_stood_first_and_has_a_small_picture(heard: ModuleType, tmp_path: Path) -> None:
    for number in range(2):
        write_tone(tmp_path / f"{number}.wav", frequency_hz=300 * (number + 1))
    clips = [Clip(tmp_path / f"{number}.wav", (f"a tone {number}",)) for number in range(2)]
    told = heard.example(answers([11, 1], [0, 1]), clips, 0, tmp_path, "x.png", FrontEndConfig())
    assert (told["file"], told["top_file"], told["top_captions"]) == ("0.wav", "1.wav", ["a tone 1"])
    assert told["picture"] == f"{tmp_path.name}/x.png"
    png = (tmp_path / "x.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) < 60_000


def test_examples_stand_on_the_page_with_their_pictures(results_page: ModuleType, tmp_path: Path) -> None:
    found = {"caption": "A [loud] dog|cat", "rank": 1, "captions": ["A [loud] dog|cat", "A pet"]}
    missed = {"caption": "Rain", "rank": 12, "top_captions": ["Fire", "Flames", "Burning"]}
    report = {
        "model": "toy", "data": "sounds", "split": "validation", "rule": "By rule.", "num_captions": 9,
        "num_successes": 3, "num_failures": 2, "successes": [{**found, "picture": "heard-toy/s 1.png"}],
        "failures": [{**missed, "picture": "heard-toy/f.png"}],
    }  # fmt: skip
    (tmp_path / "heard-toy.json").write_text(json.dumps(report))
    page = results_page.page(tmp_path)
    assert "| A [loud] dog\\|cat | A pet | ![A (loud) dog\\|cat](results/heard-toy/s%201.png) |" in page
    assert "| Rain | 12 | Fire<br>Flames | ![Rain](results/heard-toy/f.png) |" in page


def test_the_six_recipes_differ_in_attention_and_loss_alone() -> None:
    files = sorted((ROOT / "scripts" / "papers_question").glob("*-*.yaml"))
    recipes = [load_recipe(str(file)) for file in files]
    assert len(recipes) == 6
    assert set(differences(recipes)) == {"name", "audio.attention", "loss.name"}
    for file, recipe in zip(files, recipes, strict=True):
        loss = "nt-xent" if recipe.loss.name == "nt-xent" else "supervised"
        assert recipe.name == f"{recipe.audio.attention}-{loss}" == file.stem


def test_the_answer_compares_with_no_attention_and_the_same_loss(
    papers_question: ModuleType, results_page: ModuleType, tmp_path: Path
) -> None:
    places = {"none": [1, 1, 2, 2], "graph": [1, 1, 1, 1], "self": [2, 2, 2, 2]}
    runs = [
        run(f"{attention}-{loss}", seed, ranks if loss == "nt-xent" else [2, 2, 2, 2])
        for seed in range(2)
        for loss in ("nt-xent", "supervised")
        for attention, ranks in places.items()
    ]
    asked = {
        "data": "toys",
        "split": "validation",
        "trunk": "compact",
        "weights": "w.safetensors",
        "settings": [],
    }
    report = json.loads(json.dumps(papers_question.answer(runs, asked)))
    by_name = {(each["attention"], each["loss"]): each for each in report["systems"]}
    assert by_name["none", "nt-xent"]["against_none"] is None
    assert by_name["graph", "nt-xent"]["against_none"]["R1"]["value"] == 0.5
    assert by_name["graph", "supervised"]["against_none"]["R1"]["value"] == 0
    metric = by_name["self", "nt-xent"]["metrics"]["mAP10"]
    assert (metric["value"], metric["sd"], metric["seeds"]) == (0.5, 0.0, [0.5, 0.5])
    assert (report["training_hours"], report["seeds"], report["commits"]) == (6.0, [0, 1], ["abcdef0123"])
    assert papers_question.picture(report).startswith(b"\x89PNG")
    (tmp_path / "papers-question-compact.json").write_text(json.dumps(report))
    page = results_page.page(tmp_path)
    assert re.search(r"\| graph \| NT-Xent \| 100\.0 ± 0\.0 \(100\.0 to 100\.0\)", page)
    assert "(results/papers-question-compact.png)" in page


def test_a_report_of_an_earlier_model_says_so(results_page: ModuleType) -> None:
    config = json.loads(
        (results_page.BUNDLED / "soundseek-small" / "config.json").read_text(encoding="utf-8")
    )
    now = config["fingerprint"]
    told = results_page.former({"model": "soundseek-small", "fingerprint": "0123456789ab"})
    assert "former soundseek-small" in told and "(0123456789ab)" in told and f"({now})" in told
    assert results_page.former({"model": "soundseek-small", "fingerprint": now}) == ""
    assert results_page.former({"model": "soundseek-small"}) == ""
    assert results_page.former({"model": "a model of somebody's", "fingerprint": "0123456789ab"}) == ""


@pytest.mark.parametrize(
    ("card", "table", "run"),
    [
        ("bundled/soundseek-small/config.json", "trunks-yardstick.json", "the trunk after 450 s"),
        ("offered/soundseek-plus/offer.json", "heads-yardstick.json", "f-lo"),
    ],
)
def test_what_models_say_of_sounds_that_they_never_met_was_measured(card: str, table: str, run: str) -> None:
    scores = json.loads((ROOT / "src" / "soundseek" / "model" / card).read_text(encoding="utf-8"))["scores"]
    rows = json.loads((ROOT / "docs" / "results" / table).read_text(encoding="utf-8"))["rows"]
    (measured,) = (row["looked up"]["left out"] for row in rows if row["run"] == run)
    for metric in ("R10", "mAP10"):
        assert scores[f"never met {metric}"] == pytest.approx(measured[metric], abs=1e-6)
