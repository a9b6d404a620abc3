"""The README's picture: run the demo for real and draw what it printed as docs/images/demo.svg."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "demo.svg"
COLUMNS = 96


def main() -> None:
    """Write the picture; run it where the `soundseek` of this environment is the one to show."""
    shutil.rmtree(ROOT / ".demo", ignore_errors=True)  # so that the picture shows a first run
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "PYTHONUNBUFFERED": "1"}
    shown = subprocess.run(
        [sys.executable, ROOT / "scripts" / "demo.py"], env=environment, check=True, stdout=subprocess.PIPE
    ).stdout.decode()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown.strip("\n")))
    svg = console.export_svg(title="make demo", unique_id="demo")
    # A picture in a README cannot load fonts from elsewhere; the reader's own monospace font does.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "DejaVu Sans Mono, Menlo, Consolas, monospace")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(svg, encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
