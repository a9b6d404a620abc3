"""The README of a model directory: its card for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundseek.audio.segments import SEGMENT_S
from soundseek.model.config import ModelConfig
from soundseek.model.model import WHOLE_CLIP_S

README_FILE = "README.md"
MAP_FILE = "map.png"
_NOT_FACTS = frozenset({"evaluation", "map"})  # these have sections of their own
_METRICS = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "mAP10": "mAP@10"}
_DIRECTIONS = {"text_to_audio": "caption to sound", "audio_to_text": "sound to captions"}


def record_scores(directory: Path, report: dict[str, Any]) -> None:
    """Write what `soundseek evaluate` measured into a model directory's card and README.

    Args:
        directory: The model directory.
        report: `EvaluationReport.to_dict()`.

    Raises:
        ModelError: No readable card there.
    """
    card = ModelConfig.read(directory)
    found = report["text_to_audio"]
    scores = {f"{report['split']} {name}": round(float(found[name]["value"]), 6) for name in _METRICS}
    card = card.model_copy(update={"scores": scores, "training": {**card.training, "evaluation": report}})
    card.write(directory)
    write_readme(directory, card)


def write_readme(directory: Path, card: ModelConfig) -> None:
    """Write `README.md` beside the card."""
    parts = [f"# {card.name}", card.summary, _use(card), _scores(card), _map(card), _made(card)]
    parts += [_list("Whose work is in it", card.credits), _list("What it is bad at", card.limits)]
    parts.append(f"## Licence\n\n{card.license or 'Not stated.'}")
    (directory / README_FILE).write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _use(card: ModelConfig) -> str:
    hop_ms = round(card.audio.frame_hop * card.front_end.hop_s * 1000)
    hears = "its neighbourhood" if card.audio.scope == "local" else "its whole segment"
    peak = card.front_end.peak_dbfs
    level = "" if peak is None else f", every recording brought to a peak of {peak:g} dBFS first"
    return (
        f"A model of soundseek: sounds and sentences become unit vectors of "
        f"{card.dim} dimensions, near where they mean the same. It hears at {card.front_end.sample_rate_hz:,} Hz"
        f"{level}, a frame every {hop_ms} ms; a frame depends on {hears}.{_long_clips(card)} Fingerprint "
        f"`{card.fingerprint}`."
    )


def _long_clips(card: ModelConfig) -> str:
    """How a clip is embedded that is longer than a segment; nothing where there is one way."""
    if card.audio.scope != "clip":
        return ""
    return (
        f" A clip of up to {WHOLE_CLIP_S:g} s is embedded whole, as in training (`embed_audio`, `soundseek evaluate`), "
        f"a longer one in windows of {SEGMENT_S:g} s whose frames are averaged; a library's segments are such windows."
    )


def _scores(card: ModelConfig) -> str:
    report = card.training.get("evaluation")
    if not report:
        return ""
    lines = [
        "## How well it finds",
        "",
        f"{report['num_captions']:,} captions of {report['num_clips']:,} sounds, split `{report['split']}`, "
        "in percent with 95 % jackknife intervals.",
        "",
        "| | " + " | ".join(_METRICS.values()) + " |",
        "|---" * (len(_METRICS) + 1) + "|",
    ]
    for direction, shown in _DIRECTIONS.items():
        values = [report[direction][name] for name in _METRICS]
        cells = [f"{100 * v['value']:.1f} ({100 * v['low']:.1f} to {100 * v['high']:.1f})" for v in values]
        lines.append(f"| {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _map(card: ModelConfig) -> str:
    shown = card.training.get("map")
    if not shown:
        return ""
    return (
        f"## What lies near what\n\n![A map of sounds by category]({MAP_FILE})\n\n"
        f"The {shown['num_sounds']:,} sounds of the split `{shown['split']}`, a point each, by t-SNE of their vectors: "
        "neighbours sound alike to the model. Distances between far groups mean nothing."
    )


def _made(card: ModelConfig) -> str:
    facts = {key: value for key, value in card.training.items() if key not in _NOT_FACTS and value != ""}
    if not facts:
        return ""
    rows = [f"| {key} | {_plain(value)} |" for key, value in facts.items()]
    return "\n".join(["## How it was made", "", "| | |", "|---|---|", *rows])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _list(title: str, items: tuple[str, ...]) -> str:
    return "\n".join([f"## {title}", "", *(f"* {item}" for item in items)]) if items else ""
