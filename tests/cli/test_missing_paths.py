"""Every command that takes a path, given one that is not there or is of another kind: one line, exit code 2."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

CLOTHO = "--data {clotho}"
TEACHER = "--teacher {file}"
COMMANDS = {
    "index {}": "is its drive there",
    "search rain --library {}": "soundseek index FOLDER",
    "search rain --model {}": "soundseek-small",
    "search --like {}": "has no file of such a name",
    "similar {}": "has no file of such a name",
    "similar {file} --library {}": "soundseek index FOLDER",
    "explain {} rain": "has no file of such a name",
    "explain {file} rain --library {}": "soundseek index FOLDER",
    "label {}": "has no file of such a name",
    "label {folder} {}": "",
    "label {file} --library {}": "soundseek index FOLDER",
    "label {file} --model {}": "soundseek-small",
    "explain {file} rain --model {}": "soundseek-small",
    "info --library {}": "soundseek index FOLDER",
    "failures --library {}": "soundseek index FOLDER",
    "forget {}": "its folders: ",
    "relocate {} {folder}": "its folders: ",
    "relocate {folder} {}": "give the folder in which the sounds of",
    "watch {}": "is its drive there?",
    "duplicates --library {}": "soundseek index",
    "label {tone} --labels {}": "a label on each line",
    "mark knocks --library {}": "soundseek index FOLDER",
    "mark knocks --right {}": "there is no such file either",
    "forget {folder} --library {}": "soundseek index FOLDER",
    "relocate {folder} {folder} --library {}": "soundseek index FOLDER",
    "library check --library {}": "soundseek index",
    "library compact --library {}": "soundseek index",
    "library approximate --library {}": "soundseek index",
    "library copy {} new": "soundseek index",
    "adapt --data {} --out new": "file_name,caption_1",
    "adapt --data {folder} --start {} --out new": "soundseek-small",
    "serve --root {}": "",
    "mcp --root {}": "",
    "models get soundseek-plus --trunk {} --out new": "downloaded",
    "models get soundseek-plus --from {} --out new": "the trunk's file",
    "models get laion-clap --from {} --out new": "on the model hub",
    "data audiocaps new --audio {}": "the sounds that you have",
    "data audiocaps new --without {}": "soundseek data clotho",
    "data macs new --audio {}": "the sounds that you have",
    "data wavcaps new --audio {}": "the sounds that you have",
    "data wavcaps new --without {}": "soundseek data clotho",
    "data check {}": "soundseek data clotho",
    "data describe {}": "soundseek data clotho",
    "recipes show {}.yaml": "self-attention",
    "recipes diff soundseek-small {}.yaml": "self-attention",
    f"distill --teacher {{}} {CLOTHO} --out new": "mn04_as",
    f"distill {TEACHER} --data {{}} --out new": "soundseek data clotho",
    f"distill {TEACHER} {CLOTHO} --start {{}} --out new": "run folder",
    f"distill {TEACHER} {CLOTHO} --heads {{}} --out new": "run folder",
    "train soundseek-small --data {} --out new": "soundseek data clotho",
    f"train {{}}.yaml {CLOTHO} --out new": "self-attention",
    "tune soundseek-small --data {} --out new": "soundseek data clotho",
    f"tune soundseek-small {CLOTHO} --space {{}} --out new": "YAML",
    "evaluate soundseek-small --data {}": "soundseek data clotho",
    f"evaluate {{}} {CLOTHO}": "soundseek-small",
    "robustness soundseek-small --data {}": "soundseek data clotho",
    f"robustness {{}} {CLOTHO}": "soundseek-small",
    "calibrate soundseek-small --data {}": "soundseek data clotho",
    f"calibrate {{}} {CLOTHO} --reference evaluation": "soundseek-small",
    f"calibrate soundseek-small {CLOTHO} --unmet {{}} --unmet-files {{file}}": "soundseek-small",
    f"calibrate soundseek-small {CLOTHO} --unmet soundseek-small --unmet-files {{}}": "",
    "export {} --out new": "soundseek train",
    "average {run} {} --out new": "soundseek train",
    "export {run} --audio-precision int8 --calibrate {} --out new": "a folder of sounds",
    "score --truth {} --predictions {file}": "caption_1",
    "score --truth {file} --predictions {}": "file_name_1",
    "reproduce --data {} --out new": "soundseek data clotho",
}
"""A command with the path in question as {} -> a part of the next step that its message names."""

FOLDER_INSTEAD = (
    "similar {}", "search --like {}", "explain {} rain", "search rain --model {}", "evaluate {} " + CLOTHO,
    "robustness {} " + CLOTHO, "score --truth {} --predictions {file}", f"distill --teacher {{}} {CLOTHO} --out new",
    "data check {}", "data describe {}", "export {} --out new", "train soundseek-small --data {} --out new",
    "evaluate soundseek-small --data {}", "models get soundseek-plus --trunk {} --out new",
    f"tune soundseek-small {CLOTHO} --space {{}} --out new",
)  # fmt: skip
FILE_INSTEAD = (
    "search rain --library {}", "info --library {}", "index {folder} --library {}", "data check {}",
    "export {} --out new", "data macs new --audio {}", "reproduce --data {} --out new",
)  # fmt: skip


@pytest.fixture
def asked(
    soundseek: Run, filled: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """The one line that a command says to a wrong path; where it works is left empty."""
    monkeypatch.chdir(tmp_path)
    clotho, folder, file = tmp_path / "clotho", tmp_path / "folder", tmp_path / "file.txt"
    trained = tmp_path / "trained"
    clotho.mkdir()
    trained.mkdir()
    (trained / "recipe.yaml").touch()
    folder.mkdir()
    file.write_text("no sound")
    for split in ("development", "validation", "evaluation"):
        (clotho / f"captions_{split}.csv").write_text("file_name,caption_1\n")
    monkeypatch.setenv("SOUNDSEEK_LIBRARY", str(filled))

    def ask(command: str, path: Path) -> str:
        words = [
            word.format(path, clotho=clotho, folder=folder, file=file, run=trained, tone=sounds / "tone1.wav")
            for word in command.split()
        ]
        run = soundseek(*words)
        told = run.stderr.decode()
        assert (run.returncode, run.stdout) == (2, b""), told
        assert told.startswith("soundseek: ") and told.count("\n") == 1
        assert not (tmp_path / "new").exists()
        return told

    return ask


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_not_there_is_named_with_the_next_step(
    command: str, asked: Callable[..., str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    told = asked(command, missing)
    assert str(missing) in told and COMMANDS[command] in told


@pytest.mark.parametrize("command", FOLDER_INSTEAD)
def test_a_folder_that_is_not_what_was_asked_for_is_named(
    command: str, asked: Callable[..., str], tmp_path: Path
) -> None:
    assert str(tmp_path / "folder") in asked(command, tmp_path / "folder")


@pytest.mark.parametrize("command", FILE_INSTEAD)
def test_a_file_where_a_folder_is_asked_for_is_named(
    command: str, asked: Callable[..., str], tmp_path: Path
) -> None:
    assert f"{tmp_path / 'file.txt'}: a file, not a folder; " in asked(command, tmp_path / "file.txt")


@pytest.mark.parametrize(
    "command", ["similar {}", "export {} --out new", "score --truth {} --predictions {file}"]
)
def test_a_link_to_nowhere_says_where_it_leads(
    command: str, asked: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("gone.wav")
    assert "link: a link to gone.wav, which is not there" in asked(command, tmp_path / "link")


@pytest.mark.parametrize(
    "command", ["evaluate soundseek-small", "robustness soundseek-small", "reproduce --out new"]
)
def test_a_split_that_is_not_there_is_named_beside_those_that_are(
    command: str, asked: Callable[..., str], tmp_path: Path
) -> None:
    told = asked(f"{command} --split evalution --data {{}}", tmp_path / "clotho")
    assert "--split evalution" in told and "it has development, evaluation, validation" in told


def test_every_command_with_a_path_is_asked() -> None:
    from soundseek.cli.main import PANELS

    assert {command.split()[0] for command in COMMANDS} == {
        name for names in PANELS.values() for name in names
    }


def test_a_mistyped_sound_is_told_with_those_of_nearly_that_name(soundseek: Run, sounds: Path) -> None:
    told = soundseek("similar", sounds / "tone1.wv", "--library", sounds).stderr.decode()
    assert "holds no library" in told
    for command in ("explain", "label"):
        words = ["rain"] * (command == "explain")
        run = soundseek(command, sounds / "longg.wav", *words)
        assert run.returncode == 2 and b"longg.wav: no such file; did you mean long.wav?" in run.stderr


def test_a_sound_in_a_folder_that_is_not_there_is_told_with_the_nearest_one(
    soundseek: Run, sounds: Path
) -> None:
    told = soundseek("explain", sounds / "gone" / "deep" / "rain.wav", "rain").stderr.decode()
    assert (
        f"there is no folder {sounds / 'gone' / 'deep'} either; the nearest that is there: {sounds}" in told
    )


def test_a_pattern_that_no_name_fits_is_told_as_one(soundseek: Run, sounds: Path) -> None:
    assert b"fits that pattern" in soundseek("label", sounds / "*.flac").stderr


def test_what_is_labelled_may_be_away_if_the_library_knows_it(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "drive", tmp_path / "library"
    shutil.copytree(sounds, folder)
    soundseek("index", folder, "--library", library)
    shutil.rmtree(folder)
    run = soundseek("label", folder / "tone1.wav", "--library", library)
    assert run.returncode == 0 and b"tone1.wav" in run.stdout
