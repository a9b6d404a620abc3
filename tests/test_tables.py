"""The tables of things tried: every row is a recipe or a student that can be had, and what a table says adds up."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from soundseek.learn.datasets.layout import Clip
from soundseek.learn.distill import DistillConfig
from soundseek.learn.distill.networks import Student
from soundseek.learn.models.audio.compact import CompactTrunk
from soundseek.learn.recipe.load import load_recipe

ROOT = Path(__file__).parents[1]


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alignment() -> ModuleType:
    return script("alignment_table")


@pytest.fixture(scope="module")
def distillation() -> ModuleType:
    return script("distillation_table")


def clips(count: int) -> list[Clip]:
    return [Clip(Path(f"{number}.wav"), (f"sound {number}", f"noise {number}")) for number in range(count)]


class Oracle:
    """Sounds and sentences with a number in them, each along the axis of its number."""

    def embed_sounds(self, sounds: list) -> np.ndarray:
        return np.eye(12, dtype=np.float32)[[int(sound.parts[0].stem) for sound in sounds]]

    def embed_text(self, sentences: list[str]) -> np.ndarray:
        return np.eye(12, dtype=np.float32)[[int(sentence.split()[-1]) for sentence in sentences]]


def test_every_row_of_the_heads_is_another_recipe(alignment: ModuleType) -> None:
    common = [*alignment.COMMON, "data.listener_captions.path=captions.csv", "training.epochs=12"]
    rows = [alignment.overrides(row) for row in alignment.ROWS.values()]
    recipes = [load_recipe("soundseek-small", [*common, *row]) for row in rows]
    assert recipes[0] == load_recipe("soundseek-small", [*common, "audio.trunk_options=null"])
    heard = [recipe.audio.trunk_options for recipe in recipes if recipe.audio.trunk_options]
    levels = [{"peak_dbfs": -6.0, "margin_frames": margin} for margin in (0, 0, 128, 128, 0)]
    assert heard == levels
    assert len({recipe.model_dump_json() for recipe in recipes}) == len(alignment.ROWS)
    assert [alignment.trunk_of(settings) for settings in alignment.ROWS.values()].count("compact") == 12


def test_a_search_is_scored_by_the_places_of_the_right_sounds(alignment: ModuleType) -> None:
    found = alignment.search(clips(3), alignment.as_they_are(clips(3)))
    assert found.relevant.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.scores(Oracle()) == (1.0, 1.0)
    swapped = alignment.Search(found.sounds, ["sound 1", "sound 0"], np.array([0, 1]))
    assert swapped.scores(Oracle()) == (
        pytest.approx(1 / 3),
        1.0,
    )  # ties with the sound that nobody asked for


def test_a_sound_is_named_by_the_nearest_label(alignment: ModuleType) -> None:
    naming = alignment.Naming(alignment.as_they_are(clips(4)), ["0", "1", "2", "2"])
    assert naming.accuracy(Oracle()) == 0.75


def test_no_label_has_more_than_its_share_of_the_sounds_left_out(alignment: ModuleType) -> None:
    labels = {f"{number}.wav": ("esc10", "dog" if number < 4 else "cat") for number in range(5)}
    kept = alignment.at_most(clips(5), labels, 2)
    assert [clip.path.name for clip in kept] == ["0.wav", "1.wav", "4.wav"]


def test_a_row_of_the_heads_is_done_once(alignment: ModuleType, tmp_path: Path) -> None:
    search = alignment.Search([None], ["a"], np.array([0]))
    exam = SimpleNamespace(
        searches={"apart": search}, namings={"apart_named": alignment.Naming([None], ["a"])}
    )
    facts = {"recipe": "soundseek-small", "epochs": 1, "seed": 0, "left_out": []}
    scores = dict.fromkeys(alignment.COLUMNS, 50.0)
    table = alignment.Table(tmp_path / "table.json", exam, facts)
    table.add("dropout", scores, 1.0)
    table.add(alignment.NOTHING, scores, 2.0)
    table.save("dropout")
    written = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert [row[0] for row in written["rows"]] == [alignment.NOTHING, "dropout"] and written["chosen"] == 1
    assert all(len(row) == len(written["columns"]) for row in written["rows"])
    again = alignment.Table(tmp_path / "table.json", exam, facts)
    assert "dropout" in again and "no mixtures" not in again
    assert "dropout" not in alignment.Table(tmp_path / "table.json", exam, {**facts, "epochs": 2})


def test_every_student_can_imitate_the_teacher(distillation: ModuleType) -> None:
    millions = {}
    for name, changes in distillation.ROWS.items():
        config = DistillConfig(**{**distillation.SHORT, **changes})
        student = Student(CompactTrunk(config.trunk), 384).eval()
        with torch.no_grad():
            assert student(torch.zeros(1, 100, 128)).frames.shape == (1, 4, 384)
        millions[name] = sum(weights.numel() for weights in student.trunk.layers.parameters()) / 1e6
    assert 0.3 < millions["narrow"] < 0.5 < millions["middle"] < 1.1 < millions["wide, blocks over time"] < 4
    assert CompactTrunk(distillation.FINE).frame_hop == 16


def test_a_linear_map_of_the_teacher_is_recognised_and_noise_is_not(distillation: ModuleType) -> None:
    generator = np.random.default_rng(0)
    teacher = distillation.standardised(generator.standard_normal((3000, 4)).astype(np.float32))
    turn, _ = np.linalg.qr(generator.standard_normal((4, 4)).astype(np.float32))
    turned = distillation.standardised(teacher @ turn)
    noise = generator.standard_normal((3000, 4)).astype(np.float32)
    assert distillation.linear_cosine(turned, teacher) > 0.95
    assert abs(distillation.linear_cosine(noise, teacher)) < 0.1


def test_a_row_of_the_trunks_is_done_once(distillation: ModuleType, tmp_path: Path) -> None:
    scores = dict.fromkeys(distillation.COLUMNS, 1.0)
    table = distillation.Table(tmp_path / "table.json", {"minutes": 3.0, "seed": 0})
    for name in ("as shipped: run", "narrow", "middle"):
        table.add(name, scores)
    table.save(None)
    written = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert [row[0] for row in written["rows"]] == ["middle", "narrow", "as shipped: run"]
    assert "narrow" in distillation.Table(tmp_path / "table.json", {"minutes": 3.0, "seed": 0})
    assert "narrow" not in distillation.Table(tmp_path / "table.json", {"minutes": 5.0, "seed": 0})
