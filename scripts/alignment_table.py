"""What helps the heads: soundseek-small's recipe with one thing changed at a time, each a row of a table.

    python scripts/alignment_table.py --data DIR --captions audiocaps_train.csv --teacher mn04.safetensors

A row is what `soundseek train soundseek-small --set ...` trains, but some sets of recordings are left out, alone and in
mixtures, and searched afterwards: they stand for a user's sounds. Stopped, it goes on row by row with the same command;
`--only WORD` takes the rows whose name has the word, `--compact FILE` adds those of another trunk. The table is in
docs/results/alignment.json, written after each row; `python scripts/results_page.py` shows it.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from soundseek.learn.data.caption_neighbours import cached_nearest, read_sentences
from soundseek.learn.data.mixing import SoundSpec
from soundseek.learn.data.prepare import open_features, sound_keys
from soundseek.learn.data.tower_cache import cache_directory, extract_texts, text_store
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.evaluation.evaluate import embed_clips, embed_sentences
from soundseek.learn.evaluation.metrics import ranks
from soundseek.learn.experiments.average import average
from soundseek.learn.experiments.cost import machine
from soundseek.learn.models.build import build_text
from soundseek.learn.models.text.tower import TextTower
from soundseek.learn.recipe.load import Recipe, load_recipe
from soundseek.learn.training.run_folder import environment, is_run, load_run
from soundseek.learn.training.train import train

Float = npt.NDArray[np.float32]

ROOT = Path(__file__).parents[1]
RECIPE = "soundseek-small"
COMMON = (
    "audio.trunk=efficientat",
    "data.tag_captions=null",
)  # a plain start, which each row says its own to
LEFT_OUT = (
    "ambientsounds",
    "dsurround",
    "esc10",
    "noisekun",
    "openclonk",
)  # values of metadata.csv's column `set`
MOST_OF_A_LABEL = 6  # a set with forty dogs would ask for the dog
REWORDED_COSINE = 0.72  # below what training takes (.78), so that most sentences are new to the heads
NAMED = "The sound of {}"

NOTHING = "nothing changed"
IMAGINED = "data.imagined_sounds.path=CAPTIONS"  # the file of listeners' sentences
COMPACT = ("audio.trunk=compact", "data.tag_captions.share=0.2")
PEAK = "audio.trunk_options.peak_dbfs=-6.0"  # as soundseek-small has it now, which the older rows had not
SILENCE = "audio.trunk_options.margin_frames=128"  # and this
LEVEL = (*COMPACT, IMAGINED, "training.epochs=30", PEAK)
SEEDS = range(8)
AVERAGED = f"seed={SEEDS[0]}..{SEEDS[-1]}"  # a run for each, then: soundseek average
ROWS: dict[str, tuple[str, ...]] = {
    NOTHING: (),
    "tags as features": ("audio.trunk=efficientat+amplitudes",),
    "tags as features and as captions": ("audio.trunk=efficientat+amplitudes", "data.tag_captions.share=0.3"),
    "imagined sounds": ("audio.trunk=efficientat+amplitudes", IMAGINED),
    "imagined sounds, tags as captions": (
        "audio.trunk=efficientat+amplitudes",
        "data.tag_captions.share=0.3",
        IMAGINED,
    ),
    "no listeners' wording": ("data.listener_captions=null",),
    "more listeners' wording": ("data.listener_captions.share=0.8",),
    # As many steps as the other rows: their epochs are half as long again as those without mixtures.
    "no mixtures": ("data.mixture_share=0.0", "training.epochs=18"),
    "more mixtures": ("data.mixture_share=1.5", "training.epochs=7"),
    "no degraded versions": ("data.degraded_share=0.0",),
    "learning rate 3e-4": ("training.learning_rate=3.0e-4",),
    "learning rate 3e-3": ("training.learning_rate=3.0e-3",),
    "temperature .04": ("loss.temperature=0.04",),
    "temperature .12": ("loss.temperature=0.12",),
    "learned temperature": ("loss.temperature_mode=learned",),
    "supervised contrastive": ("loss.name=supervised-contrastive",),
    "dropout": ("audio.dropout=0.2",),
    "no weight decay": ("training.weight_decay=0.0",),
    "more weight decay": ("training.weight_decay=0.1",),
    "batches of 128": ("training.batch_size=128",),
    "batches of 1024": ("training.batch_size=1024",),
    "no average of weights": ("training.average=none",),
    "a hidden layer": ("audio.head=mlp", "audio.head_width=1024"),
    "probabilities as features": ("audio.trunk=efficientat+tags",),
    "graph attention": ("audio.attention=graph",),
    "self-attention": ("audio.attention=self",),
    "the last layer of the text tower": ("text.trained_layers=1",),
    "compact": ("audio.trunk=compact",),
    "compact, tags as captions": COMPACT,
    "compact, imagined sounds": (*COMPACT, IMAGINED),
    "compact, imagined sounds, 30 epochs": (*COMPACT, IMAGINED, "training.epochs=30"),
    "compact, imagined sounds, 60 epochs": (*COMPACT, IMAGINED, "training.epochs=60"),
    "compact, 60 epochs": (*COMPACT, "training.epochs=60"),
    "compact, imagined sounds, 30 epochs, one level": LEVEL,
    "eight seeds of that, averaged": (*LEVEL, "data.seed=0", AVERAGED),
    "compact, imagined sounds, 30 epochs, one level, silence around": (*LEVEL, SILENCE),
    "eight seeds of that with silence around, averaged": (*LEVEL, SILENCE, "data.seed=0", AVERAGED),
    "compact, its last block": ("audio.trunk=compact", "audio.trained_blocks=1"),
    "compact, its last two blocks, one level": ("audio.trunk=compact", "audio.trained_blocks=2", PEAK),
}
"""Name -> settings, the most telling first; the cache of features makes the later ones of a trunk cheap."""

COLUMNS = {
    "apart": "apart: mAP@10",
    "apart_R10": "R@10",
    "apart_reworded": "reworded",
    "apart_named": "named",
    "esc10": "ESC-10 named",
    "validation": "validation: mAP@10",
    "reworded": "reworded",
    "degraded": "degraded",
    "overlaid": "overlaid",
    "named": "named",
}


class Heads:
    """Sounds and sentences to vectors by a finished run, from the cache of features where it can be."""

    def __init__(self, run: Path) -> None:
        self.model, self.recipe = load_run(run)
        assert self.model.text is not None  # load_run gives it one
        self.text: TextTower = self.model.text
        self._frames, self._texts = open_features(self.recipe, self.model.trunk), text_store(self.text)

    def embed_sounds(self, sounds: Sequence[SoundSpec]) -> Float:
        """`(len(sounds), dim)`, unit norm."""
        keys = sound_keys(sounds, self._frames, self.recipe, trunk=self.model.trunk)
        return embed_clips(self.model, self._frames, keys).numpy()

    def embed_text(self, sentences: Sequence[str]) -> Float:
        """`(len(sentences), dim)`, unit norm."""
        if self.recipe.text.is_online:
            return embed_sentences(self.model, sentences, self.text).numpy()
        features = extract_texts(list(sentences), self._texts, self.text)
        return self.model.encode_text_features(torch.from_numpy(features)).numpy()


@dataclass(frozen=True)
class Search:
    """Sentences that look for their sounds, `relevant` the number of each one's."""

    sounds: Sequence[SoundSpec]
    sentences: Sequence[str]
    relevant: npt.NDArray[np.int64]

    def scores(self, heads: Heads) -> tuple[float, float]:
        """mAP@10 and R@10."""
        found = ranks(heads.embed_text(self.sentences), heads.embed_sounds(self.sounds), self.relevant)
        return float(found.average_precision_at(10).mean()), float(found.recall_at(10).mean())


