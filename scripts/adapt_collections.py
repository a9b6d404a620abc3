"""What `soundseek adapt` brings on collections that its start has not met, and what it costs elsewhere.

    python scripts/adapt_collections.py MODEL --data SOUNDS --vectors vectors.npz --out docs/results/adapt.json

MODEL is a model directory whose training left the collections of scripts/left_out_collections.txt out. Of each of
three collections a quarter of the recordings is held out at random; the words are learned from 10, 50 or all clips of
the others, from captions or from labels, and captions of the held-out clips are asked, among these and the validation
split, in which nothing of the collection is.
Anchor and share were chosen beforehand on three other collections of the list (`--choose`), by their gain and by what
validation loses; what the evaluation split loses is measured with that choice alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from soundseek.learn.datasets.layout import read_split
from soundseek.learn.datasets.own_sounds import OwnClip
from soundseek.learn.evaluation.intervals import paired_bootstrap
from soundseek.learn.evaluation.metrics import ranks
from soundseek.learn.export.adapt import (
    AdaptConfig,
    General,
    OwnVectors,
    fit_text_map,
    general_vectors,
    mapped,
    own_vectors,
)
from soundseek.model.model import Model

MEASURED = ("snap", "supertuxkart", "openclonk")  # of the list, those with the most recordings
CHOSEN_ON = ("dsurround", "soundfx", "voxelibre")  # the next in that order whose clips have several labels
ALL = 10_000
TAKEN = (("captions", 10), ("captions", 50), ("captions", ALL), ("labels", ALL))
ANCHORS, SHARES = (3.0, 10.0, 30.0), (0.5, 1.0)
NUM_REFERENCE = 512


@dataclass(frozen=True)
class Split:
    """Captions and sounds of a split, embedded, and how well the start finds them."""

    audio: np.ndarray
    text: np.ndarray
    owners: np.ndarray
    before: float


class Bench:
    """A model, the data, and vectors that are computed once and kept in a file."""

    def __init__(self, model: Model, data: Path, vectors: Path) -> None:
        self.model, self.data, self.vectors = model, data, vectors
        self.known: dict[str, np.ndarray] = dict(np.load(vectors)) if vectors.is_file() else {}
        with (data / "metadata.csv").open(encoding="utf-8", newline="") as file:
            self.about = {row["file_name"]: row for row in csv.DictReader(file)}
        listed = Path(__file__).with_name("left_out_collections.txt").read_text(encoding="utf-8").splitlines()
        self._general: General | None = None
        self._own: dict[tuple[str, str], OwnVectors] = {}
        self.left_out = {line for line in listed if line and not line.startswith("#")}

    def audio(self, key: str, paths: Sequence[Path]) -> np.ndarray:
        """Vectors of sounds, `(len(paths), dim)`."""
        if key not in self.known:
            self.known[key] = self.model.embed_audio(list(paths))
            np.savez(self.vectors, **self.known)
        assert len(self.known[key]) == len(paths), f"{self.vectors} is of other sounds; remove it"
        return self.known[key].astype(np.float32)

    def split(self, name: str) -> Split:
        """A split, for the old skills."""
        clips = read_split(self.data, name)
        owners = np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips])
        text = self.model.embed_text([caption for clip in clips for caption in clip.captions])
        audio = self.audio(name, [clip.path for clip in clips])
        return Split(audio, text, owners, float(precision(text, audio, owners).mean()))

    def collection(self, name: str, *, words: str) -> OwnVectors:
        """A collection; `words` is "captions", or "labels" for what a folder's name would say."""
        if (name, words) in self._own:
            return self._own[name, words]
        own = []
        for clip in read_split(self.data, "development"):
            row = self.about[clip.path.name]
            if row["set"] == name:
                label = row["label"]
                said = clip.captions if words == "captions" else (f"the sound of {label}", label)
                own.append(OwnClip(clip.path, said, label, row["recording_id"]))
        found = own_vectors(self.model, own, self.audio(name, [clip.path for clip in own]))
        self._own[name, words] = found
        return found

    def general(self) -> General:
        """What must not be forgotten; where the model keeps no sounds, some that it was trained on."""
        if self._general is not None:
            return self._general
        found = general_vectors(self.model)
        trained = [
            clip.path
            for clip in read_split(self.data, "development")
            if self.about[clip.path.name]["set"] not in self.left_out
        ]
        if not len(found.sounds):
            chosen = np.random.default_rng(0).choice(len(trained), NUM_REFERENCE, replace=False)
            found = General(found.sentences, self.audio("reference", [trained[number] for number in chosen]))
        self._general = found
        return found


