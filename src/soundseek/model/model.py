"""A model directory at run time: files and words -> unit vectors in one space, with ONNX Runtime."""

from __future__ import annotations

import logging
import math
import os
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import numpy as np
import numpy.typing as npt

from soundseek._typing import FloatArray
from soundseek._vectors import unit_rows
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.audio.segments import HOP_S, SEGMENT_S, WINDOW_HOP_S, WINDOW_S, Segment, plan_segments
from soundseek.errors import DecodeError, ModelError, UsageError
from soundseek.model.config import AUDIO_FILE, TEXT_FILE, TOKENIZER_FILE, ModelConfig
from soundseek.model.frames import (
    Clips,
    frame_spans,
    local_frames,
    log_mel_blocks,
    segment_frames,
    span_means,
)
from soundseek.model.manners import MannerDirection, read_manners
from soundseek.model.match import MatchCalibration
from soundseek.model.memory import SoundMemory
from soundseek.model.onnx_files import need_own_numbers

if TYPE_CHECKING:
    from soundseek.audio.decode import AudioInfo, AudioStream

WHOLE_CLIP_S = 180.0
"""Up to this length `embed_audio` and evaluation embed a clip whole where frames depend on all of it; a longer one, and
every recording of a library, in windows of `SEGMENT_S`."""
_UNKNOWN_TOKENS = ("[UNK]", "<unk>")  # of BERT's tokenizers and word vectors; of the others that have one
_REMEMBERED_WARNINGS = 64  # a process that answers for months must not keep every long text
_NO_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "Failed to allocate memory",
)  # ONNX Runtime says it in words alone


Sound: TypeAlias = "str | os.PathLike[str] | tuple[npt.ArrayLike, int]"
"""A sound to embed: a path, or a waveform and its sample rate in Hz."""


@dataclass(frozen=True)
class AudioEmbedding:
    """What a model makes of one sound.

    Attributes:
        info: The file's facts; `duration_s` is the decoded length.
        segments: Windows of at most ten seconds, in order.
        vectors: `(segments, dim)` float32, unit norm.
        frames: `(frames, dim)` float16, projected and not normalised: the mean over a segment's frames, normalised,
            is the segment's vector.
        spans: `(segments, 2)` first and one-past-last row of `frames` of each segment.
        frame_s: Seconds from one frame to the next.
        windows: `(windows, dim)` float32, unit norm, of the short windows of `plan_windows`, where they were asked for.
    """

    info: AudioInfo
    segments: tuple[Segment, ...]
    vectors: FloatArray
    frames: npt.NDArray[np.float16]
    spans: npt.NDArray[np.int64]
    frame_s: float
    windows: FloatArray | None = None


