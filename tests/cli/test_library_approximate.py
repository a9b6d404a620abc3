"""`soundseek library approximate`: the index is made, used, described, and refused where an engine has its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from library.engines import place_in

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_it_is_made_and_searches_use_it(soundseek: Run, filled: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(filled, library)
    at = ("--library", library)
    asked = ("search", "a low tone", "-k", "3", "--json", *at)
    exact = soundseek(*asked).stdout
    none = soundseek("info", "--json", *at)
    assert "below 2,000,000 segments" in json.loads(none.stdout)["approximate_index"]
    made = soundseek("library", "approximate", "--from", "5", "--json", *at)
    (record,) = map(json.loads, made.stdout.splitlines())
    assert record["approximate_index"].startswith("of 9 segments") and (library / "approximate.npz").is_file()
    assert (
        json.loads(soundseek("info", "--json", *at).stdout)["approximate_index"]
        == record["approximate_index"]
    )
    assert soundseek(*asked).stdout == exact
    lists = next(library.glob("approximate.*.lists"))
    shown = soundseek("library", "approximate", "--if-due", "--table", *at)
    assert shown.stdout.startswith(b"approximate index: of 9 segments") and lists.is_file()
    lists.write_bytes(b"x")
    assert soundseek(*asked).stdout == exact
    checked = soundseek("library", "check", "--table", *at)
    assert checked.returncode == 1 and b"not as it was written; every segment is compared" in checked.stdout
    assert soundseek("library", "check", "--repair", *at).returncode == 0
    assert not lists.exists()
    assert b"none yet, every segment is compared" in soundseek("info", "--table", *at).stdout


def test_what_is_no_number_and_an_engine_are_refused(
    soundseek: Run, filled: Path, sounds: Path, tmp_path: Path
) -> None:
    wrong = soundseek("library", "approximate", "--from", "many", "--library", filled)
    assert wrong.returncode == 2 and b"--from is 'many'; give a number of segments" in wrong.stderr
    pytest.importorskip("psycopg")
    with place_in("postgres", tmp_path) as place:
        soundseek("index", sounds / "tone1.wav", "--library", place, "--workers", "0")
        refused = soundseek("library", "approximate", "--library", place)
        assert refused.returncode == 2 and b"has an index of its engine" in refused.stderr
