"""`soundseek adapt`: a model and one's own sounds -> a model that finds these sounds better."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.options import JsonOption, TableOption, need_model, option
from soundseek.cli.output import choose_format, printable, write_json_lines
from soundseek.cli.progress import CountProgress

if TYPE_CHECKING:
    from soundseek.learn.export.adapt import AdaptReport


def adapt_command(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="MINE",
            help="Sounds and what is said of them: a CSV file_name,caption_1,... beside its sounds, a folder in "
            "Clotho's layout, or a folder whose sub-folders or UCS file names are labels.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The model directory to make.")],
    start: Annotated[
        str | None,
        option(
            "--start",
            metavar="MODEL",
            help="The model to go on from, a name or a directory; default: soundseek-small.",
        ),
    ] = None,
    name: Annotated[
        str | None, option(metavar="NAME", help="What the model is called; default: the name of DIR.")
    ] = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Teach a model the words for sounds of your own, in minutes on a CPU.

    Only what words mean is learned: sounds keep their vectors, so a library need not be embedded again. What it brings
    is measured on held-out tenths of the sounds. Stopped, it leaves nothing behind. Next: soundseek index --model DIR
    """
    output = choose_format(json=json, table=table)
    need_model(start)
    from soundseek.learn.export.adapt import adapt as run

    with CountProgress() as shown:
        report = run(data, out, start=start, name=name, report=shown, say=shown.say)
    if output == "json":
        write_json_lines([report.to_dict()])
    else:
        print("\n".join(_told(report)))
    if report.skipped:
        raise typer.Exit(1)


def _told(report: AdaptReport) -> list[str]:
    """What was made, what it brings and what to do next."""
    what = "labels" if report.kind == "labels" else "different first captions"
    lines = [
        f"{report.directory}: {report.start}, adapted to {report.clips:,} sounds with {report.labels:,} {what}, in "
        f"{report.cpu_s / 60:.1f} minutes of one core"
    ]
    if report.unlabelled:
        first = printable(report.unlabelled[0])
        lines.append(f"{len(report.unlabelled):,} sounds have no label and were passed by, such as {first}")
    if report.skipped:
        lines.append(f"{len(report.skipped):,} files cannot be learned from; they are named above")
    gain = report.gain
    lines.append(
        f"on {report.held_out:,} sounds that were held out: mAP@10 {100 * report.before:.1f} % before, "
        f"{100 * report.after:.1f} % after ({100 * gain.value:+.1f}; 95 % interval {100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f})"
    )
    if gain.low <= 0:
        lines.append(
            "that is not surely a gain: more sounds a label help, and labels that say what is heard; the model as it "
            "was may do as well"
        )
    lines.append(f"other words stay where they were to a mean cosine of {report.general_cosine:.3f}")
    directory = shlex.quote(str(report.directory))
    lines.append(
        f"next: soundseek search TEXT --model {directory}; for good, and without embedding anything again: "
        f"soundseek index --model {directory}"
    )
    return lines
