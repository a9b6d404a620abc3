"""What mkdocs does beside Markdown: the command line's reference from the commands themselves, and TeX as MathML."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

from soundseek.cli.main import PANELS, group

_COMMANDS = re.compile(r"<!-- commands: .*? -->")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
_MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\w$])\$([^$\n]+?)\$(?!\w)", re.DOTALL)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs with the Markdown of every page."""
    if page.file.src_uri == "reference/commands.md":
        return _COMMANDS.sub(lambda _: commands(), markdown)
    return with_math(markdown)


def commands() -> str:
    """Every command with its arguments and options, panel by panel, as Markdown."""
    built, parts = group(), []
    for panel, names in PANELS.items():
        parts.append(f"## {panel}\n")
        for name in names:
            parts += _command(f"soundseek {name}", built.commands[name])
    return "\n".join(parts)


def _command(name: str, command: Any) -> list[str]:
    lines = [f"### {name}\n", _paragraphs(command.help), ""]
    options = [each for each in command.params if each.param_type_name == "option"]
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    usage = [name, *(_argument(each) for each in arguments), *(["[OPTIONS]"] if options else [])]
    if not hasattr(command, "commands"):
        lines += [f"```text\n{' '.join(usage)}\n```\n"]
    rows = [(f"`{each.metavar or each.name}`", each.help, "") for each in arguments]
    rows += [(_option(each), each.help, _default(each)) for each in options]
    if rows:
        lines += [
            "| | | default |",
            "|---|---|---|",
            *(f"| {a} | {_cell(b)} | {c} |" for a, b, c in rows),
            "",
        ]
    for sub, each in getattr(command, "commands", {}).items():
        lines += _command(f"{name} {sub}", each)
    return lines


def _argument(argument: Any) -> str:
    shown = f"{argument.metavar or argument.name.upper()}{'...' if argument.nargs == -1 else ''}"
    return shown if argument.required else f"[{shown}]"


def _option(option: Any) -> str:
    value = "" if option.is_flag else f" {option.metavar}"
    return ", ".join(f"`{name}{value}`" for name in option.opts)


def _default(option: Any) -> str:
    return (
        "" if option.is_flag or option.default is None or callable(option.default) else f"`{option.default}`"
    )


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in _cell(text or "").split("\n\n"))


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|")


def with_math(markdown: str) -> str:
    """The page with `$...$` and `$$...$$` outside of code as MathML, which browsers draw by themselves."""
    parts = _CODE.split(markdown)
    return "".join(part if number % 2 else _MATH.sub(_mathml, part) for number, part in enumerate(parts))


def _mathml(match: re.Match[str]) -> str:
    shown = match[1] is not None
    drawn = convert((match[1] or match[2]).strip(), display="block" if shown else "inline")
    return drawn if shown else f"<span>{drawn}</span>"