@dataclass(frozen=True)
class Naming:
    """Sounds that look for what each is called, among the labels of all of them."""

    sounds: Sequence[SoundSpec]
    labels: Sequence[str]

    def accuracy(self, heads: Heads) -> float:
        """Share of the sounds whose own name is the nearest."""
        names = sorted(set(self.labels))
        scores = heads.embed_sounds(self.sounds) @ heads.embed_text([NAMED.format(name) for name in names]).T
        found = [names[best] for best in scores.argmax(axis=1)]
        return float(np.mean([name == label for name, label in zip(found, self.labels, strict=True)]))


@dataclass(frozen=True)
class Exam:
    """Everything that a row is scored on."""

    searches: dict[str, Search]
    namings: dict[str, Naming]

    def scores(self, heads: Heads) -> dict[str, float]:
        """Percent by the names of `COLUMNS`."""
        found = {name: naming.accuracy(heads) for name, naming in self.namings.items()}
        for name, search in self.searches.items():
            found[name], found[f"{name}_R10"] = search.scores(heads)
        return {name: round(100 * found[name], 1) for name in COLUMNS}


def main() -> None:
    """Train and score the rows that the table lacks."""
    arguments = parse()
    torch.set_num_threads(1)
    trunks = {"efficientat": arguments.teacher, "compact": arguments.compact}
    labels = read_labels(arguments.data)
    development = read_split(arguments.data, "development")
    apart = [clip for clip in development if labels[clip.path.name][0] in LEFT_OUT]
    arguments.work.mkdir(parents=True, exist_ok=True)
    left_out = arguments.work / "left_out.txt"
    left_out.write_text("".join(f"{clip.path.name}\n" for clip in apart), encoding="utf-8")
    exam = build_exam(apart, read_split(arguments.data, "validation"), labels, arguments.captions)
    facts = {"recipe": RECIPE, "epochs": arguments.epochs, "seed": arguments.seed, "left_out": list(LEFT_OUT)}
    table = Table(arguments.results, exam, facts)
    for name, settings in ROWS.items():
        weights = trunks[trunk_of(settings)]
        if weights is None or arguments.only not in name or name in table:
            continue
        common = [
            *COMMON,
            f"audio.weights={weights}",
            f"data.leave_out={left_out}",
            f"data.listener_captions.path={arguments.captions}",
            f"training.epochs={arguments.epochs}",
            "training.extraction_workers=0",
        ]
        changed = [each.replace("CAPTIONS", str(arguments.captions)) for each in overrides(settings)]
        seeds = SEEDS if AVERAGED in settings else [arguments.seed]
        recipes = [load_recipe(RECIPE, [*common, *changed, f"seed={seed}"]) for seed in seeds]
        table.add(name, *tried(recipes, arguments.data, arguments.work / name.replace(" ", "-"), exam))
        table.save(arguments.chosen)
        print(name, table.path, file=sys.stderr, flush=True)
    if table.tried:
        table.save(arguments.chosen)


