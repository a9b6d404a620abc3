"""The fuzzing that looks for bytes that reach further, benchmarks/coverage_fuzz.py, where atheris installs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FUZZ = """
import sys
sys.argv = ["fuzz", "where", "-runs=400", "-seed=1"]
import coverage_fuzz
{before}
coverage_fuzz.main()
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None, reason="needs atheris: pip install atheris"
    ),
]


def fuzz(folder: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FUZZ.format(before=before)],
        cwd=folder,  # where it leaves the bytes of an error
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), *sys.path])},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_it_finds_nothing_where_every_error_is_one_of_ours(tmp_path: Path) -> None:
    done = fuzz(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Done 400 runs" in done.stderr and not list(tmp_path.iterdir())


def test_an_error_that_is_none_of_ours_is_found_and_its_bytes_are_kept(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "coverage_fuzz.TARGETS['where'] = lambda data: 1 / (len(data) != 3)")
    assert done.returncode != 0 and "ZeroDivisionError" in done.stdout + done.stderr
    (kept,) = tmp_path.glob("crash-*")
    assert len(kept.read_bytes()) == 3
