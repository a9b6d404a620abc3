"""A text tower without grammar: the mean of a sentence's word vectors (Word2Vec, GloVe), read from published files.

word2vec's binary and text formats and GloVe's list words from frequent to rare. gensim reads the binary one. The two
text formats are read here, in a quarter of gensim's time (0.5 s for 23,000 words of 100 numbers against 2.1 s), and
with words that contain blanks.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional

from soundseek.errors import DataError, ModelError, RecipeError
from soundseek.learn.models.text.tower import TextTower

Layout = Literal["binary", "text", "glove"]

_SNIFFED_BYTES = 1 << 16  # a line of a thousand numbers
_MOST_WIDE = 4096  # published vectors have 50 to 1024 numbers; a damaged header may claim anything
_ROWS_PER_WORD = 4
"""Rows read for each word kept. Of google-news' most frequent rows about a third are phrases (`New_York`) and many of
the others a word's second spelling (`The`); a file of three million rows must not be read whole (3.6 GB) for that."""


@dataclass(frozen=True)
class WordVectors:
    """Words from frequent to rare, each with its vector.

    Attributes:
        words: Each once.
        vectors: `(word, width)` float32.
    """

    words: tuple[str, ...]
    vectors: npt.NDArray[np.float32]


def read_word_vectors(path: Path, *, num_words: int, normalize: Callable[[str], str | None]) -> WordVectors:
    """The most frequent words of a file that a sentence can hold.

    Args:
        path: A file such as `GoogleNews-vectors-negative300.bin` or `glove.6B.100d.txt`, gzipped (`.gz`) or not.
        num_words: Words to keep, the most frequent; they are sought among four times as many rows.
        normalize: What a tokenizer makes of a word of the file; None where that is not one word. Where several
            rows become one word, it takes the place of the first and the vector of the one that is spelt like it.

    Raises:
        RecipeError: No such file.
        ModelError: It holds no word vectors, is damaged, or no word of it can be typed.
    """
    found = _read(path, _layout(path), limit=_ROWS_PER_WORD * num_words)
    rows: dict[str, int] = {}
    for row, word in enumerate(found.words):
        typed = normalize(word)
        if typed is not None and (typed not in rows or typed == word):
            rows[typed] = row
    if not rows:
        raise ModelError(f"{path} has no word that a sentence can hold; its first: {list(found.words[:5])}")
    words = tuple(rows)[:num_words]
    vectors = found.vectors[[rows[word] for word in words]]
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ModelError(
            f"{path} is damaged: the vector of {words[int(finite.argmin())]!r} has a number that is not finite"
        )
    return WordVectors(words, vectors)


def _read(path: Path, layout: Layout, *, limit: int) -> WordVectors:
    try:
        if layout == "binary":
            return _read_binary(path, limit)
        return _read_text(path, limit, has_header=layout == "text")
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ModelError(f"{path} cannot be read as word vectors ({layout} format): {error}") from error


def _read_binary(path: Path, limit: int) -> WordVectors:
    try:
        from gensim.models import KeyedVectors
    except ImportError as error:
        raise RecipeError(
            f"{path} is in word2vec's binary format, which needs: pip install gensim"
        ) from error
    found = KeyedVectors.load_word2vec_format(str(path), binary=True, limit=limit)
    # A word that occurs twice leaves a row at the end without one.
    words = tuple(word for word in found.index_to_key if word is not None)
    return WordVectors(words, np.asarray(found.vectors[: len(words)], np.float32))


def _read_text(path: Path, limit: int, *, has_header: bool) -> WordVectors:
    rows: dict[str, list[float]] = {}
    width = promised = number = 0
    with _open(path) as file:
        if has_header:
            promised, width = map(int, file.readline().split())
        for number, line in enumerate(islice(file, limit), start=1):
            fields = line.rstrip().rsplit(b" ", width or -1)  # a few of GloVe's 840B words contain blanks
            width = width or len(fields) - 1
            if len(fields) != width + 1:
                raise ValueError(f"word {number} has {len(fields) - 1} numbers, not {width}")
            rows.setdefault(fields[0].decode(), list(map(float, fields[1:])))
    if has_header and number < min(promised, limit):
        raise ValueError(f"it ends after {number} of {promised} words")
    return WordVectors(tuple(rows), np.array(list(rows.values()), np.float32))


