"""Ensembles: weights by hand, scores as sums, and the command that reports them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from toy_learning import TONES_HZ, make_toy_data, toy_recipe
from toy_model import make_toy_model

from soundseek.errors import UsageError
from soundseek.learn.evaluation.ensemble import Ensemble, build_ensemble, choose_weights, evaluate_ensemble
from soundseek.learn.evaluation.evaluate import evaluate
from soundseek.learn.evaluation.metrics import ranks_of_scores
from soundseek.learn.evaluation.rankings import rank_queries
from soundseek.learn.training.train import train

torch.set_num_threads(1)

NAMES = [name.replace(" ", "-") for name in TONES_HZ]


class Hears:
    """Knows the sounds in `known`; takes every other one for the one before it, `sureness` apart."""

    def __init__(self, *known: str, dim: int = 6, sureness: float = 1.0) -> None:
        self.known, self.dim, self.sureness = known, dim, sureness
        self.asked = 0

    def embed_audio(self, paths: Sequence[Path]) -> np.ndarray:
        self.asked += len(paths)
        return np.stack([self._vector(NAMES.index(path.stem)) for path in paths])

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += len(texts)
        names = [text.removeprefix("A ").removesuffix(" plays.").removesuffix(" is heard") for text in texts]
        places = [NAMES.index(name.replace(" ", "-")) for name in names]
        return np.stack(
            [self._vector(place if NAMES[place] in self.known else (place - 1) % 6) for place in places]
        )

    def _vector(self, place: int) -> np.ndarray:
        own, shared = np.eye(self.dim)[place], np.ones(self.dim) / self.dim**0.5
        vector = self.sureness * own + (1 - self.sureness) * shared
        return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_data(tmp_path_factory.mktemp("toy") / "data", ("development", "validation", "evaluation"))


def test_an_ensembles_scores_are_the_weighted_sum_of_its_members(data: Path) -> None:
    members = [Hears("tone"), Hears("whistle", dim=9, sureness=0.5)]
    paths, texts = [data / f"{name}.wav" for name in NAMES], [f"{name} is heard" for name in TONES_HZ]
    ensemble = Ensemble(members, (0.3, 0.7))
    audio, text = ensemble.embed_audio(paths), ensemble.embed_text(texts)
    assert audio.shape == (6, 15)
    np.testing.assert_allclose(np.linalg.norm(audio, axis=1), 1, atol=1e-6)
    expected = sum(
        weight * member.embed_text(texts) @ member.embed_audio(paths).T
        for weight, member in zip((0.3, 0.7), members, strict=True)
    )
    np.testing.assert_allclose(text @ audio.T, expected, atol=1e-6)


def test_a_member_without_weight_is_not_asked() -> None:
    silent = Hears()
    assert Ensemble([Hears("tone"), silent], (1.0, 0.0)).embed_text(["tone is heard"]).shape == (1, 6)
    assert silent.asked == 0


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.6), (1.5, -0.5), ()])
def test_weights_that_are_no_shares_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="sum to 1"):
        Ensemble([Hears(), Hears()], weights)


def test_weights_by_hand() -> None:
    own = np.array([0, 1])
    right, wrong = np.eye(2, dtype=np.float32), 1 - np.eye(2, dtype=np.float32)
    assert choose_weights([right, right], own) == (0.5, 0.5)  # nothing to gain by moving
    first, second = choose_weights([right, wrong], own)
    assert first > second
    # The first is right about caption 0 by 1 and wrong about caption 1 by .2; the second the other way round by 1.
    a = np.array([[1.0, 0.0], [0.2, 0.0]], np.float32)
    b = np.array([[0.0, 0.2], [0.0, 1.0]], np.float32)
    weights = choose_weights([a, b], own)
    mixed = weights[0] * a + weights[1] * b
    assert mixed[0, 0] > mixed[0, 1] and mixed[1, 1] > mixed[1, 0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), num=st.integers(2, 4))
def test_no_member_alone_nor_equal_shares_are_better_where_the_weights_are_chosen(
    seed: int, num: int
) -> None:
    generator = np.random.default_rng(seed)
    own = np.repeat(np.arange(12), 2)
    scores = [generator.normal(size=(24, 12)).astype(np.float32) + 2 * np.eye(12)[own] for _ in range(num)]

    def value(weights: Sequence[float]) -> float:
        mixed = sum(weight * each for weight, each in zip(weights, scores, strict=True))
        return float(ranks_of_scores(np.asarray(mixed), own).average_precision_at(10).mean())

    chosen = choose_weights(scores, own)
    assert sum(chosen) == pytest.approx(1) and min(chosen) >= 0
    alone = [value([float(place == only) for place in range(num)]) for only in range(num)]
    assert value(chosen) >= max(*alone, value([1 / num] * num)) - 0.02  # 1/3 is no multiple of 1/20
    assert value(chosen) >= max(alone)


def test_two_that_know_different_sounds_know_all_together(data: Path) -> None:
    members = {"low": Hears(*NAMES[:3]), "high": Hears(*NAMES[3:], sureness=0.9)}
    report = evaluate_ensemble(members, data)
    assert [member.report.text_to_audio.R1.value for member in report.members] == [0.5, 0.5]
    whole = report.report.text_to_audio
    assert whole.mAP10.value > max(member.report.text_to_audio.mAP10.value for member in report.members)
    assert report.best == "low" and sum(member.weight for member in report.members) == pytest.approx(1)
    difference = report.difference.difference
    assert difference.value == pytest.approx(
        whole.mAP10.value - report.members[0].report.text_to_audio.mAP10.value
    )
    assert difference.low <= difference.value <= difference.high
    assert json.loads(json.dumps(report.to_dict()))["weights_from"] == "validation"


def test_each_member_embeds_every_sound_and_caption_once(data: Path) -> None:
    members = {"a": Hears("tone"), "b": Hears("whistle")}
    evaluate_ensemble(members, data)
    assert [member.asked for member in members.values()] == [
        2 * 6 + 12
    ] * 2  # captions of both splits are the same


def test_an_ensemble_answers_as_it_is_evaluated(data: Path) -> None:
    ensemble = build_ensemble([Hears(*NAMES[:4]), Hears(*NAMES[2:])], data)
    found = rank_queries(ensemble, data, "evaluation").per_query("mAP10").mean()
    assert found == pytest.approx(evaluate(ensemble, data).text_to_audio.mAP10.value)


def test_one_model_is_no_ensemble(data: Path) -> None:
    with pytest.raises(UsageError, match="two models or more, got 1"):
        build_ensemble([Hears()], data)


Say = Callable[..., tuple[int, str, str]]


def test_the_command_line_joins_a_run_and_a_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "parts").mkdir()
    run = str(train(toy_recipe(tmp_path / "parts"), data, tmp_path / "run"))
    model = str(make_toy_model(tmp_path / "model"))
    code, out, error = say("evaluate", run, model, "--ensemble", "--data", str(data), "--json")
    assert code == 0, error
    report = json.loads(out)
    assert [member["name"] for member in report["members"]] == [run, model]
    assert sum(member["weight"] for member in report["members"]) == pytest.approx(1)
    assert "learned from" not in error
    assert report["best"] in (run, model) and 0 < report["difference"]["p_value"] <= 1
    assert report["validation_mAP10"] >= max(member["validation_mAP10"] for member in report["members"])
    code, out, error = say("evaluate", run, model, "--ensemble", "--data", str(data), "--table")
    assert code == 0, error
    assert "together" in out and "weight" in out and "together minus the best of them" in out
    code, _, error = say(
        "evaluate", run, model, "--ensemble", "--data", str(data), "--split", "validation", "--json"
    )
    assert code == 0 and "flatter" in error


def test_a_member_that_knows_the_weights_split_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "parts").mkdir()
    knows = toy_recipe(tmp_path / "parts", "training.epochs=1", "training.retrain_on_validation=true")
    run = str(train(knows, data, tmp_path / "run"))
    model = make_toy_model(tmp_path / "model")
    asked = ("evaluate", run, str(model), "--ensemble", "--data", str(data), "--json")
    code, _, error = say(*asked)
    assert code == 0 and f"{run} learned from validation" in error
    recipe = {"data": {"train_splits": ["development", "validation"]}}
    save_file({"x": torch.zeros(1)}, model / "model.safetensors", metadata={"recipe": json.dumps(recipe)})
    code, _, error = say(*asked)
    assert code == 0 and f"{run} and {model} learned from validation" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a", "b"), "--ensemble"),
        (("a", "a", "--ensemble"), "a is given twice"),
        (("a", "b", "--ensemble", "--record"), "--record"),
        (("no-such-model", "nor-this", "--ensemble"), "no-such-model"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(
    data: Path, say: Say, arguments: tuple[str, ...], says: str
) -> None:
    code, _, error = say("evaluate", *arguments, "--data", str(data))
    assert code in (1, 2) and says in error
