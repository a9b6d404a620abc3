"""The demo: index samples/, ask it three things in words and one by example (`make demo` runs this)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("soundseek")
LIBRARY = Path(".demo") / "library"  # not the user's own: the demo leaves nothing else behind

COMMANDS = [
    ["index", "samples"],
    ["search", "thunder rolls", "-k", "3"],
    ["search", "a wolf howls in the distance", "-k", "3"],
    ["search", "a baby cries", "-k", "3"],
    ["similar", "samples/music/xylophone-1.ogg", "-k", "3"],
]

NEXT = """
Now your own sounds:

  .venv/bin/soundseek index ~/Sounds
  .venv/bin/soundseek search "waves break on a beach at night"
  .venv/bin/soundseek similar ~/Sounds/one-you-like.wav
"""


def main() -> None:
    """Run the commands, each shown as one would type it, and say what to do next."""
    environment = {**os.environ, "SOUNDSEEK_LIBRARY": str(LIBRARY)}
    if not sys.stdout.isatty():
        environment.setdefault("COLUMNS", "100")
    for command in COMMANDS:
        show(command, environment)
    print(NEXT)


def show(command: list[str], environment: dict[str, str]) -> None:
    """Print a command and run it; a table, even if the demo itself is piped."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() or "FORCE_COLOR" in os.environ else ("", "")
    print(f"\n{bold}$ soundseek {' '.join(map(quoted, command))}{plain}", flush=True)
    done = subprocess.run([PROGRAM, *command, "--table"], env=environment)
    if done.returncode:
        sys.exit(done.returncode)  # the command has said why


def quoted(word: str) -> str:
    """A word as one types it in a shell."""
    return f'"{word}"' if " " in word else shlex.quote(word)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
