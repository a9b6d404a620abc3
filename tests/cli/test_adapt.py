"""`soundseek adapt`: what it says, and its exit codes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tones import write_tone
from toy_model import make_toy_model

from soundseek.learn.export.adapt import AdaptConfig

ROOT = Path(__file__).parents[2]
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learn for a few steps; what they bring is tested elsewhere."""
    monkeypatch.setattr("soundseek.learn.export.adapt.AdaptConfig", partial(AdaptConfig, steps=5))


def test_it_says_what_it_brought_and_what_to_do_next(say: Say, tmp_path: Path) -> None:
    make_toy_model(tmp_path / "model")
    lines = ["file_name,caption_1"]
    for number in range(21):
        name = f"{number}.wav"
        write_tone(tmp_path / name, frequency_hz=300 * (1 + number % 3), duration_s=0.2)
        lines.append(f"{name},a {('low', 'middle', 'high')[number % 3]} tone")
    table, out = tmp_path / "mine.csv", tmp_path / "my model"
    table.write_text("\n".join([*lines, "gone.wav,a gone tone"]) + "\n")
    command = ("adapt", "--data", str(table), "--out", str(out), "--start", str(tmp_path / "model"))
    code, told, warned = say(*command, "--table")
    assert code == 1 and "gone.wav: there is no such file" in warned  # one file was left out, and is named
    assert "adapted to 21 sounds with 3 different first captions" in told
    assert "on 21 sounds that were held out: mAP@10" in told and "95 % interval" in told
    assert f"soundseek index --model '{out}'" in told
    assert (out / "text.onnx").is_file()
    code, _, warned = say(*command)
    assert code == 2 and "my model exists; choose another --out" in warned


def test_the_page_about_it_runs(say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "adapt.md").read_text(encoding="utf-8")
    commands = [line for line in page.splitlines() if line.startswith("soundseek ")]
    assert len(commands) == 6 and commands[0].startswith("soundseek adapt ")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOUNDSEEK_LIBRARY", str(tmp_path / "library"))
    make_toy_model(tmp_path / "soundseek-small", name="soundseek-small")
    monkeypatch.setenv("SOUNDSEEK_MODEL", str(tmp_path / "soundseek-small"))
    for label, pitch_hz in {"goblin hurt": 300, "door wood": 2000}.items():
        (tmp_path / "my-sounds" / label).mkdir(parents=True)
        for number in range(10):
            path = tmp_path / "my-sounds" / label / f"{number:02}.wav"
            write_tone(path, frequency_hz=pitch_hz + 10 * number, duration_s=0.2)
    told = []
    for command in commands:
        code, out, warned = say(*shlex.split(command)[1:])
        assert code == 0, f"{command}: {warned}"
        told.append(out)
    assert json.loads(told[1])["added"] == 20 and told[2]
    for again in map(json.loads, told[4:]):  # nothing is embedded again
        assert again["unchanged"] == 20 and not again["added"] and not again["changed"]
