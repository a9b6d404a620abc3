"""Ten successes and ten failures of a model, chosen by rule, with their spectrograms: docs/results/heard-MODEL.json.

    python scripts/heard.py soundseek-small --data DIR --split evaluation

Then `python scripts/results_page.py` shows them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from soundseek.audio.decode import read_audio
from soundseek.audio.logmel import FrontEndConfig, LogMel
from soundseek.learn.datasets.layout import Clip, read_split
from soundseek.learn.evaluation.rankings import Answers, rank_queries
from soundseek.learn.experiments.cost import machine
from soundseek.learn.training.run_folder import environment
from soundseek.model.registry import load_model

ROOT = Path(__file__).parents[1]
COUNT = 10
FOUND, MISSED = 1, 10  # a success stands first, a failure below the tenth place
RULE = (
    f"A success is a caption whose own sound stands first, a failure one whose sound stands below place {MISSED}. The "
    "successes are sorted by how far they are ahead of the next sound (cosine), the failures by their place; shown are "
    "those in the middle of each tenth, so neither the best nor the worst. A sound is shown once in each list."
)
SHOWN_S = 10.0
COLOURS = 48


def main() -> None:
    """Embed, rank, choose, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model's name or directory")
    parser.add_argument("--data", type=Path, required=True, help="captioned sounds in Clotho's layout")
    parser.add_argument("--split", default="evaluation")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    name = model.config.name
    clips, answers = (
        read_split(arguments.data, arguments.split),
        rank_queries(model, arguments.data, arguments.split),
    )
    pictures = arguments.out / f"heard-{name}"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.png"):
        old.unlink()
    chosen = dict(zip(("successes", "failures"), choose(answers), strict=True))
    told = {
        kind: [
            example(answers, clips, query, pictures, f"{kind}-{place}.png", model.front_end)
            for place, query in enumerate(queries, start=1)
        ]
        for kind, queries in chosen.items()
    }
    counts = {
        "num_clips": len(answers.files),
        "num_captions": len(answers.rank),
        "num_successes": int(np.count_nonzero(answers.rank == FOUND)),
        "num_failures": int(np.count_nonzero(answers.rank > MISSED)),
    }
    report = {
        "model": name,
        "fingerprint": model.fingerprint,
        "data": arguments.data.resolve().name,
        "split": arguments.split,
        **counts,
        "rule": RULE,
        **told,
        "machine": machine(),
        **environment(),
    }
    path = arguments.out / f"heard-{name}.json"
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    size_kb = sum(each.stat().st_size for each in pictures.iterdir()) / 1000
    print(f"{path}: {len(list(pictures.iterdir()))} pictures, {size_kb:.0f} kB")


def choose(answers: Answers, count: int = COUNT) -> tuple[list[int], list[int]]:
    """Numbers of the queries to show: successes and failures; see `RULE`."""
    successes = np.flatnonzero(answers.rank == FOUND)
    failures = np.flatnonzero(answers.rank > MISSED)
    successes = successes[np.argsort(-answers.margin[successes], kind="stable")]
    failures = failures[np.argsort(answers.rank[failures], kind="stable")]
    return tuple(list(_middles(queries.tolist(), answers.own, count)) for queries in (successes, failures))


def _middles(queries: Sequence[int], own: npt.NDArray[np.int64], count: int) -> Iterator[int]:
    """The query in the middle of each of `count` equal parts; where its sound was shown, the next of another."""
    seen: set[int] = set()
    for part in range(count):
        start = (2 * part + 1) * len(queries) // (2 * count)
        for query in queries[start:]:
            if own[query] not in seen:
                seen.add(int(own[query]))
                yield query
                break


def example(
    answers: Answers, clips: Sequence[Clip], query: int, folder: Path, file: str, front_end: FrontEndConfig
) -> dict[str, Any]:
    """What there is to say of a query, and its picture."""
    own, top = clips[answers.own[query]], clips[answers.top[query]]
    shown = [own] if own is top else [own, top]
    titles = ["what was asked for", "what was heard instead"] if len(shown) > 1 else [""]
    png = spectrograms([clip.path for clip in shown], titles, front_end)
    (folder / file).write_bytes(png)
    return {
        "caption": str(answers.captions[query]),
        "rank": int(answers.rank[query]),
        "margin": round(float(answers.margin[query]), 4),
        "file": own.path.name,
        "captions": list(own.captions),
        "top_file": top.path.name,
        "top_captions": list(top.captions),
        "picture": f"{folder.name}/{file}",
    }


def spectrograms(paths: Sequence[Path], titles: Sequence[str], front_end: FrontEndConfig) -> bytes:
    """A small PNG of log-mels as the model gets them, side by side."""
    figure = Figure(figsize=(3.6 * len(paths), 1.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(paths), squeeze=False)[0]
    for path, title, axes in zip(paths, titles, panels, strict=True):
        waveform = read_audio(path, sample_rate_hz=front_end.sample_rate_hz)
        log_mel = LogMel(front_end)(waveform[: round(SHOWN_S * front_end.sample_rate_hz)]).T  # (mel, time)
        seconds = log_mel.shape[1] * front_end.hop_s
        span = np.percentile(log_mel, 99.8) - log_mel.max() + np.ptp(log_mel)
        axes.imshow(
            log_mel,
            origin="lower",
            aspect="auto",
            cmap="magma",
            extent=(0, seconds, 0, len(log_mel)),
            vmin=log_mel.min() + 0.25 * span,
            vmax=log_mel.min() + span,
        )
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        axes.set_title(title, fontsize=8)
    out = BytesIO()
    figure.savefig(out, dpi=80, metadata={"Software": None})
    small = BytesIO()
    Image.open(out).convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    main()