def _layout(path: Path) -> Layout:
    """Which of the three formats a file has: word2vec's begin with the numbers of words and of dimensions."""
    if not path.is_file():
        raise RecipeError(
            f"text.weights: no file {path}; word vectors are published as GoogleNews-vectors-negative300.bin.gz "
            "and glove.6B.zip (unzip it)"
        )
    try:
        with _open(path) as file:
            head = file.read(_SNIFFED_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(f"{path} is a damaged gzip file: {error}") from error
    first, _, rest = head.partition(b"\n")
    fields = first.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        width = int(fields[1])
        if not 0 < width <= _MOST_WIDE or not int(fields[0]):
            raise ModelError(f"{path} claims {int(fields[0])} words of {width} dimensions; it is damaged")
        second = rest.split(b"\n", 1)[0].split()
        return "text" if len(second) == width + 1 and _are_numbers(second[1:]) else "binary"
    if len(fields) > 2 and _are_numbers(fields[1:]):
        return "glove"
    raise ModelError(
        f"{path} holds no word vectors: it begins with {first[:40]!r}, neither with the numbers of words and "
        "dimensions, as word2vec's formats, nor with a word and its numbers, as GloVe's"
    )


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path)) if is_packed else path.open("rb")


def _are_numbers(fields: list[bytes]) -> bool:
    try:
        for field in fields:
            float(field)
    except ValueError:
        return False
    return True


NUM_WORDS = 50_000
"""Words that a tower knows, the file's most frequent. A searcher may type any word, so a data set's own vocabulary
(some 4,400 words in Clotho) is too small; an adult reader knows 20,000 to 35,000, here with all their forms. They take
30 MB in `text.onnx` at 300 dimensions in float16, a third of MiniLM."""

PAD, UNKNOWN, START, END = range(4)
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_REVISION = 1  # part of `digest`: raise it when the same vectors give other features
_METADATA = "word2vec"


