"""Put a map of a split's sounds into a model directory, and into its README.

    python scripts/sound_map.py src/soundseek/model/bundled/soundseek-small --data ../shared/sounds --split evaluation

The data need `metadata.csv` with the columns file_name, category and label. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from soundseek.learn.datasets.layout import read_split
from soundseek.learn.evaluation.sound_map import draw, project, read_kinds
from soundseek.learn.export.model_card import record_map
from soundseek.model.model import Model


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


if __name__ == "__main__":
    main()