class Model:
    """A text-audio dual encoder read from a model directory. Networks load on first use; calls are thread-safe.

    Args:
        directory: The model directory.
        threads: Threads of each network; 1 for index workers.

    Raises:
        ModelError: The directory is missing, incomplete or of another version.
    """

    def __init__(self, directory: Path, *, threads: int = 1) -> None:
        self.directory = directory
        self.config = ModelConfig.read(directory)
        self._threads = threads
        self._lock = threading.RLock()
        self._warned: dict[str, None] = {}  # the last texts, oldest first
        for name in (AUDIO_FILE, TEXT_FILE, TOKENIZER_FILE):
            if not (directory / name).is_file():
                raise ModelError(
                    f"{directory} is incomplete: it has no {name}; export or fetch the model again"
                )

    @property
    def dim(self) -> int:
        """Dimension of every vector."""
        return self.config.dim

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors change; a library accepts only the model that filled it."""
        return self.config.fingerprint

    @property
    def hears_like(self) -> str:
        """Fingerprint of the model that gives sounds these vectors: this one, or the one that it was adapted from."""
        return self.config.hears_like

    @property
    def front_end(self) -> FrontEndConfig:
        """How the model hears."""
        return self.config.front_end

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next; a model of windows has one frame for each."""
        if self._is_windowed:
            return self.front_end.window_s or SEGMENT_S
        return self.config.audio.frame_hop * self.config.front_end.hop_s

    @property
    def has_moments(self) -> bool:
        """Whether a segment's score is the mean of its frames' scores; if not, `embed_windows` tells moments apart."""
        return self.config.audio.is_linear and not self._is_windowed

    @property
    def _is_windowed(self) -> bool:
        return self.config.audio.scope == "window"

    @cached_property
    def match(self) -> MatchCalibration | None:
        """How scores become the probability that a listener would agree; None where the directory does not say.

        Raises:
            ModelError: `match.npz` is damaged or of another model.
        """
        return MatchCalibration.read(self.directory, dim=self.dim, hears_like=self.hears_like)

    @cached_property
    def manners(self) -> dict[str, MannerDirection]:
        """Each way to sound that a query can ask for ("muffled"), see `InManners`; {} where none is known.

        Raises:
            ModelError: `manners.npz` is damaged or of another model.
        """
        return read_manners(self.directory, dim=self.dim, hears_like=self.hears_like)

    @cached_property
    def memory(self) -> SoundMemory | None:
        """The sounds towards which the words of a search are turned; None where the directory has none.

        Raises:
            ModelError: `memory.npz` is damaged or of another model.
        """
        return SoundMemory.read(self.directory, dim=self.dim, hears_like=self.hears_like)

    def embed_text(self, texts: str | Sequence[str]) -> FloatArray:
        """Unit vectors of sentences: `(n, dim)` of a list, `(dim,)` of one string.

        Of a sentence longer than `max_tokens` tokens the beginning is read, and a warning is logged that names the
        words that were not: of the first such sentence of a call, and once.

        A sentence gets the same vector alone or among others: each length is run on its own, so no padding is seen.
        Words that the model does not know are skipped (word vectors) or count as one unknown word (BERT); a sentence
        without any known word still gets a vector, and a warning is logged that it means nothing.

        Raises:
            UsageError: Something that is no text.
        """
        if isinstance(texts, str):
            vector: FloatArray = self.embed_text([texts])[0]
            return vector
        _need_texts(texts)
        out = np.empty((len(texts), self.dim), np.float32)
        encodings = self._tokenizer.encode_batch(list(texts))
        for text, encoding in zip(texts, encodings, strict=True):
            if text.strip() and not self._knows_a_word(encoding):
                logging.getLogger("soundseek").warning(
                    "the model %s knows no word of %r: what it finds for it means nothing",
                    self.config.name,
                    text,
                )
        self._warn_of_unread(texts, encodings)
        encoded = [encoding.ids for encoding in encodings]
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(encoded):
            by_length.setdefault(len(ids), []).append(row)
        for rows in by_length.values():
            ids = np.array([encoded[row] for row in rows], np.int64)
            feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            out[rows] = self._run(self._text, TEXT_FILE, "text_embedding", feeds, (len(rows), self.dim))
        if not np.isfinite(out).all():
            raise ModelError(
                f"the model {self.config.name} gives vectors that are not finite: its training diverged; use another"
            )
        return unit_rows(out)

    def is_one_token(self, word: str) -> bool:
        """True for a word in lower case that the text tower reads whole, and not as scraps of others."""
        # A mark of the beginning of a word (Ġ, ▁) is no part of it; an unknown word is "[UNK]" and so another.
        read = [self._tokenizer.encode(form, add_special_tokens=False).tokens for form in (word, f" {word}")]
        return any(len(tokens) == 1 and tokens[0].strip("Ġ▁") == word for tokens in read)

    def embed_audio(self, sounds: Sound | Sequence[Sound]) -> FloatArray:
        """Unit vectors of whole sounds: `(n, dim)` of a list, `(dim,)` of one; the mean over all frames, normalised.

        A model whose frames depend on the whole clip embeds up to `WHOLE_CLIP_S` seconds at once, as it was trained and
        evaluated, and a longer sound in windows.

        Args:
            sounds: A path, or `(waveform, sample_rate_hz)` with a waveform `(samples,)` or `(samples, channels)`,
                floats in [-1, 1] or integers; or a list of these.

        Raises:
            DecodeError: The first sound that cannot be embedded.
            UsageError: Something that is neither a path nor a waveform with its rate.
        """
        if _is_sound(sounds):
            vector: FloatArray = self.embed_audio([sounds])[0]
            return vector
        if isinstance(sounds, str | bytes) or not isinstance(sounds, Sequence):
            raise UsageError(
                "embed_audio takes a path, (waveform, sample_rate_hz), or a list of these, "
                f"not {type(sounds).__name__}"
            )
        means = [self._clip_mean(each) for each in cast("Sequence[Sound]", sounds)]
        return unit_rows(np.array(means, np.float32).reshape(len(means), self.dim))

    def _mean_of(self, embedding: AudioEmbedding) -> FloatArray:
        """`(dim,)` the mean of a sound's frames; of windows, whose vectors have not been rounded, of these."""
        rows = embedding.vectors if self._is_windowed else embedding.frames
        mean: FloatArray = rows.mean(axis=0, dtype=np.float32)
        return mean

    def _clip_mean(self, sound: Sound) -> FloatArray:
        """`(dim,)` the mean of a sound's frames; where these depend on the whole clip, it is embedded at once."""
        with self._opened(sound) as stream:
            if self.config.audio.scope != "clip":
                return self._mean_of(self._embed_stream(stream))
            most_frames = WHOLE_CLIP_S / self.front_end.hop_s
            blocks = log_mel_blocks(stream, self._log_mel)
            beginning: list[FloatArray] = []
            for block in blocks:
                beginning.append(block)
                if sum(map(len, beginning)) - 1 > most_frames:
                    return self._mean_of(self._embed_stream(stream, blocks=chain(beginning, blocks)))
            frames = self._finite(_half(self._run_audio(np.concatenate(beginning))), stream)
            mean: FloatArray = frames.mean(axis=0, dtype=np.float32)
            return mean

    def _opened(self, sound: Sound) -> AudioStream:
        # Decoders are imported where sound is read: a search by words needs none.
        from soundseek.audio.arrays import open_array
        from soundseek.audio.decode import open_audio

        rate_hz = self.front_end.sample_rate_hz
        if isinstance(sound, str | os.PathLike):
            return open_audio(sound, sample_rate_hz=rate_hz, max_duration_s=math.inf)
        if not _is_sound(sound):
            raise UsageError(f"a sound is a path or (waveform, sample_rate_hz), not {sound!r:.80}")
        waveform, own_rate_hz = cast("tuple[npt.ArrayLike, int]", sound)
        return open_array(waveform, own_rate_hz, sample_rate_hz=rate_hz)

    def embed_file(
        self,
        path: str | os.PathLike[str],
        *,
        max_duration_s: float = math.inf,
        progress: Callable[[float, float | None], None] | None = None,
        windows: bool = False,
    ) -> AudioEmbedding:
        """The segments of one file and their vectors, decoded and embedded in one streaming pass.

        Args:
            path: The file.
            max_duration_s: Of a longer file only the beginning is embedded.
            progress: Is told now and then the seconds embedded, and those that the header states.
            windows: Embed its short windows as well, each as a clip of its own, which costs as much as a segment.

        Raises:
            DecodeError: The file cannot be turned into sound.
        """
        from soundseek.audio.decode import open_audio

        with open_audio(
            path, sample_rate_hz=self.front_end.sample_rate_hz, max_duration_s=max_duration_s
        ) as stream:
            if not windows:
                return self._embed_stream(stream, progress)
            clips = self._clips(WINDOW_S, WINDOW_HOP_S)
            embedding = self._embed_stream(stream, progress, also=clips)
            _, rows = clips.finish(embedding.info.duration_s)
            self._finite(_half(rows), stream)
            return replace(embedding, windows=unit_rows(rows))

    def _embed_stream(
        self,
        stream: AudioStream,
        progress: Callable[[float, float | None], None] | None = None,
        *,
        blocks: Iterator[FloatArray] | None = None,
        also: Clips | None = None,
    ) -> AudioEmbedding:
        """The segments of a stream.

        Args:
            stream: The sound.
            progress: See `embed_file`.
            blocks: Its log-mel where some of it has been read already.
            also: What else gets its waveform.
        """
        if self._is_windowed:
            return self._embed_clips(stream, progress, also)
        blocks = log_mel_blocks(stream, self._log_mel, progress, clips=also) if blocks is None else blocks
        if self.config.audio.scope == "local":
            parts = local_frames(
                blocks, self._run_audio, audio=self.config.audio, num_mels=self.front_end.num_mels
            )
            # float16 as soon as it is computed: three hours are 70 MB then, and not 280.
            half = np.concatenate([_half(part) for part in parts])
            segments = plan_segments(stream.info.duration_s, length_s=SEGMENT_S, hop_s=HOP_S)
            spans = frame_spans(segments, len(half), self.frame_s)
        else:
            segments, frames, spans = segment_frames(
                blocks, self._run_audio, stream=stream, front_end=self.front_end
            )
            half = _half(frames)
        half = self._finite(half, stream)
        vectors = unit_rows(span_means(half, spans))
        return AudioEmbedding(stream.info, tuple(segments), vectors, half, spans, self.frame_s)

    @staticmethod
    def _finite(frames: npt.NDArray[np.float16], stream: AudioStream) -> npt.NDArray[np.float16]:
        if not np.isfinite(frames).all():
            raise DecodeError(stream.info.path, "the model gives no finite vector for it")
        return frames

    def _embed_clips(
        self,
        stream: AudioStream,
        progress: Callable[[float, float | None], None] | None,
        also: Clips | None,
    ) -> AudioEmbedding:
        """What a model makes of a recording that takes clips of one length: each window alone, half over the next."""
        rate_hz, length = self.front_end.sample_rate_hz, self.front_end.window_samples
        clips, num_samples = self._clips(length / rate_hz, length // 2 / rate_hz), 0
        for block in stream if also is None else also.fed_by(stream):
            clips.push(block)
            num_samples += len(block)
            if progress is not None:
                progress(num_samples / rate_hz, stream.stated_s)
        segments, rows = clips.finish(stream.info.duration_s)
        half = self._finite(_half(rows), stream)
        spans = np.stack([np.arange(len(rows)), np.arange(1, len(rows) + 1)], axis=1)
        return AudioEmbedding(stream.info, tuple(segments), unit_rows(rows), half, spans, self.frame_s)

    def _clips(self, length_s: float, hop_s: float) -> Clips:
        return Clips(self._embed_clip, self.front_end.sample_rate_hz, length_s, hop_s)

    def _embed_clip(self, waveform: FloatArray) -> FloatArray:
        """The vector `(dim,)` of one clip `(samples,)`, not normalised."""
        log_mel = self._log_mel.of_window(waveform) if self._is_windowed else self._log_mel(waveform)
        mean: FloatArray = self._run_audio(log_mel).mean(axis=0)
        return mean

    def embed_windows(
        self,
        path: str | os.PathLike[str],
        spans: Sequence[tuple[float, float]],
        *,
        length_s: float = WINDOW_S,
        hop_s: float = WINDOW_HOP_S,
    ) -> list[tuple[list[Segment], FloatArray]]:
        """Short windows of some parts of a file, each embedded as a clip of its own.

        So moments can be told apart where a segment's score is not the mean of its frames'. A window costs as much as
        a whole segment does.

        Args:
            path: The file.
            spans: `(start_s, end_s)` of each part.
            length_s: Length of a window; a shorter part is one window.
            hop_s: Seconds from one window to the next.

        Returns:
            For each part its windows, in seconds from the beginning of the file, and their unit vectors
            `(windows, dim)`.

        Raises:
            DecodeError: The file cannot be decoded, or ends before a part begins.
            UsageError: Lengths that make no sense; see `plan_segments`.
        """
        from soundseek.audio.decode import open_audio

        rate_hz = self.front_end.sample_rate_hz
        last_s = max((end_s for _, end_s in spans), default=0.0)
        with open_audio(path, sample_rate_hz=rate_hz, max_duration_s=last_s + 1) as stream:
            kept: list[list[FloatArray]] = [[] for _ in spans]
            at = 0
            for block in stream:
                for (start_s, end_s), blocks in zip(spans, kept, strict=True):
                    first, last = round(start_s * rate_hz) - at, round(end_s * rate_hz) - at
                    blocks.append(block[max(0, first) : max(0, last)])
                at += len(block)
        found = []
        for (start_s, _), blocks in zip(spans, kept, strict=True):
            waveform = np.concatenate([np.empty(0, np.float32), *blocks])
            if not len(waveform):
                raise DecodeError(os.fspath(path), f"it ends before {start_s:.2f} s")
            windows = plan_segments(len(waveform) / rate_hz, length_s=length_s, hop_s=hop_s)
            rows = [
                self._embed_clip(waveform[round(w.start_s * rate_hz) : max(1, round(w.end_s * rate_hz))])
                for w in windows
            ]
            placed = [Segment(start_s + window.start_s, start_s + window.end_s) for window in windows]
            found.append((placed, unit_rows(np.stack(rows))))
        return found

    @cached_property
    def _log_mel(self) -> LogMel:
        return LogMel(self.front_end)

    def _run_audio(self, log_mel: FloatArray) -> FloatArray:
        if not self._is_windowed:
            log_mel = self.front_end.continued(log_mel, self.config.audio.min_frames)
        feeds = {"log_mel": log_mel[None]}
        frames: FloatArray = self._run(self._audio, AUDIO_FILE, "frames", feeds, (1, None, self.dim))[0]
        return frames

    def _run(
        self, session: Any, name: str, output: str, feeds: dict[str, Any], shape: tuple[int | None, ...]
    ) -> FloatArray:
        """One output of a network; a None in `shape` may be any number.

        Raises:
            ModelError: The network cannot be run, or gives another shape: its files do not belong together.
            MemoryError: There is not enough for it.
        """
        try:
            found: FloatArray = session.run([output], feeds)[0]
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            if any(sign in str(error) for sign in _NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise ModelError(f"{self.directory / name} cannot be run: {error}") from error
        if len(found.shape) != len(shape) or any(
            want not in (None, has) for has, want in zip(found.shape, shape, strict=True)
        ):
            raise ModelError(
                f"{self.directory / name} gives {output} of shape {found.shape}, and config.json says dim {self.dim}: "
                "the files of the directory do not belong together; export or fetch the model again"
            )
        return found

    @cached_property
    def _audio(self) -> Any:
        return self._session(AUDIO_FILE)

    @cached_property
    def _text(self) -> Any:
        return self._session(TEXT_FILE)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self.directory / TOKENIZER_FILE))
        except Exception as error:  # the library raises bare Exception for a malformed file
            raise ModelError(f"{self.directory / TOKENIZER_FILE} is damaged: {error}") from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.config.text.max_tokens)
        return tokenizer

    def _warn_of_unread(self, texts: Sequence[str], encodings: Sequence[Any]) -> None:
        """Once for a text: those behind it in a batch are mostly the same one with a word left out."""
        pairs = zip(texts, encodings, strict=True)
        text, encoding = next((pair for pair in pairs if pair[1].overflowing), ("", None))
        with self._lock:
            if encoding is None or text in self._warned:
                return
            self._warned[text] = None
            if len(self._warned) > _REMEMBERED_WARNINGS:
                del self._warned[next(iter(self._warned))]
        end = max((end for _, end in encoding.offsets), default=0)
        unread = text[_word_start(text, end) if not text[end : end + 1].isspace() else end :]
        logging.getLogger("soundseek").warning(
            "the model %s reads no more than %d tokens and did not read the end of this text: %s",
            self.config.name,
            self.config.text.max_tokens,
            textwrap.shorten(unread, 300, placeholder=" ..."),
        )

    def _knows_a_word(self, encoding: Any) -> bool:
        """True if a token of a sentence is neither unknown nor a mark such as [CLS]."""
        unknown = self._unknown_ids
        tokens = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        return any(not is_mark and token not in unknown for token, is_mark in tokens)

    @cached_property
    def _unknown_ids(self) -> frozenset[int]:
        found = (self._tokenizer.token_to_id(token) for token in _UNKNOWN_TOKENS)
        return frozenset(number for number in found if number is not None)

    def _session(self, name: str) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        need_own_numbers(self.directory / name)
        with self._lock:
            try:
                return onnxruntime.InferenceSession(
                    str(self.directory / name), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # ONNX Runtime's exceptions share no public base
                raise ModelError(f"{self.directory / name} is damaged: {error}") from error


def _word_start(text: str, at: int) -> int:
    """Where the word begins that a position lies in: a word of which only a part is read counts as not read."""
    while at > 0 and not text[at - 1].isspace():
        at -= 1
    return at


def _half(frames: FloatArray) -> npt.NDArray[np.float16]:
    """Frames as they are kept; what float16 cannot hold becomes infinite, which is an error later."""
    with np.errstate(over="ignore"):
        return frames.astype(np.float16)


def similarity(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cosines of unit vectors, -1 to 1: `(n, m)` of `(n, dim)` and `(m, dim)`; a single vector `(dim,)` drops its axis.

    Raises:
        UsageError: The vectors are not of one dimension, so not of one model.

    Example:
        >>> similarity(np.float32([[1, 0], [0, 1]]), np.float32([0.6, 0.8]))
        array([0.6, 0.8], dtype=float32)
    """
    left, right = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if left.ndim not in (1, 2) or right.ndim not in (1, 2) or left.shape[-1] != right.shape[-1]:
        raise UsageError(
            f"similarity takes vectors (n, dim) or (dim,) of one model, not {left.shape} and {right.shape}"
        )
    scores: FloatArray = left @ right.T
    return scores


def _is_sound(sound: object) -> TypeGuard[Sound]:
    """Whether this is one path, or one waveform with its rate."""
    if isinstance(sound, tuple):
        return len(sound) == 2 and not isinstance(sound[0], str | os.PathLike)
    return isinstance(sound, str | os.PathLike)


def _need_texts(texts: Sequence[str]) -> None:
    """Raise UsageError unless this is a list of texts."""
    if isinstance(texts, bytes) or not isinstance(texts, Sequence):
        raise UsageError(f"embed_text takes a text or a list of texts, not {type(texts).__name__}")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"text {number} is no text but {type(text).__name__}: {text!r:.60}")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UsageError(f"text {number} holds a byte that is no letter; leave it out: {text!r:.60}")
