"""Every command from end to end on a toy model: what it prints, where, and its exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tones import write_tone

from soundseek.audio.decode import AUDIO_EXTENSIONS
from soundseek.cli.index import MAX_DEFAULT_WORKERS, default_workers
from soundseek.errors import LibraryError
from soundseek.library import Library
from soundseek.model.embedder import Model

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def records(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.decode().splitlines()]


def test_a_search_in_a_pipe_prints_json_lines(soundseek: Run, filled: Path, sounds: Path) -> None:
    run = soundseek("search", "a high tone", "-k", "3", "--library", filled)
    assert (run.returncode, run.stderr) == (0, b"")
    hits = records(run.stdout)
    assert len(hits) == 3
    for hit in hits:
        assert list(hit)[:5] == ["path", "start_s", "end_s", "score", "moments"]
        assert Path(hit["path"]).parent == sounds
        assert sum(hit["moments"]) / len(hit["moments"]) == pytest.approx(hit["score"], abs=2e-3)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_words_need_no_quotes(soundseek: Run, filled: Path) -> None:
    loose = soundseek("search", "a", "high", "tone", "--library", filled).stdout
    assert loose and loose == soundseek("search", "a high tone", "--library", filled).stdout


def test_a_library_remembers_its_model(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "tone", "--library", filled, SOUNDSEEK_MODEL="")
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout


def test_segments_lists_every_moment_of_a_long_file(soundseek: Run, filled: Path) -> None:
    hits = records(
        soundseek("search", "tone", "--segments", "--where", "duration > 20", "--library", filled).stdout
    )
    assert sorted((hit["start_s"], hit["end_s"]) for hit in hits)[0] == (0.0, 10.0)
    assert sorted(hit["end_s"] for hit in hits) == [10.0, 15.0, 22.0]  # the last one ends with the file
    (best,) = records(soundseek("search", "tone", "--where", "duration > 20", "--library", filled).stdout)
    assert best == max(hits, key=lambda hit: hit["score"])


def test_similar_finds_the_same_sound_under_another_name(soundseek: Run, filled: Path, sounds: Path) -> None:
    outside = sounds.parent / "outside.wav"
    shutil.copy(sounds / "tone3.wav", outside)
    hits = records(soundseek("similar", outside, "-k", "2", "--library", filled).stdout)
    assert Path(hits[0]["path"]).name == "tone3.wav" and hits[0]["score"] > 0.99


def test_an_example_and_a_negative_change_the_answer(soundseek: Run, filled: Path, sounds: Path) -> None:
    plain = soundseek("search", "tone", "--library", filled).stdout
    like = soundseek("search", "tone", "--like", sounds / "tone5.wav", "--library", filled).stdout
    without = soundseek("search", "tone", "--not", "low hum", "--library", filled).stdout
    assert len({plain, like, without}) == 3
    assert soundseek("search", "--like", sounds / "tone5.wav", "--library", filled).returncode == 0


def test_a_table_says_which_words_carried_a_hit(soundseek: Run, filled: Path) -> None:
    run = soundseek("search", "a quiet tone", "--table", "-k", "7", "--library", filled)
    header, *rows = [line.split() for line in run.stdout.decode().splitlines() if line.strip(" ─")]
    assert header == ["score", "file", "moment", "why"]
    assert len(rows) == 7
    assert any({"quiet", "quiet,", "tone", "tone,"} & set(row) for row in rows)


def test_the_documented_keys_are_those_that_are_printed(soundseek: Run, filled: Path, sounds: Path) -> None:
    part = (Path(__file__).parents[2] / "docs" / "index.md").read_text().split("## Output for programs")[1]
    hits, explained = (
        [key for row in re.findall(r"^\| (`.*?) \|", table, re.M) for key in re.findall(r"`(\w+)`", row)]
        for table in part.split("## ")[0].split("`explain` has these")
    )
    (found,) = records(soundseek("search", "tone", "--why", "-k", "1", "--library", filled).stdout)
    assert list(found) == hits
    for command in (["search", "tone"], ["similar", sounds / "tone1.wav"]):
        assert list(records(soundseek(*command, "-k", "1", "--library", filled).stdout)[0]) == hits[:-1]
    (told,) = records(soundseek("explain", sounds / "long.wav", "tone").stdout)
    assert sorted(told) == sorted([*hits[:-1], *explained])
    assert set(told["words"][0]) == {"word", "without", "contribution"}
    assert set(told["segments"][0]) == {"start_s", "end_s", "score"}


def test_why_in_json_is_a_list_of_words(soundseek: Run, filled: Path) -> None:
    hits = records(soundseek("search", "a quiet tone", "--why", "--library", filled).stdout)
    assert all(set(hit["why"]) <= {"quiet", "tone"} for hit in hits)
    assert any(hit["why"] for hit in hits)


def test_a_terminal_gets_a_table_without_asking(filled: Path, model_directory: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "soundseek", "search", "tone", "--library", str(filled)]
    run = subprocess.run(command, stdout=theirs, env={**os.environ, "TERM": "xterm"}, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert run.returncode == 0
    assert "moment" in shown and "tone" in shown and "{" not in shown


def test_a_locale_of_plain_letters_gets_a_table_all_the_same(filled: Path) -> None:
    command = [sys.executable, "-m", "soundseek", "search", "tone", "--table", "--library", str(filled)]
    run = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert "▁" in run.stdout.decode()


@pytest.mark.parametrize("closed", ["0", "1", "2", "1 2"])
def test_closed_streams_harm_nothing(
    closed: str, filled: Path, sounds: Path, model_directory: Path, tmp_path: Path
) -> None:
    closing = " ".join(f"{each}>&-" for each in closed.split())
    library = tmp_path / "library"
    index = f"{sys.executable} -m soundseek index {sounds} --library {library} --model {model_directory} {closing}"
    search = f"{sys.executable} -m soundseek search tone --library {library} {closing}"
    for script in (index, search):
        run = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60)
        assert (run.returncode, run.stderr) == (0, b"")
    assert heard_in(library) == 7
    with Library.open(library) as ours, Library.open(filled) as expected:
        assert ours.search("tone", k=99) == expected.search("tone", k=99)


def test_csv_and_playlist_have_the_same_hits(soundseek: Run, filled: Path) -> None:
    table = soundseek("search", "tone", "--csv", "--library", filled).stdout.decode().splitlines()
    playlist = soundseek("search", "tone", "--m3u", "--library", filled).stdout.decode().splitlines()
    paths = [line.split(",")[2] for line in table[1:]]
    assert paths and paths == [line for line in playlist if not line.startswith("#")]


def test_the_documented_columns_are_those_of_the_csv(soundseek: Run, filled: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "index.md").read_text()
    (told,) = [part for part in page.split("\n\n") if part.startswith("`--csv` is for spreadsheets")]
    run = soundseek("search", "tone", "--csv", "--why", "--library", filled)
    assert run.stdout.decode().splitlines()[0].split(",") == re.findall(r"`(\w+)`", told)


def test_no_cell_of_a_table_for_spreadsheets_is_a_formula(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("=1+1.wav", "@SUM(A1).wav", "-2.wav", "+2.wav"):
        shutil.copy(sounds / "tone1.wav", folder / name)
    soundseek("index", folder, "--library", tmp_path / "library")
    for asked in (["search", "=1+1 @SUM tone", "--why"], ["similar", sounds / "tone2.wav"]):
        run = soundseek(*asked, "--csv", "--library", tmp_path / "library")
        header, *rows = csv.reader(io.StringIO(run.stdout.decode()))
        assert len(rows) == 4 and ("why" in header) == ("--why" in asked)
        texts = [row[header.index(name)] for row in rows for name in ("path", "format")]
        texts += [row[header.index("why")] for row in rows if "why" in header]
        assert not any(text.startswith(tuple("=+-@\t\r")) for text in texts)


def test_a_reader_that_leaves_early_hears_no_complaint(filled: Path) -> None:
    program = f"{sys.executable} -m soundseek"
    script = f"set -o pipefail; {program} search tone --segments --library {filled} | head -c 1"
    run = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"{", b"")


def test_index_reports_in_json_and_only_hears_what_is_new(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(sounds, folder)
    (first,) = records(soundseek("index", folder, "--library", tmp_path / "library").stdout)
    assert (first["added"], first["failed"], first["interrupted"]) == (7, 0, False)
    assert first["audio_s"] == pytest.approx(6 * 2 + 22, abs=0.1)
    (folder / "tone0.wav").unlink()
    write_tone(folder / "new.wav", frequency_hz=99)
    (second,) = records(soundseek("index", folder, "--library", tmp_path / "library").stdout)
    assert (second["added"], second["removed"], second["unchanged"]) == (1, 1, 6)


def test_a_folder_without_sounds_is_an_error_that_says_what_is_looked_for(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "notes", tmp_path / "library"
    folder.mkdir()
    (folder / "diary.txt").write_text("it rained")
    told = f"no sound was found in {folder}: no file there, hidden ones aside, ends in "
    for _ in range(2):  # the first run has not made it a known one
        run = soundseek("index", folder, "--library", library)
        message = run.stderr.decode()
        assert (run.returncode, run.stdout) == (2, b"") and message.count("\n") == 1
        assert message.startswith(f"soundseek: {told}")
        assert all(ending in message for ending in sorted(AUDIO_EXTENSIONS))
    run = soundseek("index", folder, sounds / "tone1.wav", "--library", library)
    assert run.returncode == 0 and run.stderr.decode().startswith(told)
    (report,) = records(run.stdout)
    assert (report["added"], report["empty_folders"]) == (1, [str(folder)])
    assert records(soundseek("info", "--library", library).stdout)[0]["folders"] == []


def test_a_folder_whose_sounds_are_gone_is_brought_up_to_date(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    shutil.copy(sounds / "tone1.wav", folder)
    soundseek("index", folder, "--library", library)
    (folder / "tone1.wav").unlink()
    for removed in (1, 0):
        run = soundseek("index", folder, "--library", library)
        assert (run.returncode, records(run.stdout)[0]["removed"]) == (0, removed)
        assert f"no sound was found in {folder}".encode() in run.stderr


def test_a_folder_of_bad_files_alone_is_not_called_empty(soundseek: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "empty.wav").touch()
    run = soundseek("index", tmp_path / "mine", "--library", tmp_path / "library")
    assert (run.returncode, records(run.stdout)[0]["empty_folders"]) == (1, [])
    assert b"no sound was found" not in run.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_crash_of_the_decoder_takes_one_file_and_not_the_run(
    workers: str, soundseek: Run, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundseek.library.library._load_hear", crashing_ears)
    folder, library = tmp_path / "mine", tmp_path / "library"
    shutil.copytree(sounds, folder)
    shutil.copy(sounds / "tone1.wav", folder / "crash.wav")
    run = soundseek("index", folder, "--workers", workers, "--library", library)
    assert (run.returncode, records(run.stdout)[0]["added"]) == (1, 7)
    (failure,) = records(soundseek("failures", "--library", library).stdout)
    assert failure["path"] == str(folder / "crash.wav") and "SIGSEGV" in failure["reason"]


def crashing_ears(directory: Path) -> Callable[..., Any]:
    """A model's hearing, but for one file on which the process has a segmentation fault."""
    hear = Model(directory).hear

    def crash_or_hear(path: str, **options: Any) -> Any:
        if Path(path).name == "crash.wav":
            os.kill(os.getpid(), signal.SIGSEGV)
        return hear(path, **options)

    return crash_or_hear