def precision(text: np.ndarray, items: np.ndarray, relevant: Any) -> np.ndarray:
    """Average precision at 10 of each caption."""
    return ranks(text, items, relevant).average_precision_at(10)


def measure(
    bench: Bench,
    collection: str,
    size: int,
    config: AdaptConfig,
    *,
    words: str,
    draws: int,
    splits: dict[str, Split],
) -> dict[str, Any]:
    """Gain on held-out clips, and the change on whole splits, over some draws of what is held out."""
    own, asked = bench.collection(collection, words=words), bench.collection(collection, words="captions")
    general, among = bench.general(), splits["validation"].audio
    before, after, clips_of, changes, learned, seconds = [], [], [], [], [], []
    for draw in range(draws):
        generator = np.random.default_rng(draw)
        recordings = generator.permutation(int(own.recordings.max()) + 1)
        is_out = np.isin(own.recordings, recordings[: len(recordings) // 4])
        train = generator.permutation(np.flatnonzero(~is_out))[:size]
        held_out = np.flatnonzero(is_out)
        began = time.process_time()
        difference = fit_text_map(own, general, replace(config, seed=draw), clips=train)
        seconds.append(time.process_time() - began)
        learned.append(len(train))
        rows = np.flatnonzero(np.isin(asked.owners, held_out))
        relevant = [np.flatnonzero(np.isin(held_out, asked.alike[row])).tolist() for row in rows]
        items = np.concatenate([asked.audio[held_out], among])
        before.append(precision(asked.text[rows], items, relevant))
        after.append(precision(mapped(asked.text[rows], difference), items, relevant))
        clips_of.append(asked.owners[rows])
        changes.append(
            {
                name: float(
                    precision(mapped(split.text, difference), split.audio, split.owners).mean() - split.before
                )
                for name, split in splits.items()
            }
        )
    first, second = np.concatenate(before), np.concatenate(after)
    difference_ = paired_bootstrap(
        second, first, np.random.default_rng(0), groups=np.concatenate(clips_of)
    ).difference
    return {
        "collection": collection,
        "words": words,
        "clips": round(float(np.mean(learned))),
        "held_out": len(set(np.concatenate(clips_of).tolist())),
        "before": float(first.mean()),
        "after": float(second.mean()),
        "gain": asdict(difference_),
        "change": {name: float(np.mean([each[name] for each in changes])) for name in splits},
        "worst_change": {name: float(np.min([each[name] for each in changes])) for name in splits},
        "cpu_s": float(np.mean(seconds)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True, help="where vectors are kept between runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--choose", action="store_true", help="try the grid, on other collections")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(Model(arguments.model), arguments.data, arguments.vectors)
    found = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    if arguments.choose:
        splits = {"validation": bench.split("validation")}
        found["grid"] = []
        for anchor, share in product(ANCHORS, SHARES):
            config = AdaptConfig(anchor=anchor, share=share)
            rows = [
                measure(bench, name, ALL, config, words="captions", draws=1, splits=splits)
                for name in CHOSEN_ON
            ]
            found["grid"].append(
                {
                    "anchor": anchor,
                    "share": share,
                    "gain": float(np.mean([row["gain"]["value"] for row in rows])),
                    "validation": float(np.mean([row["change"]["validation"] for row in rows])),
                }
            )
            print(found["grid"][-1], flush=True)
    else:
        splits = {name: bench.split(name) for name in ("validation", "evaluation")}
        found |= {"fingerprint": bench.model.fingerprint, "draws": arguments.draws, **asdict(AdaptConfig())}
        found["rows"] = []
        for name in MEASURED:
            for words, size in TAKEN:
                row = measure(
                    bench, name, size, AdaptConfig(), words=words, draws=arguments.draws, splits=splits
                )
                found["rows"].append(row)
                print(row, flush=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
