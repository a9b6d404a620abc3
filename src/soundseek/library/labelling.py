"""Zero-shot labels: which words of a list fit a sound best, and how probably a listener would agree.

The score is the cosine of the sound and the label, as in a search. `match` is the model's calibration of it
(`model/match.py`) with as many candidates as the list has labels: the best of many fits by chance more often.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundseek._typing import AnyFloatArray, FloatArray
from soundseek._vectors import unit_rows
from soundseek.errors import QueryError
from soundseek.query import QueryReader, Reading
from soundseek.query.label_lists import LabelList, label_list
from soundseek.query.looked_up import embed_query

if TYPE_CHECKING:
    from soundseek.library.workers import EmbeddingModel
    from soundseek.model.match import MatchCalibration
    from soundseek.model.model import AudioEmbedding

CSV_COLUMNS = (
    "path", "start_s", "end_s", "rank", "label", "score", "match", "cat_id", "category", "subcategory",
)  # fmt: skip
PROMPT = "there is {}"
"""What a label is compared as; of six it found the right label first most often (scripts/label_accuracy.py)."""
_DIGITS = {"score": 6, "match": 4}


@dataclass(frozen=True)
class SoundLabel:
    """A label of a sound.

    Attributes:
        label: The word or words; of UCS as it writes them, "DOORS WOOD".
        score: Cosine of the sound and the label, -1 to 1.
        match: Probability that a listener would agree, 0 to 1; None where the model does not say.
        cat_id: Of UCS: `DOORWood`; else None.
        category: Of UCS: "DOORS".
        subcategory: Of UCS: "WOOD".
    """

    label: str
    score: float
    match: float | None = None
    cat_id: str | None = None
    category: str | None = None
    subcategory: str | None = None

    @property
    def words(self) -> str:
        """The label as people read it: of UCS, whose names are in capitals, "Doors: wood"; a search understands it too.

        >>> SoundLabel("DOORS WOOD", 0.3, category="DOORS", subcategory="WOOD").words
        'Doors: wood'
        >>> SoundLabel("Dog", 0.3).words
        'Dog'
        """
        if self.category is None or self.subcategory is None:
            return self.label
        return f"{self.category.capitalize()}: {self.subcategory.lower()}"


@dataclass(frozen=True)
class LabelledSound:
    """A file, or a segment of one, and its labels.

    Attributes:
        path: The file.
        start_s: Where the sound starts in it.
        end_s: Where it ends.
        labels: The best first.
    """

    path: str
    start_s: float
    end_s: float
    labels: tuple[SoundLabel, ...]


class Labeller:
    """Gives sounds labels of one list.

    Args:
        model: The model.
        labels: "audioset", "ucs", a text file with a label on each line, or the labels themselves.
        as_typed: Take labels of the caller's own as they are, and do not read them as queries.
        prompt: What a label is compared as; its braces stand for the label.

    Raises:
        UsageError: There is no such list.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        labels: str | Path | Sequence[str],
        *,
        as_typed: bool = False,
        prompt: str = PROMPT,
    ) -> None:
        self.model = model
        self._prompt = prompt
        self.readings: list[Reading] = []
        reader = QueryReader.of(model, manners="as words")

        def read(text: str) -> Reading:
            reading = Reading(text, ((text,),)) if as_typed else reader.read(text)
            self.readings.append(reading)
            return reading

        self.labels: LabelList = label_list(labels, read)

    @cached_property
    def vectors(self) -> FloatArray:
        """`(labels, dim)` unit vectors of the labels."""
        texts = [self._prompt.format(text) for each in self.labels.candidates for text in each.texts]
        embedded, means, at = embed_query(self.model, texts), [], 0
        for each in self.labels.candidates:
            means.append(embedded[at : at + len(each.texts)].mean(axis=0))
            at += len(each.texts)
        return unit_rows(np.array(means, np.float32))

    def of_vectors(
        self, vectors: AnyFloatArray, *, k: int = 5, min_match: float = 0.0
    ) -> list[tuple[SoundLabel, ...]]:
        """The best labels of each sound, best first.

        Args:
            vectors: `(sounds, dim)` unit vectors.
            k: How many labels of each.
            min_match: Leave out labels that fit with a lower probability.

        Raises:
            QueryError: `k` is below 1, or `min_match` is asked for and the model has no calibration.
        """
        if k < 1:
            raise QueryError(f"k is {k}: ask for at least one label")
        if min_match and self._match is None:
            raise QueryError(
                "min_match needs a model that says how sure its labels are (soundseek calibrate)"
            )
        scores = np.clip(np.asarray(vectors, np.float32) @ self.vectors.T, -1.0, 1.0)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        labelled = []
        for row, columns in zip(scores, best, strict=True):
            labels = [self._label(int(column), float(row[column])) for column in columns]
            labelled.append(tuple(each for each in labels if not min_match or (each.match or 0) >= min_match))
        return labelled

    def of_embedding(
        self,
        embedding: AudioEmbedding,
        *,
        path: str,
        k: int = 5,
        segments: bool = False,
        min_match: float = 0.0,
    ) -> list[LabelledSound]:
        """The labels of a file, or of each of its segments, in the order of time."""
        if segments:
            vectors = embedding.vectors
            times = [(each.start_s, each.end_s) for each in embedding.segments]
        else:
            vectors = unit_rows(embedding.frames.mean(axis=0, dtype=np.float32)[None])
            times = [(0.0, embedding.info.duration_s)]
        found = self.of_vectors(vectors, k=k, min_match=min_match)
        return [
            LabelledSound(path, start_s, end_s, labels)
            for (start_s, end_s), labels in zip(times, found, strict=True)
        ]

    @cached_property
    def _match(self) -> MatchCalibration | None:
        calibration: MatchCalibration | None = getattr(self.model, "match", None)
        return calibration

    def _label(self, number: int, score: float) -> SoundLabel:
        candidate = self.labels.candidates[number]
        match = None
        if self._match is not None:
            scores, num_files = np.array([score], np.float32), len(self.labels.candidates)
            match = float(self._match.probabilities(self.vectors[number], scores, num_files=num_files)[0])
        return SoundLabel(
            candidate.label, score, match, candidate.cat_id, candidate.category, candidate.subcategory
        )


def label_record(sound: LabelledSound) -> dict[str, Any]:
    """A labelled sound as JSON sees it: path, start_s, end_s, labels; a label without the fields that it lacks."""
    return asdict(sound) | {"labels": [_label_fields(each) for each in sound.labels]}


def labels_csv(sounds: Sequence[LabelledSound], *, header: bool = True) -> str:
    """Labelled sounds as CSV, a row for each label."""
    text = io.StringIO()
    rows = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\n")
    if header:
        rows.writeheader()
    for sound in sounds:
        for rank, each in enumerate(sound.labels, 1):
            times = {"start_s": f"{sound.start_s:.3f}", "end_s": f"{sound.end_s:.3f}"}
            rows.writerow({"path": sound.path, **times, "rank": rank, **_label_fields(each)})
    return text.getvalue()


def _label_fields(label: SoundLabel) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(label).items() if value is not None}
    return {name: round(value, _DIGITS[name]) if name in _DIGITS else value for name, value in fields.items()}