def test_bad_files_are_named_and_the_rest_goes_in(soundseek: Run, tmp_path: Path) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    write_tone(folder / "good.wav", frequency_hz=440)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.mp3").write_text("this is no sound")
    run = soundseek("index", folder, "--library", library)
    assert run.returncode == 1
    assert records(run.stdout)[0]["added"] == 1
    assert f"2 files could not be heard; see: soundseek failures --library {library}\n" in run.stderr.decode()
    failed = records(soundseek("failures", "--library", library).stdout)
    assert sorted(Path(each["path"]).name for each in failed) == ["empty.wav", "text.mp3"]
    assert all(each["reason"] for each in failed)
    table = soundseek("failures", "--table", "--library", library).stdout.decode()
    assert "empty.wav" in table and "text.mp3" in table
    assert records(soundseek("search", "tone", "--library", library).stdout)


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


def test_an_index_run_takes_one_worker_a_core_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(3)), raising=False)
    assert default_workers() == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert default_workers() == MAX_DEFAULT_WORKERS


def test_no_hit_says_why_on_stderr(soundseek: Run, filled: Path, tmp_path: Path) -> None:
    run = soundseek("search", "tone", "--where", "duration > 1h", "--library", filled)
    assert (run.returncode, run.stdout) == (0, b"")
    assert run.stderr == b"nothing found: none of the library's 7 sounds fulfils --where 'duration > 1h'\n"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert soundseek("index", empty, "--library", tmp_path / "library").returncode == 2
    told = soundseek("search", "tone", "--table", "--library", tmp_path / "library")
    assert told.stdout == b""
    assert b"holds no sounds; fill it with: soundseek index FOLDER --library" in told.stderr