def overrides(settings: Sequence[str]) -> list[str]:
    """What a row sets in the recipe of today, which is not that of the first row any more."""
    own = [each for each in settings if each != AVERAGED]
    if SILENCE in settings:
        return own
    # Last, for another trunk brings back the recipe's own options.
    return [*own, "audio.trunk_options.margin_frames=0" if PEAK in settings else "audio.trunk_options=null"]


def trunk_of(settings: Sequence[str]) -> str:
    """Whose weights a row needs."""
    return "compact" if "audio.trunk=compact" in settings else "efficientat"


def tried(recipes: Sequence[Recipe], data: Path, run: Path, exam: Exam) -> tuple[dict[str, float], float]:
    """Scores of a recipe, or of its seeds' average, and the processor's seconds for it; no run is kept."""
    started = time.process_time()
    runs = [run / f"seed-{recipe.seed}" for recipe in recipes]
    for recipe, folder in zip(recipes, runs, strict=True):
        train(recipe, data, folder, resume=is_run(folder))
    if len(runs) > 1:
        shutil.rmtree(run / "average", ignore_errors=True)
        average(runs, run / "average")
    scores = exam.scores(Heads(run / "average" if len(runs) > 1 else runs[0]))
    shutil.rmtree(run)
    return scores, round(time.process_time() - started, 1)


