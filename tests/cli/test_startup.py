"""The frame of the command line: exit codes, one-line errors, and what a machine without PyTorch is told."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from soundseek._threads import THREAD_VARIABLES
from soundseek.cli import main as command_line
from soundseek.cli.extras import install_command
from soundseek.cli.main import plain_errors
from soundseek.errors import DecodeError, QueryError, SoundseekError, UsageError

DISTILL = ("--teacher", "x", "--data", "x", "--out", "x")
ENVIRONMENT = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "soundseek", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def raising(error: BaseException) -> Callable[..., None]:
    def run() -> None:
        raise error

    return plain_errors(run)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (UsageError("no such thing; do this"), 2, "soundseek: no such thing; do this\n"),
        (QueryError("an empty query"), 2, "soundseek: an empty query\n"),
        (SoundseekError("damaged"), 1, "soundseek: damaged\n"),
        (DecodeError(os.fsdecode(b"a\xff\x1b.wav"), "empty"), 1, "soundseek: a\\udcff\\x1b.wav: empty\n"),
        (SoundseekError("two\nlines"), 1, "soundseek: two lines\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "soundseek: /x: Permission denied\n"),
        (KeyboardInterrupt(), 130, "soundseek: stopped\n"),
    ],
)
def test_an_expected_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_:
        raising(error)()
    assert exit_.value.exit_code == code
    assert capsys.readouterr().err == told


def test_an_unexpected_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())()


def test_help_lists_every_command() -> None:
    run = shell("--help")
    assert run.returncode == 0, run.stderr
    for panel, names in command_line.PANELS.items():
        _, _, below = run.stdout.partition(f" {panel} ")
        listed, _, _ = below.partition("╰")
        assert all(f" {name} " in listed for name in names), panel
    assert "<bool>" not in run.stdout and "--install-completion" in run.stdout


@pytest.mark.parametrize("name", [name for names in command_line.PANELS.values() for name in names])
def test_every_option_of_every_command_is_one_plain_sentence_with_a_metavar(name: str) -> None:
    found = command_line.group().commands[name]
    for command in getattr(found, "commands", {name: found}).values():
        assert command.help
        for parameter in command.params:
            called = f"soundseek {name}: {parameter.name}"
            told = getattr(parameter, "help", None)
            assert told, f"{called} has no help text"
            assert told[0].isupper() and told.endswith("."), f"{called}: {told!r} is no sentence"
            assert parameter.metavar or parameter.is_flag or parameter.param_type_name == "argument", (
                f"{called} has no metavar"
            )


def test_a_shell_completes_commands_and_options() -> None:
    for words, place, expected in (("soundseek sim", 1, "similar"), ("soundseek search --lik", 2, "--like")):
        asked = {"_SOUNDSEEK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        script = "import sys; sys.argv[0] = 'soundseek'; from soundseek.cli.main import main; main()"
        environment = {**os.environ, **asked}
        run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert expected in run.stdout.split(), run.stderr


ANSWER_PROGRAMS = {"serve", "mcp", "watch"}  # not once, but until they are stopped
GROUPS = {"library"}  # of commands, each with options of its own


@pytest.mark.parametrize(
    "name", sorted({*command_line.PANELS["Search"], "models"} - ANSWER_PROGRAMS - GROUPS)
)
def test_every_command_takes_a_library_and_json(name: str) -> None:
    options = {option for each in command_line.group().commands[name].params for option in each.opts}
    assert "--json" in options
    assert "--library" in options or name == "explain"  # it hears one file, and asks no library


def test_options_that_commands_share_say_what_is_true_of_each() -> None:
    def help_of(command: str, option: str) -> str:
        params = command_line.group().commands[command].params
        (text,) = (each.help for each in params if option in each.opts)
        return str(text)

    assert "Search" not in help_of("label", "--as-typed") + help_of("explain", "--as-typed")
    assert "hits" not in help_of("label", "--min-match")
    assert "extra `watch`" in command_line.group().commands["watch"].help


@pytest.mark.parametrize("name", ["adapt", "average", "failures", "train", "watch"])
def test_paragraphs_of_help_have_no_line_breaks_of_their_source(name: str) -> None:
    text = str(command_line.group().commands[name].help)
    assert "\n\n" in text and "\n" not in text.replace("\n\n", "")


def test_a_mistyped_command_is_guessed() -> None:
    run = shell("serch", "rain")
    assert run.returncode == 2
    assert "Did you mean" in run.stderr and "'search'" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search"], "nothing to look for"),
        (
            ["search", "rain", "-k", "0"],
            "'-k' / '--count': 0 is not allowed: give a whole number of hits, 1 or more",
        ),
        (
            ["similar", "a.wav", "-k", "x"],
            "'--count': x is not allowed: give a whole number of hits, 1 or more",
        ),
        (["distill", *DISTILL, "--hours", "-1"], "-1 is not allowed: give hours, more than 0"),
        (["distill", *DISTILL, "--hours", "nan"], "nan is not allowed: give hours, more than 0"),
        (["distill", *DISTILL, "--processes", "0"], "0 is not allowed: give a whole number of processes"),
        (
            ["distill", *DISTILL, "--device", "tpu"],
            "--device tpu is not allowed; give one of auto, cpu, cuda",
        ),
        (["distill", *DISTILL, "--batch-s", "0"], "0 is not allowed: give seconds, more than 0"),
        (["distill", *DISTILL, "--sentences", "a.csv"], "--sentences takes --heads RUN"),
        (["search", "rain", "--json", "--csv"], "--json and --csv exclude each other"),
        (["search", "rain", "--colour"], "No such option: --colour"),
        (["explain"], "Missing argument"),
        (["similar"], "Missing argument 'FILE'; see: python -m soundseek similar --help"),
        (
            ["data", "chek"],
            "No such command 'chek'. Did you mean 'check'? see: python -m soundseek data --help",
        ),
        (["search", "rain", "--min-match", "2"], "2 is not allowed: give a number from 0 to 1; see: "),
    ],
)
def test_wrong_usage_says_so_and_exits_2(arguments: list[str], told: str) -> None:
    run = shell(*arguments)
    assert run.returncode == 2
    assert told in run.stderr and run.stdout == ""
    (line,) = run.stderr.splitlines()
    assert line.startswith("soundseek: ")


@pytest.mark.parametrize(("group", "command"), [([], "search"), (["library"], "compact")])
def test_without_a_command_the_commands_are_shown(group: list[str], command: str) -> None:
    run = shell(*group)
    assert "Usage:" in run.stdout and command in run.stdout and not run.stderr


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert shell("--version").stdout == f"soundseek {version('soundseek')}\n"


def test_an_unknown_public_name_lists_the_known_ones() -> None:
    import soundseek as package

    with pytest.raises(AttributeError, match=r"'Libary'; it has: Hit, Library"):
        _ = package.Libary


def test_without_pytorch_a_learning_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    told = f"and torch is not installed: {install_command('learn')}"
    with pytest.raises(UsageError, match=re.escape(told)):
        command_line._needing_pytorch(lambda: None)()


def test_with_pytorch_a_learning_command_runs() -> None:
    calls: list[Path] = []
    command_line._needing_pytorch(calls.append)(Path("recipe.yaml"))
    assert calls == [Path("recipe.yaml")]


@pytest.mark.parametrize(
    ("wishes", "told"), [({}, "1 1"), ({"OMP_NUM_THREADS": "3"}, "None 3")], ids=["no wish", "a wish"]
)
def test_an_index_run_computes_on_one_thread_unless_told_otherwise(
    wishes: dict[str, str], told: str, sounds: Path, model_directory: Path, tmp_path: Path
) -> None:
    script = (
        "import os, sys; from soundseek.cli.index import index_command\n"
        "assert 'numpy' not in sys.modules  # it reads the environment once, when it is loaded\n"
        "from pathlib import Path; folder, library, model = sys.argv[1:]\n"
        "index_command([Path(folder)], library=Path(library), model=model, workers=0, quiet=True, json=True)\n"
        "assert 'numpy' in sys.modules\n"
        "print(os.environ.get('OPENBLAS_NUM_THREADS'), os.environ.get('OMP_NUM_THREADS'))"
    )
    kept = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    run = subprocess.run(
        [sys.executable, "-c", script, sounds, tmp_path / "library", model_directory],
        capture_output=True, text=True, check=True, env={**kept, **wishes},
    )  # fmt: skip
    assert run.stdout.splitlines()[-1] == told


def test_no_model_tells_anybody_of_this_machine(tmp_path: Path) -> None:
    # On build servers (CI) and in unit tests ONNX Runtime keeps silent by itself; elsewhere it writes an identifier
    # of the machine and a queue of events below the user's cache, and sends them.
    kept = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG")
    home = {name: os.environ[name] for name in kept if name in os.environ} | {"HOME": str(tmp_path)}
    words = "import soundseek; print(soundseek.load_model('soundseek-small').embed_text('rain').shape)"
    run = subprocess.run([sys.executable, "-c", words], env=home, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.strip() == "(512,)", run.stderr
    assert [
        path for path in tmp_path.rglob("*") if "microsoft" in str(path.relative_to(tmp_path)).lower()
    ] == []
