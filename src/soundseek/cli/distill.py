"""`soundseek distill`: a published tagger teaches soundseek's own trunk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from soundseek.cli.options import above, need_file, need_folder, option, whole_number
from soundseek.errors import UsageError
from soundseek.model.registry import installed_models

_DEVICES = ("auto", "cpu", "cuda")
_STUDENTS = ("small", "tiny")


def distill_command(
    teacher: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Weights of EfficientAT's mn04_as (.pt or .safetensors); or a model such as soundseek-small, whose "
            "trunk a tiny student imitates.",
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR",
            help="Sounds: a data set in Clotho's layout, or any folder of sounds; repeatable. Captions are not read.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="RUN", help="Run folder: checkpoint, metrics and trunk.safetensors.")
    ],
    student: Annotated[
        str,
        option(
            metavar="SHAPE",
            help="The student: small, the trunk of soundseek-small, or tiny, a cheaper one that begins as that.",
        ),
    ] = "small",
    hours: Annotated[
        float,
        typer.Option(
            parser=above(0, "hours"), metavar="HOURS", help="Training time; more hours continue an ended run."
        ),
    ] = 2.0,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE", help="Where it computes: cpu, cuda (one GPU), or auto: a GPU if there is one."
        ),
    ] = "auto",
    processes: Annotated[
        int,
        typer.Option(
            parser=whole_number(1, "processes"),
            metavar="N",
            help="Processes of one thread, at most one per core; a GPU has one.",
        ),
    ] = 2,
    batch_s: Annotated[
        float | None,
        option(
            parser=above(0, "seconds"),
            metavar="SECONDS",
            help="Sound a step and process; 80 on a CPU, 3200 on a GPU.",
        ),
    ] = None,
    leave_out: Annotated[
        Path | None,
        option(
            metavar="FILE",
            help="Sounds to be judged on, not learned from: a file name or a collection of metadata.csv a line.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(parser=whole_number(0, "seeds"), metavar="N", help="Seed of weights and mixtures.")
    ] = 0,
    start: Annotated[
        Path | None, option(metavar="RUN", help="Run folder, or trunk file, of a student to grow from.")
    ] = None,
    heads: Annotated[
        Path | None,
        option(
            metavar="RUN", help="Run folder of heads on the frozen teacher; their space is learned first."
        ),
    ] = None,
    sentences: Annotated[
        Path | None,
        option(
            metavar="FILE",
            help="CSV with a column caption: what may be asked for, so that sentences rank alike; takes --heads.",
        ),
    ] = None,
) -> None:
    """Teach a compact trunk on mixtures of sounds; a stopped run continues."""
    if device not in _DEVICES:
        raise UsageError(f"--device {device} is not allowed; give one of {', '.join(_DEVICES)}")
    if sentences and not heads:
        raise UsageError("--sentences takes --heads RUN, in whose space they are compared with sounds")
    if student not in _STUDENTS:
        raise UsageError(f"--student {student} is not allowed; give one of {', '.join(_STUDENTS)}")
    teacher = installed_models().get(str(teacher), teacher)
    if not teacher.is_dir():
        need_file(
            teacher, "--teacher", "it takes the published weights of mn04_as, .pt or .safetensors, or a model"
        )
    if teacher.is_dir() != (student == "tiny"):
        given = "a folder" if teacher.is_dir() else "a file"
        raise UsageError(
            f"--teacher {teacher} is {given}; --student small takes the file of the weights of mn04_as, "
            f"--student tiny a model, whose trunk and heads it begins with"
        )
    if student == "tiny" and (start or heads or sentences):
        raise UsageError(
            "--student tiny begins with its --teacher's trunk and heads; leave out --start, --heads and --sentences"
        )
    for folder in data:
        need_folder(folder, "--data", "it takes a folder of sounds, such as soundseek data clotho makes")
    need_file(leave_out, "--leave-out", "it takes a text file that names a sound or a collection a line")
    need_file(sentences, "--sentences", "it takes a CSV with a column caption")
    if start is None or not start.is_file():
        need_folder(
            start, "--start", "it takes the run folder of a smaller student, or the file of its trunk"
        )
    need_folder(heads, "--heads", "it takes the run folder of heads on the frozen teacher")
    from soundseek.learn.data.decoded_cache import WaveformCache
    from soundseek.learn.distill import DistillConfig, find_device, find_sounds
    from soundseek.learn.distill import distill as run
    from soundseek.learn.models.audio.compact import SOUNDSEEK_TINY

    on_gpu = find_device(device) == "cuda"
    is_tiny = student == "tiny"
    settings: dict[str, Any] = (
        {"device": "cuda", "mixing": "torch", "processes": 1, "report_s": 30.0} if on_gpu else {}
    )
    if is_tiny:
        # few steps are enough for what is left to repair
        settings |= {"trunk": SOUNDSEEK_TINY, "warmup_steps": 50}
    config = DistillConfig(
        **{"processes": processes, **settings},
        hours=hours,
        batch_s=batch_s or (3200.0 if on_gpu else 80.0),
        seed=seed,
        start=start,
        heads=heads,
        sentences=sentences,
        learning_rate=1e-4 if is_tiny else _learning_rate(going_on=start is not None, on_gpu=on_gpu),
        # docs/distillation.md has what it brought; the norms of a shrunken trunk were measured when it was repaired
        norms_frozen_at=0.0 if is_tiny or (start and on_gpu) else 0.7,
        retrieval_weight=2.0 if heads or is_tiny else 0.0,
        sentences_weight=0.5 if sentences else 0.0,
    )
    sounds = find_sounds(data, leave_out)
    caches = {}
    for name, paths in {"train": sounds.train, **sounds.yardsticks}.items():
        caches[name] = out / "waveforms" / name
        typer.echo(f"decoding {len(paths)} sounds ({name}) ...", err=True)
        WaveformCache.build(
            paths,
            caches[name],
            sample_rate_hz=config.trunk.front_end.sample_rate_hz,
            report=lambda line: typer.echo(line, err=True),
        )
    typer.echo(str(run(teacher, caches.pop("train"), caches, out, config)))


def _learning_rate(*, going_on: bool, on_gpu: bool) -> float:
    """The highest rate; a lower one keeps what is there already."""
    if not going_on:
        return 3e-3
    return 1.5e-3 if on_gpu else 2e-3
