"""One index run in a process of its own: `python -m soundseek.server.index_process`.

It reads its request as a line of JSON from stdin, and tells how far it is in lines of JSON on stdout. When stdin ends,
because the server wants it to stop or is gone itself, it stops as after Ctrl-C: what is committed stays.
"""

from __future__ import annotations

import _thread
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from soundseek.errors import SoundseekError


def run_request() -> None:
    """Run the request that stands on stdin."""
    request = json.loads(sys.stdin.readline())
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a decoder prints is no message
    tell = _teller(out)
    threading.Thread(target=_stop_at_the_end_of_input, daemon=True).start()
    try:
        tell("report", _run(request, tell))
    except SoundseekError as error:
        tell("error", str(error))
    except KeyboardInterrupt:
        tell("report", None)


def _run(request: dict[str, Any], tell: Callable[[str, Any], None]) -> dict[str, Any]:
    from soundseek._threads import compute_on_one_thread

    compute_on_one_thread()
    from soundseek.library import Library
    from soundseek.model.registry import load_model
    from soundseek.server.schemas import JobReport

    model = load_model(request["model"]) if request["model"] else None
    with Library.open(request["library"], model=model, create=True) as library:
        report = library.index(
            *request["folders"],
            workers=request["workers"],
            max_duration_s=request["max_duration_s"],
            progress=lambda progress: tell("progress", asdict(progress)),
        )
    # Not its lists of paths: the server reads lines of a bounded length.
    return {name: getattr(report, name) for name in (*JobReport.model_fields, "interrupted")}


def _teller(out: Any) -> Callable[[str, Any], None]:
    def tell(kind: str, value: Any) -> None:
        out.write(json.dumps({kind: value}) + "\n")
        out.flush()

    return tell


def _stop_at_the_end_of_input() -> None:
    sys.stdin.read()
    _thread.interrupt_main()


if __name__ == "__main__":
    run_request()
