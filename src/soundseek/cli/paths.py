"""What was typed is there and of the right kind, or one line that names it and the next step, before any work begins.

Whatever is wrong with the inside of it (a damaged file, half a data set) is found later and is another exit code.
"""

from __future__ import annotations

from pathlib import Path

from soundseek.audio.files import broken_link
from soundseek.errors import UsageError


def need_folder(path: Path | None, name: str, advice: str) -> None:
    """Nothing if there is a folder at `path`, or if the option was not given.

    Args:
        path: As it was typed.
        name: The option or argument, as the help names it.
        advice: What it takes, or how to get one: a clause.

    Raises:
        UsageError: There is nothing, or a file.
    """
    if path is not None and not path.is_dir():
        raise UsageError(f"{name} {path}: {_instead(path, 'folder')}; {advice}")


def need_file(path: Path | None, name: str, advice: str) -> None:
    """Nothing if there is a file at `path`, or if the option was not given; see `need_folder`.

    Raises:
        UsageError: There is nothing, or a folder.
    """
    if path is not None and (path.is_dir() or not path.exists()):
        raise UsageError(f"{name} {path}: {_instead(path, 'file')}; {advice}")


def need_captions(data: Path, split: str | None = None, *, name: str = "--data") -> None:
    """Nothing if `data` is a folder with captions: of that split if one is asked for, else it may be one of several
    data sets in folders of its own, as the stages of a recipe name them.

    Raises:
        UsageError: It is none, or has no such split.
    """
    make = f"soundseek data clotho {data} makes one"
    need_folder(data, name, f"it takes captioned sounds in Clotho's layout: {make}")
    splits = sorted(path.stem.removeprefix("captions_") for path in data.glob("captions_*.csv"))
    if not splits and (split is not None or not any(data.glob("*/captions_*.csv"))):
        raise UsageError(
            f"{name} {data}: it has no captions_{{split}}.csv, and Clotho's layout is expected: {make}"
        )
    if split is not None and split not in splits:
        raise UsageError(f"--split {split}: {data} has no captions_{split}.csv; it has {', '.join(splits)}")


def need_run(run: Path) -> None:
    """Nothing if `run` is a folder that training has begun to fill.

    Raises:
        UsageError: It is none.
    """
    make = f"soundseek train RECIPE --data DIR --out {run} makes one"
    need_folder(run, "RUN", make)
    if not (run / "recipe.yaml").is_file():
        raise UsageError(f"RUN {run}: it has no recipe.yaml, so it is no run folder; {make}")


def need_model(model: str | None) -> None:
    """Nothing if `model` is a name (who loads it knows the names) or a folder with a model's card.

    Raises:
        UsageError: A folder that holds no model.
    """
    if (
        model
        and (directory := Path(model).expanduser()).is_dir()
        and not (directory / "config.json").is_file()
    ):
        raise UsageError(f"{model} is no model directory: it has no config.json. See: soundseek models")


def _instead(path: Path, wanted: str) -> str:
    if path.is_dir():
        return f"a folder, not a {wanted}"
    return f"a file, not a {wanted}" if path.exists() else broken_link(str(path)) or f"no such {wanted}"
