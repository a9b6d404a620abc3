"""Words behind a minus: exclusions, while options stay options."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli.answers import records

from soundseek.cli.minus import with_words_apart
from soundseek.errors import UsageError

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def option(*names: str, is_flag: bool = False) -> SimpleNamespace:
    return SimpleNamespace(param_type_name="option", opts=list(names), is_flag=is_flag)


COMMAND = SimpleNamespace(
    params=[
        SimpleNamespace(param_type_name="argument", opts=["words"]),
        option("-k", "--count"),
        option("--library"),
        option("--json", is_flag=True),
        option("-h", "--help", is_flag=True),
    ]
)


@pytest.mark.parametrize(
    ("typed", "words", "options"),
    [
        (["rain", "-thunder"], ["rain", "-thunder"], []),
        (["-thunder", "rain", "-k", "2"], ["-thunder", "rain"], ["-k", "2"]),
        (["drums", "-kick", "--json"], ["drums", "-kick"], ["--json"]),
        (["street", "-car horn"], ["street", '-"car horn"'], []),
        (["-thunder rain"], ["-thunder rain"], []),
        (["-thunder -rain", "-k", "3"], ["-thunder -rain"], ["-k", "3"]),
        (["street", "-thunder -rain"], ["street", "-thunder -rain"], []),
        (["rain", "-雷", "-дождь"], ["rain", "-雷", "-дождь"], []),
        (["rain", "-hi-hat", "--library", "-odd", "-k5"], ["rain", "-hi-hat"], ["--library", "-odd", "-k5"]),
        (["--json", "rain", "-wind", "--", "-k"], ["rain", "-wind", "-k"], ["--json"]),
    ],
)
def test_words_behind_a_minus_stand_behind_the_options(
    typed: list[str], words: list[str], options: list[str]
) -> None:
    assert with_words_apart(COMMAND, typed) == [*options, "--", *words]


@pytest.mark.parametrize(
    "typed",
    [
        ["rain", "-k", "5"],
        ["rain", "-k=5"],
        ["-n", "3", "rain"],
        ["--", "-thunder"],
        ["rain", "-"],
        ["-5", "dB"],
    ],
)
def test_options_stay_options(typed: list[str]) -> None:
    assert with_words_apart(COMMAND, typed) == typed


def test_an_option_with_one_minus_is_told() -> None:
    with pytest.raises(UsageError, match="did you mean --json"):
        with_words_apart(COMMAND, ["rain", "-json"])


def test_a_search_leaves_out_what_stands_behind_a_minus(soundseek: Run, filled: Path) -> None:
    bare = soundseek("search", "rain", "-thunder", "-k", "3", "--library", filled)
    quoted = soundseek("search", "rain -thunder", "-k", "3", "--library", filled)
    assert bare.returncode == 0 and b'not "thunder"' in bare.stderr
    assert records(bare.stdout) == records(quoted.stdout) and len(records(bare.stdout)) == 3
    wrong = soundseek("search", "rain", "-json", "--library", filled)
    assert wrong.returncode == 2 and b"did you mean --json" in wrong.stderr


def test_one_argument_that_begins_with_a_minus_is_the_whole_query(soundseek: Run, filled: Path) -> None:
    alone = soundseek("search", "-thunder rain", "-k", "3", "--library", filled)
    apart = soundseek("search", "-k", "3", "--library", filled, "--", "-thunder rain")
    assert b'searched for "rain", not "thunder" (typed "-thunder rain")' in alone.stderr
    assert alone.stderr == apart.stderr and records(alone.stdout) == records(apart.stdout)
    both = soundseek("search", "-thunder -rain", "--library", filled)
    assert b'anything but "thunder" and "rain"' in both.stderr
