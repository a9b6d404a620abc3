"""Put a map of a split's sounds into a model directory, and into its README: its vectors in two dimensions, coloured by
what the sounds are.

    python scripts/sound_map.py src/soundseek/model/bundled/soundseek-small --data ../shared/sounds --split evaluation

The data need `metadata.csv` with the columns file_name, category and label. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from soundseek._typing import DoubleArray, FloatArray
from soundseek.errors import DataError, UsageError
from soundseek.learn.datasets.layout import read_split
from soundseek.learn.datasets.tables import read_csv
from soundseek.learn.export.model_card import MAP_FILE, write_readme
from soundseek.model.config import ModelConfig
from soundseek.model.model import Model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_PERPLEXITY = 20.0  # neighbours that count for each point: of some hundred sounds, about one category's
_MIN_SOUNDS = 10
_MOST_NAMES = 34  # names of kinds of sounds that the picture has room for
_MIN_OF_A_KIND = 3

# Told apart by the colour-blind (Okabe and Ito's, mostly). Further categories are darker, with another marker.
_COLOURS = ("#0072b2", "#e8590c", "#12a37f", "#d977b0", "#56b4e9", "#f0a90c", "#9b6b5e")
_MARKERS = ("o", "^", "s")
_SHADES = (1.0, 0.62, 0.35)
_NAME_ABOVE = 7.0  # points between the highest sound of a kind's core and the name


def main() -> None:
    """Embed, project, draw, and say so in the README."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a model directory")
    parser.add_argument("--data", type=Path, required=True, help="captioned sounds in Clotho's layout")
    parser.add_argument("--split", default="evaluation")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model = Model(arguments.model)
    paths = [clip.path for clip in read_split(arguments.data, arguments.split)]
    kinds = read_kinds(arguments.data, [path.name for path in paths])
    points = project(model.embed_audio(paths), seed=arguments.seed)
    title = f"{len(paths)} sounds of the {arguments.split} split as {model.config.name} hears them (t-SNE)"
    png = draw(points, kinds, title)
    written = record_map(arguments.model, png, split=arguments.split, num_sounds=len(paths))
    print(f"{written}: {len(png) / 1000:.0f} kB")


@dataclass(frozen=True)
class SoundKind:
    """What a sound is, from `metadata.csv`."""

    category: str
    label: str


def read_kinds(data: Path, file_names: Sequence[str]) -> list[SoundKind]:
    """Category and label of some sounds, from the columns of `DIR/metadata.csv`.

    Raises:
        TableError: No such file or column.
        DataError: A sound is missing from it.
    """
    path = data / "metadata.csv"
    rows = [row.cells for row in read_csv(path, "file_name", "category", "label")]
    kinds = {row["file_name"]: SoundKind(row["category"], row["label"]) for row in rows}
    unknown = [name for name in file_names if name not in kinds]
    if unknown:
        raise DataError(f"{path} lacks {len(unknown)} of the sounds, {unknown[0]} for one")
    return [kinds[name] for name in file_names]


def project(vectors: FloatArray, *, seed: int = 0) -> DoubleArray:
    """`(sounds, 2)`: t-SNE of `(sounds, dim)` vectors by their cosine, neighbours near neighbours.

    Only nearness means something in it; distances between far groups and the axes do not.

    Raises:
        UsageError: Too few sounds.
    """
    from sklearn.manifold import TSNE

    if len(vectors) < _MIN_SOUNDS:
        raise UsageError(f"a map needs at least {_MIN_SOUNDS} sounds, not {len(vectors)}")
    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    # Unit vectors: the squared distance is 2 - 2 cosine, and t-SNE starts from their principal components.
    tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    points: DoubleArray = tsne.fit_transform(vectors.astype(np.float32)).astype(np.float64)
    return points


def draw(points: DoubleArray, kinds: Sequence[SoundKind], title: str) -> bytes:
    """A PNG: a point a sound, a colour and a marker a category, and the names of kinds that lie together."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    categories = Counter(kind.category for kind in kinds).most_common()
    for number, (category, count) in enumerate(categories):
        of_it = points[[kind.category == category for kind in kinds]]
        axes.scatter(
            of_it[:, 0],
            of_it[:, 1],
            s=38,
            color=_shaded(_COLOURS[number % len(_COLOURS)], number // len(_COLOURS)),
            marker=_MARKERS[number // len(_COLOURS) % len(_MARKERS)],
            alpha=0.85,
            edgecolors="white",
            linewidths=0.4,
            label=f"{category} ({count})",
        )
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[:].set_color("#cccccc")
    axes.margins(0.04)
    figure.legend(loc="outside right upper", frameon=False, fontsize=10, borderaxespad=1.5)
    figure.canvas.draw()  # places are known only now
    _name_kinds(axes, points, kinds)
    out = BytesIO()
    figure.savefig(out, dpi=90, metadata={"Software": None})
    return out.getvalue()


def compact_kinds(points: DoubleArray, kinds: Sequence[SoundKind]) -> list[tuple[str, DoubleArray]]:
    """Kinds of at least three sounds, those that lie together first, each with its core `(sounds, 2)`.

    The core is the half of a kind's sounds that are nearest to its median: one stray sound does not move it.
    """
    found: list[tuple[float, str, DoubleArray]] = []
    labels = np.array([kind.label for kind in kinds])
    for label, count in sorted(Counter(labels.tolist()).items()):
        if count < _MIN_OF_A_KIND:
            continue
        own = points[labels == label]
        distance = np.linalg.norm(own - np.median(own, axis=0), axis=1)
        core = own[np.argsort(distance)[: max(2, (count + 1) // 2)]]
        spread = float(np.linalg.norm(core - core.mean(axis=0), axis=1).mean()) / np.sqrt(count)
        found.append((spread, label, core))
    return [(label, core) for _, label, core in sorted(found, key=lambda each: each[:2])]


def _shaded(colour: str, number: int) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple(part * _SHADES[number % len(_SHADES)] for part in to_rgb(colour))


def _name_kinds(axes: Axes, points: DoubleArray, kinds: Sequence[SoundKind]) -> None:
    """Write names where they cover no other name."""
    from matplotlib.patheffects import withStroke

    taken: list[Bbox] = []
    for label, core in compact_kinds(points, kinds):
        text = axes.annotate(
            label,
            (core[:, 0].mean(), core[:, 1].max()),
            xytext=(0, _NAME_ABOVE),
            textcoords="offset points",
            fontsize=9,
            ha="center",
            va="center",
            color="#111111",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
        box = text.get_window_extent()
        inside = axes.get_window_extent().containsx(box.x0) and axes.get_window_extent().containsx(box.x1)
        if len(taken) == _MOST_NAMES or not inside or any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


def record_map(directory: Path, png: bytes, *, split: str, num_sounds: int) -> Path:
    """Write a map of a split's sounds into a model directory and show it in the README; returns the picture's path.

    Raises:
        ModelError: No readable card there.
    """
    card = ModelConfig.read(directory)
    card = card.model_copy(
        update={"training": {**card.training, "map": {"split": split, "num_sounds": num_sounds}}}
    )
    (directory / MAP_FILE).write_bytes(png)
    card.write(directory)
    write_readme(directory, card)
    return directory / MAP_FILE


if __name__ == "__main__":
    main()
