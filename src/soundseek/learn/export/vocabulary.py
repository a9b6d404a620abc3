"""The words of the captions that a run learned from -> `words.txt` of its model directory."""

from __future__ import annotations

import logging
from pathlib import Path

from soundseek.learn.data.how_it_sounds import MANNERS
from soundseek.learn.datasets.layout import read_table
from soundseek.learn.recipe.load import load_recipe
from soundseek.learn.recipe.stages import plan_phases
from soundseek.learn.training.run_folder import RECIPE_FILE, read_record
from soundseek.model.spelling import WORDS_FILE, write_words


def write_learned_words(run: Path, out: Path) -> None:
    """Write `words.txt` of a run's model directory; with a warning in its place where the data are gone.

    Words for how a sound sounds count where clips were altered (`data.altered`); sentences of listeners
    (`data.listener_captions`), names of tags and terms of the trade do not.

    Args:
        run: A run folder.
        out: The model directory; a list of an earlier export goes.
    """
    (out / WORDS_FILE).unlink(missing_ok=True)
    captions = learned_captions(run)
    if captions:
        write_words(out, captions)
        return
    logging.getLogger("soundseek").warning(
        "the captions that %s learned from are not in %s any more: %s gets no %s, and mistyped words of a query are "
        "not corrected",
        run,
        read_record(run).get("data", "its data"),
        out,
        WORDS_FILE,
    )


def learned_captions(run: Path) -> list[str]:
    """The captions of all data that a run learned from, in any of its phases, and the words for altered clips.

    Tables that are gone have none.
    """
    data = read_record(run).get("data")
    if not data:
        return []
    phases = plan_phases(load_recipe(run / RECIPE_FILE), run)
    tables = {
        (Path(data) / folder, split): None  # each once, in order
        for phase in phases
        for folder in phase.data_sets or (Path(),)
        for split in phase.recipe.data.train_splits
    }
    rows = [row for folder, split in tables for row in read_table(folder, split).rows]
    captions = [caption for row in rows for caption in row.captions]
    if captions and any(phase.recipe.data.altered for phase in phases):
        captions += [
            said for each in MANNERS.values() for said in (*each.adjectives, *each.endings, *each.opposites)
        ]
    return captions
