"""`config.json` of a model directory: what a model is, how it hears, and what it was trained on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soundseek.audio.logmel import FrontEndConfig
from soundseek.errors import ModelError

CONFIG_FILE = "config.json"
AUDIO_FILE = "audio.onnx"
TEXT_FILE = "text.onnx"
TOKENIZER_FILE = "tokenizer.json"


class AudioTowerConfig(BaseModel):
    """How `audio.onnx` turns a log-mel `(1, time, mel)` into frames `(1, frames, dim)`.

    Attributes:
        frame_hop: Log-mel frames per output frame.
        scope: "local": a frame depends on its neighbourhood alone, so a long file streams in one pass.
            "clip": attention (or squeeze-and-excitation) sees the whole segment, so every segment is embedded alone.
            "window": the network takes clips of the front end's `window_s` and gives one frame for each, so every
            segment has a log-mel of its own, and its moments are the scores of short windows (`embed_windows`).
        context_frames: For "local", log-mel frames on either side that a frame can depend on.
        min_frames: Shortest log-mel the network accepts; shorter ones are padded with silence.
        is_linear: A segment's score is the mean of its frames' scores, so that these are its moments; false where all
            frames of a segment carry the segment's own vector.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame_hop: int = Field(gt=0, le=1 << 16)
    scope: Literal["local", "clip", "window"]
    context_frames: int = Field(ge=0, le=1 << 16)
    min_frames: int = Field(gt=0, le=1 << 16)
    is_linear: bool = True


class TextTowerConfig(BaseModel):
    """How `text.onnx` turns token ids `(batch, tokens)` into embeddings `(batch, dim)`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["bert", "word2vec", "roberta", "gpt2"] = "bert"
    max_tokens: int = Field(gt=2, le=1 << 20)


class ModelConfig(BaseModel):
    """The whole of `config.json`.

    Attributes:
        hears_as: Fingerprint of the model that this one was adapted from, whose `audio.onnx` and front end it has: what
            that one filled a library with are this one's vectors, too. Empty: of no other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    format: Literal[1] = 1
    dim: int = Field(gt=0, le=1 << 16)
    front_end: FrontEndConfig
    audio: AudioTowerConfig
    text: TextTowerConfig
    fingerprint: str = ""
    hears_as: str = ""
    license: str = ""
    summary: str = ""
    credits: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    scores: dict[str, float] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)

    @property
    def hears_like(self) -> str:
        """Fingerprint of the model that gives sounds these vectors: this one, or the one that it was adapted from."""
        return self.hears_as or self.fingerprint

    @classmethod
    def read(cls, directory: Path) -> ModelConfig:
        """The card of a model directory.

        Raises:
            ModelError: No such directory, no card in it, or a card this version cannot read.
        """
        path = directory / CONFIG_FILE
        if not path.is_file():
            raise ModelError(
                f"{directory} is no model directory: it has no {CONFIG_FILE}. See: soundseek models"
            )
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ModelError(f"{path} cannot be read by this version of soundseek: {error}") from error

    def write(self, directory: Path) -> None:
        """Write `config.json` into a model directory."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (directory / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def fingerprint(directory: Path, front_end: FrontEndConfig) -> str:
    """Twelve hex digits of a sha256 over networks and front end: they change whenever vectors could change."""
    digest = hashlib.sha256(front_end.model_dump_json(exclude_none=True).encode())
    for name in (AUDIO_FILE, TEXT_FILE, TOKENIZER_FILE):
        digest.update(hashlib.sha256((directory / name).read_bytes()).digest())
    return digest.hexdigest()[:12]
