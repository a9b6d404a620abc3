"""`soundseek data`: captioned sounds fetched, checked and described, all in one layout."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundseek.cli.extras import need
from soundseek.cli.main import commands_of, plain_errors
from soundseek.cli.options import JsonOption, TableOption, argument, need_captions, need_folder, option
from soundseek.cli.output import (
    choose_format,
    console,
    plain_table,
    plain_text,
    printable,
    write_json_lines,
)
from soundseek.cli.progress import ByteProgress, CountProgress

if TYPE_CHECKING:
    from soundseek.learn.datasets.audiocaps_macs_wavcaps import LaidOut
    from soundseek.learn.datasets.check import CheckReport
    from soundseek.learn.datasets.describe import SplitDescription

DirectoryArgument = Annotated[Path, argument(metavar="DIR", help="The folder of the data set.")]
MirrorOption = Annotated[
    str | None,
    option(
        "--mirror",
        envvar="SOUNDSEEK_MIRROR",
        metavar="URL",
        help="URL of a folder with the published files, instead of the publisher's.",
    ),
]
AudioOption = Annotated[
    Path | None, option("--audio", metavar="FOLDER", help="The folder of the sounds that you have.")
]
WithoutOption = Annotated[
    list[Path] | None,
    option(
        "--without",
        metavar="DIR",
        help="Leave out recordings that are in this data set's test split; repeatable.",
    ),
]

data_command = commands_of(
    name="data",
    help="Fetch, check and describe captioned sounds, in the layout that soundseek train reads.",
    no_args_is_help=True,
)


@data_command.command("clotho")
@plain_errors
def clotho_command(
    directory: DirectoryArgument,
    split: Annotated[
        list[str] | None, option("--split", metavar="NAME", help="Only this split; repeatable.")
    ] = None,
    mirror: MirrorOption = None,
) -> None:
    """Download, unpack and verify Clotho v2.1; repair what is missing or cut off.

    Some 6.5 GB are downloaded and 11 GB unpacked. A stopped run goes on where it was. Files that you put into
    DIR/downloads yourself are verified and used.
    """
    from soundseek.learn.datasets.clotho import ClothoBuilder

    with ByteProgress() as progress:
        builder = ClothoBuilder(directory, mirror=mirror, report=progress, say=progress.say)
        built = builder.build(split)
    for name, clips in built.items():
        print(f"{name}: {clips:,} clips with their captions", file=sys.stderr)
    _say_next(directory)


@data_command.command("audiocaps")
@plain_errors
def audiocaps_command(
    directory: DirectoryArgument,
    audio: AudioOption = None,
    without: WithoutOption = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Download AudioCaps' captions and join them with sounds that you have.

    Its sounds are parts of YouTube videos, which soundseek does not download. Files called by video and start
    in any of the usual ways (ID_30.wav, YID.wav, ID_30_40.flac, ...) are found below FOLDER.
    """
    _need_folders(audio, without)
    from soundseek.learn.datasets.audiocaps_macs_wavcaps import obtain_audiocaps

    with ByteProgress() as progress:
        laid = obtain_audiocaps(directory, audio, without=without or [], mirror=mirror, report=progress)
    _say_laid(laid, directory, json=json)


