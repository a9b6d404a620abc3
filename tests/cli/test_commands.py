"""The other commands from end to end on a toy model, and what holds for all: streams, names, mistakes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.answers import embedded_in, records
from tones import write_tone

from soundseek.library import Library
from soundseek.library.store.approximate_build import BUILD_ERROR

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_a_terminal_gets_a_table_without_asking(filled: Path, model_directory: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "soundseek", "search", "tone", "--library", str(filled)]
    run = subprocess.run(command, stdout=theirs, env={**os.environ, "TERM": "xterm"}, timeout=240)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert run.returncode == 0
    assert "moment" in shown and "tone" in shown and "{" not in shown


def test_a_locale_of_plain_letters_gets_a_table_all_the_same(filled: Path) -> None:
    command = [sys.executable, "-m", "soundseek", "search", "tone", "--table", "--library", str(filled)]
    run = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, timeout=240
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert "▁" in run.stdout.decode()


@pytest.mark.parametrize("closed", ["0", "1", "2", "1 2"])
def test_closed_streams_harm_nothing(
    closed: str, filled: Path, sounds: Path, model_directory: Path, tmp_path: Path
) -> None:
    closing = " ".join(f"{each}>&-" for each in closed.split())
    library = tmp_path / "library"
    program = f"{sys.executable} -m soundseek"
    options = f"--workers 1 --library {library} --model {model_directory}"
    index = f"{program} index {sounds} -q {options} {closing}"
    search = f"{program} search tone --library {library} {closing}"
    for script in (index, search):
        run = subprocess.run(["bash", "-c", script], capture_output=True, timeout=240)
        assert (run.returncode, run.stderr) == (0, b"")
    assert embedded_in(library) == 7
    with Library.open(library) as ours, Library.open(filled) as expected:
        assert ours.search("tone", k=99) == expected.search("tone", k=99)


def test_a_reader_that_leaves_early_hears_no_complaint(filled: Path) -> None:
    program = f"{sys.executable} -m soundseek"
    script = f"set -o pipefail; {program} search tone --segments --library {filled} | head -c 1"
    run = subprocess.run(["bash", "-c", script], capture_output=True, timeout=240)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"{", b"")


def test_names_that_are_no_utf_8_can_be_indexed_found_and_printed(soundseek: Run, tmp_path: Path) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    name = os.fsencode(folder) + b"/caf\xe9\n.wav"
    try:
        write_tone(Path(os.fsdecode(name)), frequency_hz=440)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert soundseek("index", folder, "--library", library).returncode == 0
    (hit,) = records(soundseek("search", "tone", "--library", library).stdout)
    assert os.fsencode(hit["path"]) == name
    for style in ("--table", "--csv", "--m3u"):
        run = soundseek("search", "tone", style, "--library", library)
        assert run.returncode == 0, run.stderr.decode()
        assert b"\xe9" not in run.stdout
    assert soundseek("similar", name, "--library", library).returncode == 0


@pytest.mark.parametrize("name", ["info", "failures", "models"])
def test_what_there_is_to_know_comes_as_json_and_as_a_table(name: str, soundseek: Run, filled: Path) -> None:
    for style in ("--json", "--table"):
        run = soundseek(name, style, "--library", filled)
        assert (run.returncode, run.stderr) == (0, b"")


def test_info_says_where_the_library_is_and_what_it_holds(soundseek: Run, filled: Path) -> None:
    (about,) = records(soundseek("info", "--library", filled).stdout)
    assert str(filled) in about.values()
    assert about["files"] == 7 and about["segments"] == 6 + 3
    assert str(filled.name) in soundseek("info", "--table", "--library", filled).stdout.decode()


def test_models_lists_what_lies_in_the_data_folder(
    soundseek: Run, filled: Path, model_directory: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "data" / "soundseek" / "models"
    shutil.copytree(model_directory, installed / "toy")
    (installed / "broken").mkdir()
    (installed / "broken" / "config.json").write_text("{}")
    listed = {each["name"]: each for each in records(soundseek("models", "--library", filled).stdout)}
    assert listed["toy"]["license"] == "CC0-1.0" and listed["toy"]["used_by_library"]
    assert listed["toy"]["size_bytes"] == sum(file.stat().st_size for file in model_directory.iterdir())
    assert "cannot be read" in listed["broken"]["error"]
    assert "CC0-1.0" in soundseek("models", "--table", "--library", filled).stdout.decode()
    assert soundseek("search", "tone", "--model", "toy", "--library", filled).returncode == 0


def test_models_fit_into_80_columns_with_their_scores_in_percent(
    soundseek: Run, filled: Path, model_directory: Path, tmp_path: Path
) -> None:
    toy = tmp_path / "data" / "soundseek" / "models" / "toy"
    shutil.copytree(model_directory, toy)
    card = json.loads((toy / "config.json").read_text())
    card["scores"] = {"evaluation R1": 0.18, "evaluation mAP10": 0.2281, "validation R1": 1.0}
    (toy / "config.json").write_text(json.dumps(card))
    lines = soundseek("models", "--table", "--library", filled, COLUMNS="80").stdout.decode().splitlines()
    assert max(map(len, lines)) <= 80
    header = lines[0].split()
    assert header == ["model", "size", "licence", "scores", "on", "R1", "R5", "R10", "mAP10", "acc"]
    rows = [line.split() for line in lines if line.split()[-1:] in (["22.8"], ["100.0"])]
    assert rows[0][0] == "toy" and rows[0][-3:] == ["evaluation", "18.0", "22.8"]
    assert rows[1] == ["validation", "100.0"]
    assert (
        sum(line.startswith("soundseek-plus") for line in lines) == 2
    )  # its row and its remark: none is folded


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["search", "tone", "--library", "nowhere"], 2, "nowhere"),
        (["info", "--library", "nowhere"], 2, "nowhere"),
        (["search", "tone", "--model", "nonesuch"], 2, "no model 'nonesuch'"),
        (["search", "tone", "--like", "nothing.wav"], 2, "nothing.wav: no such file"),
        (["similar", "nothing.wav"], 2, "nothing.wav: no such file"),
        (["similar", "."], 2, "a folder, not a file"),
        (["search", "tone", "--where", "colour = red"], 2, "colour"),
        (["index", "no-such-folder"], 2, "no-such-folder"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    arguments: list[str], code: int, told: str, soundseek: Run, filled: Path
) -> None:
    run = soundseek(*arguments, SOUNDSEEK_LIBRARY=str(filled))
    message = run.stderr.decode()
    assert told in message and message.count("\n") == 1 and message.startswith("soundseek: ")
    assert (run.returncode, run.stdout) == (code, b"")


def test_a_compaction_of_what_has_no_waste_claims_nothing(
    soundseek: Run, filled: Path, tmp_path: Path
) -> None:
    soundseek("library", "copy", filled, tmp_path / "copy")
    (compacted,) = map(
        json.loads, soundseek("library", "compact", "--library", tmp_path / "copy").stdout.splitlines()
    )
    assert compacted.pop("bytes_before") == compacted.pop("bytes_after") > 0
    assert compacted == {"compacted": False}


def test_a_library_is_checked_and_copied(soundseek: Run, filled: Path, tmp_path: Path) -> None:
    checked = soundseek("library", "check", "--library", filled, "--table")
    assert (checked.returncode, checked.stdout.decode().endswith("no damage\n")) == (0, True)
    piped = soundseek("library", "check", "--library", filled)
    assert (piped.stdout, piped.stderr.decode().endswith("no damage\n")) == (b"", True)

    copied = soundseek("library", "copy", filled, tmp_path / "copy")
    assert json.loads(copied.stdout)["copied"] == 7
    (tmp_path / "copy" / BUILD_ERROR).write_text("the disk is full\n")
    told = soundseek("library", "check", "--library", tmp_path / "copy")
    assert told.returncode == 0 and b"index failed: the disk is full; try again" in told.stderr
    again = soundseek("library", "copy", filled, tmp_path / "copy")
    assert json.loads(again.stdout) == {**json.loads(copied.stdout), "copied": 0}

    vectors = tmp_path / "copy" / "vectors.1.f16"
    vectors.write_bytes(b"\xff" * vectors.stat().st_size)  # not a number
    damaged = soundseek("library", "check", "--library", tmp_path / "copy")
    assert damaged.returncode == 1
    assert {json.loads(line)["what"] for line in damaged.stdout.splitlines()} == {"a vector is not finite"}
    repaired = soundseek("library", "check", "--library", tmp_path / "copy", "--repair", "--table")
    assert (repaired.returncode, b"7 damages repaired" in repaired.stdout) == (0, True)
    assert soundseek("library", "copy", filled, filled).returncode == 2


def test_info_on_a_terminal_is_for_people_and_says_what_comes_next(soundseek: Run, filled: Path) -> None:
    shown = soundseek("info", "--table", "--library", filled).stdout.decode()
    assert "7, 0:34 long together, in 9 segments" in shown and "toy" in shown and "MB" in shown
    assert "next" in shown and "soundseek search" in shown
    for internal in ("fingerprint", "bytes_on_disk", "dim ", "none", "window_bytes"):
        assert internal not in shown


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("search rain --limit 3", "No such option: --limit; did you mean -k, --count?"),
        ("search rain --top 3", "did you mean -k, --count?"),
        ("similar x.wav --num 3", "did you mean -k, --count?"),
        ("search rain --format json", "did you mean --json, --csv, --m3u or --table?"),
        ("label x.wav --format csv", "did you mean --json, --csv or --table?"),
        ("search rain --output x", "write them to a file with > FILE"),
        ("index x --output y", "the vectors go into the library: did you mean --library?"),
        ("search rain --filter x", "did you mean --where?"),
        ("search rain --exclude x", "did you mean --not?"),
        ("index x --threads 3", "did you mean --workers?"),
        ("index x --recursive", "folders are always read with all that lies below them"),
        ("search rain --threshold 0.5", "did you mean --min-match?"),
        ("export x --output y", "did you mean --out?"),
        ("library copy one", "write: soundseek library copy SOURCE TARGET"),
        ("relocate one", "write: soundseek relocate OLD NEW"),
    ],
)
def test_what_other_programs_call_an_option_is_told_by_its_name_here(
    line: str, told: str, soundseek: Run
) -> None:
    run = soundseek(*line.split())
    assert run.returncode == 2 and told in run.stderr.decode()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("channels = 6", "channels in it: 1"),
        ("rate = 96kHz", "the rates in it: "),
        ("format = flac", "the formats in it: WAV"),
        ("duration > 1h", "the lengths in it: 2 s to 22 s"),
        (
            "format = wav and channels = 6",
            "it is the condition on channels that none fulfils; the channels in it: 1",
        ),
        ("duration > 10 and name ~ tone1", "each part has some, but none has all of them"),
    ],
)
def test_a_filter_that_no_sound_fulfils_says_which_part_it_is_and_what_there_is(
    where: str, told: str, soundseek: Run, filled: Path
) -> None:
    run = soundseek("search", "rain", "--where", where, "--library", filled)
    assert run.returncode == 0 and run.stdout == b"" and told in run.stderr.decode()


def test_sounds_that_fulfil_a_filter_and_are_not_there_now_are_not_said_not_to_fulfil_it(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    shutil.copy(sounds / "tone1.wav", folder)
    soundseek("index", folder, "--library", library)
    folder.rename(tmp_path / "elsewhere")
    run = soundseek("search", "rain", "--where", "format = wav", "--library", library)
    assert run.returncode == 0 and run.stdout == b""
    assert (
        "1 of the library's 1 sounds fulfil --where 'format = wav', but are not there" in run.stderr.decode()
    )
