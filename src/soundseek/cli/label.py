"""`soundseek label`: sounds -> the words of a list that fit them best."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundseek.cli.options import (
    CsvOption,
    JsonOption,
    LibraryOption,
    MinMatchOption,
    ModelOption,
    TableOption,
    argument,
    library_if_there,
    need_model,
    option,
    whole_number,
)
from soundseek.cli.output import (
    choose_format,
    clock,
    console,
    dense_table,
    printable,
    say_if_cut,
    short_path,
    write,
    write_json_lines,
)
from soundseek.cli.reading import AsTypedOption, say_reading
from soundseek.errors import DecodeError, MissingFileError, StorageError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from soundseek.library import Library
    from soundseek.library.labelling import LabelledSound, Labeller

_NONE = "none that is probable enough"
_FILE_WIDTH, _LEAST_FILE_WIDTH, _LABEL_WIDTH = 44, 16, 30


def label_command(
    files: Annotated[list[str], argument(metavar="FILE", help="A sound, or a folder of sounds.")],
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="LIST",
            help="Words to choose from: audioset (527 names), ucs (the 752 categories of the Universal Category "
            "System), or a text file with a label on each line.",
        ),
    ] = "audioset",
    library: LibraryOption = None,
    model: ModelOption = None,
    count: Annotated[
        int,
        typer.Option(
            "-k", "--count", parser=whole_number(1, "labels"), metavar="N", help="Labels for each sound."
        ),
    ] = 5,
    segments: Annotated[bool, option("--segments", help="Label every segment, not whole files.")] = False,
    min_match: MinMatchOption = 0.0,
    write_copy: Annotated[
        Path | None,
        option(
            "--write-copy",
            metavar="DIR",
            help="Also write a copy of every file into DIR, its labels in its tags (those that are not unlikely); the "
            "audio is the same.",
        ),
    ] = None,
    as_typed: AsTypedOption = False,
    json: JsonOption = False,
    csv: CsvOption = False,
    table: TableOption = False,
) -> None:
    """Say in words what sounds are, with labels of a list that you choose.

    Files of the library are not embedded again. The files themselves are never changed.

    soundseek label recordings/ --labels ucs --csv > labels.csv
    """
    output = choose_format(json=json, csv=csv, table=table)
    if write_copy is not None and segments:
        raise UsageError("--write-copy labels whole files; leave --segments out")
    from soundseek.audio.decode import AUDIO_EXTENSIONS
    from soundseek.library.labelling import Labeller, label_record, labels_csv
    from soundseek.library.paths import absolute, on_disk
    from soundseek.library.scan import sounds_below
    from soundseek.model.registry import load_model

    need_model(model)
    roots = [on_disk(absolute(each, "FILE")) for each in files]
    sounds = {sound: root for root in roots for sound in sounds_below(root, AUDIO_EXTENSIONS)}
    if not sounds:
        raise UsageError(f"no sound in {', '.join(files)}; name files, or folders with sounds in them")
    failed: list[str] = []
    uncopied: list[str] = []
    rows: list[LabelledSound] = []
    with library_if_there(library, model) as opened:
        _need_named_files(roots, opened)
        chosen = opened.model if opened is not None else load_model(model)
        embedding_of = opened.embedding_of if opened is not None else chosen.embed_file
        labeller = Labeller(chosen, labels, as_typed=as_typed)
        _say_readings(labeller)
        if opened is not None:
            say_if_cut([*sounds], opened)

        def labelled() -> Iterator[list[LabelledSound]]:
            for sound, root in sounds.items():
                try:
                    embedding = embedding_of(sound)
                    found = labeller.of_embedding(
                        embedding, path=sound, k=count, segments=segments, min_match=min_match
                    )
                except (DecodeError, StorageError) as error:
                    failed.append(sound)
                    print(f"soundseek: {printable(str(error))}", file=sys.stderr)
                    continue
                if write_copy is not None:
                    try:
                        _write_copy(sound, root, write_copy, found[0])
                    except (DecodeError, StorageError) as error:
                        uncopied.append(sound)
                        print(f"soundseek: {printable(str(error))}", file=sys.stderr)
                yield found

        for number, found in enumerate(labelled()):
            if output == "json":
                write_json_lines(label_record(each) for each in found)
            elif output == "csv":
                write(labels_csv(found, header=number == 0))
            else:
                rows += found
    if rows:
        terminal = console()
        terminal.print(_table(rows, terminal.width))
        if any(_order_differs([each.match for each in sound.labels]) for sound in rows):
            print(
                "in the order of score; match weighs what each label scores on other sounds as well, so it may rank "
                "them otherwise",
                file=sys.stderr,
            )
    if failed:
        print(f"{len(failed)} of {len(sounds)} sounds could not be labelled", file=sys.stderr)
    if uncopied:
        print(f"{len(uncopied)} of {len(sounds)} sounds have no copy with their labels", file=sys.stderr)
    if failed or uncopied:
        raise typer.Exit(1)


def _order_differs(matches: Sequence[float | None]) -> bool:
    known = [f"{match:.2f}" for match in matches if match is not None]
    return known != sorted(known, reverse=True)


def _need_named_files(paths: Sequence[str], library: Library | None) -> None:
    """Check what was named before any work begins; a file that the library knows may be away.

    Raises:
        MissingFileError: There is nothing at one of the paths.
    """
    from soundseek.audio.files import broken_link
    from soundseek.library.paths import is_there
    from soundseek.library.query_vectors import find_example

    for path in paths:
        if not is_there(path) and (library is None or find_example(library.store, path).file is None):
            raise MissingFileError(path, broken_link(path) or "no such file")


def _say_readings(labeller: Labeller) -> None:
    for reading in labeller.readings:
        say_reading(reading, how="read as", otherwise="takes")


def _write_copy(sound: str, root: str, directory: Path, labelled: LabelledSound) -> None:
    """Copy a file into a folder, with its labels; what was found below a named folder keeps its place below it."""
    from soundseek.audio.tag_copies import TagsToWrite, write_tagged_copy
    from soundseek.model.match import DOUBTFUL_BELOW

    fitting = [each for each in labelled.labels if each.match is None or each.match >= DOUBTFUL_BELOW]
    if not fitting:
        print(f"{printable(sound)}: no label fits well enough to be written", file=sys.stderr)
        return
    name = Path(sound).relative_to(root) if sound != root else Path(Path(sound).name)
    target = directory / name
    target.parent.mkdir(parents=True, exist_ok=True)
    keywords = [word for each in fitting for word in (each.label, each.cat_id) if word]
    best = fitting[0]
    write_tagged_copy(
        Path(sound),
        target,
        TagsToWrite(
            tuple(keywords),
            category=best.category,
            subcategory=best.subcategory,
            cat_id=best.cat_id,
        ),
    )
    print(f"wrote {printable(str(target))}", file=sys.stderr)


def _table(rows: Sequence[LabelledSound], width: int) -> Table:
    """A line for each label; the file stands in the first one of its own, in what room the labels leave of `width`."""
    from rich.cells import cell_len
    from rich.text import Text

    from soundseek.model.match import match_word

    has_match = any(each.match is not None for sound in rows for each in sound.labels)
    has_code = any(each.cat_id for sound in rows for each in sound.labels)
    with_times = any(sound.start_s for sound in rows)
    texts = [printable(each.words) for sound in rows for each in sound.labels]
    codes = [each.cat_id or "" for sound in rows for each in sound.labels]
    texts += [_NONE for sound in rows if not sound.labels]
    label_width = min(max(map(cell_len, texts)), _LABEL_WIDTH)
    others = [label_width, len("0.000")]
    others += [len("0:00:00")] * with_times + [len("100% unlikely")] * has_match
    others += [max(map(len, codes))] if has_code else []
    room = width - sum(each + 2 for each in others)
    file_width = max(_LEAST_FILE_WIDTH, min(_FILE_WIDTH, room))
    table = dense_table()
    table.add_column("file", no_wrap=True)
    if with_times:
        table.add_column("from", style="green", no_wrap=True, justify="right")
    table.add_column("label", overflow="fold", min_width=label_width)
    if has_code:
        table.add_column("UCS", no_wrap=True)
    table.add_column("score", style="cyan", no_wrap=True, justify="right")
    if has_match:
        table.add_column("match", no_wrap=True)
    for sound in rows:
        lead = [short_path(sound.path, file_width), *([clock(sound.start_s)] if with_times else [])]
        for number, each in enumerate(sound.labels):
            cells = lead if number == 0 else [""] * len(lead)
            cells = [*cells, printable(each.words), *([each.cat_id or ""] if has_code else [])]
            cells += [f"{each.score:.3f}"]
            if has_match:
                cells.append("" if each.match is None else f"{each.match:.0%} {match_word(each.match)}")
            table.add_row(*map(Text, cells))
        if not sound.labels:
            table.add_row(*map(Text, [*lead, _NONE]))
    return table
