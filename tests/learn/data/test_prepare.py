"""What a user is told about captions before training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_learning import make_toy_bert

from soundseek.learn.data.prepare import caption_notes, cut_captions
from soundseek.learn.models.text.bert import BertText
from soundseek.learn.models.text.tower import TextTower

torch.set_num_threads(1)
LONG = "a low hum and then a high tone and then a whistle and then a hum"  # 16 words; [CLS] and [SEP] make 18


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextTower:
    directory = make_toy_bert(tmp_path_factory.mktemp("towers") / "bert")
    return BertText.load(str(directory), pooling="mean", max_tokens=16)


def test_captions_whose_end_the_text_tower_does_not_read_are_found(text: TextTower) -> None:
    fits = " ".join(LONG.split()[:14])
    assert cut_captions(text, [LONG, fits, "a hum", f"{LONG}  "]) == [LONG, f"{LONG}  "]


def test_cut_and_shared_captions_are_told(text: TextTower) -> None:
    assert list(caption_notes(text, [["a hum", "a tone"], ["a whistle"]])) == []
    cut, shared = caption_notes(text, [[LONG, "a hum"], ["a hum"], ["a tone", "a tone"]])
    assert cut.startswith("1 of 5 captions are longer than the 16 tokens") and "and then a hum'" in cut
    assert shared.startswith("2 of 5 captions stand with another clip in the same words")


def test_the_command_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_learning import make_toy_data, toy_recipe

    from soundseek.cli.main import group
    from soundseek.learn.recipe.load import save_recipe

    monkeypatch.setenv("SOUNDSEEK_CACHE", str(tmp_path / "cache"))
    data = make_toy_data(tmp_path / "data")
    table = data / "captions_development.csv"
    table.write_text(table.read_text().replace("low hum is heard", "tone is heard"))
    save_recipe(toy_recipe(tmp_path, "training.epochs=1"), tmp_path / "toy.yaml")
    with pytest.raises(SystemExit) as ended:
        group()(
            ["train", str(tmp_path / "toy.yaml"), "--data", str(data), "--out", str(tmp_path / "my run")],
            prog_name="soundseek",
        )
    said = capsys.readouterr().err
    assert (ended.value.code or 0) == 0, said
    assert "2 of 12 captions stand with another clip in the same words" in said
    assert f"next: soundseek evaluate '{tmp_path}/my run' --data {data}" in said