@data_command.command("macs")
@plain_errors
def macs_command(
    directory: DirectoryArgument,
    audio: AudioOption = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Download MACS: its captions, and its sounds from TAU Urban Acoustic Scenes 2019."""
    _need_folders(audio)
    from soundseek.learn.datasets.audiocaps_macs_wavcaps import obtain_macs

    with ByteProgress() as progress:
        laid = obtain_macs(directory, audio, mirror=mirror, report=progress)
    _say_laid(laid, directory, json=json)


@data_command.command("wavcaps")
@plain_errors
def wavcaps_command(
    directory: DirectoryArgument,
    audio: AudioOption = None,
    part: Annotated[
        list[str] | None,
        option("--part", metavar="NAME", help="Only this part, such as FreeSound; repeatable."),
    ] = None,
    without: WithoutOption = None,
    mirror: MirrorOption = None,
    json: JsonOption = False,
) -> None:
    """Download WavCaps' captions and join them with sounds that you have.

    Before you test on Clotho, leave its recordings out: --without CLOTHO_DIR
    """
    _need_folders(audio, without)
    from soundseek.learn.datasets.audiocaps_macs_wavcaps import obtain_wavcaps

    with ByteProgress() as progress:
        laid = obtain_wavcaps(
            directory, audio, parts=part or [], without=without or [], mirror=mirror, report=progress
        )
    _say_laid(laid, directory, json=json)


@data_command.command("check")
@plain_errors
def check_command(
    directory: DirectoryArgument,
    workers: Annotated[
        int, option("--workers", min=1, metavar="N", help="Number of decoding processes.")
    ] = os.cpu_count() or 1,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Name every missing, surplus, broken, silent or duplicate sound, and every clip in two splits.

    Exits with 1 if there is any.
    """
    from dataclasses import asdict

    from soundseek.learn.datasets.check import check_data

    output = choose_format(json=json, table=table)
    need_captions(directory, name="DIR")
    with CountProgress() as progress:
        report = check_data(directory, workers=workers, report=progress)
    if output == "json":
        write_json_lines([asdict(report)])
    else:
        _print_check(report)
    if report.problems:
        raise typer.Exit(1)


@data_command.command("describe")
@plain_errors
def describe_command(
    directory: DirectoryArgument,
    out: Annotated[
        Path | None, option("--out", metavar="FOLDER", help="Also write plots (PNG) and word counts (CSV).")
    ] = None,
    json: JsonOption = False,
    table: TableOption = False,
) -> None:
    """Count words, caption lengths, durations, and words that training never sees."""
    from soundseek.learn.datasets.describe import describe_data, write_word_counts

    need_captions(directory, name="DIR")
    if out:
        need(["matplotlib"], extra="learn", why="plots need matplotlib")
    output = choose_format(json=json, table=table)
    with CountProgress() as progress:
        descriptions = describe_data(directory, report=progress)
    if output == "json":
        write_json_lines(each.to_dict() for each in descriptions)
    else:
        _print_descriptions(descriptions)
    if out:
        from soundseek.learn.datasets.describe import plot_descriptions

        out.mkdir(parents=True, exist_ok=True)
        write_word_counts(descriptions, out / "words.csv")
        plot_descriptions(descriptions, out / "data.png")
        print(f"wrote {out / 'data.png'} and {out / 'words.csv'}", file=sys.stderr)


def _need_folders(audio: Path | None, without: Sequence[Path] | None = None) -> None:
    """What was typed is there, before anything is downloaded."""
    need_folder(audio, "--audio", "it takes the folder of the sounds that you have")
    for each in without or []:
        need_captions(each, name="--without")


def _say_next(directory: Path) -> None:
    print(f"next: soundseek data check {printable(shlex.quote(str(directory)))}", file=sys.stderr)


def _say_laid(laid: Sequence[LaidOut], directory: Path, *, json: bool) -> None:
    if json:
        write_json_lines(each.to_dict() for each in laid)
        return
    for each in laid:
        line = f"{each.split}: {each.clips:,} clips"
        if each.missing:
            line += f"; {len(each.missing):,} have no sound, such as {each.missing[0]}"
        if each.left_out:
            line += f"; {each.left_out:,} left out, others are tested on them"
        if each.without_caption:
            line += f"; {each.without_caption:,} left out, they have no caption"
        print(printable(line), file=sys.stderr)
    _say_next(directory)


def _print_check(report: CheckReport) -> None:
    rows = plain_table("split", "clips", "captions", "sounds", "hours")
    for split in report.splits:
        counts = (f"{number:,}" for number in (split.clips, split.captions, split.sounds))
        rows.add_row(printable(split.split), *counts, f"{split.audio_s / 3600:.1f}")
    console().print(rows)
    if not report.problems:
        print("nothing is wrong")
        return
    rows = plain_table("problem", "split", "file", "what", right=())
    for problem in report.problems:
        rows.add_row(
            *(plain_text(cell) for cell in (problem.kind, problem.split, problem.file, problem.detail))
        )
    console().print(rows)
    print("1 problem" if len(report.problems) == 1 else f"{len(report.problems):,} problems")


def _print_descriptions(descriptions: Sequence[SplitDescription]) -> None:
    rows = plain_table("", *(each.split for each in descriptions))
    told = [each.to_dict() for each in descriptions]
    for name, show in _LINES.items():
        rows.add_row(name, *(show(each) for each in told))
    console().print(rows)
    words = ", ".join(f"{word} {count:,}" for word, count in told[0]["frequent_words"].items())
    console().print(plain_text(f"most frequent in {told[0]['split']}: {words}"))


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _spread(spread: dict[str, float], digits: int) -> str:
    return f"{spread['mean']:.1f} ({spread['least']:.{digits}f} to {spread['most']:.{digits}f})"


_LINES: dict[str, Any] = {
    "clips": lambda told: f"{told['clips']:,}",
    "captions": lambda told: f"{told['captions']:,}",
    "different captions": lambda told: f"{told['distinct_captions']:,}",
    "captions that another sound has": lambda told: f"{told['shared_captions']:,}",
    "words in a caption": lambda told: _spread(told["caption_words"], 0),
    "seconds of a sound": lambda told: _spread(told["duration_s"], 1),
    "hours": lambda told: f"{told['audio_s'] / 3600:.2f}",
    "words": lambda told: f"{told['tokens']:,}",
    "different words": lambda told: f"{told['vocabulary']:,}",
    "of these there once": lambda told: f"{told['once_only']:,}",
    "of these not in training": lambda told: _share(told["unseen_words"]),
    "of all words, not in training": lambda told: _share(told["unseen_tokens"]),
    "captions with a word not in training": lambda told: _share(told["unseen_captions"]),
}
