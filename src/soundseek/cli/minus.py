"""A word behind a minus, `soundseek search rain -thunder`: an exclusion, and no option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from soundseek.errors import UsageError


def with_words_apart(command: Any, args: Sequence[str]) -> list[str]:
    """What was typed behind a command, its words behind `--` where one of them begins with a minus.

    A word of at least two characters whose first is a letter is an exclusion, unless an option has that name.

    Args:
        command: A click command whose last argument is words.
        args: What was typed behind its name.

    Raises:
        UsageError: An option was typed with one minus.
    """
    named = [each for each in command.params if each.param_type_name == "option"]
    takes_value = {name: not option.is_flag for option in named for name in option.opts}
    options: list[str] = []
    words: list[str] = []
    has_minus = False
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            words += rest
        elif not arg.startswith("-"):
            words.append(arg)
        elif _is_word(arg):
            if f"-{arg}" in takes_value:
                raise UsageError(
                    f"no option {arg}; did you mean -{arg}? To leave out a sound: --not {arg[1:]}"
                )
            has_minus = True
            words.append(arg)
        else:
            options.append(arg)
            if takes_value.get(arg):
                options += [each for each in [next(rest, None)] if each is not None]
    if not has_minus:
        return list(args)
    # Alone, an argument is all of the query: "-thunder rain".
    return [*options, "--", *(words if len(words) == 1 else map(_quoted_again, words))]


def _quoted_again(word: str) -> str:
    """`-car horn` beside other words, from whose quotes the shell has taken it, is one exclusion."""
    parts = word.split()
    is_one = (
        len(parts) > 1 and _is_word(word) and not any(part[0] == "-" and _is_word(part) for part in parts[1:])
    )
    return f'-"{word[1:]}"' if is_one else word


def _is_word(arg: str) -> bool:
    """True for `-thunder`, `-car horn` and `-雷`; False for `-k`, `-k5`, `-k=5`, `--json` and `-`."""
    word = arg[1:].split()[0] if arg[1:].split() else ""
    return (
        word[:1].isalpha()
        and (word.isalpha() or word[1:2].isalpha())
        and (len(word) > 1 or not word.isascii())
    )