class Word2VecText(TextTower):
    """The mean vector of a sentence's known words; others are skipped, and so are punctuation and case.

    A sentence of L words gives L+2 tokens, [CLS] before and [SEP] after them, which count for nothing. A sentence
    without any known word, which learning and scoring refuse, has the mean vector of all words: a search with it still
    runs, prefers nothing in particular, and is warned of. That vector is [CLS]'s row of the table.

    Args:
        words: In lower case, as `lowercase_word` gives them.
        vectors: `(word, width)` of them.
        max_tokens: Longer sentences are cut.

    Note:
        The table is float16, as it is exported: on GloVe and 1,515 captions, rounding turns no sentence's vector by
        more than a cosine of 3e-8, and it halves the file. Training it makes it float32.
    """

    kind = "word2vec"
    num_layers = 1

    def __init__(
        self, words: Sequence[str], vectors: npt.NDArray[np.floating], *, max_tokens: int = 64
    ) -> None:
        super().__init__()
        rows = np.zeros((len(_MARKS) + len(words), vectors.shape[1]), np.float32)
        rows[len(_MARKS) :] = vectors
        rows[START] = np.asarray(vectors, np.float64).mean(axis=0)
        self._set(words, torch.from_numpy(rows).half(), max_tokens)

    def _set(self, words: Sequence[str], table: Tensor, max_tokens: int) -> None:
        self.words = tuple(words)
        self.table = nn.Parameter(table, requires_grad=False)
        self.width = table.shape[1]
        self.max_tokens = max_tokens
        self.tokenizer = make_tokenizer(self.words)
        self.tokenizer.enable_truncation(max_tokens)
        self.tokenizer.enable_padding(pad_id=PAD, pad_token=_MARKS[PAD])
        digest = hashlib.sha256("\n".join(self.words).encode())
        digest.update(table.numpy().tobytes())
        self.digest = f"{digest.hexdigest()[:16]}-{self.kind}-{max_tokens}-{_REVISION}"

    @classmethod
    def load(cls, path: Path | None, *, max_tokens: int = 64, num_words: int = NUM_WORDS) -> Word2VecText:
        """A tower of published vectors, or of a file that `save` wrote; frozen and in evaluation mode.

        Args:
            path: word2vec's binary or text format, GloVe's (all of them may be gzipped), or `.safetensors`.
            max_tokens: Longer sentences are cut.
            num_words: Most words of published vectors that are kept.

        Raises:
            RecipeError: No file given, or none there.
            ModelError: It holds no word vectors, or is damaged.
        """
        if path is None:
            raise RecipeError("text.tower 'word2vec' needs its word vectors: --set text.weights=FILE")
        if path.suffix == ".safetensors":
            return cls._load_saved(path, max_tokens)
        found = read_word_vectors(path, num_words=num_words, normalize=lowercase_word)
        return cls(found.words, found.vectors, max_tokens=max_tokens).eval()

    def save(self, path: Path) -> None:
        """Write words and table to one safetensors file: all of a published file that this tower uses."""
        save_file({"table": self.table.detach()}, path, metadata={_METADATA: json.dumps(self.words)})

    @classmethod
    def _load_saved(cls, path: Path, max_tokens: int) -> Word2VecText:
        if not path.is_file():
            raise RecipeError(f"text.weights: no file {path}")
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        if _METADATA not in metadata:
            raise ModelError(f"{path} holds no word vectors (its metadata lacks the key {_METADATA!r})")
        words, table = json.loads(metadata[_METADATA]), load_file(path)["table"]
        if len(table) != len(_MARKS) + len(words):
            raise ModelError(f"{path} is damaged: {len(words)} words, but {len(table)} rows")
        text = cls.__new__(cls)
        nn.Module.__init__(text)
        text._set(words, table, max_tokens)
        return text.eval()

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and `token_mask` `(batch, token)` int64 and bool, padded to the longest sentence."""
        found = self.tokenizer.encode_batch(list(texts))
        ids = torch.tensor([encoding.ids for encoding in found], dtype=torch.int64)
        mask = torch.tensor([encoding.attention_mask for encoding in found], dtype=torch.bool)
        return ids, mask

    def forward(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """Features `(batch, width)`, not normalised, of token ids and mask `(batch, token)`."""
        counted = _known(token_ids, token_mask)
        counted = counted | (~counted.any(dim=1, keepdim=True) & (token_ids == START))
        vectors = functional.embedding(token_ids, self.table).float()  # (batch, token, width)
        weights = counted.to(vectors.dtype).unsqueeze(-1)
        return (vectors * weights).sum(1) / weights.sum(1).clamp(min=1)

    @torch.no_grad()
    def features(self, texts: Sequence[str]) -> Tensor:
        """Features `(len(texts), width)` of captions, to learn from or to score with.

        Raises:
            DataError: A caption without any known word.
        """
        ids, mask = self.tokenize(texts)
        empty = (~_known(ids, mask).any(dim=1)).nonzero().flatten().tolist()
        if empty:
            raise DataError(
                f"the caption {texts[empty[0]]!r} has no word that is among the {len(self.words):,} word vectors "
                f"({len(empty)} such captions here); reword it, or take word vectors that know one"
            )
        features: Tensor = self(ids.to(self.device), mask.to(self.device))
        return features

    def train_last_layers(self, num_layers: int | Literal["all"]) -> list[nn.Parameter]:
        """Unfreeze the table, this tower's only layer, in float32, and return it.

        Raises:
            RecipeError: More layers than there are.
        """
        if num_layers != "all" and num_layers > self.num_layers:
            raise RecipeError(
                f"text.trained_layers = {num_layers}, but word vectors are 1 layer: 0 keeps them as they are"
            )
        if not num_layers:
            self.table.requires_grad_(False)
            return []
        self.table.data = self.table.data.float()  # steps of 1e-5 are lost in float16
        self.table.requires_grad_(True)
        return [self.table]

    def save_tokenizer(self, path: Path) -> None:
        """Write `tokenizer.json`, without padding and truncation: the searching half sets both."""
        make_tokenizer(self.words).save(str(path))


def save_exported_words(network: Path, tokenizer: Path, path: Path, *, table: Tensor | None = None) -> None:
    """Write the file of `Word2VecText.save` of a tower that was exported.

    Args:
        network: `text.onnx`, which holds the table as it is, in float16.
        tokenizer: `tokenizer.json`, which holds the words.
        path: The file to write.
        table: `(mark and word, width)` of a tower that was trained; None reads it from `network`.

    Raises:
        ModelError: The network holds no such table.
    """
    numbers = Tokenizer.from_file(str(tokenizer)).get_vocab()
    words = sorted(numbers, key=numbers.__getitem__)[len(_MARKS) :]
    if table is None:
        import onnx
        from onnx import numpy_helper

        found = [
            numpy_helper.to_array(tensor)
            for tensor in onnx.load(network).graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT16 and tuple(tensor.dims)[:1] == (len(numbers),)
        ]
        if not found:
            raise ModelError(f"{network} holds no table of {len(numbers)} word vectors in float16")
        table = torch.from_numpy(found[0].copy())
    save_file({"table": table.half().contiguous()}, path, metadata={_METADATA: json.dumps(words)})


def make_tokenizer(words: Sequence[str]) -> Tokenizer:
    """Words in lower case -> their numbers, between [CLS] and [SEP]; the same in both halves.

    Punctuation is dropped and parts words, as in `high-pitched`; what stands behind an apostrophe is dropped with it,
    as in `dog's`.
    """
    numbers = {word: number for number, word in enumerate((*_MARKS, *words))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=_MARKS[UNKNOWN]))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"(?<=\w)['’](s|re|ve|ll|d|m|t)\b"), ""),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\W_]+"), "removed")
    marks = [(_MARKS[START], START), (_MARKS[END], END)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_MARKS[START]} $A {_MARKS[END]}", special_tokens=marks
    )
    return tokenizer


_TYPING = make_tokenizer(())


def lowercase_word(word: str) -> str | None:
    """A word of a file in lower case; None if a sentence cannot hold it, as `New_York`, `'s` or a comma."""
    pieces = _TYPING.pre_tokenizer.pre_tokenize_str(_TYPING.normalizer.normalize_str(word))
    lower = word.lower()
    return lower if [piece for piece, _ in pieces] == [lower] else None


def _known(token_ids: Tensor, token_mask: Tensor) -> Tensor:
    return token_mask & (token_ids >= len(_MARKS))
