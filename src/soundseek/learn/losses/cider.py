"""CIDEr-D: how far two captions say the same, by the rare words and phrases that they share.

Vedantam, Zitnick and Parikh, "CIDEr: consensus-based image description evaluation" (CVPR 2015), section 3 and,
for the D variant, section 7. Every n-gram (n = 1..4) of a caption weighs tf * idf; two captions are compared by
the cosine of their weights, a separate one for each n, with the candidate's weights clipped to the reference's and
a penalty for unlike lengths.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soundseek._typing import DoubleArray, IntArray
from soundseek.errors import UsageError

MAX_SCORE = 10.0  # of a caption with itself; the paper's factor
_LONGEST = 4  # n-grams of one to four words
_SIGMA = 6.0  # words; width of the length penalty
_CONTRACTION = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))$")
_WORD = re.compile(r"\w+(?:[-'./]\w+)*(?:n't)?")


def tokenize(caption: str) -> list[str]:
    """The words of a caption much as the Penn Treebank's tokeniser gives them to CIDEr's reference code.

    Lower case; punctuation is dropped; "it's" and "doesn't" are two words each; what a hyphen joins is one.

    >>> tokenize("A dog's high-pitched bark, and it doesn't stop!")
    ['a', 'dog', "'s", 'high-pitched', 'bark', 'and', 'it', 'does', "n't", 'stop']
    """
    words: list[str] = []
    for word in _WORD.findall(caption.lower().replace("’", "'")):
        end = _CONTRACTION.search(word)
        words.extend(filter(None, (word[: end.start()], end[0]) if end else (word,)))
    return words


@dataclass(frozen=True)
class _Weighed:
    """The n-grams of all captions, one run of entries a caption.

    Entry by entry: the t-th occurrence of an n-gram in its caption is a column of its own. As a candidate it
    weighs idf, as a reference tf * idf; both are divided by the norm over the caption's n-grams of that n. So
    `sum over columns of candidate * reference` is `sum over n-grams of min(tf_c, tf_r) * idf * tf_r * idf`:
    CIDEr-D's clipped product, as one product of matrices.
    """

    offsets: IntArray  # (captions + 1,)
    columns: IntArray  # (entries,)
    candidate: DoubleArray  # (entries,)
    reference: DoubleArray  # (entries,)
    num_words: IntArray  # (captions,)


class CiderD:
    """CIDEr-D between any captions of a corpus, a batch at a time.

    Args:
        captions: The corpus; a caption's place in it is its number.
        documents: What the document frequencies come from: the captions of one clip are one document, as in
            CIDEr, where all references of a picture are. Usually the clips to learn from.

    Raises:
        UsageError: Fewer than two documents: every idf would be 0.
    """

    def __init__(self, captions: Sequence[str], documents: Iterable[Sequence[str]]) -> None:
        frequency: Counter[tuple[str, ...]] = Counter()
        num_documents = 0
        for document in documents:
            frequency.update({ngram for caption in document for ngram in _ngrams(tokenize(caption))})
            num_documents += 1
        if num_documents < 2:
            raise UsageError(
                f"CIDEr needs the captions of two clips or more to say what is rare, got {num_documents}"
            )
        self._log_documents = math.log(num_documents)
        self._frequency = frequency
        self._weighed = self._weigh([tokenize(caption) for caption in captions])

    def scores(
        self, candidates: Sequence[int] | IntArray, references: Sequence[int] | IntArray
    ) -> DoubleArray:
        """`(candidate, reference)` CIDEr-D in [0, 10] of captions by number."""
        weighed = self._weighed
        rows, columns, places = [], [], []
        for numbers in (candidates, references):
            entries, row = _entries(weighed.offsets, np.asarray(numbers, np.int64))
            places.append(entries)
            rows.append(row)
            columns.append(weighed.columns[entries])
        shared, local = np.unique(np.concatenate(columns), return_inverse=True)
        left, right = np.split(local, [len(columns[0])])
        matrices = []
        for numbers, row, column, values in (
            (candidates, rows[0], left, weighed.candidate[places[0]]),
            (references, rows[1], right, weighed.reference[places[1]]),
        ):
            matrix = np.zeros((len(numbers), len(shared)))
            matrix[row, column] = values
            matrices.append(matrix)
        lengths = (
            weighed.num_words[np.asarray(candidates)][:, None] - weighed.num_words[np.asarray(references)]
        )
        penalty = np.exp(-(lengths**2) / (2 * _SIGMA**2))
        scores: DoubleArray = MAX_SCORE / _LONGEST * penalty * (matrices[0] @ matrices[1].T)
        return scores

    def similarity(self, caption_ids: Tensor) -> Tensor:
        """`(batch, batch)` CIDEr-D / 10, in [0, 1], of the captions of a batch, the mean of both directions.

        Args:
            caption_ids: `(batch,)` numbers of captions.
        """
        numbers = caption_ids.cpu().numpy()
        scores = self.scores(numbers, numbers) / MAX_SCORE
        return torch.from_numpy((scores + scores.T) / 2).to(caption_ids.device, torch.float32)

    def _weigh(self, sentences: Sequence[Sequence[str]]) -> _Weighed:
        numbers: dict[tuple[tuple[str, ...], int], int] = {}
        columns: list[int] = []
        candidate: list[float] = []
        reference: list[float] = []
        sizes: list[int] = []
        for words in sentences:
            counts = Counter(_ngrams(words))
            weights = {ngram: count * self._idf(ngram) for ngram, count in counts.items()}
            squares = [0.0] * (_LONGEST + 1)
            for ngram, weight in weights.items():
                squares[len(ngram)] += weight * weight
            before = len(columns)
            for ngram, count in counts.items():
                norm = math.sqrt(squares[len(ngram)]) or 1.0  # all weights 0: in every document
                for occurrence in range(count):
                    columns.append(numbers.setdefault((ngram, occurrence), len(numbers)))
                    candidate.append(weights[ngram] / count / norm)
                    reference.append(weights[ngram] / norm)
            sizes.append(len(columns) - before)
        return _Weighed(
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            columns=np.array(columns, np.int64),
            candidate=np.array(candidate),
            reference=np.array(reference),
            num_words=np.array([len(words) for words in sentences], np.int64),
        )

    def _idf(self, ngram: tuple[str, ...]) -> float:
        """`log(documents / documents with it)`; one that no document has counts as in one."""
        return self._log_documents - math.log(max(1, self._frequency[ngram]))


def _ngrams(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [
        tuple(words[start : start + length])
        for length in range(1, _LONGEST + 1)
        for start in range(len(words) - length + 1)
    ]


def _entries(offsets: IntArray, numbers: IntArray) -> tuple[IntArray, IntArray]:
    """Which entries belong to some captions, and the row of the caption that each belongs to."""
    counts = offsets[numbers + 1] - offsets[numbers]
    ends = np.cumsum(counts)
    rows = np.repeat(np.arange(len(numbers)), counts)
    return np.arange(int(counts.sum())) + np.repeat(offsets[numbers] - (ends - counts), counts), rows