class Table:
    """The rows so far, in docs/results; a row counts only with the settings that its name stands for now."""

    def __init__(self, path: Path, exam: Exam, facts: dict[str, Any]) -> None:
        self.path, self.exam, self.facts = path, exam, facts
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"tried": []}
        same = all(before.get(key) == value for key, value in facts.items())
        self.tried: list[dict[str, Any]] = [each for each in before["tried"] if same and is_current(each)]

    def __contains__(self, name: str) -> bool:
        return any(each["name"] == name for each in self.tried)

    def add(self, name: str, scores: dict[str, float], cpu_s: float) -> None:
        """Put a row in its place."""
        row = {"name": name, "settings": list(ROWS[name]), "scores": scores, "cpu_s": cpu_s}
        self.tried.append({**row, "git": environment()["git"], "machine": machine()})
        self.tried.sort(key=lambda each: list(ROWS).index(each["name"]))

    def save(self, chosen: str | None) -> None:
        """The whole file, with what the columns mean."""
        names = [each["name"] for each in self.tried]
        rows = [
            [
                each["name"],
                *each["scores"].values(),
                f"`{' '.join(each['settings'])}`" if each["settings"] else "",
            ]
            for each in self.tried
        ]
        report = {
            "says": says(self.exam, self.facts, self.tried),
            "columns": ["changed", *COLUMNS.values(), "--set"],
            "rows": rows,
            **({"chosen": names.index(chosen)} if chosen in names else {}),
            **self.facts,
            "tried": self.tried,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def is_current(row: dict[str, Any]) -> bool:
    """True for a row that stands here with the same settings, scored on the same exam."""
    return ROWS.get(row["name"]) == tuple(row["settings"]) and list(row["scores"]) == list(COLUMNS)


def says(exam: Exam, facts: dict[str, Any], tried: Sequence[dict[str, Any]]) -> str:
    """What was compared, on what, by what."""
    apart, naming = exam.searches["apart"], exam.namings["apart_named"]
    seconds = [row["cpu_s"] for row in tried]
    commits = ", ".join(sorted({str(row["git"])[:7] for row in tried}))
    return (
        f"One change at a time to the recipe {RECIPE} with `{' '.join(COMMON)}`: linear heads on the frozen frames of "
        f"EfficientAT's `mn04_as` (of `compact`, where a row says so), {facts['epochs']} epochs, one seed "
        f"({facts['seed']}), so differences of about a point may be chance. *Apart*: {len(apart.sentences):,} captions "
        f"look for {len(apart.sounds)} recordings of {', '.join(LEFT_OUT)}, none of which was learned from, alone or "
        "in a mixture (but `compact` had heard them, without words, when it was distilled, so compare its rows with "
        "each other); *reworded*: a listener's sentence in place of each caption; *named*: share of the recordings "
        f'whose label is the nearest of {len(set(naming.labels))} as "{NAMED.format("…")}", for ESC-10 of its own. '
        "*Validation*: the same among recordings of known sources, by which the epoch is chosen; *degraded*: in a "
        "room, band-limited, noisy, clipped or quiet; *overlaid*: each with another on top. In percent. Again: "
        f"`python scripts/alignment_table.py`. Measured: {tried[0]['machine']['processor']}, commit {commits}, "
        f"{min(seconds):.0f} to {max(seconds):.0f} seconds of one core a row."
    )


def read_labels(data: Path) -> dict[str, tuple[str, str]]:
    """File name -> the set that a recording is from, and what it is called."""
    with (data / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return {row["file_name"]: (row["set"], row["label"]) for row in csv.DictReader(file)}


def build_exam(
    apart: Sequence[Clip], known: Sequence[Clip], labels: dict[str, tuple[str, str]], captions: Path
) -> Exam:
    """Searches and namings among recordings of sets left out, and among those of the validation split."""
    reword = Rewording(captions)
    few = at_most(apart, labels, MOST_OF_A_LABEL)
    esc10 = [clip for clip in apart if labels[clip.path.name][0] == "esc10"]
    plain, damaged = as_they_are(known), degraded(known)
    searches = {
        "apart": search(few, as_they_are(few)),
        "apart_reworded": reword.search(few, as_they_are(few)),
        "validation": search(known, plain),
        "reworded": reword.search(known, plain),
        "degraded": search(known, damaged),
        "overlaid": search(known, overlaid(known)),
    }
    groups = {"apart_named": few, "esc10": esc10, "named": known}
    namings = {
        name: Naming(as_they_are(clips), [labels[clip.path.name][1] for clip in clips])
        for name, clips in groups.items()
    }
    return Exam(searches, namings)


def at_most(clips: Sequence[Clip], labels: dict[str, tuple[str, str]], most: int) -> list[Clip]:
    """The first few clips of every label."""
    seen: Counter[str] = Counter()
    kept = []
    for clip in clips:
        label = labels[clip.path.name][1]
        seen[label] += 1
        if seen[label] <= most:
            kept.append(clip)
    return kept


def as_they_are(clips: Sequence[Clip]) -> list[SoundSpec]:
    """Each clip whole."""
    return [SoundSpec("clip", (clip.path,)) for clip in clips]


def degraded(clips: Sequence[Clip]) -> list[SoundSpec]:
    """Each clip degraded, by seeds that no training has."""
    return [SoundSpec("clip", (clip.path,), seed=7000 + n, degraded=True) for n, clip in enumerate(clips)]


def overlaid(clips: Sequence[Clip]) -> list[SoundSpec]:
    """Each clip with another one at once."""
    others = [clips[(7 * n + 3) % len(clips)] for n in range(len(clips))]
    pairs = zip(clips, others, strict=True)
    return [SoundSpec("overlay", (clip.path, other.path), seed=n) for n, (clip, other) in enumerate(pairs)]


def search(clips: Sequence[Clip], sounds: Sequence[SoundSpec]) -> Search:
    """All captions look for their clips."""
    relevant = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
    return Search(sounds, [caption for clip in clips for caption in clip.captions], relevant)


class Rewording:
    """Listeners' sentences in place of captions."""

    def __init__(self, path: Path) -> None:
        self.sentences = read_sentences(path)
        self.judge = build_text("minilm", pooling="mean", max_tokens=64)
        self.store = text_store(self.judge)
        self.features = extract_texts(self.sentences, self.store, self.judge)

    def search(self, clips: Sequence[Clip], sounds: Sequence[SoundSpec]) -> Search:
        """The nearest sentence of each caption looks for its clip; captions without a near one ask nothing."""
        whole = search(clips, sounds)
        found = cached_nearest(
            extract_texts(list(whole.sentences), self.store, self.judge),
            self.features,
            neighbours=1,
            min_cosine=REWORDED_COSINE,
            directory=cache_directory() / "nearest",
        )
        kept = [number for number, near in enumerate(found) if near]
        return Search(sounds, [self.sentences[found[number][0]] for number in kept], whole.relevant[kept])


def parse() -> argparse.Namespace:
    """The command line."""
    described = {"description": __doc__, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(**described)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="captioned sounds in Clotho's layout, with metadata.csv")
    add("--captions", type=Path, required=True, help="listeners' sentences, a CSV with a column caption")
    add("--teacher", type=Path, required=True, help="weights of EfficientAT's mn04_as")
    add("--compact", type=Path, help="weights of a compact trunk, for the rows that need one")
    add("--only", default="", metavar="WORD", help="rows whose name has it")
    add("--chosen", metavar="NAME", help="the row that became the shipped model")
    add("--epochs", type=int, default=12)
    add("--seed", type=int, default=0)
    add("--work", type=Path, default=ROOT / "runs" / "alignment", help="where unfinished runs are")
    add("--results", type=Path, default=ROOT / "docs" / "results" / "alignment.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
