"""`soundseek distill`: a published tagger teaches soundseek's own trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundseek.cli.options import above, need_captions, need_file, need_folder, whole_number


def distill(
    teacher: Annotated[
        Path, typer.Option(metavar="FILE", help="Weights of EfficientAT's mn04_as (.pt or .safetensors).")
    ],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Sounds in Clotho's layout; captions are not read.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="RUN", help="Run folder: checkpoint, metrics and trunk.safetensors.")
    ],
    hours: Annotated[
        float,
        typer.Option(
            parser=above(0, "hours"), metavar="HOURS", help="Training time; more hours continue an ended run."
        ),
    ] = 2.0,
    processes: Annotated[
        int,
        typer.Option(
            parser=whole_number(1, "processes"),
            metavar="N",
            help="Processes of one thread, at most one per core.",
        ),
    ] = 2,
    seed: Annotated[
        int, typer.Option(parser=whole_number(0, "seeds"), metavar="N", help="Seed of weights and mixtures.")
    ] = 0,
    start: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder of a smaller student to grow from.", show_default=False),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run folder of heads on the frozen teacher; their space is learned first.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Teach a compact trunk on mixtures of sounds; a stopped run continues."""
    need_file(teacher, "--teacher", "it takes the published weights of mn04_as, .pt or .safetensors")
    need_captions(data)
    need_file(data / "captions_development.csv", "--data", "distilling takes the split development")
    need_folder(start, "--start", "it takes the run folder of a smaller student")
    need_folder(heads, "--heads", "it takes the run folder of heads on the frozen teacher")
    from soundseek.learn.data.waveforms import WaveformCache
    from soundseek.learn.datasets.layout import read_split
    from soundseek.learn.distill import DistillConfig
    from soundseek.learn.distill import distill as run

    config = DistillConfig(
        hours=hours,
        processes=processes,
        seed=seed,
        start=start,
        heads=heads,
        learning_rate=2e-3 if start else 3e-3,  # what is there already is not to be shaken out
        retrieval_weight=2.0 if heads else 0.0,
    )
    caches = {}
    for split in ("development", "validation"):
        caches[split] = out / "waveforms" / split
        typer.echo(f"decoding {split} ...", err=True)
        WaveformCache.build(
            [clip.path for clip in read_split(data, split)],
            caches[split],
            sample_rate_hz=config.trunk.front_end.sample_rate_hz,
            report=lambda line: typer.echo(line, err=True),
        )
    typer.echo(str(run(teacher, caches["development"], caches["validation"], out, config)))
