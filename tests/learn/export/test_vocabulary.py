"""The list of words that an exported model carries: those of the captions that its run learned from."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from toy_learning import make_toy_bert, make_toy_data, make_toy_trunk, toy_recipe

from soundseek.learn.export.vocabulary import learned_captions, write_learned_words
from soundseek.learn.training.resume import claim_run
from soundseek.learn.training.run_folder import update_record
from soundseek.learn.training.train import train
from soundseek.model.spelling import WORDS_FILE


def make_run(folder: Path, data: Path | None, **changes: object) -> Path:
    recipe = toy_recipe(folder).model_copy(update=changes)
    run = folder / "run"
    claim_run(run, recipe, resume=False)
    if data is not None:
        update_record(run, data=str(data))
    return run


def write_captions(folder: Path, split: str, *captions: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{number}.wav,{caption}\n" for number, caption in enumerate(captions)]
    (folder / f"captions_{split}.csv").write_text("file_name,caption_1\n" + "".join(lines), encoding="utf-8")


def test_the_words_are_those_of_the_splits_that_were_learned_from(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_captions(data, "development", "a dog", "a dogfish")
    write_captions(data, "validation", "a cat")
    run = make_run(tmp_path, data)
    out = tmp_path / "model"
    out.mkdir()
    write_learned_words(run, out)
    assert (out / WORDS_FILE).read_text() == "a\t2\ndog\t1\ndogfish\t1\n"


def test_the_data_sets_of_all_stages_count_each_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_captions(data, "development", "rain")
    write_captions(data / "more", "development", "wind")
    write_captions(data / "other", "development", "snow")
    stages = {"first": {"data_sets": ["more", "."]}, "second": {"data_sets": ["."]}}
    recipe = toy_recipe(tmp_path)
    values = {**recipe.model_dump(), "stages": stages}
    run = make_run(tmp_path, data, stages=type(recipe).model_validate(values).stages)
    assert learned_captions(run) == ["wind", "rain"]


def test_words_for_altered_clips_are_learned_words(tmp_path: Path) -> None:
    write_captions(tmp_path / "data", "development", "a dog")
    run = tmp_path / "run"
    claim_run(run, toy_recipe(tmp_path, "data.altered.copies=5"), resume=False)
    update_record(run, data=str(tmp_path / "data"))
    said = learned_captions(run)
    assert said[0] == "a dog" and {"muffled", "in the distance", "nearby"} < set(said)


def test_a_run_finds_its_captions_from_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    make_toy_data(tmp_path / "data")
    make_toy_trunk(tmp_path / "trunk.safetensors")
    make_toy_bert(tmp_path / "bert")
    monkeypatch.chdir(tmp_path)
    train(toy_recipe(tmp_path, "training.epochs=1"), Path("data"), Path("run"))
    here = learned_captions(Path("run"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert here and learned_captions(tmp_path / "run") == here


@pytest.mark.parametrize("gone", [None, "sounds"])
def test_data_that_are_gone_leave_no_list_and_a_warning(
    gone: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path, None if gone is None else tmp_path / gone)
    out = tmp_path / "model"
    out.mkdir()
    (out / WORDS_FILE).write_text("old\t1\n")  # of an earlier export, and of other captions
    with caplog.at_level(logging.WARNING, logger="soundseek"):
        write_learned_words(run, out)
    assert not (out / WORDS_FILE).exists()
    assert "gets no words.txt, and mistyped words of a query are not corrected" in caplog.text
