"""`soundseek data`, each command from end to end: what it prints, where, and its exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tones import write_tone
from toy_clotho import make_toy_clotho
from typer.testing import CliRunner
from web_server import Site, serving

from soundseek.cli.data import data_command
from soundseek.cli.progress import ByteProgress, CountProgress
from soundseek.learn.datasets import clotho as clotho_release

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A directory in Clotho's layout with nothing wrong."""
    directory = tmp_path / "clips"
    for split, name, hertz in [("development", "a.wav", 200.0), ("evaluation", "b.wav", 900.0)]:
        (directory / split).mkdir(parents=True)
        write_tone(directory / split / name, frequency_hz=hertz, duration_s=0.5)
        (directory / f"captions_{split}.csv").write_text(f"file_name,caption_1\n{name},a {split} tone\n")
    return directory


def test_clotho_ends_with_a_layout_and_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = make_toy_clotho(tmp_path / "release")
    defaults = {**clotho_release.ClothoBuilder.__init__.__kwdefaults__, "release": toy.release}  # type: ignore[misc]
    monkeypatch.setattr(clotho_release.ClothoBuilder.__init__, "__kwdefaults__", defaults)
    with serving(Site(toy.files)) as site:
        run = CliRunner().invoke(data_command, ["clotho", str(tmp_path / "clotho"), "--mirror", site.url])
    assert run.exit_code == 0, run.output
    assert "development: 3 clips with their captions\nvalidation: 1 clips" in run.stderr
    assert run.stderr.endswith(f"next: soundseek data check {tmp_path / 'clotho'}\n")
    assert len(list((tmp_path / "clotho" / "development").iterdir())) == 3


def test_clotho_without_internet_is_one_sentence_and_exit_1(soundseek: Run, tmp_path: Path) -> None:
    run = soundseek("data", "clotho", tmp_path / "clotho", "--split", "evaluation", "--mirror", "ftp://x")
    assert run.returncode == 2 and b"only http:// and https://" in run.stderr
    with serving(Site({})) as site:
        run = soundseek("data", "clotho", tmp_path / "clotho", SOUNDSEEK_MIRROR=site.url)
    assert (run.returncode, run.stdout) == (1, b"")
    (line,) = run.stderr.decode().splitlines()
    assert "clotho_audio_development.7z" in line and "by hand from https://zenodo.org/records/4783391" in line


def test_audiocaps_lays_out_what_is_there_and_names_what_is_not(soundseek: Run, tmp_path: Path) -> None:
    header = "audiocap_id,youtube_id,start_time,caption\n"
    tables = {"train": "1,abc,30,A dog\n2,gone,0,A cat\n", "val": "", "test": ""}
    downloads = tmp_path / "caps" / "downloads"
    downloads.mkdir(parents=True)
    for name, lines in tables.items():
        (downloads / f"audiocaps_{name}.csv").write_text(header + lines)
    run = soundseek("data", "audiocaps", tmp_path / "caps")
    assert run.returncode == 2 and b"--audio FOLDER" in run.stderr
    (tmp_path / "mine").mkdir()
    write_tone(tmp_path / "mine" / "Yabc.wav", frequency_hz=300.0, duration_s=0.2)
    run = soundseek("data", "audiocaps", tmp_path / "caps", "--audio", tmp_path / "mine")
    assert run.returncode == 0
    assert b"development: 1 clips; 1 have no sound, such as gone_0\n" in run.stderr
    run = soundseek("data", "audiocaps", tmp_path / "caps", "--audio", tmp_path / "mine", "--json")
    first = json.loads(run.stdout.splitlines()[0])
    assert first == {"split": "development", "clips": 1, "missing": ["gone_0"], "left_out": 0}


def test_a_right_directory_passes_the_check(soundseek: Run, clips: Path) -> None:
    run = soundseek("data", "check", clips, "--workers", "1")
    assert (run.returncode, run.stderr) == (0, b"")
    report = json.loads(run.stdout)
    assert report["problems"] == []
    assert [split["sounds"] for split in report["splits"]] == [1, 1]
    assert b"nothing is wrong" in soundseek("data", "check", clips, "--table", "--workers", "1").stdout


def test_a_problem_is_named_and_the_exit_code_says_so(soundseek: Run, clips: Path) -> None:
    shutil.copy(clips / "development" / "a.wav", clips / "evaluation" / "b.wav")
    run = soundseek("data", "check", clips, "--json", "--workers", "1")
    assert run.returncode == 1
    assert json.loads(run.stdout)["problems"] == [
        {
            "kind": "two splits",
            "split": "evaluation",
            "file": "b.wav",
            "detail": "the same sound as development/a.wav",
        }
    ]
    shown = soundseek("data", "check", clips, "--table", "--workers", "1").stdout.decode()
    assert "two splits" in shown and "development/a.wav" in shown and shown.endswith("1 problem\n")


def test_a_description_has_a_line_for_each_split(soundseek: Run, clips: Path) -> None:
    run = soundseek("data", "describe", clips)
    development, evaluation = map(json.loads, run.stdout.splitlines())
    assert (development["vocabulary"], development["unseen_words"]) == (3, None)
    assert evaluation["unseen_words"] == pytest.approx(1 / 3)  # "evaluation"
    shown = soundseek("data", "describe", clips, "--table").stdout.decode()
    assert "33.3 %" in shown and "most frequent in development: a 1, development 1, tone 1" in shown


def test_a_description_writes_a_picture_and_the_words(soundseek: Run, clips: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = soundseek("data", "describe", clips, "--out", tmp_path / "out")
    assert run.returncode == 0, run.stderr.decode()
    assert (tmp_path / "out" / "data.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "words.csv").read_text().splitlines()[1] == "a,1,1"


def test_check_and_help_need_no_pytorch(clips: Path) -> None:
    script = f"""
import sys
from soundseek.cli.main import group
for arguments in (["data", "check", {str(clips)!r}, "--workers", "1"], ["data", "describe", {str(clips)!r}]):
    assert not group()(arguments, standalone_mode=False)
print(sorted({{"torch", "scipy", "lightning", "yaml", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["clotho", "audiocaps", "macs", "wavcaps", "check", "describe"])
def test_every_option_has_a_help_text(name: str) -> None:
    from soundseek.cli.main import group

    command = group().commands["data"].commands[name]
    assert command.help and command.params
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"soundseek data {name}: {parameter.name} has no help text"


def test_progress_on_a_terminal_is_one_line_that_is_wiped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.0, 2.1, 3.0])  # begun, then one for each call
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with ByteProgress(terminal=True) as progress:
        progress("a.7z", 1_000_000, 5_000_000)
        progress("a.7z", 2_000_000, 5_000_000)
        progress("a.7z", 2_500_000, 5_000_000)  # a tenth of a second later: not shown
        progress("a.7z", 3_000_000, 5_000_000)
    wipe = "\r\x1b[K"
    shown = [line for line in capsys.readouterr().err.split(wipe) if line]
    assert shown == ["a.7z: 1 of 5 MB", "a.7z: 2 of 5 MB, 3 s left", "a.7z: 3 of 5 MB, 2 s left"]


def test_progress_in_a_log_is_rare(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 20.0, 21.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with CountProgress(terminal=False) as progress:
        for done in (1, 20, 21):
            progress("decoding", done, 1039)
        progress.say("mended a\x1b.wav")
    assert capsys.readouterr().err == "decoding: 20 of 1,039, 17 min left\nmended a\\x1b.wav\n"
