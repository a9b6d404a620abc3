"""One index run in a process of its own, `python -m soundseek.server.index_process`; a stop keeps what is committed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from soundseek.server.child_process import TellServer, answer_request


def index_folders(request: dict[str, Any], tell: TellServer) -> dict[str, Any]:
    """Index what a request names; the numbers of the run's report."""
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


if __name__ == "__main__":
    answer_request(index_folders)
