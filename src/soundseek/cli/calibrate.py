"""`soundseek calibrate`: how sure a model's hits are, what words of manner change, and the sounds that it remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from soundseek.cli.options import (
    DataOption,
    JsonOption,
    TableOption,
    argument,
    need_captions,
    need_file,
    need_model,
    option,
)
from soundseek.cli.output import choose_format, console, write_json_lines
from soundseek.errors import UsageError


def calibrate_command(
    model: Annotated[str, argument(metavar="MODEL", help="A model's name or directory.")],
    data: DataOption,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="The split that it is fitted on.")
    ] = "validation",
    reference: Annotated[
        str, typer.Option(metavar="NAME", help="The split whose sounds are what other sounds score.")
    ] = "development",
    check: Annotated[str | None, option(metavar="NAME", help="A split that the result is tested on.")] = None,
    unmet: Annotated[
        str | None,
        option(
            metavar="MODEL",
            help="A model trained alike without the sounds of --unmet-files: MODEL is fitted on these, too, so that it "
            "is not too sure of sounds unlike those that it has learned from.",
        ),
    ] = None,
    unmet_files: Annotated[
        Path | None,
        option(
            metavar="FILE",
            help="The list that data.leave_out of the --unmet model named: one file name a line.",
        ),
    ] = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Fit how sure a model's hits are, keep the sounds that words are looked up among, and what "muffled" changes."""
    output = choose_format(json=json, table=table)
    need_model(model)
    for each in (split, reference, *([check] if check else [])):
        need_captions(data, each)
    if check == split:
        raise UsageError(f"--check {check}: a split that it was fitted on shows nothing; take another")
    if (unmet is None) != (unmet_files is None):
        raise UsageError("--unmet MODEL and --unmet-files FILE belong together; give both or neither")
    need_model(unmet)
    need_file(unmet_files, "--unmet-files", "it takes a text file with a file name on each line")
    from soundseek.learn.datasets.layout import read_split
    from soundseek.learn.datasets.tables import read_lines
    from soundseek.learn.evaluation.manners import fit_manners
    from soundseek.learn.evaluation.match import Unmet, ask, check_match, fit_match, varied_sounds
    from soundseek.learn.evaluation.memory import Remembering, remember
    from soundseek.model.manners import write_manners
    from soundseek.model.match import MATCH_FILE
    from soundseek.model.registry import load_model

    loaded = load_model(model)
    met_not = None if unmet is None else load_model(unmet)
    memory = remember(loaded, data, split=reference)
    remembering = Remembering(loaded, memory)
    others = None
    if met_not is not None and unmet_files is not None:
        files = frozenset(read_lines(unmet_files))
        known = remember(met_not, data, split=reference, leave_out=files)
        others = Unmet(Remembering(met_not, known), files)
    calibration = fit_match(remembering, data, reference_split=reference, split=split, unmet=others)
    memory.write(loaded.directory)
    calibration.write(loaded.directory)
    varied = varied_sounds(loaded, read_split(data, reference))
    manners = fit_manners(loaded, data, split=reference, reference=varied, memory=memory)
    write_manners(loaded.directory, manners, heard_by=loaded.hears_like)
    record: dict[str, Any] = {
        "model": loaded.config.name,
        "file": str(loaded.directory / MATCH_FILE),
        "split": split,
        "manners": sorted(manners),
        "remembered": len(memory.sounds),
    }
    if others is not None:
        record |= {"unmet": str(unmet), "unmet_files": len(others.files)}
    if check:
        asked = ask(remembering, data, check)
        report = check_match(calibration, asked)
        record |= {"check": check, **report.figures(), "bins": report.bins}
        numbers: tuple[Literal["one", "several"], ...] = ("one", "several")
        for number in numbers:
            if (some := asked.naming(number)).queries:
                record[f"naming_{number}"] = check_match(calibration, some).figures()
    if output == "json":
        write_json_lines([record])
        return
    console().print(f"written to {record['file']}")
    if check:
        console().print(
            f"on {check}: calibration error {record['calibration_error']:.3f}, right hits above wrong ones in "
            f"{record['auc_hits']:.1%}, best hits of what is there above those of what is not in "
            f"{record['auc_present']:.1%}"
        )
        if "naming_several" in record:
            of_several = record["naming_several"]["calibration_error"]
            console().print(f"of what names several sounds: calibration error {of_several:.3f}")
