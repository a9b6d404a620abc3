"""How sure a hit is: a score becomes the probability that a listener would agree.

A cosine of 0.35 is a good hit for one query and a poor one for another. So a score is compared with what the query
scores on varied sounds, the reference: those that the model remembers (`memory.npz`), or, where it remembers none, some
hundred of its own. `match.npz` in a model directory holds a logistic regression over that, fitted by `soundseek
calibrate` on captioned sounds (`learn/evaluation/match.py`). A reference is what the verification of speakers calls a
cohort, and this the T-norm of Auckenthaler, Carey and Lloyd-Thomas, Digital Signal Processing 10, 2000.

A sentence that names several sounds has a score of another make (`scores_of_sentences`), from which a high one means
more than it does for one sound. So its log-odds are turned once more, by a line that is fitted on sentences alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from soundseek._files import replacing
from soundseek._typing import AnyFloatArray, DoubleArray, FloatArray
from soundseek.errors import ModelError
from soundseek.model.heard_by import heard_by_array, read_heard_by
from soundseek.model.memory import MEMORY_FILE, SoundMemory
from soundseek.model.stretches import scores_of_sentences

MATCH_FILE = "match.npz"
WORDS = ((0.8, "sure"), (0.5, "likely"), (0.2, "maybe"), (0.0, "unlikely"))
"""Least probability of each word."""
DOUBTFUL_BELOW = 0.2
"""Where even the best hit is less probable than this, perhaps nothing in the library answers the query."""
NOTHING_BELOW = 0.05
"""And where it is less probable than this, nothing does; of queries that something answers, few have such a best hit
(benchmarks/said_to_be_missing.py)."""

NUM_FEATURES = 6
FORMER_FEATURES = 4  # the first four; a calibration that was fitted on these goes on working


@dataclass(frozen=True)
class MatchCalibration:
    """From cosines to probabilities, for one model.

    Attributes:
        reference: `(sounds, dim)` unit vectors of varied sounds.
        mean: `(features,)` of the features where it was fitted, the first ones of `match_features`.
        scale: `(features,)` their standard deviations.
        weights: `(1 + features,)` of the logistic regression, the constant first.
        most_files: The largest library that it was fitted on; a larger one counts as that large, for what a few
            hundred files teach says nothing of a hundred thousand.
        is_of_memory: The reference is what the model remembers, and is not stored once more.
        heard_by: Fingerprint of the model that it was fitted for; empty: not known.
        sentence: Of a sentence that names several sounds the log-odds are this constant more, times this slope.
    """

    reference: AnyFloatArray
    mean: DoubleArray
    scale: DoubleArray
    weights: DoubleArray
    most_files: int
    is_of_memory: bool = False
    heard_by: str = ""
    sentence: tuple[float, float] = (0.0, 1.0)

    def probabilities(self, query: AnyFloatArray, scores: AnyFloatArray, *, num_files: int) -> FloatArray:
        """`(hits,)` probabilities that a listener would agree.

        Args:
            query: `(dim,)`, unit norm; or `(1 + parts, dim)`, a sentence that names several sounds, and its parts.
            scores: `(hits,)` of the query and each hit, as a search gives them.
            num_files: Files that were searched: the more there are, the higher chance scores (up to `most_files`).
        """
        log_odds = self.log_odds(query, scores, num_files=num_files)
        if len(np.atleast_2d(query)) > 1:
            constant, slope = self.sentence
            log_odds = constant + slope * log_odds
        found: FloatArray = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
        return found

    def log_odds(self, query: AnyFloatArray, scores: AnyFloatArray, *, num_files: int) -> DoubleArray:
        """`(hits,)` log-odds, of a sentence as if it named one sound; see `probabilities`."""
        features = match_features(self.reference, query, scores, min(num_files, self.most_files))
        features = features[:, : len(self.mean)]
        standard = (features - self.mean) / self.scale
        found: DoubleArray = self.weights[0] + standard @ self.weights[1:]
        return found

    def write(self, directory: Path) -> None:
        """Write `match.npz` into a model directory, whole or not at all.

        Raises:
            StorageError: The disk is full, or the directory cannot be written to.
        """
        arrays: dict[str, Any] = {
            "mean": self.mean,
            "scale": self.scale,
            "weights": self.weights,
            "most_files": np.int64(self.most_files),
            "sentence": np.array(self.sentence),
            **heard_by_array(self.heard_by),
        }
        if not self.is_of_memory:
            arrays["reference"] = self.reference
        with replacing(directory / MATCH_FILE) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, directory: Path, *, dim: int, hears_like: str = "") -> MatchCalibration | None:
        """The calibration of a model directory; None where it has none.

        Args:
            directory: The model directory.
            dim: Of the model.
            hears_like: Of the model (`ModelConfig.hears_like`); empty: not compared.

        Raises:
            ModelError: The file is damaged, or of another model.
        """
        path = directory / MATCH_FILE
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                is_of_memory = "reference" not in stored
                names = (
                    ("mean", "scale", "weights")
                    if is_of_memory
                    else ("reference", "mean", "scale", "weights")
                )
                parts = [stored[name] for name in names]
                most_files = int(stored["most_files"])
                sentence = _line(stored["sentence"]) if "sentence" in stored else cls.sentence
                heard_by = read_heard_by(path, stored, hears_like)
        except (OSError, ValueError, TypeError, KeyError, BadZipFile, EOFError) as error:
            raise ModelError(f"{path} is damaged: {error}; make it anew: soundseek calibrate") from error
        if is_of_memory:
            memory = SoundMemory.read(directory, dim=dim, hears_like=hears_like)
            if memory is None:
                raise ModelError(
                    f"{path} needs {MEMORY_FILE} beside it, which is not there; make both anew: soundseek calibrate"
                )
            parts = [memory.sounds, *parts]
        shapes = [part.shape for part in parts]
        fitting = [[(num,), (num,), (1 + num,)] for num in (NUM_FEATURES, FORMER_FEATURES)]
        if shapes[0][1:] != (dim,) or shapes[1:] not in fitting:
            raise ModelError(
                f"{path} is of another model (shapes {shapes}); make it anew: soundseek calibrate"
            )
        reference, mean, scale, weights = parts
        return cls(
            reference,
            mean,
            scale,
            weights,
            most_files,
            is_of_memory,
            heard_by,
            sentence,
        )


def _line(stored: AnyFloatArray) -> tuple[float, float]:
    constant, slope = map(float, stored)
    if not np.isfinite([constant, slope]).all():
        raise ValueError(f"no line of sentences: {constant}, {slope}")
    return constant, slope


def match_features(
    reference: AnyFloatArray, query: AnyFloatArray, scores: AnyFloatArray, num_files: int
) -> DoubleArray:
    """`(hits, NUM_FEATURES)` of the scores of a query: `(dim,)`, or a sentence and its parts, `(1 + parts, dim)`.

    The score; the score in standard deviations of the query's scores on the reference; its distance to their highest
    hundredth; the logarithm of the library's size; its distance to their highest; and the mean of their five highest,
    which is low where nothing usual is like the query.
    """
    queries = np.atleast_2d(np.asarray(query, np.float32))
    usual = scores_of_sentences(np.asarray(reference, np.float32) @ queries.T)
    wide = np.asarray(scores, np.float64)
    standard = (wide - usual.mean()) / max(float(usual.std()), 1e-6)
    highest = np.sort(usual)[-5:].astype(np.float64)
    size, rare = np.full(len(wide), np.log(max(num_files, 1))), np.full(len(wide), highest.mean())
    return np.stack([wide, standard, wide - np.quantile(usual, 0.99), size, wide - highest[-1], rare], axis=1)


def match_word(match: float) -> str:
    """The word of a probability.

    Example:
        >>> [match_word(p) for p in (0.9, 0.5, 0.3, 0.1)]
        ['sure', 'likely', 'maybe', 'unlikely']
    """
    return next(word for least, word in WORDS if match >= least)
