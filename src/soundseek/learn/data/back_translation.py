"""A caption in another language and back: the same said otherwise, by two local translation models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from soundseek._typing import Report
from soundseek.errors import RecipeError
from soundseek.learn.data.tower_cache import cache_directory

THERE, BACK = "there", "back"
_AT_ONCE = 32  # captions
_BEAMS = 4  # as the published OPUS-MT models are evaluated
_MAX_TOKENS = 64


def paraphrases(captions: Sequence[str], directory: Path, *, report: Report | None = None) -> dict[str, str]:
    """Caption -> the same translated there and back, without captions that come back unchanged or empty.

    Args:
        captions: English sentences, each once.
        directory: Holds two MarianMT models as transformers saves them, such as `Helsinki-NLP/opus-mt-en-de` in
            `there/` and `opus-mt-de-en` in `back/`.
        report: Called as the work goes on.

    Raises:
        RecipeError: A model is missing or cannot be loaded.

    Note:
        Beam search without sampling: a caption always comes back as the same paraphrase.
    """
    refuse_translation(directory)
    models = [_load(directory / name) for name in (THERE, BACK)]
    found: dict[str, str] = {}
    for start in range(0, len(captions), _AT_ONCE):
        some = list(captions[start : start + _AT_ONCE])
        translated = some
        for tokenizer, model in models:
            translated = _translate(translated, tokenizer, model)
        pairs = zip(some, (text.strip() for text in translated), strict=True)
        found |= {caption: text for caption, text in pairs if text and text != caption}
        if report:
            report("captions translated", min(start + _AT_ONCE, len(captions)), len(captions))
    return found


def cached_paraphrases(
    captions: Sequence[str], directory: Path, *, report: Report | None = None
) -> dict[str, str]:
    """`paraphrases`, remembered by the captions and the contents of both models."""
    digest = hashlib.sha256(json.dumps([_BEAMS, _MAX_TOKENS, *captions]).encode())
    for file in sorted(
        path for name in (THERE, BACK) for path in (directory / name).glob("*") if path.is_file()
    ):
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    path = cache_directory() / "paraphrases" / f"{digest.hexdigest()[:32]}.json"
    if path.is_file():
        cached: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return cached
    found = paraphrases(captions, directory, report=report)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, ensure_ascii=False, indent=0), encoding="utf-8")
    partial.replace(path)
    return found


def refuse_translation(directory: Path) -> None:
    """Raise a RecipeError unless both models are in the directory; nothing is loaded."""
    for name in (THERE, BACK):
        if not (directory / name / "config.json").is_file():
            raise RecipeError(
                f"text.augment.back_translation: no translation model in {directory / name}; save two MarianMT models "
                f"as {THERE}/ and {BACK}/, such as Helsinki-NLP/opus-mt-en-de and opus-mt-de-en"
            )


def _load(directory: Path) -> tuple[Any, Any]:
    from transformers import MarianMTModel, MarianTokenizer

    try:
        tokenizer = MarianTokenizer.from_pretrained(directory, local_files_only=True)
        model = MarianMTModel.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, ImportError, TypeError) as error:
        raise RecipeError(f"text.augment.back_translation: {directory} cannot be loaded: {error}") from error
    model.eval()  # type: ignore[no-untyped-call]
    return tokenizer, model


@torch.no_grad()
def _translate(texts: Sequence[str], tokenizer: Any, model: Any) -> list[str]:
    batch = tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True, max_length=_MAX_TOKENS)
    output = model.generate(**batch, num_beams=_BEAMS, do_sample=False, max_new_tokens=_MAX_TOKENS)
    translated: list[str] = tokenizer.batch_decode(output, skip_special_tokens=True)
    return translated
