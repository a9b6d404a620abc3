"""The command `soundseek`: a command's file is imported when it runs, so that quick ones stay quick."""

from __future__ import annotations

import functools
import io
import os
import re
import signal
import sys
import threading
from collections import UserDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
import typer.main

import soundseek
from soundseek._files import is_full_disk
from soundseek.errors import MissingFileError, SoundseekError, Terminated, UsageError

PANELS = {
    "Search": (
        "index", "watch", "search", "similar", "explain", "label", "mark", "duplicates", "info", "failures",
        "forget", "relocate", "library", "serve", "mcp",
    ),
    "Models": ("models",),
    "Train and measure": (
        "adapt", "data", "recipes", "distill", "train", "tune", "average", "evaluate", "robustness", "calibrate",
        "export", "score", "reproduce",
    ),
}  # fmt: skip
"""The commands in the order of the help page; `soundseek.cli.NAME` has the function `NAME_command`."""

NEEDING_PYTORCH = frozenset(
    {
        "adapt",
        "distill",
        "train",
        "tune",
        "average",
        "evaluate",
        "robustness",
        "calibrate",
        "export",
        "reproduce",
    }
)

_LEARNING_NEEDS = ("torch", "lightning", "yaml")


def main() -> None:
    """Run the command line and exit with its code: 0 fine, 1 something failed, 2 wrong usage, 130 or 143 stopped."""
    prepare_streams()
    group()()


_HELP_NAMES = {"help_option_names": ["-h", "--help"]}
commands_of = functools.partial(
    typer.Typer, add_completion=False, pretty_exceptions_enable=False, context_settings=_HELP_NAMES
)
"""A command that has commands of its own."""


def prepare_streams() -> None:
    """Streams that exist and can carry any letter: tables and JSON are UTF-8, whatever the locale says."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by whoever started us. The next file opened would take its number, and the mp3 decoder's
            # warnings would go into a library. The lowest free number is this one.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115 (a descriptor; as long as the process)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def group() -> Any:
    """The whole command line as a click group, built without importing any command."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, context_settings=_HELP_NAMES)
    app.callback()(_soundseek)
    built: Any = typer.main.get_command(app)
    built.name = "soundseek"
    built.commands = _LazyCommands({name: panel for panel, names in PANELS.items() for name in names})
    _hide_types(built)
    _tell_usage_in_a_line(built)
    return built


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"soundseek {soundseek.__version__}")
        raise typer.Exit