def test_an_example_that_is_the_only_sound_has_no_likeness(
    soundseek: Run, sounds: Path, tmp_path: Path
) -> None:
    soundseek("index", sounds / "tone1.wav", "--library", tmp_path / "library")
    run = soundseek("similar", sounds / "tone1.wav", "--library", tmp_path / "library")
    assert run.stderr == b"nothing found: the example is the only sound in the library\n"


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
    assert header == ["model", "size", "licence", "scores", "on", "R1", "R5", "R10", "mAP10"]
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


def test_ctrl_c_keeps_what_was_heard_and_says_how_to_go_on(tmp_path: Path, model_directory: Path) -> None:
    folder, library = tmp_path / "mine", tmp_path / "library"
    folder.mkdir()
    write_tone(folder / "000.wav", frequency_hz=300, duration_s=120)
    for number in range(1, 400):
        os.link(folder / "000.wav", folder / f"{number:03}.wav")
    command = [sys.executable, "-m", "soundseek", "index", folder, "--library", library]
    command += ["--model", model_directory]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not heard_in(library):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert errors.decode().splitlines()[-1] == "stopped; run the same command again to go on"
    (report,) = records(output)
    assert report["interrupted"] and 0 < report["added"] < 400
    assert heard_in(library) == report["added"]


def heard_in(library: Path) -> int:
    """Files that a library holds; none while it is still being made."""
    try:
        with Library.open(library, create=False) as opened:
            return opened.info().files
    except LibraryError:
        return 0