def _soundseek(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find recorded sounds by describing them in words.

    Start with: soundseek index FOLDER, then: soundseek search "a dog barks while it rains"
    """


class _LazyCommands(UserDict[str, Any]):
    """Name -> click command, from name -> panel; a command's module is imported when the command is looked up."""

    def __getitem__(self, name: str) -> Any:
        panel = self.data[name]
        run = getattr(import_module(f"soundseek.cli.{name}"), f"{name}_command")
        if isinstance(run, typer.Typer):  # commands of its own, as in `soundseek data check`
            command: Any = typer.main.get_command(run)
            command.rich_help_panel = panel
            for each in command.commands.values():
                _hide_types(each)
                _refuse_unclear_values(each)
        else:
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            run = plain_errors(_needing_pytorch(run) if name in NEEDING_PYTORCH else run)
            app.command(name, rich_help_panel=panel, context_settings=_HELP_NAMES)(run)
            command = typer.main.get_command(app)
            _refuse_unclear_values(command)
            _exclude_words_behind_minus(command)
        _hide_types(command)
        return command


def _hide_types(command: Any) -> None:
    """Leave types out of a command's help where they say nothing: `<bool>` of a flag, `<list[str]>` of an argument."""

    def without_type(parameter: Any) -> Any:
        if parameter is not None and (parameter.param_type_name == "argument" or parameter.is_flag):
            parameter.display_type_rich = lambda ctx: None
        return parameter

    if command.help:  # a paragraph is broken where the terminal ends, not where its source line does
        command.help = "\n\n".join(" ".join(each.split()) for each in command.help.split("\n\n"))
    for each in command.params:
        without_type(each)
    find_help = command.get_help_option
    command.get_help_option = lambda ctx: without_type(find_help(ctx))


def _refuse_unclear_values(command: Any) -> None:
    """Let a command refuse an option given twice, of which the last would count, and an empty option or path.

    An empty value is mostly a shell's variable that is not set; as a path it would be the current folder.
    """
    parse = command.parse_args

    def checked(ctx: Any, args: list[str]) -> Any:
        values, _, order = command.make_parser(ctx).parse_args(args=list(args))
        for parameter in dict.fromkeys(order):
            value = values.get(parameter.name)
            is_option = parameter.param_type_name == "option"
            name = max(parameter.opts, key=len) if is_option else parameter.metavar or parameter.name
            if is_option and not parameter.multiple and not parameter.is_flag and order.count(parameter) > 1:
                _fail(f"{name} is given {order.count(parameter)} times; give it once", code=2)
            each = value if isinstance(value, list | tuple) else [value]
            if "" in each and (is_option or name != "TEXT"):
                _fail(f"{name} is empty (an unset variable?); give it a value, or leave it out", code=2)
        return parse(ctx, args)

    command.parse_args = checked


_WrongUsage: Any = typer.BadParameter.__base__
"""What typer raises of a line that it cannot read: a missing argument, a value that is not allowed."""


def _tell_usage_in_a_line(built: Any) -> None:
    """Let wrong usage be told as every other error is, in one line with the next step, and not in a box."""

    def plain(run: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(run)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return run(*args, **kwargs)
            except _WrongUsage as error:
                # A group without a command shows its help.
                if type(error).__name__ == "NoArgsIsHelpError":
                    raise
                told = error.format_message().rstrip(".")
                path = error.ctx.command_path if error.ctx is not None else "soundseek"
                if meant := _meant_by(error):
                    _fail(
                        f"{told.partition(' (Possible')[0].partition(' Did you')[0].rstrip('.')}; {meant}",
                        code=2,
                    )
                if type(error).__name__ == "MissingParameter" and error.ctx is not None:
                    arguments = _arguments_of(error.ctx.command)
                    told += f"; write: {path} {' '.join(arguments)}" if len(arguments) > 1 else ""
                _fail(f"{told}{'' if told.endswith('?') else ';'} see: {path} --help", code=2)

        return guarded

    built.make_context = plain(built.make_context)
    built.invoke = plain(built.invoke)


_MEANT = {
    "--count": "top topk top-k limit num number n k max max-results results hits size",
    "--json, --csv, --m3u or --table": "format output-format fmt type",
    "--out": "output output-dir outdir o dest target",
    "--library": "lib db database index path index-path",
    "--where": "filter condition only",
    "--not": "exclude without negative minus",
    "--exclude": "ignore skip not",
    "--min-match": "threshold min-score cutoff min-probability confidence",
    "--min-score": "threshold min-match cutoff",
    "--workers": "jobs threads processes j num-workers parallel",
    "--like": "example similar sound audio file",
    "--segments": "moments per-segment",
    "--data": "dataset datasets dir",
    "--quiet": "silent no-progress",
    "--version": "v V",
    "--as-typed": "raw verbatim literal exact",
}
"""An option of soundseek -> what other programs call it."""


def _meant_by(error: Any) -> str:
    """The option that somebody meant who gave one that the command does not have; empty where nothing is known."""
    if type(error).__name__ != "NoSuchOption" or error.ctx is None:
        return ""
    asked = error.option_name.lstrip("-")
    own = {name for each in error.ctx.command.params for name in each.opts}
    for option, names in _MEANT.items():
        parts = re.findall(r"--[a-z0-9-]+", option)
        if asked in names.split() and (there := [name for name in parts if name in own]):
            shown = ", ".join(there[:-1]) + (" or " if len(there) > 1 else "") + there[-1]
            return f"did you mean {'-k, ' if shown == '--count' else ''}{shown}?"
    if asked in ("output", "out", "o") and error.ctx.command.name in ("index", "watch"):
        return "the vectors go into the library: did you mean --library?"
    if asked in ("output", "out", "o", "file") and "--json" in own:
        return f"results go to stdout; write them to a file with > FILE; see: {error.ctx.command_path} --help"
    if asked in ("recursive", "r", "R") and error.ctx.command.name in ("index", "watch", "label"):
        return "folders are always read with all that lies below them; leave it out"
    return ""


def _arguments_of(command: Any) -> list[str]:
    """The arguments of a command in their order, as its help names them."""
    own = [each for each in command.params if each.param_type_name == "argument"]
    return [str(each.metavar or each.name.upper()) for each in own]


def _exclude_words_behind_minus(command: Any) -> None:
    """Let a command that takes words read `rain -thunder` as it is meant, also without quotes."""
    if not any(each.param_type_name == "argument" and each.metavar == "TEXT" for each in command.params):
        return
    parse = command.parse_args

    def worded(ctx: Any, args: list[str]) -> Any:
        from soundseek.cli.minus import with_words_apart

        try:
            return parse(ctx, with_words_apart(command, args))
        except UsageError as error:
            _fail(str(error), code=2)

    command.parse_args = worded


def plain_errors(run: Callable[..., None]) -> Callable[..., None]:
    """`run`, with every expected error told in one line on stderr and turned into an exit code."""

    @functools.wraps(run)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            with _ended_by_exceptions():
                run(*args, **kwargs)
                sys.stdout.flush()
        except MissingFileError as error:
            from soundseek.cli.options import what_to_name_instead

            _fail(f"{error}; {what_to_name_instead(error.path)}", code=2)
        except UsageError as error:
            _fail(str(error), code=2)
        except SoundseekError as error:
            _fail(str(error), code=1)
        except BrokenPipeError:
            _leave_the_pipe()
        except OSError as error:
            what = error.filename or ("the output" if is_full_disk(error) else "the system")
            _fail(f"{what}: {error.strerror or error}", code=1)
        except KeyboardInterrupt as stop:
            _fail("stopped", code=128 + stop.number if isinstance(stop, Terminated) else 130)

    return guarded


@contextmanager
def _ended_by_exceptions() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a command as Ctrl-C does, so that it leaves nothing half done behind."""
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a child that was forked ends as if there were no handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise Terminated(number)

    numbers = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in numbers if is_main and signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _fail(message: str, *, code: int) -> NoReturn:
    from soundseek.cli.output import printable

    print(f"soundseek: {' '.join(printable(line) for line in message.splitlines())}", file=sys.stderr)
    raise typer.Exit(code)


def _leave_the_pipe() -> NoReturn:
    # The reader (`| head`) has what it wanted. Python would complain once more when it flushes stdout at
    # exit, so stdout now leads nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(0)


def _needing_pytorch(run: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(run)
    def checked(*args: Any, **kwargs: Any) -> None:
        from soundseek.cli.extras import need

        need(_LEARNING_NEEDS, extra="learn", why="this command belongs to the learning half")
        run(*args, **kwargs)

    return checked
